# Names, addresses and folders that every script here shares. Sourced, never run.
# Every CLUSTER_* variable can be set by the caller: `cargo xtask cluster` and the tests do.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${CLUSTER_CACHE:-$HOME/.cache/bulkhead-cluster} # binaries and images: kept between clusters
NAME=${CLUSTER_NAME:-bulkhead}                        # clusters with different names live side by side
NODES=${CLUSTER_NODES:-2}
CNI=${CLUSTER_CNI:-ptp}                               # ptp | bridge
PROXY=${CLUSTER_PROXY:-iptables}                      # iptables | nftables
SHARE=${CLUSTER_SHARE:-${HERE%/tests/cluster/env}}    # the folder of this machine that nodes see live, at the same path

RUN=$CACHE/run/$NAME # everything of one cluster on disk: down.sh deletes it
BIN=$CACHE/bin
CP=$NAME-cp          # network namespace of the control plane; node N lives in $NAME-nodeN
API=10.89.0.1        # the control plane's address on the underlay, which is the bridge "underlay" in $CP
API6=fd89::1

node_ns()   { echo "$NAME-node$1"; }
node_ip()   { echo "10.89.0.$((10 + $1))"; }
node_ip6()  { echo "fd89::$((10 + $1))"; }
pod_cidr()  { echo "10.244.$1.0/24"; }
pod_cidr6() { echo "fd44:0:0:$1::/64"; }
POD_CIDRS=10.244.0.0/16,fd44::/48
SERVICE_CIDRS=10.96.0.0/16,fd96::/112
DNS_IP=10.96.0.10

KUBE_VERSION=v1.34.3
HELM_VERSION=v3.19.0
# The tags that Kubernetes v1.34.3's tests ask for (test/utils/image/manifest.go), and, for agnhost,
# also the one that network-policy-api v0.2.0's conformance tests ask for.
PAUSE_IMAGE=registry.k8s.io/pause:3.10.1
AGNHOST_IMAGES=registry.k8s.io/e2e-test-images/agnhost:2.56,registry.k8s.io/e2e-test-images/agnhost:2.45

say() { echo "$(date +%T) $*" >&2; }
die() { echo "error: $*" >&2; exit 1; }

[[ $NAME =~ ^[a-z0-9]([a-z0-9-]*[a-z0-9])?$ ]] || die "'$NAME' is no name for a cluster: lower-case letters, digits and dashes"
[[ $NODES =~ ^[1-9][0-9]?$ ]] || die "$NODES nodes: 1 to 99 are possible"
[[ $CNI == ptp || $CNI == bridge ]] || die "'$CNI' is no CNI plugin that a cluster can have: ptp or bridge"
[[ $PROXY == iptables || $PROXY == nftables ]] || die "'$PROXY' is no mode of kube-proxy here: iptables or nftables"

# wait_for SECONDS WHAT COMMAND...: retries COMMAND until it succeeds.
wait_for() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || die "$what did not happen; the logs are in $RUN"
    sleep 0.2
  done
}

# archive_name TAG: the file under $CACHE/images that holds an image.
archive_name() { echo "${1//[\/:]/_}.tar"; }

# kubectl as an admin, from the control plane's network.
kubectl() { "$HERE/exec.sh" cp kubectl "$@"; }
