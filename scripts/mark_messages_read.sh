#!/bin/sh
# Marks messages as read by a server: one, or all that it has not read.
#
# Usage: mark_messages_read.sh SERVER [MESSAGE]
#
# Ends with 0 when the hub has it or nothing was unread, 1 when it was not asked for properly or there is no
# such message, 2 when the hub did not take it, 3 when a file cannot be used.
set -eu
here=$(dirname -- "$(readlink -f -- "$0")")
# shellcheck source=scripts/lib.sh
. "$here/lib.sh"
help_if_asked "$@"
[ $# -eq 1 ] || [ $# -eq 2 ] || misused 'a server and at most one message are needed'
find_program

if [ -n "${2:-}" ]; then
    muster --server="$1" message read -- "$2" >/dev/null
else
    muster --server="$1" message read >/dev/null
fi
