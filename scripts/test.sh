#!/usr/bin/env bash
# Installs what the tests need and runs them: all of them, or the parts named.
#
#   scripts/test.sh [all|lint|unit|long|backend|browser|documents|platform|platform11]... [-- PYTEST ARGUMENTS]
#
# lint      ruff, mypy, shellcheck, cfn-lint, known vulnerabilities of the locked packages
# unit      what needs no VOLTTRON and no database (seconds); of a random search a fifth of the examples
# long      the rest of that: all examples, hours of a building, and what starts processes (marked `long`)
# backend   tests/backend, tests/openadr: the operator's side, on a real PostgreSQL and mosquitto
# browser   tests/browser: the local page in a real Chromium; pictures in tests/browser/results/
# documents tests/documents: every command of the documents, on sites of its own (minutes)
# platform  tests/platform: a real VOLTTRON 10, as the plain user (minutes)
# platform11 tests/platform11: a real VOLTTRON 11, as the plain user
#
# Of several parts, `platform` runs beside the others, for it mostly waits: its output follows theirs.
# Exits with 0 only when every part passed; the last lines are pytest's own summary.
set -euo pipefail

# shellcheck source=scripts/environment.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/environment.sh"

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; }

ALL=(lint unit long backend browser documents platform platform11)
parts=()
while [ $# -gt 0 ]; do
  case $1 in
    all) parts+=("${ALL[@]}") ;;
    lint | unit | long | backend | browser | documents | platform | platform11) parts+=("$1") ;;
    -h | --help) usage; exit 0 ;;
    --) shift; break ;;
    *) usage >&2; fail "unknown part of the tests: $1" ;;
  esac
  shift
done
[ ${#parts[@]} -gt 0 ] || parts=("${ALL[@]}")
pytest_arguments=("$@")

unset PYTHONDONTWRITEBYTECODE
scratch="" quick="" copy="" lane=""
cleanup() {
  [ -n "$scratch" ] || return 0
  if [ -n "$lane" ]; then kill -- "-$lane" 2>/dev/null || true; fi # first: it starts sessions
  rm -rf "$quick"
  for session in "$scratch"/*/session; do # a run that was broken off leaves some
    if [ -f "$session" ]; then sweep_session "$(dirname "$session")" || true; fi
  done
  rm -rf "$scratch"
}
trap cleanup EXIT

# A folder of this run, gone afterwards; the tests leave nothing anywhere else.
make_scratch() {
  scratch=$(mktemp -d "$VENAGENT_HOME/t.XXXX") # short: VOLTTRON makes socket names below it
  chmod 755 "$scratch"
}

# The folder of the unit tests, which sync thousands of small databases: in memory, where it has room
# and may run programs. What they kill are processes, and a process's writes outlive it there too.
make_quick_scratch() {
  local free
  free=$(df -Pm /dev/shm 2>/dev/null | awk 'NR == 2 { print $4 }') || free=0
  if [ "$free" -ge 500 ] && quick=$(mktemp -d /dev/shm/venagent.XXXX); then
    chmod 755 "$quick"
    printf '#!/bin/sh\n' >"$quick/program"
    chmod 755 "$quick/program"
    if "$quick/program" 2>/dev/null; then return 0; fi
    rm -rf "$quick"
  fi
  quick=$scratch/u
  mkdir "$quick"
}

# Where the tests of this machine's tools run: a copy, into which Python may write what it compiled,
# so that the processes of the tests do not compile it all again.
make_copy() {
  copy=${quick:-$scratch}/source
  mkdir "$copy"
  copy_tree | tar -C "$copy" -xf -
}

copy_tree() {
  tar -C "$VENAGENT_ROOT" -cf - --exclude-vcs --exclude=__pycache__ --exclude='.*_cache' \
    --exclude=.hypothesis --exclude=.venv --exclude='*.egg-info' --exclude=node_modules \
    --exclude=./build --exclude=./dist --exclude=./tests/browser/results .
}

tool() { printf '%s\n' "$TOOLS_VENV/bin/$1"; }

lint() {
  local failed=0 folder folders=()
  for folder in VenAgent simulator ops backend; do
    if [ -f "$VENAGENT_ROOT/$folder/__init__.py" ]; then folders+=("$folder"); fi
  done
  cd "$VENAGENT_ROOT"
  "$(tool ruff)" check --no-cache . || failed=1
  "$(tool ruff)" format --no-cache --check . || failed=1
  "$(tool mypy)" --cache-dir "$VENAGENT_HOME/run/mypy" "${folders[@]}" || failed=1
  "$(tool shellcheck)" -x scripts/*.sh .ci/run || failed=1
  "$(tool cfn-lint)" deploy/aws/*.yaml || failed=1
  PYTHONDONTWRITEBYTECODE=1 "$(tools_python)" -m ops.release.vulnerability_check || failed=1
  return $failed
}

# One process of the unit tests. It collects by itself: a pool of workers would each collect them all.
# unit_tests PYTEST ARGUMENTS…
unit_tests() {
  TMPDIR=$quick PYTHONPATH=$PWD HYPOTHESIS_STORAGE_DIRECTORY=$scratch/hypothesis \
    MOSQUITTO=$(mosquitto_path) \
    "$(tools_python)" -m pytest -p no:cacheprovider -p no:schemathesis -p no:asyncio -p no:anyio \
    -p no:xdist --ignore=tests/platform --ignore=tests/backend --ignore=tests/openadr \
    --ignore=tests/browser --ignore=tests/documents --ignore=tests/platform11 "$@"
}

# The unit tests by their time: two groups of folders, and every other folder.
UNIT_GROUPS=("tests/dr" "tests/baseline tests/cloud tests/contract tests/storage")

# Those of a pytest marker expression, in three processes: on two cores, for those of the last one
# often wait. With arguments of the caller's in one, and whatever they name.
# unit_groups MARKERS
unit_groups() {
  local failed=0 group folders pids=() ignored=()
  cd "$copy"
  if [ ${#pytest_arguments[@]} -gt 0 ]; then
    unit_tests "${pytest_arguments[@]}"
    return
  fi
  for group in "${UNIT_GROUPS[@]}"; do
    read -ra folders <<<"$group"
    ignored+=("${folders[@]/#/--ignore=}")
    unit_tests -m "$1" "${folders[@]}" >"$scratch/unit${#pids[@]}.txt" 2>&1 &
    pids+=($!)
  done
  unit_tests -m "$1" "${ignored[@]}" || failed=1
  for group in "${!UNIT_GROUPS[@]}"; do
    wait "${pids[$group]}" || failed=1
    say "${UNIT_GROUPS[$group]//tests\//}"
    cat "$scratch/unit$group.txt"
  done
  return $failed
}

unit() { VENAGENT_TEST_EXAMPLES_PERCENT=20 unit_groups "not long"; }

long() { unit_groups "long or hypothesis"; }

# In the clone itself: the packages are built from what is under version control. In the files' own
# order: sorted by their number of tests, those with few and long ones would come last, one by one.
backend() {
  cd "$VENAGENT_ROOT"
  mkdir "$scratch/b"
  TMPDIR=$scratch/b PYTHONPATH=$VENAGENT_ROOT PYTHONDONTWRITEBYTECODE=1 \
    HYPOTHESIS_STORAGE_DIRECTORY=$scratch/hypothesis MOSQUITTO=$(mosquitto_path) \
    "$(tools_python)" -m pytest -p no:cacheprovider -n 2 --dist loadfile --no-loadscope-reorder \
    tests/backend tests/openadr -o asyncio_default_fixture_loop_scope=function \
    ${pytest_arguments[@]+"${pytest_arguments[@]}"}
}

browser() {
  cd "$copy"
  mkdir "$scratch/w"
  # The page's server needs gevent, which VOLTTRON's environment has; Chromium writes to its home.
  HOME=$scratch/w TMPDIR=$scratch/w PYTHONPATH=$PWD \
    VENAGENT_SCREENSHOTS=$VENAGENT_ROOT/tests/browser/results \
    CHROMIUM=$(command -v chromium) VENAGENT_GEVENT_PYTHON=$TEST_PLATFORM_VENV/bin/python \
    "$(tools_python)" -m pytest -p no:cacheprovider -n 2 --dist loadfile tests/browser \
    ${pytest_arguments[@]+"${pytest_arguments[@]}"}
}

# A copy that the plain user can read and write; the clone may be neither.
stage() {
  as_user mkdir -p "$1"
  copy_tree | as_user tar -C "$1" -xf - --no-same-owner
}

# As the plain user, in a session of its own, so that what it leaves behind can be found and ended.
# SIGINT is ignored in what a script starts in the background, and VOLTTRON stops its agents with it.
# in_session FOLDER [NAME=VALUE…] COMMAND…
in_session() {
  local here=$1
  shift
  cd "$here/source"
  as_user setsid --wait env --default-signal=INT --chdir="$here/source" \
    -u PIP_FIND_LINKS -u VOLTTRON_HOME HOME="$here/home" TMPDIR="$here" \
    PYTHONPATH="$here/source" PYTHONDONTWRITEBYTECODE=1 MOSQUITTO="$(mosquitto_path)" \
    bash -c "$REMEMBER_SESSION" session "$here/session" env "$@" </dev/null
}

sweep_session() {
  local session
  cd "$VENAGENT_ROOT"
  if session=$(cat "$1/session" 2>/dev/null); then
    rm -f "$1/session"
    PYTHONPATH=$VENAGENT_ROOT "$(tools_python)" -m ops.host.session_sweep "$session"
  fi
}

documents() {
  local here=$scratch/d status=0
  if is_root; then chown "$VENAGENT_USER:" "$scratch"; fi
  stage "$here/source"
  as_user mkdir "$here/home"
  in_session "$here" -u PYTHONDONTWRITEBYTECODE VENAGENT_TEST_PLATFORM="$TEST_PLATFORM_VENV" \
    "$(tools_python)" -m pytest -p no:cacheprovider -n 2 --dist loadfile tests/documents \
    ${pytest_arguments[@]+"${pytest_arguments[@]}"} || status=$?
  sweep_session "$here" || status=1
  PYTHONPATH=$VENAGENT_ROOT "$(tools_python)" -m tests.documents.sweep "$here" || status=1
  return $status
}

# shellcheck disable=SC2016
REMEMBER_SESSION='echo $$ >"$1"; shift; exec "$@"'

# A test of the platform that takes so long waits for what never comes.
STUCK_SEC=600

# Half of the platform's tests: those with the running VOLTTRON, or those without.
# platform_half FOLDER with|without [PYTEST ARGUMENTS…]
platform_half() {
  local here=$1 half=$2 status=0
  shift 2
  stage "$here/source"
  as_user mkdir "$here/home"
  # The constraints as an address: pip takes a space for the next file.
  in_session "$here" PATH="$TEST_PLATFORM_VENV/bin:$PATH" \
    PIP_CONSTRAINT="file://${TEST_PLATFORM_VENV// /%20}/requirements/constraints-platform.txt" \
    VENAGENT_TOOLS_PYTHON="$(tools_python)" VENAGENT_SCREENSHOTS="$VENAGENT_HOME/pictures" \
    VENAGENT_V11_PYTHON="$VOLTTRON11_VENV/bin/python" \
    "$TEST_PLATFORM_VENV/bin/python" -m pytest -p no:cacheprovider tests/platform --site "$half" \
    --timeout "$STUCK_SEC" "$@" || status=$?
  sweep_session "$here" || status=1
  return $status
}

# Both halves beside each other: what needs no VOLTTRON waits for brokers and clocks, and uses a
# tenth of a core. Its output follows when both are done. One run at a time: agents are installed into
# the environment, and gone from it afterwards.
platform() {
  (
    flock -n 9 || { say "waiting for another run of the platform's tests" && flock 9; }
    platform_alone 9>&-
  ) 9>"$VENAGENT_HOME/run/platform-tests.lock"
}

platform_alone() {
  local without=0 with=0 beside
  if is_root; then chown "$VENAGENT_USER:" "$scratch"; fi
  ensure_owned pictures # of the local page, to be looked at
  platform_half "$scratch/q" without ${pytest_arguments[@]+"${pytest_arguments[@]}"} \
    >"$scratch/without.txt" 2>&1 &
  beside=$!
  platform_half "$scratch/p" with ${pytest_arguments[@]+"${pytest_arguments[@]}"} || with=$?
  wait "$beside" || without=$?
  say "platform, without a running VOLTTRON"
  cat "$scratch/without.txt"
  # 5: none of its tests was asked for; that may be so of one half.
  if [ "$with" = 5 ] && [ "$without" = 0 ]; then with=0; fi
  if [ "$without" = 5 ] && [ "$with" = 0 ]; then without=0; fi
  [ "$with" = 0 ] && [ "$without" = 0 ]
}

# A VOLTTRON 11 of its own, which installs the agent from the root as its users do.
platform11() {
  local here=$scratch/e status=0 variables
  if is_root; then chown "$VENAGENT_USER:" "$scratch"; fi
  stage "$here/source"
  as_user mkdir "$here/home"
  mapfile -t variables < <(volttron11_variables "$VOLTTRON11_VENV")
  (
    flock 9
    in_session "$here" "${variables[@]}" VENAGENT_V11="$VOLTTRON11_VENV" \
      "$(tools_python)" -m pytest -p no:cacheprovider tests/platform11 \
      ${pytest_arguments[@]+"${pytest_arguments[@]}"} 9>&-
  ) 9>"$VENAGENT_HOME/run/platform11-tests.lock" || status=$?
  sweep_session "$here" || status=1
  return $status
}

ensure_home
ensure_packages
ensure_test_tools
make_scratch
case " ${parts[*]} " in *" unit "* | *" long "*) make_quick_scratch ;; esac
case " ${parts[*]} " in *" unit "* | *" long "* | *" browser "*) make_copy ;; esac
case " ${parts[*]} " in *" backend "*) ensure_postgresql && ensure_pgbouncer ;; esac
case " ${parts[*]} " in *" browser "* | *" platform "*) ensure_chromium ;; esac
case " ${parts[*]} " in *" browser "* | *" documents "* | *" platform "*) ensure_test_platform ;; esac
case " ${parts[*]} " in *" platform "* | *" platform11 "*) ensure_volttron11 ;; esac

failed=()
run_part() {
  say "$1"
  # A subshell: a part may change folder. `set -e` is off in it, each part returns its own result.
  ("$1") || failed+=("$1")
}

# A process group of its own, so that it ends with us when we are broken off.
start_lane() {
  set -m
  ("$1" || exit 1) </dev/null >"$scratch/lane.txt" 2>&1 &
  lane=$!
  set +m
}

# end_lane PART: waits for it, and shows what it said.
end_lane() {
  local status=0
  wait "$lane" || status=$?
  lane=""
  say "$1"
  cat "$scratch/lane.txt"
  if [ "$status" != 0 ]; then failed+=("$1"); fi
}

beside=""
for part in "${parts[@]}"; do
  if [ "$part" = platform ] && [ ${#parts[@]} -gt 1 ]; then beside=$part; fi
done
if [ -n "$beside" ]; then start_lane "$beside"; fi
for part in "${parts[@]}"; do
  if [ "$part" != "$beside" ]; then run_part "$part"; fi
done
if [ -n "$beside" ]; then end_lane "$beside"; fi
if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[*]}" >&2
  exit 1
fi
