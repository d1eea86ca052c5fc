#!/bin/sh
# Says what a server is doing.
#
# Usage: update_status.sh SERVER STATUS [JOB]
#
# STATUS is idle, building, failed or success.
# Ends with 0 when the hub has it, 1 when it was not asked for properly, 2 when the hub did not take it,
# 3 when a file cannot be used.
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
