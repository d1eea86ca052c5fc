#!/bin/sh
# Acknowledges a message on behalf of a server.
#
# Usage: ack_message.sh MESSAGE SERVER
#
# Exit codes: 0 done, 1 invalid arguments or message not found, 2 refused by the hub or not for this server, 3
# a file cannot be used.
set -eu
here=$(dirname -- "$(readlink -f -- "$0")")
# shellcheck source=scripts/lib.sh
. "$here/lib.sh"
help_if_asked "$@"
[ $# -eq 2 ] || misused 'a message and the server that acknowledges it are needed'
find_program

muster --server="$2" message ack -- "$1"
