#!/bin/bash
# One beat the plain pull, jq, add, commit, push way; kept for comparison and compatibility tests.
#
# This is how the fleet beat before git-muster, line by line and with its faults: no answer is looked
# at, a lost race leaves the clone behind or diverged. The endless loop and its sleep are left out.
#
# Usage: heartbeat.sh CLONE SERVER
clone=${1:?usage: heartbeat.sh CLONE SERVER}
server=${2:?usage: heartbeat.sh CLONE SERVER}

cd "$clone" || exit 1
git pull origin main
jq ".timestamp = \"$(date -u +%Y-%m-%dT%H:%M:%SZ)\" | .healthy = true" \
  "$server/heartbeat.json" > tmp.json
mv tmp.json "$server/heartbeat.json"
git add "$server/heartbeat.json"
git commit -m "Heartbeat: $server $(date -u +%H:%M:%S)"
git push origin main
