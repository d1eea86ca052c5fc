#!/bin/sh
# Registers this machine as server build3 of a hub and prints the next step.
#
# Usage: setup_build3.sh [HUB] [--replace] [--manager NAME] [--ip ADDRESS] [--label LABEL]... [--skip-reclone]
#
# HUB is a path or URL [otherwise: MUSTER_HUB, the current clone, the hub joined before]. The other options
# are those of `git muster join`. Nothing is cloned or removed: --skip-reclone and FORCE_RECLONE are accepted
# for compatibility and have no effect.
# Exit codes: 0 done, 1 HUB or name cannot be used, 2 invalid option or refused by the hub, 3 a file cannot be
# used.
set -eu
here=$(dirname -- "$(readlink -f -- "$0")")
# shellcheck source=scripts/lib.sh
. "$here/lib.sh"
help_if_asked "$@"
set_up_server build3 "$@"
