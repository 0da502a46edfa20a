#!/usr/bin/env bash
# Runs a benchmark of benchmarks/; those of events need what `ven_control.sh start --steady` started.
#
#   scripts/benchmark.sh NAME [ARGUMENTS…]      e.g. event_latency --events 40 --json FILE
#   scripts/benchmark.sh NAME --help            its own arguments, where it has some
set -euo pipefail

# shellcheck source=scripts/environment.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/environment.sh"

usage() {
  local file
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
  for file in $(runnable); do
    printf '%-15s %s\n' "$(basename "$file" .py)" "$(sed -n '1s/^"""//p' "$file")"
  done
}

# Those that are started by hand, and what they start.
runnable() { grep -l '^if __name__ == "__main__"' "$VENAGENT_ROOT"/benchmarks/*.py; }

case ${1:-} in
  "") usage >&2; fail "which benchmark?" ;;
  -h | --help) usage; exit 0 ;;
esac
[[ $1 =~ ^[a-z_]+$ && -f $VENAGENT_ROOT/benchmarks/$1.py ]] || {
  usage >&2
  fail "there is no benchmark $1"
}
ensure_tools
case $1 in fleet | dispatch | openadr)
  ensure_packages
  ensure_test_tools
  ensure_postgresql
  ;;
openadr_site)
  ensure_backend_packages
  ensure_openadr_packages
  ;;
esac
cd "$VENAGENT_ROOT"
PYTHONPATH=$VENAGENT_ROOT PYTHONDONTWRITEBYTECODE=1 exec "$(tools_python)" -m "benchmarks.$1" "${@:2}"
