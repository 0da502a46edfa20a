# shellcheck shell=bash
# What the commands and the tests run in: Debian packages, the plain user, virtual environments.
#
# A library: source it with `set -euo pipefail`, then call the ensure_… functions. Each is
# idempotent, costs milliseconds when there is nothing to do, and says what it installs.
#
# VENAGENT_HOME   where everything lives (default /var/lib/venagent as root, else
#                 ~/.local/share/venagent)
# VENAGENT_USER   the plain user that runs VOLTTRON when the commands run as root (venagent)
# VENAGENT_PYTHON the Python to use, when the one found is not the one wanted

VENAGENT_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

if [ "$(id -u)" -eq 0 ]; then
  VENAGENT_HOME=${VENAGENT_HOME:-/var/lib/venagent}
  VENAGENT_USER=${VENAGENT_USER:-venagent}
else
  VENAGENT_HOME=${VENAGENT_HOME:-${XDG_DATA_HOME:-$HOME/.local/share}/venagent}
  VENAGENT_USER=$(id -un)
fi
case $VENAGENT_HOME in
  /*) ;;
  *) VENAGENT_HOME=$PWD/$VENAGENT_HOME ;;
esac
export VENAGENT_ROOT VENAGENT_HOME VENAGENT_USER

TOOLS_VENV=$VENAGENT_HOME/tools
PLATFORM_VENV=$VENAGENT_HOME/platform
TEST_PLATFORM_VENV=$VENAGENT_HOME/platform-test
VOLTTRON11_VENV=$VENAGENT_HOME/platform11
ENVIRONMENT_LOG=$VENAGENT_HOME/log/environment.log

say() { printf '==> %s\n' "$*" >&2; }

TERMINAL=""
if [ -t 2 ]; then TERMINAL=/dev/tty; fi

# working COMMAND…: on a terminal, the seconds that it has taken so far.
working() {
  if [ -z "$TERMINAL" ]; then
    "$@"
    return
  fi
  local status=0 began=$SECONDS ticker
  while kill -0 $$ 2>/dev/null; do # gone with us, however we end
    printf '\r    %d s' $((SECONDS - began)) >"$TERMINAL"
    sleep 1
  done &
  ticker=$!
  "$@" || status=$?
  kill "$ticker"
  wait "$ticker" 2>/dev/null || true
  printf '\r\033[K' >"$TERMINAL"
  return $status
}

# fail WHAT [ADVICE…]: the reason, then what to do about it.
fail() {
  printf 'error: %s\n' "$1" >&2
  shift
  if [ $# -gt 0 ]; then printf '       %s\n' "$@" >&2; fi
  exit 1
}

is_root() { [ "$(id -u)" -eq 0 ]; }

tools_python() { printf '%s\n' "$TOOLS_VENV/bin/python"; }

mosquitto_path() { PATH=$PATH:/usr/sbin:/usr/local/sbin command -v mosquitto; }

# Runs a command as the plain user, from a folder that this user can read. Already plain: as is.
as_user() {
  if is_root; then
    (
      cd "$VENAGENT_HOME" || exit 1
      exec setpriv --reuid="$VENAGENT_USER" --regid="$(id -g "$VENAGENT_USER")" --init-groups \
        env -u XDG_CONFIG_HOME -u XDG_CACHE_HOME -u XDG_DATA_HOME -u PYTHONPATH \
        HOME="$VENAGENT_HOME/home" USER="$VENAGENT_USER" LOGNAME="$VENAGENT_USER" "$@"
    )
  else
    env -u PYTHONPATH "$@"
  fi
}

# --- the state root and its user ---------------------------------------------------------------

ensure_home() {
  if is_root && ! getent passwd "$VENAGENT_USER" >/dev/null; then
    say "Creating the plain user $VENAGENT_USER: VOLTTRON refuses to run as root"
    useradd --system --user-group --home-dir "$VENAGENT_HOME/home" --no-create-home \
      --shell /usr/sbin/nologin "$VENAGENT_USER" ||
      fail "cannot create the user $VENAGENT_USER." "Set VENAGENT_USER to a plain user that exists."
  fi
  is_root && [ "$(id -u "$VENAGENT_USER")" -eq 0 ] &&
    fail "VENAGENT_USER is root, and VOLTTRON refuses root." "Name a plain user."
  [ "${#VENAGENT_HOME}" -le 54 ] ||
    fail "VENAGENT_HOME is too long: $VENAGENT_HOME" \
      "VOLTTRON's socket name below it must stay under 107 characters: use a path of at most 54."
  (
    umask 022
    mkdir -p "$VENAGENT_HOME" "$VENAGENT_HOME/run" "$VENAGENT_HOME/log" 2>/dev/null
  ) || fail "cannot write below $VENAGENT_HOME." "Set VENAGENT_HOME to a folder of your own."
  ensure_owned home staged volttron broker log/volttron
  if is_root && ! as_user test -x "$VENAGENT_HOME"; then
    fail "the user $VENAGENT_USER cannot enter $VENAGENT_HOME." \
      "Set VENAGENT_HOME to a folder whose parents everybody can enter, or chmod o+x them."
  fi
}

# Folders below the state root that belong to the plain user.
ensure_owned() {
  local folder
  for folder in "$@"; do
    folder=$VENAGENT_HOME/$folder
    [ -d "$folder" ] && continue
    case $folder in
      "$VENAGENT_HOME/volttron" | "$VENAGENT_HOME/volttron-11") (umask 077 && mkdir -p "$folder") ;; # keys
      *) (umask 022 && mkdir -p "$folder") ;;
    esac
    if is_root; then chown "$VENAGENT_USER:" "$folder"; fi
  done
}

# --- Debian's packages -------------------------------------------------------------------------

ensure_packages() {
  local missing=()
  mosquitto_path >/dev/null || missing+=(mosquitto)
  command -v mosquitto_sub >/dev/null || missing+=(mosquitto-clients)
  install_packages ${missing[@]+"${missing[@]}"}
}

# A PostgreSQL server, for the backend's tests and benchmarks.
ensure_postgresql() {
  if [ -z "$(PATH=$PATH:$(echo /usr/lib/postgresql/*/bin | tr ' ' :) command -v postgres)" ]; then
    install_packages postgresql
  fi
}

# For the tests of the backend behind a pooler.
ensure_pgbouncer() {
  PATH=$PATH:/usr/sbin command -v pgbouncer >/dev/null || install_packages pgbouncer
}

# For the tests of the local page.
ensure_chromium() { command -v chromium >/dev/null || install_packages chromium; }

# A machine that was just switched on, or another installation, may hold apt's locks for minutes.
# shellcheck disable=SC2016
READ_PACKAGE_LISTS='
read_package_lists() {
  local told tries=0
  until told=$(LC_ALL=C apt-get update -q 2>&1); do
    printf "%s\n" "$told"
    case $told in *"Could not get lock"* | *"Unable to lock"*) ;; *) return 1 ;; esac
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || return 1
    sleep 5
  done
}'

# Run as root, in one go. Debian starts a mosquitto of its own on port 1883 when the package
# arrives, and again at every boot; ours is another one, so both are prevented. So is the database
# cluster that PostgreSQL would make.
# shellcheck disable=SC2016
INSTALL_AS_ROOT=$READ_PACKAGE_LISTS'
set -e
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap "rm -f $policy" EXIT
  printf "#!/bin/sh\nexit 101\n" >"$policy"
  chmod 755 "$policy"
fi
mkdir -p /etc/postgresql-common/createcluster.d
echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.d/venagent.conf
read_package_lists
apt-get -o DPkg::Lock::Timeout=300 install -q -y --no-install-recommends "$@"
for package; do
  [ "$package" = mosquitto ] || continue
  if command -v systemctl >/dev/null; then systemctl disable mosquitto.service || true
  elif command -v update-rc.d >/dev/null; then update-rc.d mosquitto disable || true; fi
done'

install_packages() {
  [ $# -gt 0 ] || return 0
  command -v apt-get >/dev/null ||
    fail "these are missing, and there is no apt-get to install them: $*" \
      "Install them with your system's own tool and start again."
  local elevate=()
  if ! is_root; then
    command -v sudo >/dev/null ||
      fail "not root and no sudo, but these Debian packages are missing: $*" \
        "Ask an administrator for: apt-get install $*"
    elevate=(sudo)
    [ -t 0 ] || elevate=(sudo -n)
    "${elevate[@]}" true ||
      fail "sudo was refused, but these Debian packages are missing: $*" \
        "Ask an administrator for: apt-get install $*"
  fi
  say "Installing Debian packages: $* (log: $ENVIRONMENT_LOG)"
  local name settings=()
  for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    if [ -n "${!name:-}" ]; then settings+=("$name=${!name}"); fi
  done
  working ${elevate[@]+"${elevate[@]}"} env ${settings[@]+"${settings[@]}"} \
    bash -c "$INSTALL_AS_ROOT" install "$@" >>"$ENVIRONMENT_LOG" 2>&1 </dev/null ||
    explain_failure "apt-get could not install $*" "Try by hand: apt-get install $*"
}

# explain_failure WHAT ADVICE: fails with the cause that the log's last lines show.
explain_failure() {
  local last
  last=$(tail -n 40 "$ENVIRONMENT_LOG" 2>/dev/null || true)
  printf '%s\n' "$last" | grep -v '^ *$' | tail -n 8 | sed 's/^/  | /' >&2
  case $last in
    *"No space left on device"*)
      fail "$1: the disk is full." "Free some space at $VENAGENT_HOME and start again." ;;
    *"name resolution"* | *"Could not resolve"* | *"Network is unreachable"* | \
      *"NewConnectionError"* | *"Connection timed out"* | *"Connection refused"* | \
      *"ConnectTimeoutError"* | *"Could not connect to"* | *"(from versions: none)"*)
      fail "$1: no network." \
        "Check the connection (http_proxy/https_proxy if there is a proxy) and start again." \
        "Log: $ENVIRONMENT_LOG" ;;
    *)
      fail "$1." "$2" "Log: $ENVIRONMENT_LOG" ;;
  esac
}

# --- Python ------------------------------------------------------------------------------------

# VOLTTRON 10 needs 3.10 or later; its pip 22.2.2 and gevent 22.10.2 do not run on 3.12.
python_fits() {
  as_user "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 11))' 2>/dev/null
}

# The Python to make environments with, in PYTHON. The system's own come first: a Python below
# somebody's home is unreadable for the plain user.
choose_python() {
  local candidate found=""
  if [ -n "${VENAGENT_PYTHON:-}" ]; then
    python_fits "$VENAGENT_PYTHON" ||
      fail "VENAGENT_PYTHON=$VENAGENT_PYTHON is not a Python 3.10 or 3.11 that $VENAGENT_USER can run."
    PYTHON=$VENAGENT_PYTHON
    return
  fi
  for candidate in /usr/bin/python3.11 /usr/bin/python3.10 /usr/local/bin/python3.11 \
    /usr/local/bin/python3.10 python3.11 python3.10 python3; do
    candidate=$(command -v "$candidate") || continue
    found=$candidate
    if python_fits "$candidate"; then
      PYTHON=$candidate
      return
    fi
  done
  [ -z "$found" ] ||
    fail "wrong Python: $("$found" --version 2>&1) ($found). VOLTTRON 10 runs on 3.10 and 3.11." \
      "Install one of them that the user $VENAGENT_USER can run (Debian 12 has 3.11), or name it" \
      "in VENAGENT_PYTHON."
  return 1
}

ensure_python() {
  if ! choose_python; then
    install_packages python3 python3-venv
    choose_python || fail "there is no Python 3.10 or 3.11 on this machine."
  fi
  if ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
    [ "$PYTHON" = /usr/bin/python3.11 ] || [ "$PYTHON" = /usr/bin/python3.10 ] ||
      fail "$PYTHON has no venv module." "Install it, or name another Python in VENAGENT_PYTHON."
    install_packages "$(basename "$PYTHON")-venv"
  fi
}

# --- virtual environments ----------------------------------------------------------------------

# Of what is in these files; which folder below ops/ one lies in makes no difference.
requirements_hash() {
  (cd "$VENAGENT_ROOT" && sha256sum -- "$@" | sed 's#  ops/.*/#  ops/#' | sha256sum | cut -d ' ' -f 1)
}

# is_current VENV STAMP HASH: the environment has what the files that made HASH ask for.
is_current() {
  [ -x "$1/bin/python" ] && [ -f "$1/$2" ] && [ "$(cat "$1/$2")" = "$3" ]
}

# exclusively NAME COMMAND…: only one process at a time makes that environment; the others wait.
exclusively() {
  local lock=$VENAGENT_HOME/run/$1.lock
  shift
  (
    flock 9
    "$@" 9>&-
  ) 9>"$lock"
}

need_space() {
  local free
  free=$(df -Pm "$VENAGENT_HOME" | awk 'NR == 2 { print $4 }')
  [ "$free" -ge "$1" ] ||
    fail "not enough disk space: $free MB free at $VENAGENT_HOME, $1 MB needed." \
      "Free some, or set VENAGENT_HOME to a folder on another disk."
}

# pip_install RUNNER VENV LOCK…: what the lock files name, each file of it by its hash, nothing else.
pip_install() {
  local runner=$1 venv=$2 file locks=()
  shift 2
  for file; do locks+=(-r "$file"); done
  working "$runner" "$venv/bin/python" -m pip install --no-input --disable-pip-version-check \
    --progress-bar off --require-hashes --no-deps "${locks[@]}" >>"$ENVIRONMENT_LOG" 2>&1 </dev/null
}

run_here() { "$@"; }

# The commands' own code, compiled: a command that compiles it each time takes three times as long.
# Where a folder changed since, as `git pull` does it. pip compiles what it installs.
ensure_compiled() {
  local folders=("$VENAGENT_ROOT/ops" "$VENAGENT_ROOT/VenAgent") stamp
  stamp=$VENAGENT_ROOT/ops/__pycache__/compiled
  [ -w "$VENAGENT_ROOT/ops" ] || return 0
  if [ -f "$stamp" ] && [ -z "$(find "${folders[@]}" -name __pycache__ -prune -o \
    -type d -newer "$stamp" -print -quit)" ]; then return 0; fi
  "$(tools_python)" -m compileall -q "${folders[@]}" >>"$ENVIRONMENT_LOG" 2>&1 || return 0
  touch "$stamp"
  if is_root; then
    find "${folders[@]}" -name __pycache__ -prune -exec \
      chown -R --reference="$VENAGENT_ROOT/ops" {} +
  fi
}

# Both environments at once, where neither is there yet: pip waits for the network most of the time.
# ensure_tools_and_platform [platform|volttron11]
ensure_tools_and_platform() {
  local platform
  ensure_home
  ensure_python
  (TERMINAL="" && "ensure_${1:-platform}") &
  platform=$!
  ensure_tools
  wait "$platform" || exit 1
}

ensure_tools() {
  local hash
  hash=$(requirements_hash ops/lock-tools.txt)
  is_current "$TOOLS_VENV" .tools "$hash" && return
  ensure_home
  exclusively tools make_tools "$hash"
}

make_tools() {
  is_current "$TOOLS_VENV" .tools "$1" && return
  need_space 300
  ensure_python
  say "Installing the commands' environment in $TOOLS_VENV (once, about 15 s)"
  umask 022
  # One that is there is brought up to date in place: a command may be running in it.
  if ! "$TOOLS_VENV/bin/python" -m pip --version >/dev/null 2>&1; then
    rm -rf "$TOOLS_VENV"
    "$PYTHON" -m venv "$TOOLS_VENV" >>"$ENVIRONMENT_LOG" 2>&1 ||
      explain_failure "cannot make a virtual environment in $TOOLS_VENV" "Is $PYTHON complete?"
  fi
  rm -f "$TOOLS_VENV/.tools"
  pip_install run_here "$TOOLS_VENV" "$VENAGENT_ROOT/ops/lock-tools.txt" ||
    explain_failure "pip could not install the commands' environment" "See the log."
  printf '%s\n' "$1" >"$TOOLS_VENV/.tools"
}

# add_to_tools STAMP LOCK WHAT_FOR: more packages in the commands' environment.
add_to_tools() {
  local stamp=$1 lock=$2 what_for=$3 hash
  ensure_tools
  hash=$(requirements_hash "$lock")
  is_current "$TOOLS_VENV" "$stamp" "$hash" && return
  exclusively tools make_addition "$stamp" "$lock" "$what_for" "$hash"
}

make_addition() {
  is_current "$TOOLS_VENV" "$1" "$4" && return
  need_space 300
  say "Installing what $3 in $TOOLS_VENV (once, about 20 s)"
  umask 022
  pip_install run_here "$TOOLS_VENV" "$VENAGENT_ROOT/$2" ||
    explain_failure "pip could not install what $3" "See the log."
  printf '%s\n' "$4" >"$TOOLS_VENV/$1"
}

ensure_backend_packages() {
  add_to_tools .backend ops/lock-backend.txt "the operator's side needs"
}

# What `python -m backend openadr` needs beside these: it speaks to a utility's VTN.
ensure_openadr_packages() {
  add_to_tools .openadr ops/lock-openadr.txt "OpenADR needs"
}

ensure_test_tools() {
  ensure_backend_packages
  ensure_openadr_packages
  add_to_tools .tests ops/lock-test.txt "the tests need"
  ensure_openadr_description
}

# tests/openadr is checked by it: it looks in share/openadr of the environment that it runs in.
ensure_openadr_description() {
  local hash
  hash=$(requirements_hash ops/lock-openadr.txt ops/release/openadr_description.py)
  is_current "$TOOLS_VENV" .openadr-description "$hash" && return
  exclusively tools make_openadr_description "$hash"
}

make_openadr_description() {
  is_current "$TOOLS_VENV" .openadr-description "$1" && return
  say "Getting the description of OpenADR 3 (once)"
  umask 022
  (cd "$VENAGENT_ROOT" && PYTHONDONTWRITEBYTECODE=1 "$TOOLS_VENV/bin/python" \
    -m ops.release.openadr_description "$TOOLS_VENV/share/openadr") >>"$ENVIRONMENT_LOG" 2>&1 ||
    explain_failure "cannot get the description of OpenADR 3" "Does the package index answer?"
  printf '%s\n' "$1" >"$TOOLS_VENV/.openadr-description"
}

# VOLTTRON 11. It belongs to the plain user: poetry installs agents into it.
VOLTTRON11_FILES=(ops/lock-volttron11.txt ops/volttron/poetry_project.py)

volttron11_is_current() {
  is_current "$VOLTTRON11_VENV" .volttron11 "$(requirements_hash "${VOLTTRON11_FILES[@]}")"
}

# ensure_volttron11_home FOLDER: a VOLTTRON_HOME with the environment's own project in it; again when
# the environment was made anew, which has none of the agents that the old project names.
ensure_volttron11_home() {
  local home=$VENAGENT_HOME/$1 made
  ensure_owned "$1"
  made=$(stat -c %Y "$VOLTTRON11_VENV/.volttron11")
  [ "$(as_user cat "$home/.environment" 2>/dev/null)" = "$made" ] && return
  as_user cp "$VOLTTRON11_VENV/project/pyproject.toml" "$VOLTTRON11_VENV/project/poetry.lock" "$home/"
  rm -f "$VENAGENT_HOME/run/venagent-11.installed"
  printf '%s\n' "$made" | as_user tee "$home/.environment" >/dev/null
}

ensure_volttron11() {
  local hash
  hash=$(requirements_hash "${VOLTTRON11_FILES[@]}")
  is_current "$VOLTTRON11_VENV" .volttron11 "$hash" && return
  ensure_home
  exclusively volttron11 make_volttron11 "$hash"
}

# pip_index VENV: the package index that its pip asks.
pip_index() {
  if [ -n "${PIP_INDEX_URL:-}" ]; then
    printf '%s\n' "$PIP_INDEX_URL"
  else
    "$1/bin/python" -m pip config get global.index-url 2>/dev/null ||
      "$1/bin/python" -c 'from pip._internal.models.index import PyPI; print(PyPI.simple_url)'
  fi
}

# volttron11_variables VENV: what VOLTTRON 11 and its poetry need in their environment, a line each.
volttron11_variables() {
  printf '%s\n' "VIRTUAL_ENV=$1" "PATH=$1/bin:$PATH" "POETRY_CACHE_DIR=$1/poetry-cache" \
    "POETRY_PYPI_MIRROR_URL=$(pip_index "$1")/" POETRY_NO_INTERACTION=1
}

make_volttron11() {
  local venv=$VOLTTRON11_VENV lock=lock-volttron11.txt variables
  is_current "$venv" .volttron11 "$1" && return
  need_space 500
  ensure_python
  say "Installing VOLTTRON 11 in $venv (once, about 60 s)"
  umask 022
  rm -rf "$venv"
  ensure_owned "$(basename "$venv")"
  as_user "$PYTHON" -m venv "$venv" >>"$ENVIRONMENT_LOG" 2>&1 ||
    explain_failure "cannot make a virtual environment in $venv" "Is $PYTHON complete?"
  as_user mkdir "$venv/requirements"
  as_user tee "$venv/requirements/$lock" <"$VENAGENT_ROOT/ops/$lock" >/dev/null
  pip_install as_user "$venv" "$venv/requirements/$lock" ||
    explain_failure "pip could not install VOLTTRON 11" "See the log."
  as_user "$venv/bin/python" - "$venv/project" <"$VENAGENT_ROOT/ops/volttron/poetry_project.py"
  mapfile -t variables < <(volttron11_variables "$venv")
  working as_user env -u PIP_FIND_LINKS "${variables[@]}" "$venv/bin/poetry" lock \
    --directory "$venv/project" >>"$ENVIRONMENT_LOG" 2>&1 </dev/null ||
    explain_failure "poetry could not lock what VOLTTRON 11 needs" "See the log."
  printf '%s\n' "$1" | as_user tee "$venv/.volttron11" >/dev/null
}

# VOLTTRON's environment belongs to the plain user: `vctl install` installs agents into it. The
# tests have one of their own: they install and remove agents while a VEN may be running here.
PLATFORM_FILES=(ops/lock-platform.txt ops/constraints-platform.txt ops/volttron/repair_volttron.py)
TEST_PLATFORM_FILES=("${PLATFORM_FILES[@]}" ops/lock-platform-test.txt)

platform_is_current() {
  is_current "$PLATFORM_VENV" .platform "$(requirements_hash "${PLATFORM_FILES[@]}")"
}

ensure_platform() {
  local hash
  hash=$(requirements_hash "${PLATFORM_FILES[@]}")
  is_current "$PLATFORM_VENV" .platform "$hash" && return
  ensure_home
  exclusively platform make_platform "$PLATFORM_VENV" "$hash" lock-platform.txt
}

ensure_test_platform() {
  local hash
  hash=$(requirements_hash "${TEST_PLATFORM_FILES[@]}")
  is_current "$TEST_PLATFORM_VENV" .platform "$hash" && is_complete "$TEST_PLATFORM_VENV" && return
  ensure_home
  rm -f "$TEST_PLATFORM_VENV/.platform"
  exclusively platform-test make_platform "$TEST_PLATFORM_VENV" "$hash" lock-platform.txt \
    lock-platform-test.txt
}

# is_complete VENV: the agents are still in it. A test run that was broken off may have removed them.
is_complete() {
  "$1/bin/python" -c 'from importlib.metadata import version
for name in "volttron", "volttron-platform-driver", "volttron-actuator", "volttron-testing":
    version(name)' 2>/dev/null
}

# make_platform VENV HASH LOCK…
make_platform() {
  local venv=$1 hash=$2 file locks=()
  shift 2
  is_current "$venv" .platform "$hash" && return
  need_space 500
  ensure_python
  say "Installing VOLTTRON 10 in $venv (once, about 60 s)"
  umask 022
  rm -rf "$venv"
  if [ "$venv" = "$PLATFORM_VENV" ]; then rm -f "$VENAGENT_HOME/run/venagent.installed"; fi
  ensure_owned "$(basename "$venv")"
  as_user "$PYTHON" -m venv "$venv" >>"$ENVIRONMENT_LOG" 2>&1 ||
    explain_failure "cannot make a virtual environment in $venv" "Is $PYTHON complete?"
  # Copied first: the clone may be unreadable for the plain user.
  as_user mkdir "$venv/requirements"
  for file in "$@" constraints-platform.txt; do
    as_user tee "$venv/requirements/$file" <"$VENAGENT_ROOT/ops/$file" >/dev/null
  done
  for file; do locks+=("$venv/requirements/$file"); done
  pip_install as_user "$venv" "${locks[@]}" ||
    explain_failure "pip could not install VOLTTRON" "See the log."
  # Every pip of this environment keeps to the constraints, whoever starts it and from where. As an
  # address: pip takes a space for the next file.
  printf '[global]\nconstraint = file://%s\ndisable-pip-version-check = true\n' \
    "${venv// /%20}/requirements/constraints-platform.txt" | as_user tee "$venv/pip.conf" >/dev/null
  as_user "$venv/bin/python" - <"$VENAGENT_ROOT/ops/volttron/repair_volttron.py"
  printf '%s\n' "$hash" | as_user tee "$venv/.platform" >/dev/null
}
