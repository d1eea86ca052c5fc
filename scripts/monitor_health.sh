#!/bin/sh
# Prints the problems of the fleet, for cron; prints nothing if the fleet is healthy.
#
# Usage: monitor_health.sh
#
# Exit codes are those of `git muster health`: 0 ok, 1 warning, 2 critical, 3 unknown or the hub cannot be read.
set -eu
here=$(dirname -- "$(readlink -f -- "$0")")
# shellcheck source=scripts/lib.sh
. "$here/lib.sh"
help_if_asked "$@"
[ $# -eq 0 ] || misused 'no argument is taken'
find_program

code=0
found=$("$program" health 2>&1) || code=$?
[ "$code" -eq 0 ] || printf '%s\n' "$found"
[ "$code" -le 3 ] || code=3
exit "$code"
