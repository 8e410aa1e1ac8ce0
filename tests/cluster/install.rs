//! The chart, installed by the real helm: every pod is enforced, drops are told with their names, a real Prometheus
//! reads the counters, and an uninstall leaves nothing.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;
use tests::cluster::{Cluster, Place, PodNetwork, Proxy, eventually, manifests};
use tests::load::{Load, connections, received, senders};

const NODES: [u32; 2] = [1, 2];
/// Of the server: what its policy admits for its own tenant, and what it does not.
const PERMITTED: u16 = 7070;
const DENIED: u16 = 9999;
/// Of the test's own Prometheus, in the network beside the control plane.
const PROMETHEUS: &str = "127.0.0.1:19090";

/// A server and a client of one tenant on two nodes, and a client of another; only the first may come in.
const WORLD: &str = include_str!("install/world.yaml");

#[test]
fn the_chart_installs_enforces_and_leaves_nothing() {
    let cluster = Cluster::up(Proxy::Iptables);
    cluster.apply(WORLD);
    // As a kubelet does with --register-with-taints; what runs goes on.
    cluster.kubectl("taint node --all bulkhead.dev/agent-not-ready=:NoSchedule");
    for namespace in ["green", "blue"] {
        cluster.wait_for_pods(namespace);
    }
    let [server, friend, stranger] = [("green", "server"), ("green", "friend"), ("blue", "stranger")]
        .map(|(namespace, name)| PodNetwork::find(&cluster, namespace, name));
    let to = server.addresses.map(|ip| SocketAddr::new(ip, 8080));

    let started = Instant::now();
    helm(
        &cluster,
        "install bulkhead CHART --wait --timeout 120s --set startupTaint.remove=true \
         --set-json config.tenancy.sources=[{\"namespaceLabel\":\"team\"}]",
    );
    println!("helm install, until every node enforced: {:.1} s", started.elapsed().as_secs_f64());
    assert_eq!(to.map(|to| friend.reaches(to)), [true, true]);
    assert_eq!(to.map(|to| stranger.reaches(to)), [false, false]);
    helm(&cluster, "test bulkhead");

    for node in NODES {
        assert_chained(&cluster, node);
    }
    assert_told(&cluster);
    assert_counted(&cluster);
    assert_rollout(&cluster, &server, &friend, &stranger);

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

/// The plugin is the last of the node's list, a pod starts through it, and the taint is gone.
fn assert_chained(cluster: &Cluster, node: u32) {
    let place = Place::Node(node);
    eventually("the plugin is in the node's list", 40, || cluster.has_plugin(node).then_some(()));
    let taints = cluster.kubectl(&format!("get node node{node} -o jsonpath={{.spec.taints}}"));
    assert!(!taints.contains("bulkhead.dev"), "{taints}");
    let pod = format!("waits-{node}");
    cluster.apply(&manifests::pod("green", &pod, node, "app: waits", "pause"));
    cluster.wait_for_pods("green");
    let announced = cluster.run(place, "grep -rl K8S_POD_NAME /run/bulkhead/cni");
    assert!(!announced.trim().is_empty(), "no pod came through the plugin");
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

/// Every agent is replaced under a flood of what is denied, with permitted connections beside it.
fn assert_rollout(cluster: &Cluster, server: &PodNetwork, friend: &PodNetwork, stranger: &PodNetwork) {
    let denied = [0, 1].map(|family| server.udp(family, DENIED));
    let flood = stranger.run(|| senders(stranger.addresses, server.addresses, DENIED));
    let pairs = connections(&friend.netns, &server.netns, server.addresses, PERMITTED, 2);
    let load = Load::default();
    load.during(&flood, pairs, || {
        cluster.kubectl("-n bulkhead-system rollout restart daemonset/bulkhead");
        cluster.kubectl("-n bulkhead-system rollout status daemonset/bulkhead --timeout 120s");
    });
    let (leaked, sum) = (denied.iter().map(received).sum::<usize>(), load.sum());
    println!(
        "rollout restart: {leaked} of {} denied datagrams received, {} of 4 connections broken",
        sum.sent, sum.broken
    );
    assert_eq!((leaked, sum.broken), (0, 0));
    assert!(sum.sent > 0 && sum.answered > 0, "there was a load");
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

/// No link, no pin, no state, no plugin.
fn assert_nothing_left(cluster: &Cluster, node: u32) {
    let node = Place::Node(node);
    // The kernel puts two iterators of its own where it mounts the file system.
    let pins = cluster.run(node, "find /sys/fs/bpf -mindepth 1 -not -name *.debug");
    assert_eq!(pins, "", "pins are left");
    let state = cluster.run(node, "find /run/bulkhead -mindepth 1");
    assert_eq!(state, "", "state is left");
    for trace in ["grep -r bulkhead /etc/cni/net.d", "ls /opt/cni/bin/bulkhead-cni"] {
        assert!(!cluster.try_run(node, trace).status.success(), "the plugin is left: {trace}");
    }
    let net = cluster.run(node, "bpftool net show");
    assert!(!net.contains("from_pod") && !net.contains("to_pod"), "programs are attached: {net}");
}

/// `deploy/kustomize` is what the chart renders, and what kustomize makes of it the API server takes.
#[test]
fn the_kustomize_base_is_the_chart_and_the_alerts_are_rules() {
    let cluster = Cluster::up(Proxy::Iptables);
    let rendered = helm(&cluster, "template bulkhead CHART --skip-tests --kube-version v1.34.3");
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let written = std::fs::read_to_string(deploy.join("kustomize/bulkhead.yaml")).expect("the base");
    assert!(
        written == rendered,
        "deploy/kustomize/bulkhead.yaml is out of date: kustomization.yaml says how to write it"
    );

    let base = cluster.kubectl(&format!("kustomize {}", deploy.join("kustomize").display()));
    let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: bulkhead-system}}";
    cluster.apply(namespace);
    cluster.apply_with(&base, &["--dry-run=server"]);
    cluster.kubectl("delete namespace bulkhead-system");

    let alerts = deploy.join("helm/bulkhead/files/alerts.yaml");
    println!("{}", cluster.run(Place::Outside, &format!("promtool check rules {}", alerts.display())));
    let all = "metrics.alerts.enabled=true,metrics.dashboard.enabled=true,metrics.podMonitor.enabled=true";
    let rendered = helm(&cluster, &format!("template bulkhead CHART --kube-version v1.34.3 --set {all}"));
    for kind in ["kind: PrometheusRule", "kind: PodMonitor", "bulkhead.json"] {
        assert!(rendered.contains(kind), "{kind} is not rendered");
    }
}

fn helm(cluster: &Cluster, line: &str) -> String {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/helm/bulkhead");
    let mut command: Command = cluster.command(Place::Outside, "helm");
    command
        .args(line.split_whitespace().map(|word| if word == "CHART" { chart.to_str().expect("UTF-8") } else { word }));
    let output = command.output().expect("helm");
    let (said, printed) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "helm {line}: {said}{printed}");
    printed.into_owned()
}
