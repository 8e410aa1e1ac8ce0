//! Attacks of a tenant's user and of its pods that need the real kube-proxy (docs/threat-model.md), each beside what must
//! work: what is permitted, with the agents, and the attack itself, without them.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::cluster::{Agent, Cluster, Place, PodNetwork, Proxy, TEAMS, eventually, manifests};
use tests::frames::{self, Ends};
use tests::wire::{Wire, mac_of};

const WORLD: &str = include_str!("attacks/world.yaml");
/// Namespace, name and node of each pod. Its label `app` is its name.
const PODS: [(&str, &str, u32); 7] = [
    ("red", "attacker", 1),
    ("red", "plain", 1),
    ("red", "near", 1),
    ("red", "own", 2),
    ("blue", "client", 1),
    ("blue", "shut", 1),
    ("blue", "server", 2),
];
/// An HTTP server beside the control plane, outside of the cluster.
const OUTSIDE: &str = "10.89.0.1:9090";
/// Longer than an agent and kube-proxy take to follow a change.
const FOLLOWED: Duration = Duration::from_secs(3);
const TRIES: usize = 24;
/// Of an agnhost that serves UDP.
const UDP_PORT: u16 = 8081;

/// An attack as it went.
struct Row {
    number: &'static str,
    what: String,
    /// What is permitted works.
    control: bool,
    /// What the attack did; `None`: nothing.
    harm: Option<String>,
}

struct Field {
    pods: BTreeMap<&'static str, PodNetwork>,
    cluster: Cluster,
    rows: Vec<Row>,
}

fn at(address: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(address.into(), port)
}

fn service(name: &str, labels: impl Into<Value>, spec: impl Into<Value>) -> Value {
    let (labels, spec): (Value, Value) = (labels.into(), spec.into());
    json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": "red", "name": name, "labels": labels}, "spec": spec})
}

fn slice(service: &str, name: &str, address: &str, port: u16) -> Value {
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"namespace": "red", "name": name, "labels": {"kubernetes.io/service-name": service}},
        "ports": [{"port": port}], "endpoints": [{"addresses": [address]}]})
}

/// Another way to write an address.
type Write<'a> = &'a dyn Fn(&str) -> String;

impl Field {
    fn new() -> Self {
        let cluster = Cluster::up(Proxy::Iptables);
        cluster.apply(WORLD);
        let pod = |(namespace, name, node): &(&str, &str, u32)| {
            manifests::pod(namespace, name, *node, &format!("app: {name}"), "netexec --http-port=8080 --udp-port=8081")
        };
        cluster.apply(&PODS.iter().map(pod).collect::<String>());
        ["red", "blue"].iter().for_each(|namespace| cluster.wait_for_pods(namespace));
        let pods = PODS.map(|(namespace, name, _)| (name, PodNetwork::find(&cluster, namespace, name)));
        serve_outside(&cluster);
        // Of node2, and in no Node object.
        drop(cluster.try_run(Place::Node(2), "ip address add 10.89.0.99/24 dev eth0"));
        Self { pods: BTreeMap::from(pods), cluster, rows: Vec::new() }
    }

    fn apply(&self, objects: &[Value]) {
        self.cluster.apply(&objects.iter().map(|object| format!("---\n{object}\n")).collect::<String>());
    }

    fn delete(&self, objects: &[Value]) {
        for object in objects {
            let text = |field: &str| object["metadata"][field].as_str().expect("a name").to_owned();
            let kind = object["kind"].as_str().expect("a kind");
            let line = format!("delete {kind} {} --namespace {} --wait=false", text("name"), text("namespace"));
            self.cluster.kubectl(&line);
        }
    }

    fn address(&self, pod: &str) -> IpAddr {
        self.pods[pod].addresses[0]
    }

    /// Who answers a pod that asks often.
    fn answers(&self, from: &str, to: SocketAddr) -> BTreeSet<String> {
        (0..TRIES).filter_map(|_| self.pods[from].ask(to)).collect()
    }

    /// `to` answers a pod that may call it.
    fn control(&self, from: &str, to: SocketAddr, answer: &str) -> bool {
        (0..3).any(|_| self.pods[from].ask(to).as_deref() == Some(answer))
    }

    fn note(&mut self, number: &'static str, what: &str, control: bool, harm: Option<String>) {
        let row = Row { number, what: what.to_owned(), control, harm };
        let permitted = if row.control { "works" } else { "FAILS" };
        println!("| {number} | {what} | {permitted} | {} |", row.harm.as_deref().unwrap_or("nothing"));
        self.rows.push(row);
    }

    /// 04: another Service's ClusterIP among the externalIPs of a headless Service, and as a hostIP.
    fn claims_of_a_cluster_ip(&mut self) {
        let to = at([10, 96, 30, 1], 80);
        let control = self.control("client", to, "server");
        let spec = json!({"clusterIP": "None", "externalIPs": ["10.96.30.1"], "selector": {"app": "own"},
            "ports": [{"port": 80, "targetPort": 8080}]});
        let objects = [service("claim", json!({}), spec), host_port_pod("claim", "10.96.30.1", 80)];
        for (object, what) in
            objects.into_iter().zip(["headless externalIPs claim a ClusterIP", "a hostIP claims a ClusterIP"])
        {
            let objects = [object];
            self.apply(&objects);
            sleep(FOLLOWED);
            let answered = (0..TRIES).filter(|_| self.pods["client"].ask(to).as_deref() == Some("server")).count();
            let harm = (answered < TRIES).then(|| format!("{answered} of {TRIES} calls of the victim arrive"));
            self.note("04", what, control, harm);
            self.delete(&objects);
        }
    }

    /// 07: slices that kube-proxy understands, beside one that anybody does.
    fn odd_slices(&mut self) {
        let own = self.address("own").to_string();
        let server = self.address("server").to_string();
        let padded = |ip: &str| ip.split('.').map(|part| format!("{part:0>3}")).collect::<Vec<_>>().join(".");
        let kinds: [(&str, Write<'_>, usize); 3] = [
            ("leading zeros", &padded, 0),
            ("IPv4-mapped", &|ip| format!("::ffff:{ip}"), 0),
            ("101 ports", &|ip| ip.to_owned(), 100),
        ];
        for (kind, write, ports) in kinds {
            for (from, end, port, to, name) in [
                ("attacker", "10.89.0.1", 9090, at([10, 96, 30, 7], 80), "outside"),
                ("plain", server.as_str(), 8080, at([10, 89, 0, 12], 30107), "server"),
            ] {
                let spec =
                    json!({"type": "NodePort", "clusterIP": "10.96.30.7", "ports": [{"port": 80, "nodePort": 30107}]});
                let mut odd = slice("odd", "odd-2", &write(end), port);
                let more = (0..ports).map(|number| json!({"name": format!("p{number}"), "port": 1000 + number}));
                odd["ports"].as_array_mut().expect("ports").extend(more);
                let objects = [service("odd", json!({}), spec), slice("odd", "odd-1", &own, 8080), odd];
                self.apply(&objects);
                sleep(FOLLOWED);
                let control = self.control("attacker", at([10, 96, 30, 2], 80), "own");
                let harm = self.answers(from, to).contains(name).then(|| format!("{name} answers"));
                self.note("07", &format!("{kind}, {from} to {to}"), control, harm);
                self.delete(&objects);
            }
        }
    }

    /// 08: addresses that nothing rewrites, with an own pod behind them; and an own pod's address that kube-proxy rewrites.
    fn addresses_of_nobody(&mut self) {
        let outside: SocketAddr = OUTSIDE.parse().expect("an address");
        let ports = json!([{"port": 9090, "targetPort": 8080}]);
        let headless =
            json!({"clusterIP": "None", "externalIPs": ["10.89.0.1"], "selector": {"app": "own"}, "ports": ports});
        let real = json!({"externalIPs": ["10.89.0.1"], "selector": {"app": "own"}, "ports": ports});
        let proxy_name = json!({"service.kubernetes.io/service-proxy-name": "mine"});
        let headless_label = json!({"service.kubernetes.io/headless": ""});
        let cases = [
            ("externalIPs of a headless Service", service("none", json!({}), headless)),
            ("externalIPs beside service-proxy-name", service("none", proxy_name, real.clone())),
            ("externalIPs beside the label headless", service("none", headless_label, real)),
            ("a hostIP outside", host_port_pod("none", "10.89.0.1", 9090)),
        ];
        for (what, object) in cases {
            let objects = [object];
            self.apply(&objects);
            sleep(FOLLOWED);
            let control = self.control("attacker", at([10, 96, 30, 2], 80), "own");
            let harm = self.answers("attacker", outside).contains("outside").then(|| "outside answers".to_owned());
            self.note("08", what, control, harm);
            self.delete(&objects);
        }
        self.address_of_an_own_pod();
    }

    fn address_of_an_own_pod(&mut self) {
        let own = self.address("own");
        let spec = json!({"externalIPs": [own.to_string()], "ports": [{"port": 9999}]});
        let objects = [service("past", json!({}), spec), slice("past", "past-1", "10.89.0.1", 9090)];
        self.apply(&objects);
        sleep(FOLLOWED);
        let control = self.control("attacker", at(own, 8080), "own");
        let harm = self.answers("attacker", at(own, 9999)).contains("outside").then(|| "outside answers".to_owned());
        self.note("08", "an externalIP that is an own pod's address", control, harm);
        self.delete(&objects);
    }

    /// 09: another tenant's NodePort where no Node object says that a node is.
    fn node_ports_at_unlisted_addresses(&mut self) {
        let control = self.control("plain", at([10, 89, 0, 12], 30108), "own");
        for (address, what) in [
            ([10, 244, 2, 1], "the gateway of another node's pods"),
            ([10, 89, 0, 99], "an unlisted address"),
            ([10, 89, 0, 12], "a listed address"),
        ] {
            let harm =
                self.answers("plain", at(address, 30109)).contains("server").then(|| "server answers".to_owned());
            self.note("09", &format!("NodePort of another tenant at {what}"), control, harm);
        }
    }

    /// 01: fragments that do not fit together again.
    fn odd_fragments(&mut self) {
        let control = self.fragments_arrive("near");
        let harm = self.fragments_arrive("shut").then(|| "datagrams arrive".to_owned());
        self.note("01", "IPv6 fragments with an options header in the first", control, harm);
    }

    /// Whether a fragmented datagram of `attacker` arrives at a pod of its node.
    fn fragments_arrive(&self, to: &str) -> bool {
        const PORT: u16 = 47_777;
        let (from, to) = (&self.pods["attacker"], &self.pods[to]);
        let socket = to.udp(1, PORT);
        socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
        let wire = Wire::open(&from.netns, "eth0");
        let [IpAddr::V6(source), IpAddr::V6(destination)] = [from.addresses[1], to.addresses[1]] else {
            panic!("the second address is IPv6");
        };
        let ends = Ends {
            source_mac: mac_of(&from.netns, "eth0"),
            destination_mac: gateway_mac(from),
            source: source.into(),
            destination: destination.into(),
        };
        let datagram = checked_udp(source, destination, 47_001, PORT, &[7; 56]);
        let (first, second) = datagram.split_at(32);
        (0..5).any(|id| {
            let first = frames::fragment_header(17, 0, true, id, first);
            wire.send(&ends.ip(60, &frames::extension(44, &first)));
            wire.send(&ends.ip(44, &frames::fragment_header(17, 4, false, id, second)));
            socket.recv(&mut [0; 128]).is_ok()
        })
    }

    /// 16: an error of a stranger that quotes a flow of `client`.
    fn forged_errors(&mut self) {
        let server = at(self.address("server"), UDP_PORT);
        let closed = at(self.address("server"), 9);
        let control = self.is_refused(closed, None) && self.answers_udp(server);
        for (to, what) in [(server, "a pod"), (at([10, 96, 30, 3], UDP_PORT), "a ClusterIP")] {
            let harm = self.is_refused(to, Some("attacker")).then(|| "the victim's lookup ends".to_owned());
            self.note("16", &format!("an ICMP error that quotes a flow to {what}"), control, harm);
        }
    }

    fn answers_udp(&self, to: SocketAddr) -> bool {
        let socket = self.pods["client"].udp(0, 0);
        socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
        socket.send_to(b"hostname", to).is_ok() && socket.recv(&mut [0; 128]).is_ok()
    }

    /// Whether a socket of `client` is told that nobody is there, by the network or by a forger.
    fn is_refused(&self, to: SocketAddr, forger: Option<&str>) -> bool {
        let client = &self.pods["client"];
        let socket = client.run(|| {
            let socket = UdpSocket::bind((client.addresses[0], 0)).expect("a port");
            socket.connect(to).expect("a route");
            socket
        });
        socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
        let _ = socket.send(b"hostname");
        if let Some(forger) = forger {
            let _ = socket.recv(&mut [0; 128]); // The answer, which the error comes behind.
            let port = socket.local_addr().expect("a port").port();
            self.forge(forger, client.addresses[0], port, to);
        }
        (0..4).any(|_| socket.recv(&mut [0; 128]).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused))
    }

    fn forge(&self, forger: &str, victim: IpAddr, port: u16, to: SocketAddr) {
        let from = &self.pods[forger];
        let wire = Wire::open(&from.netns, "eth0");
        let ends = Ends {
            source_mac: mac_of(&from.netns, "eth0"),
            destination_mac: gateway_mac(from),
            source: from.addresses[0],
            destination: victim,
        };
        let quoted = Ends { source: victim, destination: to.ip(), ..ends };
        for _ in 0..5 {
            wire.send(&ends.error(3, &quoted.udp(port, to.port())));
            sleep(Duration::from_millis(50));
        }
    }

    /// 26: a Service turns from outside to an own pod while the pod calls it.
    fn turning_service(&mut self) {
        let own = self.address("own").to_string();
        let to = at([10, 96, 30, 26], 80);
        let spec = json!({"clusterIP": "10.96.30.26", "ports": [{"port": 80}]});
        let away = [service("turn", json!({}), spec), slice("turn", "turn-1", "10.89.0.1", 9090)];
        let back = [slice("turn", "turn-1", &own, 8080)];
        let (mut outside, mut control) = (0, true);
        for _ in 0..6 {
            self.apply(&away);
            sleep(FOLLOWED);
            self.apply(&back);
            let end = Instant::now() + Duration::from_millis(2500);
            while Instant::now() < end {
                outside += usize::from(self.pods["attacker"].ask(to).as_deref() == Some("outside"));
            }
            sleep(FOLLOWED + FOLLOWED);
            control &= self.control("attacker", to, "own");
        }
        self.delete(&away);
        let harm = (outside > 0).then(|| format!("outside answers {outside} times"));
        self.note("26", "a Service that turns from outside to an own pod", control, harm);
    }

    /// 06: a Service with more addresses and ports than a map holds keys.
    fn vast_service(&mut self) {
        let addresses: Vec<String> =
            (0..400).map(|number| format!("203.0.{}.{}", number / 200, number % 200 + 1)).collect();
        let ports: Vec<Value> = (0..100).map(|port| json!({"name": format!("p{port}"), "port": 1000 + port})).collect();
        let objects =
            [service("vast", json!({}), json!({"externalIPs": addresses, "selector": {"app": "own"}, "ports": ports}))];
        self.apply(&objects);
        sleep(FOLLOWED);
        let (to, control) = (at([10, 96, 30, 1], 80), self.control("client", at([10, 96, 30, 1], 80), "server"));
        let close = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"namespace": "blue", "name": "close"},
            "spec": {"podSelector": {"matchLabels": {"app": "server"}}, "policyTypes": ["Ingress"]}});
        let began = Instant::now();
        self.apply(std::slice::from_ref(&close));
        let closed = (0..40).any(|_| {
            sleep(Duration::from_millis(250));
            self.pods["client"].ask(to).is_none()
        });
        let took = began.elapsed();
        self.delete(&[close]);
        self.delete(&objects);
        let opens = eventually("the policy is gone", 60, || self.pods["client"].ask(to));
        let harm = (!closed || took > Duration::from_secs(5)).then(|| format!("another's policy after {took:?}"));
        self.note("06", "a Service of 40,000 keys, and another tenant's policy", control && opens == "server", harm);
    }

    /// What the attacks want is there for the taking where no agent is.
    fn everything_is_reached(&self) {
        let outside: SocketAddr = OUTSIDE.parse().expect("an address");
        for (from, to, answer) in [
            ("attacker", outside, "outside"),
            ("plain", at([10, 244, 2, 1], 30109), "server"),
            ("plain", at([10, 89, 0, 99], 30109), "server"),
            ("client", at([10, 96, 30, 1], 80), "server"),
        ] {
            eventually(&format!("{to} without an agent"), 60, || self.control(from, to, answer).then_some(()));
        }
        assert!(self.fragments_arrive("shut"), "fragments do not arrive without an agent");
        let forged = self.is_refused(at(self.address("server"), UDP_PORT), Some("attacker"));
        assert!(forged, "a forged error does no harm without an agent");
    }
}

/// A pod on node2 with a port at its node, or where it says that its node is.
fn host_port_pod(name: &str, host_ip: &str, port: u16) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "red", "name": name, "labels": {"app": name}},
        "spec": {"nodeName": "node2", "terminationGracePeriodSeconds": 0, "containers": [{
            "name": "main", "image": tests::cluster::AGNHOST, "args": ["netexec", "--http-port=8080"],
            "ports": [{"containerPort": 8080, "hostPort": port, "hostIP": host_ip}]}]}})
}

/// Answers everybody who connects.
fn serve_outside(cluster: &Cluster) {
    let listener = cluster.outside().run(|| TcpListener::bind(OUTSIDE).expect("a port")).expect("enter the namespace");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.set_read_timeout(Some(Duration::from_millis(500)));
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\noutside");
        }
    });
}

/// The MAC address of a pod's gateway.
fn gateway_mac(pod: &PodNetwork) -> [u8; 6] {
    let line = pod.run(|| {
        // So that the neighbour is known.
        let _ = UdpSocket::bind((pod.addresses[0], 0)).and_then(|socket| socket.send_to(b"x", "10.89.0.1:9"));
        sleep(Duration::from_millis(200));
        std::fs::read_to_string("/proc/thread-self/net/arp").expect("neighbours")
    });
    let mac = line.lines().skip(1).filter_map(|line| line.split_whitespace().nth(3)).next().expect("a neighbour");
    let bytes: Vec<u8> = mac.split(':').map(|byte| u8::from_str_radix(byte, 16).expect("a MAC address")).collect();
    bytes.try_into().expect("six bytes")
}

/// A UDP datagram with its checksum, which IPv6 asks for.
fn checked_udp(
    source: std::net::Ipv6Addr,
    destination: std::net::Ipv6Addr,
    from: u16,
    to: u16,
    data: &[u8],
) -> Vec<u8> {
    let length = u16::try_from(8 + data.len()).expect("a short datagram");
    let mut datagram = [from.to_be_bytes(), to.to_be_bytes(), length.to_be_bytes(), [0, 0]].concat();
    datagram.extend(data);
    let pseudo =
        [&source.octets()[..], &destination.octets(), &u32::from(length).to_be_bytes(), &[0, 0, 0, 17]].concat();
    let words = [&pseudo[..], &datagram].concat();
    let mut sum: u32 =
        words.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from)).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [high, low] = (!(sum as u16)).to_be_bytes();
    (datagram[6], datagram[7]) = (high, low);
    datagram
}

#[test]
fn no_attack_of_a_tenant_reaches_another() {
    let mut field = Field::new();
    field.everything_is_reached();
    let _agents = Agent::start_everywhere(&field.cluster, env!("CARGO_BIN_EXE_tested-bulkhead"), TEAMS);
    let shut = at(field.address("shut"), 8080);
    eventually("the agents enforce", 60, || {
        let outside = OUTSIDE.parse().expect("an address");
        (!field.pods["attacker"].reaches(outside) && !field.pods["client"].reaches(shut)).then_some(())
    });
    println!("| # | attack | what is permitted | what the attack does |\n|---|---|---|---|");
    field.claims_of_a_cluster_ip();
    field.addresses_of_nobody();
    field.odd_slices();
    field.node_ports_at_unlisted_addresses();
    field.odd_fragments();
    field.forged_errors();
    field.turning_service();
    field.vast_service();
    let wrong: Vec<String> = field
        .rows
        .iter()
        .filter(|row| !row.control || row.harm.is_some())
        .map(|row| format!("{} {}: permitted {}, {:?}", row.number, row.what, row.control, row.harm))
        .collect();
    assert!(wrong.is_empty(), "{} attacks:\n{}", wrong.len(), wrong.join("\n"));
}
