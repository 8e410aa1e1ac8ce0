#!/usr/bin/env bash
# Every cluster of this machine: how it was started, whether its API server answers, and its nodes.
source "$(dirname "$0")/env.sh"

for folder in "$CACHE"/run/*/; do
  [[ -e $folder/settings ]] || continue
  name=$(basename "$folder")
  echo "$name: $(<"$folder/settings")"
  CLUSTER_NAME=$name "$HERE/exec.sh" cp kubectl get nodes --request-timeout 2s 2>&1 | sed 's/^/    /'
done
