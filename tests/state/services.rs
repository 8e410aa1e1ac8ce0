//! Services on real veths, with the rewriting of a real node: each address that leads to a Service, called from a pod.
#![expect(clippy::expect_used, reason = "a test says what it expects by failing")]

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use agent::events::EventReader;
use agent::lab::{Cni, Lab};
use common::abi::{Address, Direction, DropReason};
use policy::model::{Service, World};
use tests::inside::Inside;
use tests::lab::{Tried, manifests};

const PATIENCE: Duration = Duration::from_millis(900);
const BACKEND: u16 = 8080;

/// Tenant red has a/client and a2/web, green has b/web; everybody reaches Services of both, and one that leads to both.
const WORLD: &str = "
{apiVersion: capsule.clastix.io/v1beta2, kind: Tenant, metadata: {name: red}}
---
{apiVersion: capsule.clastix.io/v1beta2, kind: Tenant, metadata: {name: green}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {capsule.clastix.io/tenant: red}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: a2, labels: {capsule.clastix.io/tenant: red}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: b, labels: {capsule.clastix.io/tenant: green}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: client, namespace: a}, spec: {containers: []}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: a2, labels: {app: web}}, status: {podIP: 10.244.0.50, podIPs: [{ip: 10.244.0.50}, {ip: 'fd00:10:244::50'}]},
 spec: {containers: [{name: c, ports: [{containerPort: 8080, hostPort: 9001}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: b, labels: {app: web}}, status: {podIP: 10.244.0.60, podIPs: [{ip: 10.244.0.60}, {ip: 'fd00:10:244::60'}]},
 spec: {containers: [{name: c, ports: [{containerPort: 8080, hostPort: 9002}]}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: a2}, spec: {type: NodePort, externalIPs: [203.0.113.5],
 selector: {app: web}, ports: [{port: 80, targetPort: 8080, nodePort: 30001}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: b}, spec: {type: NodePort, externalIPs: [203.0.113.6],
 selector: {app: web}, ports: [{port: 80, targetPort: 8080, nodePort: 30002}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: by-hand, namespace: a2}, spec: {ports: [{port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, ports: [{port: 8080}],
 metadata: {name: by-hand, namespace: a2, labels: {kubernetes.io/service-name: by-hand}}, endpoints: [{addresses: [10.244.0.50]}]}
---
{apiVersion: v1, kind: Service, metadata: {name: mixed, namespace: a2}, spec: {ports: [{port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, ports: [{port: 8080}],
 metadata: {name: mixed, namespace: a2, labels: {kubernetes.io/service-name: mixed}},
 endpoints: [{addresses: [10.244.0.50]}, {addresses: [10.244.0.60]}]}
---
{apiVersion: v1, kind: Service, metadata: {name: itself, namespace: a}, spec: {ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: none, namespace: a2}, spec: {clusterIP: None, selector: {app: web}}}
";

/// Egress of a/client to pods of tenant red, at one port.
fn egress_to(port: u16) -> String {
    format!(
        "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: out, namespace: a}}, spec: {{podSelector: {{}}, \
         policyTypes: [Egress], egress: [{{to: [{{namespaceSelector: {{matchLabels: {{capsule.clastix.io/tenant: red}}}}}}], \
         ports: [{{port: {port}}}]}}]}}}}"
    )
}

/// Egress of a/client to the externalIPs.
const OUTSIDE: &str = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: outside, namespace: a}, \
    spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 203.0.113.0/24}}], ports: [{port: 80}]}]}}";

/// What a call came to: the backend that answered, or why not.
#[derive(Debug, PartialEq)]
enum Answer {
    From(String),
    Dropped(Direction, DropReason),
    Silence,
}

struct Scene {
    lab: Lab,
    tried: Tried,
}

impl Scene {
    fn up(name: &str) -> Self {
        let tried = Tried::new(name);
        let lab = tried.up(manifests(WORLD), &Tried::options(Cni::Ptp));
        for namespace in ["a2", "b"] {
            serve(&Inside::new(&lab, Cni::Ptp, namespace, "web"), namespace);
        }
        Self { lab, tried }
    }

    /// a/client calls an address.
    fn call(&self, address: IpAddr, port: u16) -> Answer {
        let mut events = EventReader::open(&self.tried.0.pins().expect("pins")).expect("the ring of events");
        events.next_batch().expect("events");
        let client = Inside::new(&self.lab, Cni::Ptp, "a", "client");
        let answered = client.run(|| {
            let mut stream = TcpStream::connect_timeout(&SocketAddr::new(address, port), PATIENCE).ok()?;
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let mut text = String::new();
            stream.read_to_string(&mut text).ok()?;
            Some(text)
        });
        if let Some(name) = answered {
            return Answer::From(name);
        }
        let destination = Address::from(address);
        let of_it = |event: &common::abi::Event| event.destination == destination && event.destination_port == port;
        let told = events.next_batch().expect("events").into_iter().find(of_it);
        told.map_or(Answer::Silence, |event| {
            let direction = if event.direction == 0 { Direction::Egress } else { Direction::Ingress };
            Answer::Dropped(direction, DropReason::from_number(event.reason).expect("a reason"))
        })
    }

    fn world(&self) -> World {
        self.lab.world().expect("a world")
    }

    fn service(&self, namespace: &str, name: &str) -> Service {
        self.world().services[&(namespace.to_owned(), name.to_owned())].clone()
    }

    fn cluster_ip(&self, namespace: &str, name: &str) -> IpAddr {
        self.service(namespace, name).cluster_ips[0]
    }

    /// Every address that leads to a backend of this namespace: ClusterIP, externalIP, NodePort, hostPort.
    fn doors(&self, namespace: &str, external: [u8; 4], node_port: u16, host_port: u16) -> Vec<(IpAddr, u16)> {
        let node = self.world().nodes["lab"].addresses[0];
        vec![(self.cluster_ip(namespace, "web"), 80), (external.into(), 80), (node, node_port), (node, host_port)]
    }

    fn red(&self) -> Vec<(IpAddr, u16)> {
        let mut doors = self.doors("a2", [203, 0, 113, 5], 30001, 9001);
        doors.push((self.cluster_ip("a2", "by-hand"), 80));
        doors
    }

    fn green(&self) -> Vec<(IpAddr, u16)> {
        self.doors("b", [203, 0, 113, 6], 30002, 9002)
    }
}

/// Answers everybody with a name.
fn serve(pod: &Inside, name: &'static str) {
    let listener = pod.run(|| TcpListener::bind(("0.0.0.0", BACKEND))).expect("a listener");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.and_then(|mut stream| stream.write_all(name.as_bytes()));
        }
    });
}

#[test]
fn a_service_is_judged_as_what_is_behind_it() {
    let mut scene = Scene::up("services");
    let mixed = (scene.cluster_ip("a2", "mixed"), 80);
    let check = |scene: &Scene, doors: &[(IpAddr, u16)], expected: &Answer| {
        for &(address, port) in doors {
            assert_eq!(&scene.call(address, port), expected, "{address}:{port}");
        }
    };
    let isolated = Answer::Dropped(Direction::Ingress, DropReason::TenantIsolation);
    let denied = Answer::Dropped(Direction::Egress, DropReason::DefaultDeny);
    let undecided = Answer::Dropped(Direction::Egress, DropReason::ServiceUndecided);
    let red = || Answer::From("a2".to_owned());

    // Also where the node rewrites the sender, at a NodePort and an externalIP.
    check(&scene, &scene.red(), &red());
    check(&scene, &scene.green(), &isolated);
    check(&scene, &[mixed], &undecided);
    assert!(scene.service("a2", "none").cluster_ips.is_empty(), "nothing leads to a headless Service");
    check(&scene, &[([10, 244, 0, 50].into(), BACKEND)], &red());
    let unknown = ([10, 96, 255, 254].into(), 80);
    check(&scene, &[unknown], &undecided);
    check(&scene, &[(scene.cluster_ip("a2", "web"), 81)], &undecided);

    // A policy means the backend's port, not the Service's. An address that whoever may write a Service chooses must be
    // allowed by itself, too: nobody promises that a node rewrites it.
    let outside = ([203, 0, 113, 5].into(), 80);
    let inside = |scene: &Scene| scene.red().into_iter().filter(|door| *door != outside).collect::<Vec<_>>();
    scene.lab.apply(manifests(&egress_to(BACKEND))).expect("a policy");
    check(&scene, &inside(&scene), &red());
    check(&scene, &[outside], &denied);
    scene.lab.apply(manifests(&format!("{}\n---\n{OUTSIDE}", egress_to(BACKEND)))).expect("policies");
    check(&scene, &scene.red(), &red());
    check(&scene, &scene.green(), &denied);
    check(&scene, &[mixed], &undecided);
    scene.lab.apply(manifests(&egress_to(80))).expect("a policy");
    check(&scene, &scene.red(), &denied);
    check(&scene, &[mixed], &denied);

    // A change of what is behind a Service counts for the next packet.
    scene.lab.apply(manifests(&egress_to(BACKEND))).expect("a policy");
    let moved = "
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, ports: [{port: 8080}],
 metadata: {name: mixed, namespace: a2, labels: {kubernetes.io/service-name: mixed}}, endpoints: [{addresses: [10.244.0.50]}]}";
    scene.lab.apply(manifests(moved)).expect("an EndpointSlice");
    check(&scene, &[mixed], &red());
}

#[test]
fn a_pod_reaches_itself_by_way_of_its_service() {
    let mut scene = Scene::up("hairpin");
    let client = Inside::new(&scene.lab, Cni::Ptp, "a", "client");
    serve(&client, "itself");
    let slice = format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, ports: [{{port: 8080}}], metadata: {{name: itself, \
         namespace: a, labels: {{kubernetes.io/service-name: itself}}}}, endpoints: [{{addresses: [{}]}}]}}",
        client.addresses[0]
    );
    let deny = "
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: a},
 spec: {podSelector: {}, policyTypes: [Ingress, Egress]}}";
    scene.lab.apply(manifests(&format!("{slice}{deny}"))).expect("a slice and a policy");
    assert_eq!(scene.call(scene.cluster_ip("a", "itself"), 80), Answer::From("itself".to_owned()));
}
