#!/usr/bin/env bash
# exec.sh WHERE COMMAND...
# Runs COMMAND inside the cluster, with kubectl and an admin's kubeconfig at hand.
#   WHERE = cp       the control plane's network, outside of the nodes; this machine's files and processes
#   WHERE = nodeN    every namespace of node N: its files, processes, network and cgroups
source "$(dirname "$0")/env.sh"
(($# >= 2)) || die "usage: exec.sh cp|nodeN COMMAND..."
where=$1
shift
[[ -e $RUN/settings ]] || die "there is no cluster $NAME; \`cargo xtask cluster up --name $NAME\` starts one"

export PATH=$BIN:$PATH
if [[ $where == cp ]]; then
  export KUBECONFIG=$RUN/pki/admin.conf
  exec nsenter --net="/run/netns/$CP" "$@"
fi
[[ -e $RUN/$where/pid ]] || die "cluster $NAME has no $where"
export KUBECONFIG=/etc/kubernetes/admin.conf
exec nsenter --target "$(<"$RUN/$where/pid")" --all --wdns="$SHARE" "$@"
