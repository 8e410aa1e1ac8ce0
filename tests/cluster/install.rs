//! The chart, installed by the real helm: every pod is enforced, drops are told with their names, a real Prometheus
//! reads the counters, and an uninstall leaves nothing.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;
use tests::cluster::{Cluster, Place, PodNetwork, Proxy, eventually};

const NODES: [u32; 2] = [1, 2];
/// Of the test's own Prometheus, in the network beside the control plane.
const PROMETHEUS: &str = "127.0.0.1:19090";

/// A server and a client of one tenant on two nodes, and a client of another; only the first may come in.
const WORLD: &str = include_str!("install/world.yaml");

#[test]
fn the_chart_installs_enforces_and_leaves_nothing() {
    let cluster = Cluster::up(Proxy::Iptables);
    cluster.apply(WORLD);
    for namespace in ["green", "blue"] {
        cluster.wait_for_pods(namespace);
    }
    let [server, friend, stranger] = [("green", "server"), ("green", "friend"), ("blue", "stranger")]
        .map(|(namespace, name)| PodNetwork::find(&cluster, namespace, name));
    let to = server.addresses.map(|ip| SocketAddr::new(ip, 8080));

    let started = Instant::now();
    helm(
        &cluster,
        "install bulkhead CHART --wait --timeout 120s --set-json config.tenancy.sources=[{\"namespaceLabel\":\"team\"}]",
    );
    println!("helm install, until every node enforced: {:.1} s", started.elapsed().as_secs_f64());
    assert_eq!(to.map(|to| friend.reaches(to)), [true, true]);
    assert_eq!(to.map(|to| stranger.reaches(to)), [false, false]);
    helm(&cluster, "test bulkhead");

    assert_told(&cluster);
    assert_counted(&cluster);

    helm(&cluster, "upgrade bulkhead CHART --reuse-values --set uninstall=true --wait --timeout 120s");
    eventually("nothing is enforced any more", 30, || stranger.reaches(to[0]).then_some(()));
    helm(&cluster, "uninstall bulkhead --wait");
    for node in NODES {
        assert_nothing_left(&cluster, node);
    }
    let left =
        cluster.kubectl("get clusterroles,clusterrolebindings,namespaces -l app.kubernetes.io/name=bulkhead -o name");
    assert_eq!(left, "");
    cluster.kubectl("delete namespace green blue");
}

/// Every drop is in `drops` with both pods, both tenants and what decided.
fn assert_told(cluster: &Cluster) {
    let daemon = |name: &str, node: u32| {
        let path = "-o jsonpath={.items[0].metadata.name}";
        let pod = cluster.kubectl(&format!(
            "-n bulkhead-system get pod -l app.kubernetes.io/name=bulkhead --field-selector spec.nodeName=node{node} {path}"
        ));
        cluster.kubectl(&format!("-n bulkhead-system exec {pod} -- /bulkhead {name}"))
    };
    let drops = NODES.map(|node| daemon("drops -o json -n blue", node)).concat();
    let drops: Vec<Value> = drops.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let told =
        |record: &&Value| record["source"]["pod"] == "blue/stranger" && record["destination"]["pod"] == "green/server";
    let record = drops.iter().find(told).unwrap_or_else(|| panic!("the drop is not told: {drops:?}"));
    assert_eq!(record["source"]["tenant"], "blue", "{record}");
    assert_eq!(record["destination"]["tenant"], "green", "{record}");
    assert_eq!(record["direction"], "ingress", "{record}");
    println!("{record}\n{}", daemon("status", 1));
}

/// What Prometheus read is what the agents count.
fn assert_counted(cluster: &Cluster) {
    let mut prometheus = prometheus(cluster);
    let query = "sum(bulkhead_dropped_packets_total{source_tenant=\"blue\",destination_tenant=\"green\"})";
    let counted = eventually("Prometheus has read the counters", 30, || {
        let mut curl = cluster.command(Place::Outside, "curl");
        curl.args(["--silent", "--get", "--data-urlencode", &format!("query={query}")]);
        let output = curl.arg(format!("http://{PROMETHEUS}/api/v1/query")).output().expect("curl");
        let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
        answer["data"]["result"][0]["value"][1].as_str()?.parse::<u64>().ok()
    });
    let labels = ["source_tenant=\"blue\"", "destination_tenant=\"green\""];
    let served: u64 = NODES.iter().map(|node| cluster.metric(*node, "bulkhead_dropped_packets_total", &labels)).sum();
    prometheus.kill().and_then(|()| prometheus.wait()).expect("Prometheus ends");
    assert_eq!(counted, served);
    assert_ne!(counted, 0);
    println!("Prometheus: {query} = {counted}");
}

/// Debian's, on the agents of all nodes.
fn prometheus(cluster: &Cluster) -> Child {
    let folder = tempfile::tempdir().expect("a folder").keep();
    let targets: Vec<String> = NODES.iter().map(|node| format!("'{}:9469'", cluster.address_of(*node))).collect();
    let config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: bulkhead, static_configs: [{{targets: [{}]}}]}}]\n",
        targets.join(", ")
    );
    std::fs::write(folder.join("prometheus.yml"), config).expect("a file");
    let flag = |name: &str, value: &Path| format!("--{name}={}", value.display());
    let mut command = cluster.command(Place::Outside, "prometheus");
    command
        .args([flag("config.file", &folder.join("prometheus.yml")), flag("storage.tsdb.path", &folder.join("data"))]);
    command.arg(format!("--web.listen-address={PROMETHEUS}")).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("Debian's prometheus")
}

/// No link, no pin, no state.
fn assert_nothing_left(cluster: &Cluster, node: u32) {
    let node = Place::Node(node);
    let pins = cluster.run(node, "find /sys/fs/bpf -mindepth 1");
    assert_eq!(pins, "", "pins are left");
    let state = cluster.run(node, "find /run/bulkhead -mindepth 1");
    assert_eq!(state, "", "state is left");
    let net = cluster.run(node, "bpftool net show");
    assert!(!net.contains("from_pod") && !net.contains("to_pod"), "programs are attached: {net}");
}

fn helm(cluster: &Cluster, line: &str) {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/helm/bulkhead");
    let mut command: Command = cluster.command(Place::Outside, "helm");
    command
        .args(line.split_whitespace().map(|word| if word == "CHART" { chart.to_str().expect("UTF-8") } else { word }));
    let output = command.output().expect("helm");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "helm {line}: {said}{}", String::from_utf8_lossy(&output.stdout));
}
