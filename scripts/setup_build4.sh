#!/bin/sh
# Makes this machine the server build4 of a hub and tells what comes next.
#
# Usage: setup_build4.sh [HUB] [--replace] [--manager NAME] [--ip ADDRESS] [--label LABEL]... [--skip-reclone]
#
# HUB is a path or URL; without it the clone around, MUSTER_HUB or the hub joined before is meant. The other
# options are those of `git muster join`. Nothing is cloned and nothing removed: --skip-reclone and
# FORCE_RECLONE are taken for old command lines and change nothing.
# Ends with 0 when this machine is build4, 1 when HUB or name cannot be used, 2 when an option is wrong or the
# hub did not take it, 3 when a file cannot be used.
set -eu
here=$(dirname -- "$(readlink -f -- "$0")")
# shellcheck source=scripts/lib.sh
. "$here/lib.sh"
help_if_asked "$@"
set_up_server build4 "$@"
