#!/bin/sh
# Sends one heartbeat of a server.
#
# Usage: heartbeat.sh [SERVER]
#
# SERVER defaults to this machine's own name, as set by `git muster join`; there is no other default.
# HEARTBEAT_BRANCH and HEARTBEAT_PUSH_EVERY work as in `git muster heartbeat --help`.
# Exit codes: 0 done, 1 invalid arguments, 2 refused by the hub, 3 a file cannot be used.
set -eu
here=$(dirname -- "$(readlink -f -- "$0")")
# shellcheck source=scripts/lib.sh
. "$here/lib.sh"
help_if_asked "$@"
[ $# -le 1 ] || misused "one server at most, not $# arguments"
find_program

if [ $# -eq 1 ]; then
    muster --server="$1" heartbeat
else
    muster heartbeat
fi
