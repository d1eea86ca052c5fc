#!/bin/sh
# Prints what a server has not read, and leaves it unread: mark_messages_read.sh marks it.
#
# Usage: read_messages.sh [SERVER]
#
# Without SERVER it is this machine's own name, as `git muster join` wrote it.
# Ends with 0, also when nothing is unread, 1 when it was not asked for properly, 2 when the hub cannot be
# read, 3 when a file cannot be used.
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
