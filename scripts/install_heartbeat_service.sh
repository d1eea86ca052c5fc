#!/bin/sh
# Writes a systemd service that sends this server's heartbeats, or a worker service that also runs jobs.
#
# Usage: install_heartbeat_service.sh [--worker --allow PATTERN... | --worker --allow-any] [--drain SECONDS]
#                                     [--writable DIR]... [--print | --dir DIR [--start]] [-- OPTION...]
#
# The service runs as this user, with the hub and server name that `git muster config list` shows here. The
# unit is git-muster-heartbeat.service, or with --worker git-muster-worker.service; a worker sends the
# heartbeats itself, and each of the two units stops the other. The unit is written to /etc/systemd/system and
# started; this needs root.
# --allow, --allow-any   allowed commands, as in `git muster worker run --help`
# --drain                seconds for running jobs to finish when the worker is stopped [default: 600]
# --writable             additional directory that the service may write to, such as one for packages
# --print                prints the unit and changes nothing
# --dir                  writes the unit into this directory, and starts it only with --start
# --                     further options of `git muster worker run`, such as -- --jobs 2 --label gpu; use absolute
#                        paths, and put --drain before the --
# Exit codes: 0 done, 1 invalid arguments, or hub or server name not configured, 2 systemd did not start the
# unit, 3 a file cannot be written.
set -eu
here=$(dirname -- "$(readlink -f -- "$0")")
# shellcheck source=scripts/lib.sh
. "$here/lib.sh"
help_if_asked "$@"

# What a worker needs beside the drain: its jobs' grace and the last reports.
readonly report_seconds=120
units=/etc/systemd/system

# refuse_line_break TEXT...: in a unit a line break would begin another setting.
refuse_line_break() {
    for text in "$@"; do
        case $text in
            *'
'*) misused 'a line break cannot stand in a unit' ;;
        esac
    done
}

# One word of a unit: quoted, and nothing in it means anything to systemd.
unit_word() {
    [ -n "$1" ] || printf '""'
    printf '%s' "$1" | sed 's/[\\"]/\\&/g; s/%/%%/g; 1s/^/"/; $s/$/"/'
}

# The same in a command, where systemd would also put variables in.
command_word() {
    unit_word "$1" | sed 's/\$/$$/g'
}

# setting NAME: its value as `config list` shows it, or nothing.
setting() {
    printf '%s\n' "$settings" | sed -n "s/^$1  *//p" | sed 's/^-$//'
}

# The variables of the service, one a line: with them it finds what `join` wrote.
environment() {
    cat <<ENVIRONMENT
HOME=$HOME
PATH=${program%/*}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
XDG_CACHE_HOME=${XDG_CACHE_HOME:-$HOME/.cache}
XDG_CONFIG_HOME=${XDG_CONFIG_HOME:-$HOME/.config}
XDG_DATA_HOME=${XDG_DATA_HOME:-$HOME/.local/share}
XDG_STATE_HOME=${XDG_STATE_HOME:-$HOME/.local/state}
ENVIRONMENT
}

# The folders that git-muster keeps things in, one a line.
own_folders() {
    environment | sed -n 's/^XDG_\(CACHE\|DATA\|STATE\)_HOME=\(.*\)/\2\/git-muster/p'
}

# Each folder that the service writes to, one a line.
writable_folders() {
    own_folders
    [ -z "$clone" ] || printf '%s\n' "${clone%/}"
    [ ! -d "${hub#file://}" ] || printf '%s\n' "${hub#file://}"
    printf '%s' "$writable"
}

# Whether something that the service needs lies where PrivateTmp would hide it.
needs_tmp() {
    { printf '%s\n' "$program" "$folder_to_run" && writable_folders; } | grep -q -e '^/tmp/' -e '^/var/tmp/'
}

hardening() {
    cat <<'HARDENING'
# Whatever it runs gains no rights, and writes where it has to write and nowhere else.
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
ProtectClock=yes
ProtectHostname=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictRealtime=yes
HARDENING
    needs_tmp || echo 'PrivateTmp=yes'
    # A job may be a container, a 32 bit build or a package with a setuid program; a beat is git and ssh.
    [ -n "$worker" ] || cat <<'HARDENING'
LockPersonality=yes
PrivateDevices=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
HARDENING
    writable_folders | while IFS= read -r folder; do
        # The dash: a folder that is gone must not keep the service from starting.
        printf 'ReadWritePaths=%s\n' "$(unit_word "-$folder")"
    done
}

# The command line of the service.
command_line() {
    command_word "$program"
    if [ -z "$worker" ]; then
        printf ' heartbeat run'
    else
        printf ' worker run --drain %ss%s%s' "$drain" "$allowed" "$more"
    fi
}

unit() {
    cat <<UNIT
# Written by install_heartbeat_service.sh of git-muster; run it again rather than editing this.
[Unit]
Description=$description
Wants=network-online.target
After=network-online.target time-sync.target
Conflicts=$other
# A hub that is away for a day must not end it for good.
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=$(command_line)
User=$(id -un)
WorkingDirectory=$(printf '%s' "$folder_to_run" | sed 's/%/%%/g')
$(environment | while IFS= read -r line; do printf 'Environment=%s\n' "$(unit_word "$line")"; done)
Restart=on-failure
RestartSec=15
# The command line or the configuration is wrong: trying again helps nobody.
RestartPreventExitStatus=2 78
# SIGTERM goes to the program alone, which ends its jobs in good order; what is left is killed.
KillMode=mixed
TimeoutStopSec=$stop_seconds
$(hardening)

[Install]
WantedBy=multi-user.target
UNIT
}

# Puts the unit into its folder, whole or not at all.
write_unit() {
    # What the service writes to has to be there when systemd takes everything else away.
    writable_folders | while IFS= read -r folder; do
        (umask 077 && mkdir -p -- "$folder") || return
    done || return
    mkdir -p -- "$units" || return
    unit >"$units/.$unit_name.new" || return
    mv -- "$units/.$unit_name.new" "$units/$unit_name"
}

start() {
    {
        systemctl daemon-reload &&
            # Both at the next boot would end each other.
            { [ ! -e "$units/$other" ] || systemctl disable --now "$other"; } &&
            systemctl enable "$unit_name" &&
            systemctl restart "$unit_name"
    } || fail "$hub_failed" "the unit \`$units/$unit_name\` is written, but systemd did not start it" \
        "see \`systemctl status $unit_name\` and \`journalctl -u $unit_name\`"
}

worker='' allowed='' more='' drain=600 writable='' print='' starts=yes must_start='' has_allowed=''
while [ $# -gt 0 ]; do
    case $1 in
        --allow | --drain | --writable | --dir)
            [ -n "${2:-}" ] || misused "$1 needs a word behind it"
            refuse_line_break "$2"
            ;;
    esac
    case $1 in
        --worker) worker=yes ;;
        --allow)
            allowed="$allowed $(command_word "--allow=$2")"
            shift
            ;;
        --allow-any) allowed="$allowed --allow-any" ;;
        --drain)
            case $2 in
                *[!0-9]* | 0?* | ??????*) misused "\`$2\` is no number of seconds that a stop may take" ;;
            esac
            drain=$2
            shift
            ;;
        --writable)
            case $2 in
                /*) ;;
                *) misused "\`$2\` is not the whole path of a folder" ;;
            esac
            writable="$writable$2
"
            shift
            ;;
        --print) print=yes ;;
        --dir)
            units=$2 starts=''
            shift
            ;;
        --start) must_start=yes ;;
        --)
            shift
            break
            ;;
        *) misused "\`$1\` means nothing here" ;;
    esac
    shift
done
refuse_line_break "$@"
for word in "$@"; do
    case $word in
        # How long systemd waits for a stop hangs on it.
        --drain | --drain=*) misused '--drain stands before the --' ;;
        --allow | --allow=* | --allow-any) has_allowed=yes ;;
    esac
    more="$more $(command_word "$word")"
done
[ -n "$worker" ] || [ -z "$allowed" ] || misused '--allow is for --worker'
[ -n "$worker" ] || [ -z "$more" ] || misused 'what follows -- is for --worker'
[ -z "$worker" ] || [ -n "$allowed$has_allowed" ] || misused 'a worker runs nothing without --allow or --allow-any'
find_program
program=$(readlink -f -- "$program")
refuse_line_break "$program" "$PWD" "$HOME" "${XDG_CACHE_HOME:-}" "${XDG_CONFIG_HOME:-}" "${XDG_DATA_HOME:-}" "${XDG_STATE_HOME:-}"
# One argument for each line: values may hold blanks.
set --
while IFS= read -r line; do
    set -- "$@" "$line"
done <<VARIABLES
$(environment)
VARIABLES
folder_to_run=$(working_folder "$@")
settings=$(settings_in "$folder_to_run" "$@")
hub=$(setting hub) clone=$(setting clone)

if [ -n "$worker" ]; then
    unit_name=git-muster-worker.service other=git-muster-heartbeat.service
    description="Jobs and signs of life of this server, by git-muster"
    stop_seconds=$((drain + report_seconds))
else
    unit_name=git-muster-heartbeat.service other=git-muster-worker.service
    description="Signs of life of this server, by git-muster"
    # Longer than one beat may take.
    stop_seconds=60
fi

if [ -n "$print" ]; then
    unit
    exit 0
fi
write_unit ||
    fail "$file_failed" "\`$units/$unit_name\` cannot be written; nothing was started" \
        'run this as root, or with --print and put the unit there yourself'
echo "$units/$unit_name is written"
[ -z "$starts$must_start" ] || start
