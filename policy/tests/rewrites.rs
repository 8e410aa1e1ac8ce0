//! Services as kube-proxy sees them: an address counts as a Service's where a node rewrites it, and nobody gets past a
//! policy by writing an object that none of them follows.
#![allow(clippy::unwrap_used, reason = "a test ends where its world does not hold")]

mod world;

use common::abi::{AllowReason, DropReason};
use common::decide::Verdict;
use policy::model::{
    Action, ClusterNetworkPolicy, ClusterPeer, ClusterRule, ContainerPort, HostPort, NetworkPolicy, Node, Peer, Pods,
    PolicyTier, Protocol, Service, SliceEndpoint,
};
use world::{Scene, block, ip, net, own_pods, pods, policy, rule, selector, service, tcp, to_tcp};

const UNDECIDED: Verdict = Verdict::Drop(DropReason::ServiceUndecided);
const DENIED: Verdict = Verdict::Drop(DropReason::DefaultDeny);
const ALLOWED: Verdict = Verdict::Allow(AllowReason::NetworkPolicy);
const OUTSIDE: &str = "198.51.100.7";

/// Tenant black's caller may call black's own pods, tenant red's may call kube-dns, and a second node is there.
fn scene() -> Scene {
    let mut scene = Scene::default();
    scene.owned("evil", "black");
    scene.owned("x", "red");
    scene.namespace("kube-system", "");
    scene.pod("evil/caller", "app=caller", &["10.244.0.1"]);
    scene.pod("evil/web", "app=web", &["10.244.0.2"]);
    scene.pod("x/client", "", &["10.244.0.3"]);
    scene.pod("kube-system/dns", "app=dns", &["10.244.0.4"]);
    let node = Node {
        name: "other".to_owned(),
        addresses: vec![ip("192.0.2.2")],
        pod_cidrs: vec![net("10.244.1.0/24")],
        ..Node::default()
    };
    scene.world.nodes.insert("other".to_owned(), node);
    scene.policy(egress("evil", &[own_pods("app")], &[8080]));
    scene.policy(egress("x", &[pods("kubernetes.io/metadata.name=kube-system", "")], &[8080]));
    scene.service(service("kube-system", "dns", "10.96.0.10"), &["10.244.0.4"]);
    scene
}

fn egress(namespace: &str, to: &[Peer], ports: &[u16]) -> NetworkPolicy {
    let ports: Vec<_> = ports.iter().map(|port| tcp(*port)).collect();
    NetworkPolicy { egress: Some(vec![rule(to, &ports)]), ..policy(namespace, "egress") }
}

fn admin_deny(scene: &mut Scene, network: &str) {
    let all = || Pods { namespaces: selector(""), pods: selector("") };
    let rule =
        ClusterRule { action: Action::Deny, peers: vec![ClusterPeer::Networks(vec![net(network)])], ports: Vec::new() };
    let policy = ClusterNetworkPolicy {
        name: "deny".to_owned(),
        tier: PolicyTier::Admin,
        priority: 0,
        subject: all(),
        ingress: Vec::new(),
        egress: vec![rule],
    };
    scene.world.cluster_network_policies.insert("deny".to_owned(), policy);
}

fn called(scene: &Scene, pod: &str, address: &str, port: u16) -> Verdict {
    scene.call(&scene.compile(), pod, address, to_tcp(port))
}

fn outside(service: Service) -> Service {
    Service { external_ips: vec![ip(OUTSIDE)], ..service }
}

#[test]
fn what_nobody_rewrites_is_the_address_that_it_is() {
    let headless = Service { cluster_ips: Vec::new(), ..outside(service("evil", "s", "10.96.0.20")) };
    let passed_over = Service { is_passed_over: true, ..outside(service("evil", "s", "10.96.0.20")) };
    let of_ipv6 = Service { cluster_ips: vec![ip("fd00:10:96::20")], ..outside(service("evil", "s", "10.96.0.20")) };
    for service in [headless, passed_over, of_ipv6] {
        let mut scene = scene();
        scene.service(service, &["10.244.0.2"]);
        assert_eq!(called(&scene, "evil/caller", OUTSIDE, 80), DENIED);
        // The pod behind it is nobody to itself there either.
        assert_eq!(called(&scene, "evil/web", OUTSIDE, 80), DENIED);
        assert_ne!(called(&scene, "evil/caller", "10.96.0.20", 80), ALLOWED, "nor does its ClusterIP lead anywhere");
        admin_deny(&mut scene, "198.51.100.0/24");
        assert_eq!(called(&scene, "evil/web", OUTSIDE, 80), Verdict::Drop(DropReason::ClusterPolicy));
    }
}

#[test]
fn an_address_that_somebody_chose_must_be_allowed_by_itself() {
    let mut scene = scene();
    let chosen = outside(service("evil", "s", "10.96.0.20"));
    scene.service(Service { load_balancer_ips: vec![ip("198.51.100.8")], ..chosen }, &["10.244.0.2"]);
    assert_eq!(called(&scene, "evil/caller", "10.96.0.20", 80), ALLOWED, "the API server gave it");
    for address in [OUTSIDE, "198.51.100.8"] {
        assert_eq!(called(&scene, "evil/caller", address, 80), DENIED);
    }
    scene.policy(egress("evil", &[own_pods("app"), block("198.51.100.0/24", &[])], &[80, 8080]));
    assert_eq!(called(&scene, "evil/caller", OUTSIDE, 80), ALLOWED);
    // And what is behind it as well.
    scene.slice("evil", "s").endpoints[0].address = ip("10.244.0.4");
    assert_eq!(called(&scene, "evil/caller", OUTSIDE, 80), DENIED);
}

#[test]
fn no_service_reaches_above_the_admin_tier() {
    let mut scene = scene();
    let mut open = outside(service("evil", "s", "10.96.0.20"));
    open.ports[0].node_port = Some(30080);
    scene.service(open, &["10.244.0.2"]);
    scene.policy(egress("evil", &[own_pods("app"), block("0.0.0.0/0", &[])], &[80, 8080, 30080]));
    let itself = Verdict::Allow(AllowReason::SamePod);
    for (address, port) in [(OUTSIDE, 80), ("192.0.2.1", 30080), ("192.0.2.2", 30080)] {
        assert_eq!(called(&scene, "evil/web", address, port), itself, "{address}: it is the one behind");
        assert_eq!(called(&scene, "evil/caller", address, port), ALLOWED);
    }
    admin_deny(&mut scene, "192.0.2.0/24");
    admin_deny(&mut scene, "192.0.2.0/24");
    for address in ["192.0.2.1", "192.0.2.2"] {
        for pod in ["evil/web", "evil/caller"] {
            assert_eq!(called(&scene, pod, address, 30080), Verdict::Drop(DropReason::ClusterPolicy), "{pod}");
        }
    }
}

#[test]
fn a_claim_that_no_node_follows_takes_nothing() {
    let mut scene = scene();
    assert_eq!(called(&scene, "x/client", "10.96.0.10", 80), ALLOWED);
    let headless =
        Service { cluster_ips: Vec::new(), external_ips: vec![ip("10.96.0.10")], ..service("evil", "h", "::") };
    scene.service(headless, &["10.244.0.2"]);
    let port = host_port(80, Some("10.96.0.10"));
    scene.world.pods.values_mut().find(|pod| pod.name == "web").unwrap().ports = vec![port];
    assert_eq!(called(&scene, "x/client", "10.96.0.10", 80), ALLOWED);
    assert_eq!(called(&scene, "evil/caller", "10.96.0.10", 80), DENIED);
}

/// kube-proxy writes the rules of both in no order.
#[test]
fn a_cluster_ip_that_another_service_claims_may_be_that_ones() {
    let mut scene = scene();
    scene.policy(egress("evil", &[own_pods("app"), pods("kubernetes.io/metadata.name=kube-system", "")], &[8080]));
    assert_eq!(called(&scene, "evil/caller", "10.96.0.10", 80), ALLOWED);
    let claim = Service { external_ips: vec![ip("10.96.0.10")], ..service("evil", "claim", "10.96.0.66") };
    scene.service(claim, &[OUTSIDE]);
    assert_eq!(called(&scene, "evil/caller", "10.96.0.10", 80), UNDECIDED, "it may lead outside");
    assert_eq!(called(&scene, "x/client", "10.96.0.10", 80), UNDECIDED);
    // Where both may be called nothing is lost, and no address is asked for that nodes rewrite.
    scene.slice("evil", "claim").endpoints[0].address = ip("10.244.0.4");
    assert_eq!(called(&scene, "x/client", "10.96.0.10", 80), ALLOWED);
    assert_eq!(called(&scene, "x/client", "10.96.0.10", 81), UNDECIDED, "a port that neither has");
}

#[test]
fn an_address_of_a_pod_that_a_service_claims_may_be_either() {
    let web = "10.244.0.2";
    let claim = |ends: &[&str]| {
        let mut scene = scene();
        let ports = [80, 8080];
        scene.policy(egress("evil", &[own_pods("app")], &ports));
        scene.service(Service { external_ips: vec![ip(web)], ..service("evil", "s", "10.96.0.20") }, ends);
        scene
    };
    let mut outside = claim(&[OUTSIDE]);
    for pod in ["evil/caller", "evil/web"] {
        assert_eq!(called(&outside, pod, web, 80), DENIED, "{pod}: the node sends it outside");
        assert_eq!(called(&outside, pod, web, 8080), ALLOWED, "{pod}: no Service has the port");
    }
    assert_eq!(called(&claim(&[web]), "evil/caller", web, 80), ALLOWED, "both are allowed");
    admin_deny(&mut outside, "198.51.100.0/24");
    assert_eq!(called(&outside, "evil/caller", web, 80), Verdict::Drop(DropReason::ClusterPolicy));
    // The pod itself must be allowed, too.
    let mut scene = claim(&["10.244.0.1"]);
    scene.policy(egress("evil", &[own_pods("app=caller")], &[80, 8080]));
    assert_eq!(called(&scene, "evil/caller", web, 80), DENIED);
    // A claim that no node follows takes nothing.
    let mut scene = claim(&[OUTSIDE]);
    scene.world.services.values_mut().for_each(|service| service.cluster_ips.clear());
    assert_eq!(called(&scene, "evil/caller", web, 80), ALLOWED);
}

#[test]
fn of_several_claims_either_may_win() {
    let mut scene = scene();
    scene.policy(egress("evil", &[own_pods("app"), block("198.51.100.0/24", &[])], &[80, 8080]));
    scene.service(outside(service("evil", "one", "10.96.0.20")), &["10.244.0.2"]);
    assert_eq!(called(&scene, "evil/caller", OUTSIDE, 80), ALLOWED);
    scene.service(outside(service("x", "two", "10.96.0.21")), &["10.244.0.3"]);
    assert_eq!(called(&scene, "evil/caller", OUTSIDE, 80), UNDECIDED);
}

fn host_port(port: u16, address: Option<&str>) -> ContainerPort {
    let host_port = Some(HostPort { port, address: address.map(ip) });
    ContainerPort { name: None, protocol: Protocol::Tcp, port: 8080, host_port }
}

#[test]
fn a_host_port_is_at_the_addresses_of_its_node_alone() {
    let node = |address: &str| format!("{address}/32");
    let cases = [(None, true, false), (Some("192.0.2.1"), true, false), (Some("192.0.2.2"), false, false)];
    for (host_ip, at_own, at_other) in cases {
        let mut scene = scene();
        let web = scene.world.pods.values_mut().find(|pod| pod.name == "web").unwrap();
        web.ports = vec![host_port(10250, host_ip)];
        // Nobody may call a node: neither may who calls the port of a pod there.
        for (address, is_there) in [("192.0.2.1", at_own), ("192.0.2.2", at_other)] {
            let compiled = scene.compile();
            let keys = compiled.desired.tables.services.keys();
            assert_eq!(keys.filter(|key| key.address == ip(address).into()).count() > 0, is_there, "{address}");
        }
        assert_eq!(called(&scene, "evil/web", "192.0.2.2", 10250), DENIED);
        admin_deny(&mut scene, &node("192.0.2.1"));
        for pod in ["evil/web", "evil/caller"] {
            let denied = Verdict::Drop(DropReason::ClusterPolicy);
            assert_eq!(called(&scene, pod, "192.0.2.1", 10250), denied, "{pod}: the kubelet, where nothing rewrites");
        }
    }
}

#[test]
fn what_cannot_be_read_is_undecided_and_never_absent() {
    let mut scene = scene();
    let mut own = service("evil", "s", "10.96.0.20");
    own.ports[0].node_port = Some(30080);
    scene.service(own.clone(), &["10.244.0.2"]);
    assert_eq!(called(&scene, "evil/caller", "10.96.0.20", 80), ALLOWED);
    let key = ("evil".to_owned(), "more".to_owned());
    let more = policy::model::EndpointSlice {
        name: "more".to_owned(),
        is_undecided: true,
        ..scene.slice("evil", "s").clone()
    };
    scene.world.endpoint_slices.insert(key.clone(), more);
    assert_eq!(called(&scene, "evil/caller", "10.96.0.20", 80), UNDECIDED, "a slice beside one that is understood");
    assert_eq!(called(&scene, "evil/caller", "192.0.2.1", 30080), UNDECIDED);
    scene.world.endpoint_slices.remove(&key);
    assert_eq!(called(&scene, "evil/caller", "10.96.0.20", 80), ALLOWED);
    scene.service(Service { is_undecided: true, ..own }, &["10.244.0.2"]);
    assert_eq!(called(&scene, "evil/caller", "10.96.0.20", 80), UNDECIDED);
    assert_eq!(called(&scene, "evil/caller", "192.0.2.2", 30080), UNDECIDED);
    assert_eq!(called(&scene, "x/client", "10.96.0.10", 80), ALLOWED, "nobody else's");
}

#[test]
fn a_node_port_is_at_every_address_that_may_be_a_nodes() {
    let mut scene = scene();
    let mut own = service("x", "s", "10.96.0.20");
    own.ports[0].node_port = Some(30080);
    scene.service(own, &["10.244.0.3"]);
    scene.world.network_policies.clear();
    for address in ["192.0.2.1", "192.0.2.2", "10.244.1.1", "10.244.9.9"] {
        let refused = Verdict::Drop(DropReason::TenantIsolation);
        assert_eq!(
            called(&scene, "evil/caller", address, 30080),
            refused,
            "{address}: x/client lets no other tenant in"
        );
        assert_eq!(called(&scene, "evil/caller", address, 30081), called(&scene, "x/client", address, 30081));
    }
    assert_eq!(called(&scene, "evil/caller", OUTSIDE, 30080), Verdict::Allow(AllowReason::NoPolicy));
}

#[test]
fn any_number_of_kinds_has_one_verdict() {
    let mut scene = scene();
    let addresses: Vec<String> = (0..20).map(|index| format!("10.244.2.{index}")).collect();
    for (index, address) in addresses.iter().enumerate() {
        scene.pod(&format!("evil/replica-{index}"), &format!("app=r,own=v{index}"), &[address]);
        // Each is told apart from the others by a policy of somebody else's.
        let apart = rule(&[own_pods(&format!("own=v{index}"))], &[tcp(index as u16 + 1)]);
        let apart = NetworkPolicy { ingress: Some(vec![apart]), ..policy("evil", &format!("p{index}")) };
        scene.policy(NetworkPolicy { subject: selector("app=web"), ..apart });
    }
    let mut own = service("evil", "s", "10.96.0.20");
    own.ports[0].node_port = Some(30080);
    let ends: Vec<&str> = addresses.iter().map(String::as_str).collect();
    scene.service(own, &ends);
    assert_eq!(called(&scene, "evil/caller", "10.96.0.20", 80), ALLOWED);
    scene.policy(egress("evil", &[own_pods("own=v0")], &[8080]));
    assert_eq!(called(&scene, "evil/caller", "10.96.0.20", 80), UNDECIDED, "some are and some are not");
    assert_eq!(called(&scene, "evil/caller", "192.0.2.1", 30080), UNDECIDED);
    assert_eq!(called(&scene, "evil/caller", "192.0.2.2", 30080), DENIED, "another node picks: each must be allowed");
    scene.policy(egress("evil", &[own_pods("own=nobody")], &[8080]));
    assert_eq!(called(&scene, "evil/caller", "10.96.0.20", 80), DENIED, "none is");
    // Whoever nothing restricts needs no delegate.
    scene.namespace("free", "");
    scene.pod("free/pod", "", &["10.244.3.1"]);
    assert_eq!(called(&scene, "free/pod", "10.96.0.20", 80), Verdict::Allow(AllowReason::NoPolicy));
}

#[test]
fn an_end_that_is_on_its_way_out_counts_where_a_node_may_pick_it() {
    let gone = SliceEndpoint { address: ip("10.244.7.7"), ready: false };
    let not_ready = SliceEndpoint { address: ip("10.244.0.2"), ready: false };
    let mut scene = scene();
    scene.service(service("evil", "s", "10.96.0.20"), &["10.244.0.2"]);
    scene.slice("evil", "s").endpoints.push(gone);
    assert_eq!(called(&scene, "evil/caller", "10.96.0.20", 80), ALLOWED, "another is ready");
    scene.service(Service { is_local: true, ..service("evil", "s", "10.96.0.20") }, &["10.244.0.2"]);
    scene.slice("evil", "s").endpoints.push(gone);
    assert_eq!(called(&scene, "evil/caller", "10.96.0.20", 80), UNDECIDED, "none may be ready on the node");
    scene.service(service("evil", "s", "10.96.0.20"), &[]);
    scene.slice("evil", "s").endpoints = vec![not_ready, gone];
    assert_eq!(called(&scene, "evil/caller", "10.96.0.20", 80), UNDECIDED, "none is ready");
}
