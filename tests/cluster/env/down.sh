#!/usr/bin/env bash
# Ends a cluster: every process in its namespaces, the namespaces, its cgroups and its folder.
# Whatever is left of a cluster that crashed or never came up goes, too; where there is none this does nothing.
source "$(dirname "$0")/env.sh"

kill_all() { # NAMESPACE: kills what is left there by its pid, and succeeds when nothing is
  local pids
  pids=$(ip netns pids "$1")
  [[ -z $pids ]] && return
  kill -KILL $pids
  false
}

remove_cgroups() { # FILE: lists the top folders
  local folder
  while read -r folder; do
    [[ ! -d $folder ]] || find "$folder" -depth -type d -exec rmdir {} +
  done <"$1"
}

# Nodes first. A node's first process takes all of its pods with it.
for ns in $(ls /run/netns | grep -x "$NAME-node[0-9]*\|$CP" | sort -r); do
  wait_for 30 "the end of every process in $ns" kill_all "$ns"
  ip netns delete "$ns"
done
for list in "$RUN"/node*/cgroups; do
  [[ ! -e $list ]] || wait_for 30 "the end of the cgroups in $list" remove_cgroups "$list"
done
rm -rf --one-file-system "$RUN"
say "cluster $NAME is gone"
