#!/usr/bin/env bash
# The one door to VenAgent's operations: brings up what the commands run in, then runs ops/.
set -euo pipefail

home_asked_for=${VENAGENT_HOME:-}
# shellcheck source=scripts/environment.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/environment.sh"

usage() {
  cat <<'TEXT'
Usage: ven_control.sh COMMAND [OPTIONS]

  start        bring up broker, simulated panel, VOLTTRON and VenAgent (installs what is missing)
  stop         end all of them
  restart      stop, then start
  status       what runs, its health, the power now and the active event
  logs         follow the platform's log
  send-event   send a demand-response event:  --shed-kw 5 --duration 30 [--event-id ID]
  restore      end the active event
  events       the running event and the last ones, and what they delivered
  ping         ask the agent for a sign of life
  shadow       the device's reported state
  telemetry    follow the telemetry
  backend      the operator's side: start | stop | status | key
  register     register this VEN with the backend (BACKEND_URL)
  provision    give this site its key, certificate and thing in AWS IoT Core
  load-config  load driver configurations into VOLTTRON's config store
  vctl         VOLTTRON's own control command, for this VOLTTRON:  vctl config edit ven.agent config
  doctor       look at all that a working VEN needs; what is wrong and what to do
  diagnostics  an archive for a person who helps, with secrets removed
  watch        power, event, circuits and connection, live on this terminal
  completion   tab completion for bash, zsh or fish
  check-config check driver and agent configurations: file, line and remedy of what is wrong

Nothing is installed yet; `start` does it. Afterwards each command has its own --help.
TEXT
}

if [ ! -f "$TOOLS_VENV/.tools" ]; then
  case "${1:-help} ${*:2} " in # a question installs nothing
    "help "* | "-h "* | *" -h "* | *"--help "*) usage; exit 0 ;;
  esac
fi

# `sudo … start`, then a command without sudo: that is another VEN, which was never started.
if ! is_root && [ -z "$home_asked_for" ] && [ ! -e "$VENAGENT_HOME/settings.json" ] &&
  [ -e /var/lib/venagent/settings.json ]; then
  say "A VEN of root's is below /var/lib/venagent; for that one use sudo"
fi

# A slip in a home that is named must not make another VEN, or mean another one.
if [ -n "$home_asked_for" ] && [ ! -d "$VENAGENT_HOME" ]; then
  case ${1:-help} in
    start | restart | backend | provision | check-config | completion | help | -h | --*) ;;
    *) fail "VENAGENT_HOME: there is no folder $VENAGENT_HOME." \
      "Correct it; \`ven_control.sh start\` makes one." ;;
  esac
fi

case ${1:-} in
  start | restart)
    case " $* " in
      *" --volttron 11 "* | *" --volttron=11 "*) wanted=volttron11 there=$VOLTTRON11_VENV/.volttron11 ;;
      *) wanted=platform there=$PLATFORM_VENV/.platform ;;
    esac
    if [ ! -f "$TOOLS_VENV/.tools" ] && [ ! -f "$there" ]; then
      say "The first start installs what is missing: about two minutes"
      ensure_tools_and_platform "$wanted"
    fi
    ;;
esac
ensure_tools
ensure_compiled
# No cache folder of our own: it would hide what pip has compiled.
unset PYTHONPYCACHEPREFIX
export PYTHONPATH=$VENAGENT_ROOT PYTHONUTF8=1
# What the terminal's encoding has not is a `?`, never the end of the command.
[ -z "${PYTHONIOENCODING:-}" ] || export PYTHONIOENCODING="${PYTHONIOENCODING%%:*}:replace"
exec "$(tools_python)" -m ops "$@"
