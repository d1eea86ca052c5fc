#!/bin/sh
# Adds the cron entries of a server to this user's crontab, or removes them.
#
# Usage: install_cron.sh [--print | --remove]
#
# The entries are between two marks at the end: a heartbeat every minute, a health check every five minutes,
# archiving and the squash of this server's heartbeat branch every night. Errors of the frequent entries go to
# syslog, those of the nightly ones into cron's mail; success is silent. Everything outside the marks is kept,
# and a second run changes nothing.
# --print prints the entries and changes nothing. --remove removes them.
# If hub and server name are known only in this directory, as in a clone, the entries run in it.
# Exit codes: 0 done, 1 invalid arguments, or cron would not know hub or server name, 3 the crontab cannot be
# read or written (it is unchanged).
set -eu
here=$(dirname -- "$(readlink -f -- "$0")")
# shellcheck source=scripts/lib.sh
. "$here/lib.sh"
help_if_asked "$@"

mark_begin='# git-muster: begin (install_cron.sh)'
mark_end='# git-muster: end'

# How a text stands in a crontab as one word of sh; cron takes a bare % for a new line.
cron_word() {
    printf '%s' "$1" | sed "s/'/'\\\\''/g; s/%/\\\\%/g; 1s/^/'/; \$s/\$/'/"
}

# Prints what stands between the marks, marks included.
lines() {
    program=$(readlink -f -- "$program")
    case $program$PWD in
        *'
'*) fail "$invalid" 'a path with a line break cannot stand in a crontab; nothing was changed' ;;
    esac
    run=$(cron_word "$program")
    # What cron gives its commands: the home, a short PATH and nothing else.
    folder_to_run=$(working_folder HOME="$HOME" LOGNAME="$(id -un)" PATH=/usr/bin:/bin SHELL=/bin/sh)
    [ "$folder_to_run" = "$HOME" ] || run="cd $(cron_word "$folder_to_run") && $run"
    cat <<LINES
$mark_begin
* * * * *    { $run --quiet heartbeat; } 2>&1 | logger -t git-muster-heartbeat
*/5 * * * *  out=\$($run health 2>&1) || echo "\$out" | logger -t git-muster-health
17 3 * * *   $run --quiet archive --older-than 30d
41 3 * * *   $run --quiet heartbeat squash
$mark_end
LINES
}

# Reads the crontab into $folder/before. No crontab is an empty one; any other trouble ends the script, or it
# would be overwritten.
read_crontab() {
    command -v crontab >/dev/null ||
        fail "$file_failed" "there is no program \`crontab\`; nothing was changed" \
            'install cron, or use install_heartbeat_service.sh'
    if ! LC_ALL=C crontab -l >"$folder/before" 2>"$folder/errors"; then
        grep -q 'no crontab for' "$folder/errors" || {
            cat "$folder/errors" >&2
            fail "$file_failed" 'the crontab cannot be read; it is unchanged'
        }
        : >"$folder/before"
    fi
}

# Writes what stands outside the marks into $folder/after.
leave_out() {
    awk -v begin="$mark_begin" -v end="$mark_end" '
        $0 == begin { if (inside) bad = 1; inside = 1; next }
        $0 == end { if (!inside) bad = 1; inside = 0; next }
        !inside
        END { exit bad || inside }' "$folder/before" >"$folder/after" ||
        fail "$invalid" 'the marks of git-muster in the crontab are not in pairs; it is unchanged' \
            "mend or delete the lines \`$mark_begin\` and \`$mark_end\` with \`crontab -e\`"
}

write_crontab() {
    if cmp -s "$folder/before" "$folder/after"; then
        echo 'the crontab is as it should be; nothing was changed'
        return
    fi
    if [ -s "$folder/after" ]; then
        crontab "$folder/after"
    else
        crontab -r
    fi || fail "$file_failed" 'the crontab cannot be written'
    echo "$1"
}

case ${1:-} in
    '' | --print | --remove) ;;
    *) misused "\`$1\` means nothing here" ;;
esac
[ $# -le 1 ] || misused 'one option at most is taken'

if [ "${1:-}" = --print ]; then
    find_program
    lines
    exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' HUP INT TERM
if [ "${1:-}" = --remove ]; then
    read_crontab
    leave_out
    write_crontab 'the lines of git-muster are out of the crontab'
else
    find_program
    # Into a file: what fails in lines() has to end the script.
    lines >"$folder/lines"
    read_crontab
    leave_out
    cat "$folder/lines" >>"$folder/after"
    write_crontab "the lines of git-muster are in the crontab; see them with \`crontab -l\`"
fi
