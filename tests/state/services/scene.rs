//! Two tenants with Services, and calls of them.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use agent::events::EventReader;
use agent::kernel::{MapCapacities, Maps};
use agent::lab::{Cni, Lab};
use common::abi::{Address, Counter, Direction, DropReason, Event};
use policy::model::{Service, World};
use tests::inside::{Inside, node};
use tests::lab::{Tried, manifests};

const PATIENCE: Duration = Duration::from_millis(900);
pub const BACKEND: u16 = 8080;

/// Tenant red has a/client and a2/web, green has b/web.
pub const WORLD: &str = "
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
 selector: {app: web}, ports: [{name: t, port: 80, targetPort: 8080, nodePort: 30002}, {port: 80, targetPort: 8080, protocol: UDP, name: u}]}}
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

/// Selects a/client and allows what no other test does: connections are judged anew.
pub const ANOTHER_POLICY: &str =
    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: another, namespace: a},
 spec: {podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 1}]}]}}";

/// Egress of a/client to pods of tenant red, at one port.
pub fn egress_to(port: u16) -> String {
    format!(
        "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: out, namespace: a}}, spec: {{podSelector: {{}}, \
         policyTypes: [Egress], egress: [{{to: [{{namespaceSelector: {{matchLabels: {{capsule.clastix.io/tenant: red}}}}}}], \
         ports: [{{port: {port}}}]}}]}}}}"
    )
}

/// Ingress of a2/web from one namespace.
pub fn ingress_from(namespace: &str) -> String {
    format!(
        "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: in, namespace: a2}}, spec: {{podSelector: {{}}, \
         policyTypes: [Ingress], ingress: [{{from: [{{namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {namespace}}}}}}}]}}]}}}}"
    )
}

/// What a call came to: the backend that answered, or why not.
#[derive(Debug, PartialEq)]
pub enum Answer {
    From(String),
    Dropped(Direction, DropReason),
    Refused,
    Silence,
}

/// Where calls are judged that the node rewrites.
#[derive(Clone, Copy)]
pub enum Stage {
    AtVeth,
    AfterDnat,
}

impl Stage {
    const fn config(self) -> &'static str {
        match self {
            Self::AtVeth => "datapath: {afterDnat: off}",
            Self::AfterDnat => "datapath: {afterDnat: auto}",
        }
    }
}

pub type Door = (IpAddr, u16);

pub struct Scene {
    lab: Lab,
    tried: Tried,
    cni: Cni,
}

impl Scene {
    pub fn up(name: &str, cni: Cni, stage: Stage) -> Self {
        let tried = Tried::new(&format!("{name}-{cni:?}").to_lowercase());
        let (_folder, options) = Tried::configured(cni, stage.config());
        let lab = tried.up(manifests(WORLD), &options);
        let scene = Self { lab, tried, cni };
        for namespace in ["a2", "b"] {
            serve(&scene.inside(namespace, "web"), namespace);
        }
        scene
    }

    pub fn inside(&self, namespace: &str, name: &str) -> Inside {
        Inside::new(&self.lab, self.cni, namespace, name)
    }

    pub fn apply(&mut self, objects: &str) {
        self.lab.apply(manifests(objects)).expect("applied");
    }

    pub fn check(&self, doors: &[Door], expected: &Answer) {
        for door in doors {
            assert_eq!(&self.call(*door), expected, "{door:?} {:?}", self.cni);
        }
    }

    /// The Service whose backends are judged differently: each of its calls comes to one of these, and each of these is
    /// what some call comes to.
    pub fn check_each_backend(&self, expected: &[Answer; 2]) {
        let door = (self.cluster_ip("a2", "mixed"), 80);
        let answers: Vec<Answer> = (0..12).map(|_| self.call(door)).collect();
        assert!(answers.iter().all(|answer| expected.contains(answer)), "{answers:?}");
        assert!(expected.iter().all(|answer| answers.contains(answer)), "{answers:?}");
    }

    /// a/client calls.
    pub fn call(&self, (address, port): Door) -> Answer {
        let mut events = EventReader::open(&self.tried.0.pins().expect("pins")).expect("the ring of events");
        events.next_batch().expect("events");
        let client = self.inside("a", "client");
        let answered = client.run(|| {
            let mut stream = TcpStream::connect_timeout(&SocketAddr::new(address, port), PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let mut name = [0; 8];
            let length = stream.read(&mut name)?;
            Ok::<_, std::io::Error>(String::from_utf8_lossy(&name[..length]).trim().to_owned())
        });
        match answered {
            Ok(name) => return Answer::From(name),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Answer::Refused,
            Err(_) => {}
        }
        let source = Address::from(client.addresses[usize::from(address.is_ipv6())]);
        let told = events.next_batch().expect("events").into_iter().find(|event: &Event| event.source == source);
        told.map_or(Answer::Silence, |event| {
            let direction = if event.direction == 0 { Direction::Egress } else { Direction::Ingress };
            Answer::Dropped(direction, DropReason::from_number(event.reason).expect("a reason"))
        })
    }

    /// A connection of a/client that stays open.
    pub fn open(&self, (address, port): Door) -> Call {
        let stream = self.inside("a", "client").run(|| {
            let mut stream =
                TcpStream::connect_timeout(&SocketAddr::new(address, port), PATIENCE).expect("a connection");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let mut name = [0; 8];
            let _name = stream.read(&mut name).expect("a name");
            stream
        });
        Call(stream)
    }

    fn world(&self) -> World {
        self.lab.world().expect("a world")
    }

    pub fn service(&self, namespace: &str, name: &str) -> Service {
        self.world().services[&(namespace.to_owned(), name.to_owned())].clone()
    }

    pub fn cluster_ip(&self, namespace: &str, name: &str) -> IpAddr {
        self.service(namespace, name).cluster_ips[0]
    }

    pub fn node(&self) -> IpAddr {
        self.world().nodes["lab"].addresses[0]
    }

    /// Every address that leads to a backend of this namespace: ClusterIP, externalIP, NodePort, hostPort.
    fn doors(&self, namespace: &str, external: [u8; 4], node_port: u16, host_port: u16) -> Vec<Door> {
        let node = self.node();
        vec![(self.cluster_ip(namespace, "web"), 80), (external.into(), 80), (node, node_port), (node, host_port)]
    }

    pub fn red(&self) -> Vec<Door> {
        let mut doors = self.doors("a2", [203, 0, 113, 5], 30001, 9001);
        doors.push((self.cluster_ip("a2", "by-hand"), 80));
        doors
    }

    pub fn green(&self) -> Vec<Door> {
        self.doors("b", [203, 0, 113, 6], 30002, 9002)
    }

    /// Rules that no object describes: an address and port of the node's lead to the web pod of a namespace.
    pub fn dnat_by_hand(&self, doors: &[(IpAddr, u16, &str)]) {
        let rules: String = doors.iter().fold(String::new(), |rules, (address, port, namespace)| {
            let pod = self.inside(namespace, "web").addresses[0];
            rules + &format!("ip daddr {address} tcp dport {port} dnat to {pod}:{BACKEND}\n")
        });
        self.nft(&format!("table ip by-hand {{\nchain c {{\ntype nat hook prerouting priority -110;\n{rules}}}\n}}"));
    }

    /// The node rewrites nothing any more, until objects change.
    pub fn forget_services(&self) {
        self.nft("delete table inet bulkhead");
    }

    fn nft(&self, rules: &str) {
        self.on_node("nft", &[rules]);
    }

    fn on_node(&self, program: &str, arguments: &[&str]) {
        let status = node(&self.lab).run(|| Command::new(program).args(arguments).status()).expect("the node");
        assert!(status.expect(program).success(), "{arguments:?}");
    }

    fn maps(&self) -> Maps {
        Maps::open(&self.tried.0.pins().expect("pins"), &MapCapacities::default()).expect("maps")
    }

    pub fn flows_cut(&self) -> u64 {
        self.maps().counter(Counter::FlowsCut).expect("a counter")
    }

    /// Names of the pins of the links to netfilter.
    pub fn netfilter_links(&self) -> Vec<String> {
        let folder = self.tried.0.pins().expect("pins").links();
        let names = std::fs::read_dir(folder).expect("links").map(|entry| entry.expect("a link").file_name());
        let names = names.map(|name| name.to_string_lossy().into_owned());
        names.filter(|name| name.starts_with("after-dnat-")).collect()
    }

    /// a/client sends datagrams and calls without a pause; counts what arrives at b/web.
    pub fn flood(&self, doors: &[Door]) -> Flood {
        let over = Arc::new(AtomicBool::new(false));
        let (sent, arrived) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let receiver = self.inside("b", "web").run(|| UdpSocket::bind(("0.0.0.0", BACKEND)).expect("a socket"));
        receiver.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
        let sender = self.inside("a", "client").run(|| UdpSocket::bind(("0.0.0.0", 0)).expect("a socket"));
        let targets: Vec<SocketAddr> = doors.iter().map(|&(address, _)| SocketAddr::new(address, 80)).collect();
        let (until, count) = (Arc::clone(&over), Arc::clone(&sent));
        let sending = thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                for target in &targets {
                    if sender.send_to(b"x", target).is_ok() {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
                thread::sleep(Duration::from_micros(50));
            }
        });
        let (until, count) = (Arc::clone(&over), Arc::clone(&arrived));
        let receiving = thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                if receiver.recv(&mut [0; 8]).is_ok() {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Flood { over, sent, arrived, threads: [sending, receiving] }
    }

    /// Takes the lab down; what may be left of it.
    pub fn down(self) -> Tried {
        let Self { lab, tried, .. } = self;
        drop(lab);
        Lab::down(&tried.0).expect("the lab is down");
        tried
    }
}

pub struct Flood {
    over: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    arrived: Arc<AtomicU64>,
    threads: [JoinHandle<()>; 2],
}

impl Flood {
    /// Whether it sent at all, and how much got through.
    pub fn end(self) -> (bool, u64) {
        self.over.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().expect("a thread"));
        (self.sent.load(Ordering::Relaxed) > 100, self.arrived.load(Ordering::Relaxed))
    }
}

pub struct Call(TcpStream);

impl Call {
    /// Whether what is said comes back.
    pub fn echo(&mut self) -> bool {
        self.0.write_all(b"?").is_ok() && self.hears()
    }

    /// Whether what was said in vain comes back after all.
    pub fn recovers(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < 10 * PATIENCE {
            if self.hears() {
                return true;
            }
        }
        false
    }

    fn hears(&mut self) -> bool {
        self.0.read(&mut [0; 8]).is_ok_and(|length| length > 0)
    }
}

/// Answers everybody with a name, and then with what they say.
pub fn serve(pod: &Inside, name: &'static str) {
    let listener = pod.run(|| TcpListener::bind(("0.0.0.0", BACKEND))).expect("a listener");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let _named = stream.write_all(name.as_bytes());
                let mut said = [0; 8];
                while let Ok(length @ 1..) = stream.read(&mut said) {
                    if stream.write_all(&said[..length]).is_err() {
                        break;
                    }
                }
            });
        }
    });
}
