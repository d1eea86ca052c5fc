# shellcheck shell=sh
# Shared by the scripts in this directory: help, errors, the program, exit codes. Sourced, never run.
#
# It must not decide anything about jobs, messages or the hub: that is the program's.

me=${0##*/}
# With it `cd` may go elsewhere than it is told.
unset CDPATH

# Exit codes of the legacy scripts.
readonly invalid=1 hub_failed=2 file_failed=3

# complain WHAT HAPPENED AND WAS NOT DONE [WHAT TO DO NEXT]
complain() {
    printf '%s: %s\n' "$me" "$1" >&2
    [ -z "${2:-}" ] || printf 'hint: %s\n' "$2" >&2
}

# fail CODE WHAT [HINT]
fail() {
    code=$1
    shift
    complain "$@"
    exit "$code"
}

# Prints the comment at the head of the script, which is its help, and ends, if the first argument asks for it.
help_if_asked() {
    case ${1:-} in
        -h | --help)
            sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
            exit 0
            ;;
    esac
}

# misused WHAT IS WRONG: for a command line that makes no sense.
misused() {
    fail "$invalid" "$1; nothing was done" "see \`$me --help\`"
}

# Sets $program to git-muster: $MUSTER_BIN, or what PATH has.
find_program() {
    program=$(command -v "${MUSTER_BIN:-git-muster}") ||
        fail "$file_failed" "there is no program \`${MUSTER_BIN:-git-muster}\`; nothing was done" \
            "install it with \`cargo install --path .\` in a checkout of git-muster, and put it on PATH or into MUSTER_BIN"
}

# Turns an exit code of git-muster (docs/CLI.md) into one of the legacy scripts. Other codes, such as 70 for a
# bug or 143 for SIGTERM, are kept.
first_code() {
    case $1 in
        2 | 3 | 78) echo "$invalid" ;;
        4 | 5 | 7 | 9 | 75) echo "$hub_failed" ;;
        1) echo "$file_failed" ;;
        *) echo "$1" ;;
    esac
}

# Runs git-muster and returns an exit code of the legacy scripts.
muster() {
    muster_code=0
    "$program" "$@" || muster_code=$?
    return "$(first_code "$muster_code")"
}

# add_job ARGUMENTS...: adds a job. The legacy scripts had no limit, and builds of two hours; jobs of a lost
# server are reclaimed long before this limit.
add_job() {
    muster job add --timeout="${JOB_TIMEOUT:-12h}" "$@"
}

# Prints `config list` as a service finds it in a directory with nothing but these variables: hub and name that only
# this shell knows are not there. Fails if one of the two is not known.
# settings_in DIR NAME=VALUE...
settings_in() {
    settings_folder=$1
    shift
    (cd -- "$settings_folder" && env -i "$@" "$program" config list) 2>/dev/null | awk '
        { print }
        $1 == "hub" && $2 != "-" { hub = 1 }
        $1 == "server" && $2 != "-" { server = 1 }
        END { exit !(hub && server) }'
}

# Prints where a service with these variables has to run to know hub and name: at home, or in the current
# directory.
# working_folder NAME=VALUE...
working_folder() {
    for candidate in "$HOME" "$PWD"; do
        if settings_in "$candidate" "$@" >/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    fail "$invalid" 'neither your configuration nor this folder says which hub is meant and which server this is; nothing was changed' \
        "run \`git muster join URL --as NAME\` first; what only a variable of this shell says does not reach cron or systemd"
}

# set_up_server NAME ARGUMENTS...: what setup_build1.sh to setup_build4.sh do.
set_up_server() {
    name=$1
    shift
    left=$#
    while [ "$left" -gt 0 ]; do
        case $1 in
            --skip-reclone) ;;
            --replace | --manager | --manager=* | --ip | --ip=* | --label | --label=* | [!-]*) set -- "$@" "$1" ;;
            # Here the first scripts ended with 2, not with 1.
            *) fail "$hub_failed" "\`$1\` means nothing here; nothing was done" "see \`$me --help\`" ;;
        esac
        shift
        left=$((left - 1))
    done
    find_program
    muster join --as="$name" "$@"
    cat >&2 <<NEXT
next: \`git muster doctor\` looks whether everything works
next: \`${0%/*}/install_cron.sh\` lets cron give signs of life, or \`${0%/*}/install_heartbeat_service.sh\` systemd
NEXT
}
