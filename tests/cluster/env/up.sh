#!/usr/bin/env bash
# Starts a cluster: one control plane and $CLUSTER_NODES nodes, each in its own namespaces.
# Needs root, and what build.sh made. `exec.sh cp kubectl get nodes` talks to it.
source "$(dirname "$0")/env.sh"
source "$HERE/config.sh"

[[ $(id -u) == 0 ]] || die "a cluster is made of namespaces, which only root can make: run it as root"
for tool in containerd runc ctr ip nft iptables openssl jq busybox /usr/lib/cni/ptp; do
  command -v "$tool" >/dev/null || die "$tool is missing: \`cargo xtask cluster build\` installs it"
done
ls "$BIN/kubelet" "$CACHE"/images/*.tar >/dev/null 2>&1 || die "Kubernetes is not built yet: run \`cargo xtask cluster build\`"
grep -q :memory: /proc/self/cgroup || die "the nodes need the memory controller of cgroup v1, which this machine does not have mounted"

settings="NODES=$NODES CNI=$CNI PROXY=$PROXY"
if ! mkdir -p "$CACHE/run" || ! mkdir "$RUN" 2>/dev/null; then
  kubectl get --raw /readyz >/dev/null 2>&1 ||
    die "cluster $NAME is there, but does not answer: \`cargo xtask cluster down --name $NAME\` clears it away"
  [[ $(<"$RUN/settings") == "$settings" ]] || die "cluster $NAME is up as $(<"$RUN/settings"), not $settings: take it down first"
  say "cluster $NAME is up already"
  exit
fi
echo "$settings" >"$RUN/settings"
trap '(($? == 0)) || say "cluster $NAME did not come up: \`cargo xtask cluster down --name $NAME\` clears it away"' EXIT

# The underlay: a bridge that only the control plane's namespace sees, and a veth from it to every node.
create_underlay() {
  local i
  ip netns add "$CP"
  ip -n "$CP" link set lo up
  ip -n "$CP" link add underlay type bridge
  ip -n "$CP" address add "$API/24" dev underlay
  ip -n "$CP" address add "$API6/64" dev underlay nodad
  ip -n "$CP" link set underlay up
  for ((i = 1; i <= NODES; i++)); do connect_node "$i"; done
  for ((i = 1; i <= NODES; i++)); do add_pod_routes "$(node_ns "$i")" "$i"; done
  add_pod_routes "$CP" 0
}

connect_node() {
  local ns
  ns=$(node_ns "$1")
  ip netns add "$ns"
  ip -n "$ns" link set lo up
  ip -n "$CP" link add "node$1" type veth peer name eth0 netns "$ns"
  ip -n "$CP" link set "node$1" master underlay up
  ip -n "$ns" address add "$(node_ip "$1")/24" dev eth0
  ip -n "$ns" address add "$(node_ip6 "$1")/64" dev eth0 nodad
  ip -n "$ns" link set eth0 up
  ip -n "$ns" route add default via "$API"
  ip -n "$ns" route add default via "$API6"
}

# add_pod_routes NAMESPACE SELF: the pods of every node but SELF are behind that node's address.
add_pod_routes() {
  local i
  for ((i = 1; i <= NODES; i++)); do
    ((i == $2)) && continue
    ip -n "$1" route add "$(pod_cidr "$i")" via "$(node_ip "$i")"
    ip -n "$1" route add "$(pod_cidr6 "$i")" via "$(node_ip6 "$i")"
  done
}

start_control_plane() {
  "$HERE/daemon.sh" start etcd
  "$HERE/daemon.sh" start kube-apiserver
  wait_for 180 "the start of the API server" kubectl get --raw /readyz
  "$HERE/daemon.sh" start kube-controller-manager
  "$HERE/daemon.sh" start kube-scheduler
}

# start_node N: runs node.sh in fresh namespaces and in cgroups below our own.
start_node() {
  local folder=$RUN/node$1
  (
    enter_cgroups "$NAME-node$1" >"$folder/cgroups"
    exec setsid nsenter --net="/run/netns/$(node_ns "$1")" \
      unshare --mount --propagation private --uts --ipc --cgroup --pid --fork --kill-child \
      "$HERE/node.sh" "$folder" >"$RUN/log/node$1.log" 2>&1 </dev/null
  ) &
  local launcher=$!
  wait_for 10 "the start of node$1" test -e "$folder/mounted" # until then the launcher has other children
  pgrep --parent "$launcher" >"$folder/pid"
}

# enter_cgroups NAME: creates NAME in every cgroup v1 hierarchy, moves there, and prints the folders.
enter_cgroups() {
  local controllers path folder
  while IFS=: read -r _ controllers path; do
    controllers=${controllers#name=}
    folder=/sys/fs/cgroup/${controllers:-unified}${path%/}/$1
    mkdir -p "$folder"
    if [[ $controllers == cpuset ]]; then # a new cpuset is empty, and admits no process
      cat "$folder/../cpuset.cpus" >"$folder/cpuset.cpus"
      cat "$folder/../cpuset.mems" >"$folder/cpuset.mems"
    fi
    echo "$BASHPID" >"$folder/cgroup.procs"
    echo "$folder"
  done <<<"$(</proc/self/cgroup)"
}

say "configuring $NODES nodes, CNI $CNI, kube-proxy in $PROXY mode"
mkdir "$RUN"/{log,pids,pki}
write_certificates
for ((i = 1; i <= NODES; i++)); do write_node_config "$i"; done
create_underlay
say "starting the control plane"
start_control_plane
say "starting the nodes"
for ((i = 1; i <= NODES; i++)); do start_node "$i"; done
for ((i = 1; i <= NODES; i++)); do
  wait_for 240 "the registration of node$i" kubectl get node "node$i"
  kubectl patch node "node$i" -p "{\"spec\": {\"podCIDR\": \"$(pod_cidr "$i")\", \"podCIDRs\": [\"$(pod_cidr "$i")\", \"$(pod_cidr6 "$i")\"]}}" >/dev/null
done
kubectl wait --for condition=Ready node --all --timeout 120s >/dev/null
wait_for 180 "the creation of the default service account" kubectl get serviceaccount default
say "cluster $NAME is ready after $SECONDS s"
