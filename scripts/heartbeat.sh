#!/bin/sh
# Sends one sign of life of a server.
#
# Usage: heartbeat.sh [SERVER]
#
# Without SERVER it is this machine's own name, as `git muster join` wrote it; there is no other default.
# HEARTBEAT_BRANCH and HEARTBEAT_PUSH_EVERY work as in `git muster heartbeat --help`.
# Ends with 0 when the hub has the beat, 1 when it was not asked for properly, 2 when the hub did not take it,
# 3 when a file cannot be used.
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
