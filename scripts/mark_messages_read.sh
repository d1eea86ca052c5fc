#!/bin/sh
# Marks messages as read by a server: one, or all that it has not read.
#
# Usage: mark_messages_read.sh SERVER [MESSAGE]
#
# Exit codes: 0 done or nothing unread, 1 invalid arguments or message not found, 2 refused by the hub, 3 a
# file cannot be used.
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
