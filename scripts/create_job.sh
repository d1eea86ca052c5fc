#!/bin/sh
# Adds a job to the queue and prints its id.
#
# Usage: create_job.sh TYPE [PRIORITY] DESCRIPTION
#
# PRIORITY is 1 (most urgent) to 10, or critical, high, normal, low [default: 5].
# JOB_TIMEOUT is the time limit of an attempt, such as 90m [default: 12h].
# Exit codes: 0 done, 1 invalid arguments, 2 refused by the hub, 3 a file cannot be used.
set -eu
here=$(dirname -- "$(readlink -f -- "$0")")
# shellcheck source=scripts/lib.sh
. "$here/lib.sh"
help_if_asked "$@"
case $# in
    2) priority='' description=$2 ;;
    3) priority=$2 description=$3 ;;
    *) misused 'a type, perhaps a priority, and a description are needed' ;;
esac
find_program

add_job --type="$1" --priority="${priority:-5}" --description="$description"
