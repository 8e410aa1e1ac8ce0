//! Connections on real veths (DESIGN.md §3.4 to §3.6): what is permitted goes on, what no longer is ends with its next
//! packet, and nothing crafted opens anything.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use agent::events::EventReader;
use agent::lab::{Cni, Lab};
use common::abi::Direction::{self, Egress, Ingress};
use common::abi::DropReason::{self, DefaultDeny, Fragment, Revoked};
use common::abi::{Counter, Event};
use tests::counters::{Counted, Counters};
use tests::frames::{ACK, FIN, RST, SYN};
use tests::inside::Inside;
use tests::lab::{Tried, manifests};
use tests::live::{Connection, PATIENCE, carries, listen, tcp};

/// `x/client` and `x/server`, which serves 80 and 81.
const PODS: &str = "
{apiVersion: v1, kind: Pod, metadata: {name: client, namespace: x, labels: {app: client}}, spec: {containers: []}}
---
{apiVersion: v1, kind: Pod, metadata: {name: server, namespace: x, labels: {app: server}}, spec: {containers: []}}
---
";
/// Marks what a test sends by hand.
const MARK: u16 = 47_011;

struct Field {
    cni: Cni,
    lab: Lab,
    client: Inside,
    server: Inside,
    counters: Counters,
    events: EventReader,
}

impl Field {
    /// Starts to look at drops from here.
    fn look(&mut self) {
        self.counters.restart();
        self.events.next_batch().unwrap();
    }

    /// Changes the policies, and nothing else.
    fn apply(&mut self, policies: &str) {
        self.lab.apply(manifests(policies)).expect("apply");
        self.look();
    }

    /// Everything that was dropped since [`Field::look`], `least` packets or more, has one of these reasons, and the
    /// events say so, too.
    fn dropped(&mut self, least: u64, reasons: &[(Direction, DropReason)], what: &str) -> u64 {
        let counted = self.counters.wait_for(least);
        let keys: Vec<_> = counted.keys().copied().collect();
        assert_eq!(keys, reasons, "{what} ({}): {counted:?}", self.cni);
        let told = self.events.next_batch().unwrap();
        let said: BTreeSet<_> = told.iter().map(|event: &Event| (event.direction, event.reason)).collect();
        let expected: BTreeSet<_> = reasons.iter().map(|(way, reason)| (*way as u8, *reason as u8)).collect();
        assert_eq!(said, expected, "{what} ({})", self.cni);
        let packets = counted.values().sum();
        assert!(packets >= least, "{what}: {packets} packets, at least {least} were sent");
        packets
    }

    fn nothing_dropped(&mut self, what: &str) {
        assert_eq!(self.counters.since(), Counted::new(), "{what} ({})", self.cni);
    }
}

fn both_forms(label: &str, policies: &[String], test: impl Fn(&mut Field, usize)) {
    for cni in [Cni::Ptp, Cni::Bridge] {
        for family in [0, 1] {
            let tried = Tried::new(&format!("{label}-{cni}-{family}"));
            let lab = tried.up(manifests(&[&[PODS.to_owned()], policies].concat().concat()), &Tried::options(cni));
            let [client, server] = ["client", "server"].map(|name| Inside::new(&lab, cni, "x", name));
            let counters = Counters::open(lab.name());
            let events = EventReader::open(&lab.name().pins().unwrap()).unwrap();
            test(&mut Field { cni, lab, client, server, counters, events }, family);
        }
    }
}

/// A policy for one pod and one direction, which permits the other pod on these ports.
fn policy(pod: &str, direction: &str, ports: &[u16]) -> String {
    let kind = if direction == "ingress" { "Ingress" } else { "Egress" };
    let ports: Vec<String> = ports
        .iter()
        .flat_map(|port| ["TCP", "UDP"].map(|protocol| format!("{{port: {port}, protocol: {protocol}}}")))
        .collect();
    let rules = if ports.is_empty() { "[]".to_owned() } else { format!("[{{ports: [{}]}}]", ports.join(", ")) };
    format!(
        "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: {pod}-{direction}, namespace: x}}
spec: {{podSelector: {{matchLabels: {{app: {pod}}}}}, policyTypes: [{kind}], {direction}: {rules}}}
---
"
    )
}

fn marked(bytes: &[u8]) -> bool {
    let mark = MARK.to_be_bytes();
    bytes.windows(2).any(|window| window == mark)
}

#[test]
fn a_revoked_rule_cuts_a_connection_whoever_talks_and_no_other() {
    both_forms("revoked", &[policy("server", "ingress", &[80, 81])], |field, family| {
        let [listener, beside] = [80, 81].map(|port| listen(&field.server, family, port));
        let mut cut = [Connection::to(&field.client, &listener), Connection::to(&field.client, &listener)];
        let Connection { mut near, mut far } = Connection::to(&field.client, &beside);
        for Connection { near: client, far: server } in &mut cut {
            assert!(carries(client, server) && carries(server, client), "it is permitted");
        }
        field.nothing_dropped("permitted connections");

        field.apply(&policy("server", "ingress", &[81]));
        let [Connection { near: client, far: server }, Connection { near: quiet_client, far: quiet_server }] = &mut cut;
        assert!(!carries(client, server), "the client talks");
        assert!(!carries(quiet_server, quiet_client), "the server talks");
        for _ in 0..10 {
            assert!(carries(&mut near, &mut far) && carries(&mut far, &mut near), "the one beside them goes on");
        }
        let packets = field.dropped(2, &[(Egress, Revoked), (Ingress, Revoked)], "the cut connections");
        let flows = field.counters.maps().counter(Counter::FlowsCut).unwrap();
        println!("{} family {family}: {flows} connections cut, {packets} of their packets dropped", field.cni);
        assert_eq!(flows, 2);
    });
}

#[test]
fn a_served_pod_that_may_send_nothing_replies_and_opens_nothing() {
    let policies = [policy("server", "ingress", &[80]), policy("server", "egress", &[])];
    both_forms("served", &policies, |field, family| {
        let listener = listen(&field.server, family, 80);
        let Connection { mut near, mut far } = Connection::to(&field.client, &listener);
        assert!(carries(&mut near, &mut far) && carries(&mut far, &mut near), "replies pass");
        replies_by_udp(field, family);
        field.nothing_dropped("a permitted connection and its replies");

        let door = listen(&field.client, family, 5000);
        let opener = tcp(&field.server, family, 80);
        let opened = opener.connect_timeout(&door.local_addr().unwrap(), PATIENCE);
        assert_eq!(opened.unwrap_err().kind(), ErrorKind::TimedOut, "from its server port");
        door.set_nonblocking(true).unwrap();
        assert_eq!(door.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "nobody came");
        field.dropped(1, &[(Egress, DefaultDeny)], "a connection from the server's port");
        assert!(carries(&mut near, &mut far) && carries(&mut far, &mut near), "the client's connection goes on");
    });
}

fn replies_by_udp(field: &Field, family: usize) {
    let open = |pod: &Inside, port: u16| {
        let socket = pod.run(|| UdpSocket::bind(SocketAddr::new(pod.addresses[family], port)).unwrap());
        socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        socket
    };
    let (client, server) = (open(&field.client, 0), open(&field.server, 80));
    client.send_to(b"ask", (field.server.addresses[family], 80)).unwrap();
    let (_, from) = server.recv_from(&mut [0; 8]).expect("the request arrives");
    server.send_to(b"say", from).unwrap();
    assert_eq!(client.recv(&mut [0; 8]).expect("the reply arrives"), 3);
}

#[test]
fn crafted_segments_open_nothing() {
    let policies = [policy("server", "ingress", &[80]), policy("server", "egress", &[])];
    both_forms("crafted", &policies, |field, family| {
        let (at_client, at_server) = (field.client.wire(), field.server.wire());
        let there = field.client.to(&field.server, family);
        let back = field.server.to(&field.client, family);
        // What may pass does, so that silence below means something.
        at_client.send(&there.tcp(MARK, 80, SYN));
        at_server.expect(1, marked);
        let _ = at_client.came(marked);
        field.look();

        // An ACK scan, and its relatives, of a port that is not served.
        for flags in [ACK, FIN, RST, SYN | ACK, FIN | 8 | 32, 0] {
            at_client.send(&there.tcp(MARK, 22, flags));
        }
        field.dropped(6, &[(Ingress, DefaultDeny)], "a scan");
        assert_eq!(at_server.came(marked), 0, "a scan reached the server");

        // From the served port, to where nobody asked.
        field.look();
        for flags in [ACK, SYN | ACK, FIN | ACK, SYN] {
            at_server.send(&back.tcp(80, MARK + 1, flags));
        }
        // A new connection within the ports of a live one.
        at_server.send(&back.tcp(80, MARK, SYN));
        field.dropped(5, &[(Egress, DefaultDeny)], "segments from a served port");
        let to_client = |bytes: &[u8]| marked(bytes) || bytes.windows(2).any(|two| two == (MARK + 1).to_be_bytes());
        assert_eq!(at_client.came(to_client), 0, "segments from a served port reached the client");
    });
}

#[test]
fn an_icmp_error_of_a_live_flow_passes_and_a_forged_one_does_not() {
    both_forms("icmp", &[policy("client", "ingress", &[])], |field, family| {
        let socket = field.client.run(|| UdpSocket::bind(SocketAddr::new(field.client.addresses[family], 0)).unwrap());
        socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        socket.connect((field.server.addresses[family], 53)).unwrap();
        socket.send(b"anybody there?").unwrap();
        let refused = socket.recv(&mut [0; 8]).expect_err("nobody listens");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "the error of the live flow arrives");
        field.nothing_dropped("an error of a live flow");

        let (at_client, at_server) = (field.client.wire(), field.server.wire());
        let there = field.client.to(&field.server, family);
        let back = field.server.to(&field.client, family);
        let kind = if family == 0 { 3 } else { 1 };
        at_server.send(&back.error(kind, &there.udp(MARK, 5353)));
        at_server.send(&back.error(kind, &there.tcp(MARK, 80, ACK)));
        field.dropped(2, &[(Ingress, DefaultDeny)], "errors of flows that nobody began");
        assert_eq!(at_client.came(marked), 0, "a forged error reached the client");
    });
}

#[test]
fn a_senders_allow_never_opens_the_receiver() {
    let policies = [policy("server", "ingress", &[]), policy("client", "egress", &[80])];
    both_forms("sender", &policies, |field, family| {
        let listener = listen(&field.server, family, 80);
        let to: IpAddr = field.server.addresses[family];
        let datagrams = field.server.run(|| UdpSocket::bind((to, 80)).unwrap());
        datagrams.set_read_timeout(Some(PATIENCE)).unwrap();
        let opener = tcp(&field.client, family, 0);
        let opened = opener.connect_timeout(&listener.local_addr().unwrap(), PATIENCE);
        assert_eq!(opened.unwrap_err().kind(), ErrorKind::TimedOut);
        let sender = field.client.run(|| UdpSocket::bind((field.client.addresses[family], 0)).unwrap());
        sender.send_to(b"hello", (to, 80)).unwrap();
        datagrams.recv(&mut [0; 8]).expect_err("no datagram arrives");
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "nobody came");
        // The receiver's rules decide; its drop may be carried out at the sender, and is still the receiver's.
        field.dropped(2, &[(Ingress, DefaultDeny)], "what the sender may send");
    });
}

#[test]
fn a_datagram_in_fragments_passes_as_a_whole_or_not_at_all() {
    both_forms("fragments", &[policy("server", "ingress", &[80])], |field, family| {
        let bind = |port| {
            let socket = field.server.run(|| UdpSocket::bind((field.server.addresses[family], port)).unwrap());
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        };
        let (served, shut) = (bind(80), bind(81));
        let client = field.client.run(|| UdpSocket::bind((field.client.addresses[family], 0)).unwrap());
        // Three fragments, of which the first one alone shows the port.
        let long = [7; 4000];
        for port in [80, 81] {
            client.send_to(&long, (field.server.addresses[family], port)).unwrap();
        }
        assert_eq!(served.recv(&mut [0; 5000]).expect("it is permitted"), long.len());
        shut.recv(&mut [0; 5000]).expect_err("it is not");
        field.dropped(3, &[(Ingress, DefaultDeny), (Ingress, Fragment)], "the fragments to the port that is shut");
    });
}
