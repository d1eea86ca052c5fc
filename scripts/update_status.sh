#!/bin/sh
# Sets the status of a server.
#
# Usage: update_status.sh SERVER STATUS [JOB]
#
# STATUS is idle, building, failed or success.
# Exit codes: 0 done, 1 invalid arguments, 2 refused by the hub, 3 a file cannot be used.
set -eu
here=$(dirname -- "$(readlink -f -- "$0")")
# shellcheck source=scripts/lib.sh
. "$here/lib.sh"
help_if_asked "$@"
[ $# -eq 2 ] || [ $# -eq 3 ] || misused 'a server, a status and at most one job are needed'
find_program

if [ -n "${3:-}" ]; then
    muster --server="$1" status set --job="$3" -- "$2"
else
    muster --server="$1" status set -- "$2"
fi
