#!/bin/sh
# Acknowledges a message in the name of a server.
#
# Usage: ack_message.sh MESSAGE SERVER
#
# Ends with 0 when the hub has it, 1 when it was not asked for properly or there is no such message, 2 when
# the hub did not take it or the message is not for this server, 3 when a file cannot be used.
set -eu
here=$(dirname -- "$(readlink -f -- "$0")")
# shellcheck source=scripts/lib.sh
. "$here/lib.sh"
help_if_asked "$@"
[ $# -eq 2 ] || misused 'a message and the server that acknowledges it are needed'
find_program

muster --server="$2" message ack -- "$1"
