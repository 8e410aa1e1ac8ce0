//! What the table is about: pods of two tenants, Services of each kind before them, and a node's rules written by hand.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tests::cluster::{AGNHOST, Cluster, Place, PodNetwork, manifests};

/// Each node has a sender of either kind.
pub const SENDER_NODES: [u32; 2] = [1, 2];
/// The node of the pods that are called.
pub const BACKEND_NODE: u32 = 2;

/// What a Service leads to, and the number in its addresses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// `red/good`, which `red/picky` may reach.
    Good = 1,
    /// `red/bad`, which `red/picky` may not reach.
    Bad = 2,
    /// `blue/foreign`, a pod of another tenant.
    Foreign = 3,
    /// Good and bad.
    Mixed = 4,
}

impl Behind {
    pub const ALL: [Self; 4] = [Self::Good, Self::Bad, Self::Foreign, Self::Mixed];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Foreign => "foreign",
            Self::Mixed => "mixed",
        }
    }

    /// The pods.
    pub const fn members(self) -> &'static [Self] {
        match self {
            Self::Good => &[Self::Good],
            Self::Bad => &[Self::Bad],
            Self::Foreign => &[Self::Foreign],
            Self::Mixed => &[Self::Good, Self::Bad],
        }
    }

    const fn namespace(self) -> &'static str {
        if matches!(self, Self::Foreign) { "blue" } else { "red" }
    }
}

/// A way to call a pod.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    ClusterIp,
    OwnNodePort,
    OtherNodePort,
    ExternalIp,
    /// Of the node of the pods that are called.
    HostPort,
    Headless,
    NoSelector,
    /// A rule on the sender's node that no object describes.
    ByHand,
}

impl Way {
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::ClusterIp, "ClusterIP"),
        (Self::OwnNodePort, "NodePort, own node"),
        (Self::OtherNodePort, "NodePort, other node"),
        (Self::ExternalIp, "externalIP"),
        (Self::HostPort, "hostPort"),
        (Self::Headless, "headless"),
        (Self::NoSelector, "no selector"),
        (Self::ByHand, "DNAT by hand"),
    ];

    /// What a client on a node calls. Several where the client picks the pod itself.
    pub fn addresses(self, node: u32, behind: Behind, pods: &BTreeMap<String, PodNetwork>) -> Vec<SocketAddr> {
        let number = behind as u8;
        let at = |ip: [u8; 4], port| vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::from(ip)), port)];
        let of_node = |node: u32, port| at([10, 89, 0, 10 + u8::try_from(node).expect("a node")], port);
        let each = |of: &dyn Fn(Behind) -> Vec<SocketAddr>| behind.members().iter().flat_map(|it| of(*it)).collect();
        match self {
            Self::ClusterIp => at([10, 96, 10, number], 80),
            Self::OwnNodePort => of_node(node, node_port(behind)),
            Self::OtherNodePort => of_node(3 - node, node_port(behind)),
            Self::ExternalIp => at([203, 0, 113, number], 80),
            Self::HostPort => each(&|pod| of_node(BACKEND_NODE, host_port(pod))),
            Self::Headless => each(&|pod| vec![SocketAddr::new(pods[pod.name()].addresses[0], 8080)]),
            Self::NoSelector => at([10, 96, 20, number], 80),
            Self::ByHand => each(&|pod| at(by_hand(pod), 80)),
        }
    }
}

const fn node_port(behind: Behind) -> u16 {
    30100 + behind as u16
}

const fn host_port(pod: Behind) -> u16 {
    8100 + pod as u16
}

/// In the network that `red/picky` may call.
const fn by_hand(pod: Behind) -> [u8; 4] {
    [198, 51, 100, pod as u8]
}

/// The name of a sender, of a kind and on a node.
pub fn sender(kind: &str, node: u32) -> String {
    format!("{kind}-{node}")
}

/// Creates the pods, then everything that leads to them.
pub fn create(cluster: &Cluster) -> BTreeMap<String, PodNetwork> {
    cluster.apply(&pods());
    ["red", "blue"].iter().for_each(|namespace| cluster.wait_for_pods(namespace));
    let senders = SENDER_NODES.into_iter().flat_map(|node| ["plain", "picky"].map(|kind| sender(kind, node)));
    let called = [Behind::Good, Behind::Bad, Behind::Foreign].map(|it| (it.namespace(), it.name().to_owned()));
    let found = senders.map(|name| ("red", name)).chain(called).map(|(namespace, name)| {
        let network = PodNetwork::find(cluster, namespace, &name);
        (name, network)
    });
    let pods: BTreeMap<_, _> = found.collect();
    cluster.apply(&Behind::ALL.map(|behind| services(behind, &pods)).concat());
    SENDER_NODES.iter().for_each(|node| rewrite_by_hand(cluster, *node, &pods));
    pods
}

fn pods() -> String {
    let backend = |behind: Behind| {
        let (name, namespace, port) = (behind.name(), behind.namespace(), host_port(behind));
        format!(
            "---
apiVersion: v1
kind: Pod
metadata: {{namespace: {namespace}, name: {name}, labels: {{app: {name}, {name}: behind, mixed: behind}}}}
spec:
  nodeName: node{BACKEND_NODE}
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: {AGNHOST}
    args: [netexec, --http-port=8080]
    ports: [{{containerPort: 8080, hostPort: {port}}}]
    readinessProbe: {{httpGet: {{path: /hostname, port: 8080}}, periodSeconds: 1}}
"
        )
    };
    let senders = |node: u32| {
        ["plain", "picky"]
            .map(|kind| manifests::pod("red", &sender(kind, node), node, &format!("app: {kind}"), "pause"))
    };
    ["red", "blue"].map(|name| manifests::namespace(name, name)).concat()
        + &SENDER_NODES.into_iter().flat_map(senders).collect::<String>()
        + &[Behind::Good, Behind::Bad, Behind::Foreign].map(backend).concat()
        + "---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {namespace: red, name: picky}
spec:
  podSelector: {matchLabels: {app: picky}}
  policyTypes: [Egress]
  egress:
  - {to: [{podSelector: {matchLabels: {app: good}}}], ports: [{port: 8080}]}
  - {to: [{ipBlock: {cidr: 198.51.100.0/24}}], ports: [{port: 80}]}
"
}

/// A Service of each kind before `behind`; the one without selector is given the pods' addresses.
fn services(behind: Behind, pods: &BTreeMap<String, PodNetwork>) -> String {
    let (name, namespace, number) = (behind.name(), behind.namespace(), behind as u8);
    // kube-proxy follows the first address of an endpoint.
    let endpoint = |pod: &Behind| format!("{{addresses: [{}]}}", pods[pod.name()].addresses[0]);
    let endpoints = behind.members().iter().map(endpoint).collect::<Vec<_>>().join(", ");
    format!(
        "---
apiVersion: v1
kind: Service
metadata: {{namespace: {namespace}, name: {name}}}
spec:
  type: NodePort
  clusterIP: 10.96.10.{number}
  externalIPs: [203.0.113.{number}]
  selector: {{{name}: behind}}
  ports: [{{port: 80, targetPort: 8080, nodePort: {node_port}}}]
---
apiVersion: v1
kind: Service
metadata: {{namespace: {namespace}, name: {name}-headless}}
spec: {{clusterIP: None, selector: {{{name}: behind}}, ports: [{{port: 8080}}]}}
---
apiVersion: v1
kind: Service
metadata: {{namespace: {namespace}, name: {name}-manual}}
spec: {{clusterIP: 10.96.20.{number}, ports: [{{port: 80, targetPort: 8080}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{namespace: {namespace}, name: {name}-manual, labels: {{kubernetes.io/service-name: {name}-manual}}}}
addressType: IPv4
ports: [{{port: 8080}}]
endpoints: [{endpoints}]
",
        node_port = node_port(behind),
    )
}

/// Rules of nobody's on a node, before kube-proxy's.
fn rewrite_by_hand(cluster: &Cluster, node: u32, pods: &BTreeMap<String, PodNetwork>) {
    let nft = |line: &str| cluster.run(Place::Node(node), &format!("nft add {line}"));
    nft("table ip by-hand");
    nft("chain ip by-hand prerouting { type nat hook prerouting priority -110 ; }");
    for pod in [Behind::Good, Behind::Bad, Behind::Foreign] {
        let (called, end) = (Ipv4Addr::from(by_hand(pod)), pods[pod.name()].addresses[0]);
        nft(&format!("rule ip by-hand prerouting ip daddr {called} tcp dport 80 dnat to {end}:8080"));
    }
}
