#!/usr/bin/env bash
# A kind cluster whose CNI enforces nothing: pods on the plain ptp plugin, nodes routed to each other.
# Needs kind, docker and kubectl. Run it once; `kind delete cluster --name bulkhead` takes all of it away.
set -euo pipefail
cd "$(dirname "$0")"

# What ptp hands a node's pods, from the ranges that the node was given.
conflist() { # RANGE...
  local ranges="" range
  for range in "$@"; do ranges+="${ranges:+,}[{\"subnet\":\"$range\"}]"; done
  cat <<END
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "ptp", "ipMasq": false, "mtu": 1500,
   "ipam": {"type": "host-local", "ranges": [$ranges], "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
END
}

# The address of a node in the family of a range.
address() { # NODE RANGE
  local addresses
  addresses=$(kubectl get node "$1" -o jsonpath='{.status.addresses[?(@.type=="InternalIP")].address}')
  case $2 in *:*) tr ' ' '\n' <<<"$addresses" | grep : ;; *) tr ' ' '\n' <<<"$addresses" | grep -v : ;; esac | head -n 1
}

kind create cluster --config cluster.yaml
for node in $(kubectl get nodes -o name); do
  node=${node#node/}
  read -ra ranges <<<"$(kubectl get node "$node" -o jsonpath='{.spec.podCIDRs[*]}')"
  conflist "${ranges[@]}" | docker exec -i "$node" tee /etc/cni/net.d/10-ptp.conflist >/dev/null
  # Out of the cluster, and only there, a pod goes under its node's address.
  docker exec "$node" sh -c 'iptables -t nat -A POSTROUTING -s 10.244.0.0/16 ! -d 10.244.0.0/16 -o eth0 -j MASQUERADE'
  for other in $(kubectl get nodes -o name); do
    other=${other#node/}
    [[ $other != "$node" ]] || continue
    for range in "${ranges[@]}"; do
      docker exec "$other" ip route replace "$range" via "$(address "$node" "$range")"
    done
  done
done
kubectl wait --for=condition=Ready nodes --all --timeout=120s
