//! Each rule of the lint finds its mistake, and is silent about what is right.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its world does not hold")]

mod world;

use policy::ask::{Engine, LINT_RULES, LintFinding, Severity};
use policy::model::{
    Action, ClusterNetworkPolicy, ClusterPeer, ClusterRule, Isolation, KubeletCall, NamespaceScope, NetworkPolicy,
    Peer, Pods, PolicyTier, Port, Protocol, Service, ServicePort, TargetPort,
};
use world::{Scene, block, container_port, labels, own_pods, pods, policy, rule, selector, tcp};

const DNS: Port = Port::Range(Protocol::Udp, 53, 53);

fn all(scene: &Scene) -> Vec<LintFinding> {
    Engine::new(&scene.world, &scene.config).unwrap().lint(&scene.config)
}

/// Object and field of the findings of one rule.
fn found(scene: &Scene, rule: &str) -> Vec<String> {
    assert!(LINT_RULES.iter().any(|known| known.name == rule), "{rule}");
    let own = all(scene).into_iter().filter(|finding| finding.rule == rule);
    own.map(|finding| format!("{} {}", finding.object, finding.field)).collect()
}

fn ingress(namespace: &str, name: &str, rules: &[(&[Peer], &[Port])]) -> NetworkPolicy {
    let rules = rules.iter().map(|(peers, ports)| rule(peers, ports)).collect();
    NetworkPolicy { ingress: Some(rules), ..policy(namespace, name) }
}

fn egress(namespace: &str, name: &str, rules: &[(&[Peer], &[Port])]) -> NetworkPolicy {
    let rules = rules.iter().map(|(peers, ports)| rule(peers, ports)).collect();
    NetworkPolicy { egress: Some(rules), ..policy(namespace, name) }
}

fn none() -> Vec<String> {
    Vec::new()
}

fn two_pods() -> Scene {
    let mut scene = Scene::default();
    scene.pod("x/web", "app=web", &["10.244.0.1"]);
    scene.pod("x/db", "app=db", &["10.244.0.2"]);
    scene
}

#[test]
fn selects_nothing() {
    let mut scene = two_pods();
    scene.policy(NetworkPolicy { subject: selector("app=web"), ..ingress("x", "p", &[]) });
    assert_eq!(found(&scene, "selects-nothing"), none());
    scene.policy(NetworkPolicy { subject: selector("app=wbe"), ..ingress("x", "p", &[]) });
    assert_eq!(found(&scene, "selects-nothing"), ["networkpolicy/x/p spec.podSelector"]);
}

#[test]
fn unknown_label() {
    let mut scene = two_pods();
    let right = [own_pods("app=db"), pods("kubernetes.io/metadata.name=x", "app!=web")];
    scene.policy(ingress("x", "p", &[(&right, &[])]));
    assert_eq!(found(&scene, "unknown-label"), none());
    let wrong = [own_pods("app=bd"), own_pods("ap=db"), pods("team=a", ""), own_pods("!role")];
    scene.policy(NetworkPolicy { subject: selector("app=wbe"), ..ingress("x", "p", &[(&wrong, &[])]) });
    let from = "networkpolicy/x/p spec.ingress[0].from";
    let expected = [
        format!("{from}[0].podSelector[app]"),
        format!("{from}[1].podSelector[ap]"),
        format!("{from}[2].namespaceSelector[team]"),
        format!("{from}[3].podSelector[role]"),
        "networkpolicy/x/p spec.podSelector[app]".to_owned(),
    ];
    assert_eq!(found(&scene, "unknown-label"), expected);
}

#[test]
fn unreachable_rules_match_nobody() {
    let mut scene = two_pods();
    scene.pod("x/web", "", &[]).ports = vec![container_port("http", Protocol::Tcp, 80)];
    let named = |name: &str| Port::Named(Protocol::Tcp, name.to_owned());
    scene.policy(ingress("x", "p", &[(&[own_pods("app=db")], &[named("http")]), (&[block("192.0.2.0/24", &[])], &[])]));
    assert_eq!(found(&scene, "unreachable-rule"), none());
    scene.policy(ingress("x", "p", &[(&[own_pods("app=none")], &[]), (&[own_pods("app=db")], &[named("htpt")])]));
    let expected = ["networkpolicy/x/p spec.ingress[0]", "networkpolicy/x/p spec.ingress[1]"];
    assert_eq!(found(&scene, "unreachable-rule"), expected);
}

#[test]
fn unreachable_rules_are_covered_by_others() {
    let mut scene = two_pods();
    let db = || own_pods("app=db");
    let all_of_x =
        || Peer::Pods { namespaces: NamespaceScope::Selected(selector("kubernetes.io/metadata.name=x")), pods: None };
    scene.policy(NetworkPolicy {
        subject: selector("app=web"),
        ..ingress("x", "a", &[(&[db()], &[tcp(80)]), (&[all_of_x()], &[])])
    });
    scene.policy(NetworkPolicy { subject: selector("app=db"), ..ingress("x", "b", &[(&[], &[])]) });
    assert_eq!(found(&scene, "unreachable-rule"), none(), "another pod's rule covers nothing");
    scene.policy(ingress("x", "c", &[(&[], &[])]));
    let expected = ["networkpolicy/x/a spec.ingress[0]", "networkpolicy/x/b spec.ingress[0]"];
    assert_eq!(found(&scene, "unreachable-rule"), expected, "a rule that names namespaces is a door for other tenants");
    scene.policy(ingress("x", "c", &[(&[db()], &[tcp(80)]), (&[db()], &[tcp(80)])]));
    let expected = ["networkpolicy/x/a spec.ingress[0]", "networkpolicy/x/c spec.ingress[1]"];
    assert_eq!(found(&scene, "unreachable-rule"), expected, "of two equal rules the first stays");
}

#[test]
fn dns_forgotten() {
    let mut scene = two_pods();
    scene.policy(ingress("x", "in", &[]));
    assert_eq!(found(&scene, "dns-forgotten"), none(), "ingress has nothing to do with it");
    scene.policy(egress("x", "out", &[(&[own_pods("")], &[])]));
    scene.pod("kube-system/dns", "k8s-app=kube-dns", &["10.244.0.9"]);
    assert_eq!(found(&scene, "dns-forgotten"), ["networkpolicy/x/out spec.egress"]);
    scene.policy(egress("x", "dns", &[(&[pods("kubernetes.io/metadata.name=kube-system", "")], &[DNS])]));
    assert_eq!(found(&scene, "dns-forgotten"), none());

    let mut scene = two_pods();
    scene.policy(egress("x", "out", &[(&[own_pods("")], &[tcp(80)])]));
    assert_eq!(found(&scene, "dns-forgotten"), ["networkpolicy/x/out spec.egress"], "a world without DNS servers");
    scene.policy(egress("x", "dns", &[(&[block("192.0.2.53/32", &[])], &[DNS])]));
    assert_eq!(found(&scene, "dns-forgotten"), none());
}

fn tenants() -> Scene {
    let mut scene = Scene::default();
    for (namespace, tenant) in [("a1", "a"), ("a2", "a"), ("b1", "b")] {
        scene.owned(namespace, tenant);
    }
    scene.pod("a1/web", "app=web", &["10.244.0.1"]);
    scene.pod("a2/db", "app=db", &["10.244.0.2"]);
    scene.pod("b1/web", "app=web", &["10.244.0.3"]);
    scene
}

#[test]
fn same_tenant_shut() {
    let mut scene = tenants();
    scene.policy(ingress("a1", "own", &[(&[own_pods("")], &[])]));
    scene.policy(ingress("b1", "own", &[(&[own_pods("")], &[])]));
    assert_eq!(found(&scene, "same-tenant-shut"), ["networkpolicy/a1/own spec.ingress"], "b has one namespace");
    scene.policy(ingress("a1", "tenant", &[(&[pods("capsule.clastix.io/tenant=a", "")], &[tcp(80)])]));
    assert_eq!(found(&scene, "same-tenant-shut"), none());
}

#[test]
fn owner_can_undo() {
    let mut scene = tenants();
    scene.policy(ingress("a1", "own", &[(&[own_pods("")], &[])]));
    scene.policy(ingress("a2", "open", &[(&[pods("capsule.clastix.io/tenant=b", "")], &[])]));
    let undone = |scene: &Scene| {
        let findings = all(scene).into_iter().filter(|finding| finding.rule == "owner-can-undo");
        findings.map(|finding| (finding.object, finding.severity)).collect::<Vec<_>>()
    };
    assert_eq!(undone(&scene), [("networkpolicy/a1/own".to_owned(), Severity::Note)]);
    scene.config.mode = Isolation::Off;
    assert_eq!(undone(&scene), [("networkpolicy/a1/own".to_owned(), Severity::Warning)]);
    scene.policy(ingress("a1", "own", &[(&[], &[])]));
    assert_eq!(undone(&scene), []);
}

#[test]
fn block_matches_pods() {
    let mut scene = two_pods();
    scene.policy(egress("x", "p", &[(&[block("0.0.0.0/0", &["10.244.0.0/16"]), block("192.0.2.0/24", &[])], &[])]));
    assert_eq!(found(&scene, "block-matches-pods"), none());
    scene.policy(egress("x", "p", &[(&[block("10.0.0.0/8", &[])], &[])]));
    assert_eq!(found(&scene, "block-matches-pods"), ["networkpolicy/x/p spec.egress[0].to[0].ipBlock.cidr"]);
}

#[test]
fn service_target_shut() {
    let mut scene = two_pods();
    scene.pod("x/web", "", &[]).ports = vec![container_port("http", Protocol::Tcp, 8080)];
    let port = |target| ServicePort { name: String::new(), protocol: Protocol::Tcp, port: 80, target, node_port: None };
    let service = Service {
        namespace: "x".to_owned(),
        name: "web".to_owned(),
        selector: labels("app=web"),
        ports: vec![port(TargetPort::Named("http".to_owned())), port(TargetPort::Number(8081))],
        ..Service::default()
    };
    scene.world.services.insert(("x".to_owned(), "web".to_owned()), service);
    assert_eq!(found(&scene, "service-target-shut"), none(), "nothing isolates the backend");
    scene.policy(ingress("x", "p", &[(&[own_pods("")], &[tcp(80)])]));
    let fields = [0, 1].map(|index| format!("service/x/web spec.ports[{index}].targetPort"));
    assert_eq!(found(&scene, "service-target-shut"), fields, "a rule is about the pod's port");
    let named = Port::Named(Protocol::Tcp, "http".to_owned());
    scene.policy(ingress("x", "p", &[(&[own_pods("")], &[named, tcp(8081)])]));
    assert_eq!(found(&scene, "service-target-shut"), none());
}

#[test]
fn kubelet_as_proxy() {
    let mut scene = two_pods();
    let calls = |scene: &mut Scene, hosts: &[&str]| {
        let call = |host: &&str| KubeletCall { field: format!("spec.probe[{host}]"), host: (*host).to_owned() };
        let pod = scene.world.pods.values_mut().find(|pod| pod.name == "web").unwrap();
        pod.kubelet_calls = hosts.iter().map(call).collect();
    };
    calls(&mut scene, &["10.244.0.1", "::ffff:10.244.0.1"]);
    assert_eq!(found(&scene, "kubelet-as-proxy"), none(), "it is called itself");
    let others = ["10.244.0.2", "127.0.0.1", "db.x", "localhost"];
    calls(&mut scene, &others);
    assert_eq!(found(&scene, "kubelet-as-proxy"), others.map(|host| format!("pod/x/web spec.probe[{host}]")));
    scene.world.pods.values_mut().for_each(|pod| pod.host_network = true);
    assert_eq!(found(&scene, "kubelet-as-proxy"), none(), "it is on the node's network anyway");
}

#[test]
fn tenancy() {
    let mut scene = tenants();
    assert_eq!(found(&scene, "tenancy"), none());
    scene.owned("a2", "a").tenant_references.clear();
    scene.owned("b1", "b").annotations = labels("bulkhead.dev/isolation=stirct");
    let expected = ["namespace/a2 metadata", "namespace/b1 metadata.annotations[bulkhead.dev/isolation]"];
    assert_eq!(found(&scene, "tenancy"), expected);
}

fn selected(pods: &str) -> Pods {
    Pods { namespaces: selector(""), pods: selector(pods) }
}

fn accept(peers: &[ClusterPeer], ports: &[Port]) -> ClusterRule {
    ClusterRule { action: Action::Accept, peers: peers.to_vec(), ports: ports.to_vec() }
}

fn of_cluster(scene: &mut Scene, name: &str, priority: u16, subject: &str, egress: &[ClusterRule]) {
    let policy = ClusterNetworkPolicy {
        name: name.to_owned(),
        tier: PolicyTier::Admin,
        priority,
        subject: selected(subject),
        ingress: Vec::new(),
        egress: egress.to_vec(),
    };
    scene.world.cluster_network_policies.insert(name.to_owned(), policy);
}

#[test]
fn cluster_policies_select_somebody() {
    let mut scene = two_pods();
    of_cluster(&mut scene, "p", 1, "app=db", &[accept(&[ClusterPeer::Pods(selected("app=web"))], &[])]);
    assert_eq!(all(&scene), []);
    of_cluster(&mut scene, "p", 1, "app=bd", &[accept(&[ClusterPeer::Pods(selected("ap=web"))], &[])]);
    assert_eq!(found(&scene, "selects-nothing"), ["clusternetworkpolicy/p spec.subject"]);
    let expected = ["spec.egress[0].to[0].podSelector[ap]", "spec.subject.podSelector[app]"];
    assert_eq!(found(&scene, "unknown-label"), expected.map(|field| format!("clusternetworkpolicy/p {field}")));
}

#[test]
fn priority_ties() {
    let mut scene = two_pods();
    of_cluster(&mut scene, "a", 1, "", &[]);
    of_cluster(&mut scene, "b", 2, "", &[]);
    assert_eq!(found(&scene, "priority-tie"), none());
    of_cluster(&mut scene, "b", 1, "", &[]);
    assert_eq!(found(&scene, "priority-tie"), ["clusternetworkpolicy/b spec.priority"]);
}

#[test]
fn unknown_peers() {
    let mut scene = two_pods();
    let known = || ClusterPeer::Pods(selected(""));
    of_cluster(&mut scene, "p", 1, "", &[accept(&[known()], &[])]);
    assert_eq!(found(&scene, "unknown-peer"), none());
    let domains = ClusterPeer::Domains(vec!["example.com".to_owned()]);
    of_cluster(&mut scene, "p", 1, "", &[accept(&[known(), ClusterPeer::Unknown], &[]), accept(&[domains], &[])]);
    let expected = ["spec.egress[0].to[1]", "spec.egress[1].to[0]"];
    assert_eq!(found(&scene, "unknown-peer"), expected.map(|field| format!("clusternetworkpolicy/p {field}")));
}

#[test]
fn unreachable_cluster_rules() {
    let mut scene = two_pods();
    let db = || ClusterPeer::Pods(selected("app=db"));
    of_cluster(&mut scene, "first", 1, "", &[accept(&[db()], &[tcp(80)])]);
    of_cluster(&mut scene, "second", 2, "app=web", &[accept(&[db()], &[])]);
    assert_eq!(found(&scene, "unreachable-cluster-rule"), none());
    let nobody = ClusterPeer::Pods(selected("app=none"));
    of_cluster(&mut scene, "second", 2, "app=web", &[accept(&[db()], &[tcp(80)]), accept(&[nobody], &[])]);
    let expected = ["spec.egress[0]", "spec.egress[1]"].map(|field| format!("clusternetworkpolicy/second {field}"));
    assert_eq!(found(&scene, "unreachable-cluster-rule"), expected);
    of_cluster(&mut scene, "first", 1, "app=db", &[accept(&[db()], &[tcp(80)])]);
    assert_eq!(found(&scene, "unreachable-cluster-rule"), &expected[1..], "other pods' rules decide nothing here");
}

#[test]
fn accepted_networks_match_pods() {
    let mut scene = two_pods();
    let networks = |cidr: &str| accept(&[ClusterPeer::Networks(vec![world::net(cidr)])], &[]);
    of_cluster(&mut scene, "p", 1, "", &[networks("192.0.2.0/24")]);
    assert_eq!(found(&scene, "block-matches-pods"), none());
    of_cluster(&mut scene, "p", 1, "", &[networks("10.0.0.0/8")]);
    assert_eq!(found(&scene, "block-matches-pods"), ["clusternetworkpolicy/p spec.egress[0].to[0].networks"]);
}
