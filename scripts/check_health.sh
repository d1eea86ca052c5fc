#!/bin/sh
# Prints the state of the fleet: heartbeats, statuses, queue, unread messages and problems.
#
# Usage: check_health.sh [SERVER]
#
# SERVER, or LOCAL_SERVER_ID, selects whose unread messages are listed [default: this machine's server].
# Exit codes are those of `git muster health`: 0 ok, 1 warning, 2 critical, 3 unknown or the hub cannot be read.
set -eu
here=$(dirname -- "$(readlink -f -- "$0")")
# shellcheck source=scripts/lib.sh
. "$here/lib.sh"
help_if_asked "$@"
[ $# -le 1 ] || misused "one server at most, not $# arguments"
find_program
server=${1:-${LOCAL_SERVER_ID:-}}

# section TITLE WORDS...: one part of the report. Without it the others are still worth printing.
section() {
    printf '== %s ==\n' "$1"
    shift
    "$program" "$@" 2>&1 || true
    echo
}

section 'Signs of life' worker list
section 'Status' status list
section 'Queue' queue stats
section 'Unread messages' ${server:+"--server=$server"} message list --unread
echo '== Findings =='
code=0
"$program" health 2>&1 || code=$?
[ "$code" -le 3 ] || code=3
exit "$code"
