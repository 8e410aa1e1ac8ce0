//! Files to a world: what is filled in, and in which order.
#![expect(clippy::expect_used, clippy::panic, reason = "a test says what it expects by failing")]

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use agent::ingest::{Assigned, LAB_NODE_ADDRESSES, LAB_POD_RANGES, LAB_SERVICE_RANGES, Loaded, Manifests, load};
use policy::model::{EndpointSlice, PodKey, World};

fn world(text: &str) -> World {
    loaded(text).world
}

fn loaded(text: &str) -> Loaded {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("world.yaml");
    std::fs::write(&file, text).expect("a file that can be written");
    load(&[file]).unwrap_or_else(|errors| panic!("{errors}"))
}

fn key(namespace: &str, name: &str) -> PodKey {
    PodKey { namespace: namespace.to_owned(), name: name.to_owned() }
}

fn addresses(world: &World, namespace: &str, name: &str) -> Vec<String> {
    world.pods[&key(namespace, name)].addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn the_tutorial_is_one_world_at_every_step() {
    let tutorial = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/tutorial");
    let mut steps: Vec<PathBuf> = std::fs::read_dir(&tutorial)
        .expect("the tutorial")
        .map(|entry| entry.expect("a step").path())
        .filter(|path| path.is_dir())
        .collect();
    steps.sort();
    assert_eq!(steps.len(), 7);
    let mut policies = Vec::new();
    for last in 1..=steps.len() {
        let loaded = load(&steps[..last]).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(loaded.world.pods.len(), 8);
        assert_eq!(loaded.warnings, []);
        policies.push(loaded.world.network_policies.len());
    }
    assert_eq!(policies, [0, 2, 4, 6, 7, 9, 10]);
    assert_eq!(load(&[tutorial]), load(&steps));
}

#[test]
fn what_files_leave_out_is_filled_in() {
    let world = world(
        "
{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: y}}
---
{apiVersion: v1, kind: Pod, metadata: {name: a}}
---
{apiVersion: v1, kind: Pod, metadata: {name: fixed, namespace: a}, status: {podIP: 10.244.0.2}}
---
{apiVersion: v1, kind: Pod, metadata: {name: host, namespace: z}, spec: {hostNetwork: true}}
---
{apiVersion: v1, kind: Pod, metadata: {name: done}, status: {phase: Succeeded, podIP: 10.244.0.3}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: y, labels: {kubernetes.io/metadata.name: forged}}}
",
    );
    assert_eq!(addresses(&world, "a", "fixed"), ["10.244.0.2"], "podIP alone counts");
    assert_eq!(addresses(&world, "default", "a"), ["10.244.0.3", "fd00:10:244::3"], "an ended pod's address is free");
    assert_eq!(addresses(&world, "y", "b"), ["10.244.0.4", "fd00:10:244::4"]);
    assert_eq!(world.pods[&key("z", "host")].addresses, LAB_NODE_ADDRESSES);
    assert!(world.pods.values().all(|pod| pod.node == "lab"));
    assert!(!world.pods.contains_key(&key("default", "done")));
    assert_eq!(world.nodes["lab"].pod_cidrs, LAB_POD_RANGES);
    for name in ["a", "default", "y", "z"] {
        assert_eq!(world.namespaces[name].labels.get("kubernetes.io/metadata.name").unwrap(), name);
    }
}

#[test]
fn a_workload_stands_for_one_pod() {
    let world = world(
        "
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, namespace: x, labels: {app: job}}
spec:
  schedule: '@daily'
  jobTemplate:
    spec:
      template:
        metadata: {labels: {app: nightly}}
        spec:
          restartPolicy: Never
          initContainers:
            - {name: setup, ports: [{name: setup, containerPort: 1}]}
            - {name: sidecar, restartPolicy: Always, ports: [{name: proxy, containerPort: 2}]}
          containers:
            - {name: main, ports: [{containerPort: 3, protocol: SCTP}]}
",
    );
    let pod = &world.pods[&key("x", "nightly")];
    assert_eq!(pod.labels.get("app").unwrap(), "nightly");
    let ports: Vec<_> = pod.ports.iter().map(|port| (port.name.as_deref(), port.protocol.name(), port.port)).collect();
    assert_eq!(ports, [(None, "SCTP", 3), (Some("proxy"), "TCP", 2)]);
}

#[test]
fn lists_json_other_kinds_and_services() {
    let loaded = loaded(
        r#"
{"apiVersion": "v1", "kind": "List", "items": [
  {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}},
  {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}},
  {"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "p"}}]}
]}
"#,
    );
    assert_eq!(loaded.other_kinds, 1);
    let services: Vec<_> =
        loaded.world.services.keys().map(|(namespace, name)| format!("{namespace}/{name}")).collect();
    assert_eq!(services, ["default/s"]);
    assert!(loaded.world.pods.contains_key(&key("default", "p")));
}

#[test]
fn a_service_leads_to_the_ports_of_its_pods() {
    let world = world(
        "
{apiVersion: v1, kind: Pod, metadata: {name: web, labels: {app: web}}, spec: {containers: [
  {name: c, ports: [{name: http, containerPort: 8080}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: other, labels: {app: other}}}
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [
  {name: a, port: 80, targetPort: http}, {name: b, port: 53, protocol: UDP}, {name: c, port: 81, targetPort: none}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: elsewhere}, spec: {ports: [{port: 80}]}}
",
    );
    let service = |name: &str| &world.services[&("default".to_owned(), name.to_owned())];
    let pods = ["web", "other"].map(|name| &world.pods[&key("default", name)]);
    assert_eq!(pods.map(|pod| service("web").selects(pod)), [true, false]);
    assert_eq!(pods.map(|pod| service("elsewhere").selects(pod)), [false, false]);
    let ports: Vec<_> = service("web").ports.iter().map(|port| port.on(pods[0])).collect();
    assert_eq!(ports, [Some(8080), Some(53), None]);
}

/// Where a slice leads: addresses, and numbers by the name of the port.
type Led = (Vec<String>, Vec<(String, u16)>);

fn endpoints(world: &World, service: &str) -> Vec<Led> {
    let slices = world.endpoint_slices.values().filter(|slice| slice.service == service);
    let led = |slice: &EndpointSlice| {
        let addresses = slice.endpoints.iter().map(|it| it.address.to_string()).collect();
        (addresses, slice.ports.iter().map(|port| (port.name.clone(), port.port)).collect())
    };
    slices.map(led).collect()
}

#[test]
fn a_service_gets_what_a_cluster_would_give_it() {
    let text = "
{apiVersion: v1, kind: Pod, metadata: {name: one, labels: {app: web}}, spec: {containers: [
  {name: c, ports: [{name: http, containerPort: 8080, hostPort: 90, hostIP: 172.18.0.2}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: two, labels: {app: web}}, spec: {containers: [
  {name: c, ports: [{name: http, containerPort: 8081}]}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {type: NodePort, selector: {app: web}, ports: [
  {name: a, port: 80, targetPort: http}, {name: b, port: 53, protocol: UDP, nodePort: 30053}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: none}, spec: {clusterIP: None, selector: {app: web}}}
---
{apiVersion: v1, kind: Service, metadata: {name: by-hand}, spec: {clusterIP: 10.96.9.9, selector: {app: web}, ports: [{port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s, labels: {kubernetes.io/service-name: by-hand}},
 addressType: IPv4, endpoints: [{addresses: [203.0.113.9]}, {addresses: [203.0.113.10], conditions: {ready: false}}],
 ports: [{port: 8443}, {name: unnumbered}]}
";
    let made = world(text);
    let service = |world: &World, name: &str| world.services[&("default".to_owned(), name.to_owned())].clone();
    let web = service(&made, "web");
    assert_eq!(web.cluster_ips.len(), 2, "one of each family");
    assert!(web.cluster_ips.iter().all(|ip| LAB_SERVICE_RANGES.iter().any(|range| range.contains(ip))));
    let node_ports: Vec<_> = web.ports.iter().map(|port| port.node_port).collect();
    assert!(node_ports[0].is_some_and(|port| (30000..32768).contains(&port)) && node_ports[1] == Some(30053));
    let apart = |family: &str| -> Vec<Led> {
        [(2, 8080), (3, 8081)]
            .map(|(n, http)| (vec![format!("{family}{n}")], vec![("a".into(), http), ("b".into(), 53)]))
            .into()
    };
    assert_eq!(endpoints(&made, "web"), [apart("10.244.0."), apart("fd00:10:244::")].concat());
    assert!(service(&made, "none").cluster_ips.is_empty());
    assert_eq!(
        endpoints(&made, "by-hand"),
        [(vec!["203.0.113.9".to_owned(), "203.0.113.10".to_owned()], vec![(String::new(), 8443)])],
        "a Service with slices of its own has no others"
    );
    let host = made.pods[&key("default", "one")].ports[0].host_port.expect("a port of the node");
    assert_eq!((host.port, host.address), (90, Some([172, 18, 0, 2].into())));

    let more = "---\n{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}]}}";
    assert_eq!(service(&world(&format!("{text}{more}")), "web"), web, "it keeps what it has when others come");
}

#[test]
fn a_pod_keeps_its_address_when_others_come_and_go() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file that can be written");
        path
    };
    let pod = |name: &str| format!("{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}}}");
    let mut manifests = Manifests::read(&[write("m.yaml", &pod("m"))]).expect("a pod");
    let before = manifests.world(&Assigned::new()).expect("a world").world;
    let assigned: Assigned = before.pods.iter().map(|(key, pod)| (key.clone(), pod.addresses.clone())).collect();
    manifests.merge(Manifests::read(&[write("a.yaml", &pod("a"))]).expect("another pod"));
    let after = manifests.world(&assigned).expect("a world").world;
    assert_eq!(addresses(&after, "default", "m"), addresses(&before, "default", "m"));
    assert_eq!(addresses(&after, "default", "a"), ["10.244.0.3", "fd00:10:244::3"]);

    let text = serde_json::to_string(&manifests).expect("JSON");
    assert_eq!(serde_json::from_str::<Manifests>(&text).expect("manifests"), manifests);
    assert!(manifests.remove(&"pod/default/m".parse().expect("a name")));
    assert!(!manifests.remove(&"pod/default/m".parse().expect("a name")));
    assert!(manifests.world(&assigned).expect("a world").world.pods.contains_key(&key("default", "a")));
}

#[test]
fn a_node_says_its_own() {
    let world = world(
        "
apiVersion: v1
kind: Node
metadata: {name: n1}
spec: {podCIDRs: [10.9.0.0/24]}
status:
  addresses:
    - {type: Hostname, address: n1}
    - {type: ExternalIP, address: 198.51.100.7}
    - {type: InternalIP, address: 192.168.0.7}
---
{apiVersion: v1, kind: Pod, metadata: {name: h}, spec: {hostNetwork: true, nodeName: n1}}
",
    );
    let node = &world.nodes["n1"];
    assert_eq!(node.addresses, ["198.51.100.7", "192.168.0.7"].map(|a| a.parse::<IpAddr>().expect("an address")));
    assert_eq!(node.pod_cidrs, ["10.9.0.0/24".parse().expect("a range")]);
    assert_eq!(addresses(&world, "default", "h"), ["192.168.0.7"]);
}
