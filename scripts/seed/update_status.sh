#!/bin/bash
# Sets a server idle the plain pull, jq, add, commit, push way; kept for comparison and compatibility
# tests.
#
# This is how the fleet wrote its status before git-muster, line by line and with its faults: the
# timestamp becomes a bare number of seconds, no answer is looked at.
#
# Usage: update_status.sh CLONE SERVER
clone=${1:?usage: update_status.sh CLONE SERVER}
server=${2:?usage: update_status.sh CLONE SERVER}

cd "$clone" || exit 1
git pull origin main
# Update status.json
jq '.timestamp = now | .status = "idle"' "$server/status.json" > tmp.json
mv tmp.json "$server/status.json"
git add "$server/status.json"
git commit -m "Update $server status: $(date -u)"
git push origin main
