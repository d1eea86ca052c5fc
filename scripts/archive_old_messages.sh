#!/bin/sh
# Moves finished jobs and read messages to the archive.
#
# Usage: archive_old_messages.sh
#
# ARCHIVE_DAYS sets the minimum age in days [default: 7].
# Exit codes: 0 done, 1 invalid arguments, 2 refused by the hub, 3 a file cannot be used.
set -eu
here=$(dirname -- "$(readlink -f -- "$0")")
# shellcheck source=scripts/lib.sh
. "$here/lib.sh"
help_if_asked "$@"
[ $# -eq 0 ] || misused 'no argument is taken'
case ${ARCHIVE_DAYS:-7} in
    *[!0-9]* | '') misused "ARCHIVE_DAYS is \`$ARCHIVE_DAYS\`, which is no number of days" ;;
esac
find_program
muster archive --older-than "${ARCHIVE_DAYS:-7}d"
