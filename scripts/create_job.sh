#!/bin/sh
# Adds a job to the queue and prints its id.
#
# Usage: create_job.sh TYPE [PRIORITY] DESCRIPTION
#
# PRIORITY is 1 (most urgent) to 10, or critical, high, normal, low; 5 when it is empty or left out.
# JOB_TIMEOUT says how long an attempt may take, such as 90m; 12h if it is not set.
# Ends with 0 when the hub has the job, 1 when it was not asked for properly, 2 when the hub did not take it,
# 3 when a file cannot be used.
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
