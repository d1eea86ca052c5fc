#!/bin/sh
# Adds, claims, reports and lists jobs.
#
# Usage: job_queue.sh add BRANCH COMMIT [PRIORITY] [DEPENDENCIES]
#        job_queue.sh get-next
#        job_queue.sh complete JOB STATUS [SECONDS]
#        job_queue.sh list [STATUS]
#
# add prints the id of the new job. PRIORITY is 1 (most urgent) to 10 [default: 5]; DEPENDENCIES are
# comma-separated ids.
# JOB_TIMEOUT is the time limit of an attempt [default: 12h].
# get-next claims the next job for SERVER_ID, or for this machine's own name, starts it and prints its id. The
# server must send heartbeats, or it loses the job.
# complete reports a job that get-next claimed on this machine. STATUS is completed or success, or failed.
# With MUSTER_JOB_TOKEN it reports a job that was claimed otherwise.
# list prints the jobs, or those with one status: queued, claimed, running, completed, failed, cancelled,
# dead.
#
# Exit codes: 0 done, 1 invalid arguments, or get-next found no job, 2 refused by the hub or the claim is
# lost, 3 a file cannot be used.
set -eu
here=$(dirname -- "$(readlink -f -- "$0")")
# shellcheck source=scripts/lib.sh
. "$here/lib.sh"
help_if_asked "$@"

# The tokens of the jobs that get-next claimed, each in a file named by its job.
tokens=${XDG_STATE_HOME:-$HOME/.local/state}/git-muster-job-queue
# Tokens of this age belong to jobs that were never reported.
tokens_days_max=30

add() {
    case $# in
        2 | 3 | 4) ;;
        *) misused 'add needs a branch and a commit, perhaps a priority and dependencies' ;;
    esac
    branch=$1 commit=$2 priority=${3:-5} rest=${4:-}
    set --
    while [ -n "$rest" ]; do
        need=${rest%%,*}
        case $rest in
            *,*) rest=${rest#*,} ;;
            *) rest='' ;;
        esac
        [ -z "$need" ] || set -- "$@" "--needs=$need"
    done
    add_job --type=build --branch="$branch" --commit="$commit" --priority="$priority" "$@"
}

# field NAME: one value of the lines that `job claim --shell` printed. They are never evaluated.
field() {
    printf '%s\n' "$claim" | sed -n "s/^export MUSTER_JOB_$1='\(.*\)'\$/\1/p"
}

get_next() {
    [ $# -eq 0 ] || misused 'get-next takes no arguments'
    # Before the claim: a claim whose token cannot be kept helps nobody.
    mkdir -p -- "$tokens" ||
        fail "$file_failed" "the folder \`$tokens\` for tokens cannot be made; no job was claimed"
    find "$tokens" -type f -mtime +"$tokens_days_max" -exec rm -f -- {} +
    code=0
    claim=$("$program" job claim --start --shell) || code=$?
    [ "$code" -ne 3 ] || fail "$invalid" 'No eligible jobs found'
    [ "$code" -eq 0 ] || exit "$(first_code "$code")"
    job=$(field ID) token=$(field TOKEN)
    if ! keep_token; then
        muster job release --token="$token" -- "$job" || true
        fail "$file_failed" "the token of job \`$job\` cannot be kept in \`$tokens\`; it was handed back" \
            'see whether the disk is full'
    fi
    printf '%s\n' "$job"
}

# Writes the token aside first: half a token would be another one.
keep_token() {
    (umask 077 && printf '%s\n' "$token" >"$tokens/.$job.new") && mv -- "$tokens/.$job.new" "$tokens/$job"
}

complete() {
    [ $# -eq 2 ] || [ $# -eq 3 ] || misused 'complete needs a job and a status, perhaps the seconds it took'
    job=$1
    case $2 in
        completed | success) verb=complete ;;
        failed) verb=fail ;;
        *) misused "\`$2\` is no end of a job: completed, success or failed is" ;;
    esac
    case $job in
        */* | .* | '') misused "\`$job\` is no id of a job" ;;
    esac
    token=${MUSTER_JOB_TOKEN:-}
    [ -n "$token" ] || [ ! -f "$tokens/$job" ] || token=$(cat -- "$tokens/$job")
    [ -n "$token" ] ||
        fail "$invalid" "this machine did not claim \`$job\` with get-next; nothing was reported" \
            "if it is yours, set MUSTER_JOB_TOKEN to the token that \`git muster job claim\` printed"
    code=0
    "$program" job "$verb" --token="$token" ${3:+"--duration=$3"} -- "$job" || code=$?
    case $code in
        # Reported, or another's by now: the token is of no use any more.
        0 | 5) rm -f -- "$tokens/$job" ;;
    esac
    return "$(first_code "$code")"
}

list() {
    [ $# -le 1 ] || misused 'list takes one status at most'
    muster job list ${1:+"--status=$1"}
}

verb=${1:-}
[ $# -eq 0 ] || shift
case $verb in
    add | get-next | complete | list) find_program ;;
    '') misused 'add, get-next, complete or list is needed' ;;
    *) misused "there is no \`$verb\` here" ;;
esac
case $verb in
    get-next) get_next "$@" ;;
    *) "$verb" "$@" ;;
esac
