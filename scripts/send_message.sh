#!/bin/sh
# Sends a message and prints its id.
#
# Usage: send_message.sh FROM TO TYPE SUBJECT BODY [--require-ack]
#
# TO is a server or all. TYPE is info, warning, error, request, response or update. SUBJECT has at most 100
# characters, BODY 10,000. Both are sent unchanged and never executed; the shell expands text in double quotes
# before this script sees it.
# Exit codes: 0 done, 1 invalid arguments, 2 refused by the hub, 3 a file cannot be used.
set -eu
here=$(dirname -- "$(readlink -f -- "$0")")
# shellcheck source=scripts/lib.sh
. "$here/lib.sh"
help_if_asked "$@"
ack=''
case $# in
    5) ;;
    6)
        [ "$6" = --require-ack ] || misused "\`$6\` stands where only --require-ack may"
        ack=yes
        ;;
    *) misused 'sender, recipient, type, subject and body are needed, each as one word or in quotes' ;;
esac
find_program

# On stdin a body means itself: as an argument `-` and `@file` would be read from elsewhere.
printf '%s' "$5" |
    muster --server="$1" message send --to="$2" --type="$3" --subject="$4" --body=- ${ack:+--ack}
