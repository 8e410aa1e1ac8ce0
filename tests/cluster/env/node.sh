#!/usr/bin/env bash
# node.sh FOLDER: a node's PID 1. up.sh runs it in fresh network, mount, PID, UTS, IPC and cgroup namespaces.
# The node's root is this machine's root with FOLDER/upper laid over it: whatever the node
# writes lands in FOLDER, and up.sh has put the node's configuration there beforehand.
source "$(dirname "$0")/env.sh"
folder=$1

mount_root() {
  local root=$folder/root controllers
  mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" overlay "$root"
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs tmpfs "$root/run"
  mount -t tmpfs tmpfs "$root/tmp"
  # Folders that overlayfs cannot serve: containerd lays overlays of its own there, cAdvisor wants a disk.
  mount --bind "$folder/containerd" "$root/var/lib/containerd"
  mount --bind "$folder/kubelet" "$root/var/lib/kubelet"
  # Folders that change while the node runs, which overlayfs would show stale.
  mkdir -p "$root$SHARE" "$root$CACHE"
  mount --bind "$CACHE" "$root$CACHE"
  mount --bind "$SHARE" "$root$SHARE"

  mount -t sysfs sysfs "$root/sys" # a new one shows this network namespace's interfaces
  mount -t bpf bpf "$root/sys/fs/bpf"
  mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
  for controllers in $(cut -d: -f2 /proc/self/cgroup); do
    mkdir "$root/sys/fs/cgroup/${controllers#name=}"
    mount -t cgroup -o "$controllers" cgroup "$root/sys/fs/cgroup/${controllers#name=}"
  done
  mkdir "$root/sys/fs/cgroup/unified"
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup/unified"

  hide_kernel_tunables "$root"
  mkdir "$root/.old"
  cd "$root"
  pivot_root . .old
  umount -l /.old
  rmdir /.old
  mount --make-rshared /
}

# The kubelet sets these for the whole machine unless they have the value it wants: let it read that value.
hide_kernel_tunables() {
  local tunable file
  for tunable in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    file=$1/run/tunables/${tunable%=*}
    mkdir -p "$(dirname "$file")"
    echo "${tunable#*=}" >"$file"
    mount --bind "$file" "$1/proc/sys/${tunable%=*}"
  done
}

configure_network() {
  sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  # Without it a Service's answer between two pods on one bridge would skip the way back through NAT.
  sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1
}

run() { # NAME COMMAND...: a daemon that is restarted when it ends
  local name=$1
  shift
  while :; do
    "$@" >>"/var/log/$name.log" 2>&1 || true
    sleep 1
  done &
}

mount_root
touch "$folder/mounted"
hostname "$(basename "$folder")"
configure_network
run containerd containerd
wait_for 30 "the start of containerd in $(hostname)" ctr version
for archive in "$CACHE"/images/*.tar; do ctr --namespace k8s.io image import "$archive" >/dev/null; done
run kubelet "$BIN/kubelet" --config /etc/kubernetes/kubelet.yaml --kubeconfig /etc/kubernetes/kubelet.conf \
  --node-ip "$(</etc/kubernetes/node-ips)" --v "${CLUSTER_VERBOSITY:-1}"
run kube-proxy "$BIN/kube-proxy" --config /etc/kubernetes/kube-proxy.yaml --v "${CLUSTER_VERBOSITY:-1}"
while :; do wait || true; sleep 1; done
