#!/usr/bin/env bash
# Runs a benchmark of benchmarks/ against what `ven_control.sh start --steady` started:
#   scripts/benchmark.sh event_latency [--events 100] [--json FILE]
set -euo pipefail

# shellcheck source=scripts/environment.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/environment.sh"

[ $# -gt 0 ] || fail "which benchmark? One of: $(cd "$VENAGENT_ROOT/benchmarks" && echo [a-z]*.py)"
ensure_tools
case $1 in fleet | dispatch)
  ensure_packages
  ensure_test_tools
  ensure_postgresql
  ;;
esac
cd "$VENAGENT_ROOT"
PYTHONPATH=$VENAGENT_ROOT PYTHONDONTWRITEBYTECODE=1 exec "$(tools_python)" -m "benchmarks.$1" "${@:2}"
