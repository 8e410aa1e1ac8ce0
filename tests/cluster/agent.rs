//! `bulkhead agent` on a node of a real cluster: it finds the pods that the kubelet started and enforces what the API
//! server says, whatever becomes of either.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::net::SocketAddr;

use nix::sys::signal::Signal;
use tests::cluster::{AGNHOST, Agent, Cluster, Place, PodNetwork, Proxy, eventually, pod_namespaces};

const BINARY: &str = env!("CARGO_BIN_EXE_tested-bulkhead");
const NODE: u32 = 1;

fn pod(name: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: held, labels: {{app: {name}}}}}
spec:
  nodeName: node{NODE}
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: \"{AGNHOST}\"
    args: [netexec, --http-port=8080]
    readinessProbe: {{httpGet: {{port: 8080, path: /healthz}}, periodSeconds: 1}}
---"
    )
}

/// `server` admits `client`, and nobody else.
const POLICY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: server, namespace: held}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: 8080}]}]
";

struct Scene {
    cluster: Cluster,
    server: PodNetwork,
    client: PodNetwork,
    other: PodNetwork,
}

impl Scene {
    fn new() -> Self {
        let cluster = Cluster::up(Proxy::Iptables);
        let pods = ["server", "client", "other"].map(pod).concat();
        cluster.apply(&format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: held}}}}\n---{pods}"));
        cluster.wait_for_pods("held");
        let [server, client, other] =
            ["server", "client", "other"].map(|name| PodNetwork::find(&cluster, "held", name));
        Self { cluster, server, client, other }
    }

    fn agent(&self) -> Agent {
        Agent::start(&self.cluster, NODE, BINARY, "")
    }

    /// By address family.
    fn reaches(&self, from: &PodNetwork) -> [bool; 2] {
        self.server.addresses.map(|ip| from.reaches(SocketAddr::new(ip, 8080)))
    }

    fn is_held(&self) -> bool {
        self.reaches(&self.client) == [true; 2] && self.reaches(&self.other) == [false; 2]
    }

    /// A connection may need a second try while an agent is only just there.
    fn wait_until_held(&self, when: &str) {
        eventually(&format!("{when} the policy holds"), 60, || self.is_held().then_some(()));
    }

    /// Whether the agent tells the kubelet so.
    fn is_ready(&self) -> bool {
        let url = format!("http://{}:9469/readyz", self.cluster.address_of(NODE));
        self.cluster.try_run(Place::Outside, &format!("curl --silent --fail --max-time 2 {url}")).status.success()
    }

    fn pins(&self) -> String {
        let listed = self.cluster.try_run(Place::Node(NODE), "ls -A /sys/fs/bpf/bulkhead/links");
        String::from_utf8_lossy(&listed.stdout).into_owned()
    }
}

#[test]
fn a_policy_holds_whatever_becomes_of_the_agent_and_of_the_api_server() {
    let scene = Scene::new();
    let cluster = &scene.cluster;
    cluster.apply(POLICY);
    let open = || scene.reaches(&scene.other) == [true; 2];
    eventually("nobody enforces yet, and every address is ready", 20, || open().then_some(()));

    let mut agent = scene.agent();
    scene.wait_until_held("with an agent");
    eventually("the agent is ready", 20, || scene.is_ready().then_some(()));
    cluster.wait_for_pods("held");
    agent.end(Signal::SIGKILL);
    assert!(scene.is_held(), "the agent is dead");

    cluster.stop("kube-apiserver");
    let mut agent = scene.agent();
    // It cannot know of any world, and takes over what is there.
    let started = || agent.log().contains("started").then_some(());
    eventually("the agent starts", 30, started);
    assert!(scene.is_held(), "neither the old agent nor the API server is there");
    assert!(!scene.is_ready(), "no agent is ready that knows no world");
    cluster.start("kube-apiserver");
    scene.wait_until_held("with the API server back");
    eventually("the agent is ready", 20, || scene.is_ready().then_some(()));

    let before = pod_namespaces(cluster, NODE);
    cluster.apply(&pod("late"));
    let late = PodNetwork::find_new(cluster, NODE, &before);
    assert_eq!(scene.reaches(&late), [false; 2], "a pod that has just been made");
    cluster.wait_for_pods("held");
    assert_eq!(scene.reaches(&late), [false; 2]);
    cluster.kubectl("label pod late --namespace held --overwrite app=client");
    eventually("the new label counts", 20, || (scene.reaches(&late) == [true; 2]).then_some(()));

    agent.end(Signal::SIGTERM);
    assert!(scene.is_held(), "the agent has been told to end");
    assert_ne!(scene.pins(), "");
    cluster.run(Place::Node(NODE), &format!("{BINARY} uninstall"));
    assert_eq!(scene.pins(), "");
    assert_eq!(scene.reaches(&scene.other), [true; 2], "nobody enforces any more");
    cluster.kubectl("delete namespace held --wait=false");
}
