#!/bin/sh
# Prints the unread messages of a server without marking them; mark_messages_read.sh marks them.
#
# Usage: read_messages.sh [SERVER]
#
# SERVER defaults to this machine's own name, as set by `git muster join`.
# Exit codes: 0 done, also if nothing is unread, 1 invalid arguments, 2 the hub cannot be read, 3 a file
# cannot be used.
set -eu
here=$(dirname -- "$(readlink -f -- "$0")")
# shellcheck source=scripts/lib.sh
. "$here/lib.sh"
help_if_asked "$@"
[ $# -le 1 ] || misused "one server at most, not $# arguments"
find_program

# A dry run prints all and marks nothing. That it wrote nothing is what is wanted here, no news.
code=0
{
    said=$(muster ${1+"--server=$1"} --dry-run message read 2>&1 >&3) || code=$?
} 3>&1
printf '%s\n' "$said" | sed '/^$/d; /^warning: dry run: nothing was written$/d' >&2
exit "$code"
