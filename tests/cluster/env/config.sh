# Certificates and configuration files of a cluster. Sourced by up.sh.

write_certificates() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=$NAME" \
    -addext "keyUsage=critical,keyCertSign,digitalSignature" \
    -keyout "$RUN/pki/ca.key" -out "$RUN/pki/ca.crt" 2>/dev/null
  openssl ecparam -name prime256v1 -genkey -noout -out "$RUN/pki/service-account.key"
  local san="IP:$API,IP:$API6,IP:127.0.0.1,IP:10.96.0.1,IP:fd96::1,DNS:localhost"
  certificate apiserver /CN=apiserver "$san,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
  kubeconfig admin /O=system:masters/CN=admin
  kubeconfig controller-manager /CN=system:kube-controller-manager
  kubeconfig scheduler /CN=system:kube-scheduler
}

certificate() { # NAME SUBJECT [ALTERNATIVE-NAMES]
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "$2" \
    -CA "$RUN/pki/ca.crt" -CAkey "$RUN/pki/ca.key" -addext basicConstraints=critical,CA:FALSE \
    -addext extendedKeyUsage=serverAuth,clientAuth ${3:+-addext "subjectAltName=$3"} \
    -keyout "$RUN/pki/$1.key" -out "$RUN/pki/$1.crt" 2>/dev/null
}

kubeconfig() { # NAME SUBJECT: a client certificate and the kubeconfig that holds it
  certificate "$1" "$2"
  cat >"$RUN/pki/$1.conf" <<END
apiVersion: v1
kind: Config
clusters:
- name: $NAME
  cluster: {server: "https://$API:6443", certificate-authority-data: $(base64 -w0 "$RUN/pki/ca.crt")}
users:
- name: $1
  user: {client-certificate-data: $(base64 -w0 "$RUN/pki/$1.crt"), client-key-data: $(base64 -w0 "$RUN/pki/$1.key")}
contexts:
- name: $NAME
  context: {cluster: $NAME, user: $1}
current-context: $NAME
END
}

write_node_config() { # N
  local folder=$RUN/node$1 etc=$RUN/node$1/upper/etc
  mkdir -p "$folder"/{root,work,containerd,kubelet} "$folder"/upper/var/lib/{containerd,kubelet} "$folder/upper/opt/cni" \
    "$etc"/{kubernetes/manifests,containerd,cni/net.d}
  ln -s /usr/lib/cni "$folder/upper/opt/cni/bin"
  echo "node$1" >"$etc/hostname"
  printf '127.0.0.1 localhost\n%s node%s\n' "$(node_ip "$1")" "$1" >"$etc/hosts"
  : >"$etc/resolv.conf" # nothing outside can be resolved

  kubeconfig "node$1" "/O=system:nodes/CN=system:node:node$1"
  kubeconfig kube-proxy /CN=system:kube-proxy
  cp "$RUN/pki/node$1.conf" "$etc/kubernetes/kubelet.conf"
  cp "$RUN"/pki/{kube-proxy.conf,admin.conf,ca.crt} "$etc/kubernetes/"
  echo "$(node_ip "$1"),$(node_ip6 "$1")" >"$etc/kubernetes/node-ips"
  containerd_config >"$etc/containerd/config.toml"
  kubelet_config >"$etc/kubernetes/kubelet.yaml"
  kube_proxy_config "$1" >"$etc/kubernetes/kube-proxy.yaml"
  cni_config "$1" >"$etc/cni/net.d/10-$CNI.conflist"
}

containerd_config() {
  cat <<END
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_IMAGE"
  restrict_oom_score_adj = true # this machine's root has no CAP_SYS_RESOURCE, which a lower score needs
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
END
}

kubelet_config() {
  cat <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, x509: {clientCAFile: /etc/kubernetes/ca.crt}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
clusterDNS: [$DNS_IP]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
failSwapOn: false
staticPodPath: /etc/kubernetes/manifests # a test starts pods while the API server is away
# No image is ever evicted: there is no registry to pull it from again.
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%"}
END
}

kube_proxy_config() { # N
  cat <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: /etc/kubernetes/kube-proxy.conf}
hostnameOverride: node$1
mode: $PROXY
clusterCIDR: $POD_CIDRS
conntrack: {maxPerCore: 0} # a network namespace cannot set it
END
}

cni_config() { # N
  local plugin='"type": "ptp", "ipMasq": false, "mtu": 1500'
  [[ $CNI == ptp ]] || plugin='"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true'
  cat <<END
{
  "cniVersion": "0.4.0",
  "name": "$CNI",
  "plugins": [
    {
      $plugin,
      "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "$(pod_cidr "$1")"}], [{"subnet": "$(pod_cidr6 "$1")"}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
END
}
