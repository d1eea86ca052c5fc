#!/bin/sh
# Reduces the history of a heartbeat branch to one commit.
#
# Usage: squash_heartbeat_branch.sh --server SERVER | --branch BRANCH [--backup] [--dry-run | --no-push] [--push]
#
# --backup keeps the old history as backup/<branch>-<time>. --dry-run and --no-push change nothing; --push,
# the default, is accepted for compatibility.
# Exit codes: 0 done, 1 invalid arguments or branch not found, 2 refused by the hub, 3 a file cannot be used.
set -eu
here=$(dirname -- "$(readlink -f -- "$0")")
# shellcheck source=scripts/lib.sh
. "$here/lib.sh"
help_if_asked "$@"
server='' branch='' backup='' dry_run=''
while [ $# -gt 0 ]; do
    case $1 in
        --server | --branch)
            [ -n "${2:-}" ] || misused "$1 needs a name behind it"
            if [ "$1" = --server ]; then server=$2; else branch=$2; fi
            shift
            ;;
        --backup) backup=yes ;;
        --dry-run | --no-push) dry_run=yes ;;
        --push) ;;
        *) misused "\`$1\` means nothing here" ;;
    esac
    shift
done
[ -n "$server$branch" ] || misused '--server or --branch is needed'
find_program

muster ${server:+"--server=$server"} ${dry_run:+--dry-run} heartbeat squash \
    ${branch:+"--branch=$branch"} ${backup:+--backup}
