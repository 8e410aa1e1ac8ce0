//! Fragments that a node with connection tracking puts together and takes apart again: what comes out of that has no
//! incoming interface, and is still what its sender sent (STAGE2.md §1.1).
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::io::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use agent::lab::{Cni, Lab};
use common::abi::Direction::Ingress;
use common::abi::DropReason::{self, ClusterPolicy, DefaultDeny, Fragment};
use tests::counters::{Counted, Counters};
use tests::frames::{self, Ends, SYN, TCP, UDP};
use tests::inside::{self, EXTERNAL, Inside, RED_AND_BLUE, listing, node, outside};
use tests::wire::{Wire, mac_of};

/// Beside a/one and b/two: a/shut, which admits nobody, and a/guarded, to which an administrator denies the outside. b/two
/// lets others in at another port. `a/door` is a Service of a/shut's.
const WORLD: &str = "
{apiVersion: v1, kind: Pod, metadata: {name: shut, namespace: a, labels: {app: shut}},
 status: {podIP: 10.244.0.50, podIPs: [{ip: 10.244.0.50}, {ip: 'fd00:10:244::50'}]}, spec: {containers: []}}
---
{apiVersion: v1, kind: Pod, metadata: {name: guarded, namespace: a, labels: {app: guarded}}, spec: {containers: []}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: two, namespace: b},
 spec: {podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{namespaceSelector: {}}], ports: [{port: 9}]}]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: shut, namespace: a},
 spec: {podSelector: {matchLabels: {app: shut}}, policyTypes: [Ingress]}}
---
{apiVersion: v1, kind: Service, metadata: {name: door, namespace: a}, spec: {type: NodePort, clusterIPs: ['fd00:10:96::7'],
 clusterIP: 'fd00:10:96::7', ipFamilies: [IPv6], selector: {app: shut},
 ports: [{port: 80, targetPort: 47002, nodePort: 30080, protocol: UDP}]}}
---
{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: shield}, spec: {tier: Admin, priority: 1,
 subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: guarded}}}},
 ingress: [{name: all, action: Deny, from: [{namespaces: {}}]}]}}
";
const TIMES: u64 = 3;
const FROM: u16 = 47_001;
const TO: u16 = 47_002;
/// What the first fragment has before its fragment header: a destination options header of 8 bytes, so that the fragments
/// do not fit together again.
const DESTINATION_OPTIONS: u8 = 60;

/// Where a datagram is cut, and where its first fragment has more headers than the second.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Two fragments that the node can send on as they are.
    Even,
    /// The first has an options header before the fragment header.
    OptionsBefore,
    /// The same behind it.
    OptionsBehind,
}

/// From a pod: what hides its transport header drops there.
const CUTS: [Cut; 2] = [Cut::Even, Cut::OptionsBefore];
/// From outside.
const ALL_CUTS: [Cut; 3] = [Cut::Even, Cut::OptionsBefore, Cut::OptionsBehind];

/// The fragments of a transport packet, of which the first holds the first 24 bytes.
fn fragments(ends: &Ends, protocol: u8, transport: &[u8], id: u32, cut: Cut) -> [Vec<u8>; 2] {
    let behind = frames::extension(protocol, transport);
    let (next, whole) = match cut {
        Cut::OptionsBehind => (DESTINATION_OPTIONS, behind.as_slice()),
        Cut::Even | Cut::OptionsBefore => (protocol, transport),
    };
    let (first, second) = whole.split_at(32);
    let first = frames::fragment_header(next, 0, true, id, first);
    let second = frames::fragment_header(next, 4, false, id, second);
    let first = match cut {
        Cut::OptionsBefore => ends.ip(DESTINATION_OPTIONS, &frames::extension(44, &first)),
        Cut::Even | Cut::OptionsBehind => ends.ip(44, &first),
    };
    [first, ends.ip(44, &second)]
}

fn datagrams(from: u16, to: u16) -> [(u8, Vec<u8>); 2] {
    let segment = [frames::tcp(from, to, SYN), vec![7; 44]].concat();
    [(UDP, frames::udp(from, to, &[7; 56])), (TCP, segment)]
}

struct Field {
    cni: Cni,
    lab: Lab,
    one: Inside,
    counters: Counters,
    id: u32,
}

impl Field {
    /// Sends a datagram in fragments of each geometry, and expects that its receiver drops the first for `reason`, and the
    /// second because of that.
    fn is_dropped(&mut self, reason: DropReason, what: &str, wire: &Wire, ends: &Ends, cuts: &[Cut], to: &Inside) {
        let ports = (FROM, TO);
        let receiver = to.wire();
        self.plain_is_dropped(reason, "nothing", wire, ends, UDP, (ports.0 + 2, ports.1));
        for (protocol, transport) in datagrams(ports.0, ports.1) {
            for &cut in cuts {
                self.counters.restart();
                for _ in 0..TIMES {
                    self.id += 1;
                    for fragment in fragments(ends, protocol, &transport, self.id, cut) {
                        wire.send(&fragment);
                    }
                }
                let what = format!("{what}, protocol {protocol}, {cut:?} ({})", self.cni);
                self.is_counted(reason, TIMES, &what);
                assert_eq!(receiver.came(|bytes| bytes.ends_with(&[7; 16])), 0, "{what} arrived");
                // The flow that one of them entered would let a plain packet through.
                self.plain_is_dropped(reason, &what, wire, ends, protocol, ports);
            }
        }
    }

    fn plain_is_dropped(
        &mut self,
        reason: DropReason,
        what: &str,
        wire: &Wire,
        ends: &Ends,
        protocol: u8,
        (from, to): (u16, u16),
    ) {
        self.counters.restart();
        let plain = if protocol == UDP { ends.udp(from, to) } else { ends.tcp(from, to, frames::ACK) };
        wire.send(&plain);
        self.is_counted(reason, 1, &format!("a plain packet behind {what}"));
    }

    /// A node that could not send the first fragment sends no other in most cases.
    fn is_counted(&self, reason: DropReason, times: u64, what: &str) {
        let mut counted = self.counters.wait_for(times);
        counted.remove(&(Ingress, Fragment));
        assert_eq!(counted, Counted::from([((Ingress, reason), times)]), "{what}");
    }
}

fn both_forms(label: &str, test: impl Fn(&mut Field)) {
    inside::both_forms(label, &format!("{RED_AND_BLUE}---{WORLD}"), |lab, cni| {
        track_connections(&lab, cni);
        let (one, counters) = (Inside::new(&lab, cni, "a", "one"), Counters::open(lab.name()));
        test(&mut Field { cni, lab, one, counters, id: 0 });
    });
}

/// As kube-proxy and many a firewall have it: every packet is tracked, those that a bridge forwards too.
fn track_connections(lab: &Lab, cni: Cni) {
    let node = node(lab);
    node.run(|| {
        if matches!(cni, Cni::Bridge) {
            std::fs::write("/proc/sys/net/bridge/bridge-nf-call-ip6tables", "1").expect("br_netfilter");
        }
        let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().expect("nft");
        let rules = "table inet tracked { chain seen { type filter hook forward priority 0; ct state new counter; }; }";
        nft.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
        assert!(nft.wait().unwrap().success());
    })
    .unwrap();
}

fn node_address(lab: &Lab) -> IpAddr {
    listing(lab)["node"]["ips"][1].as_str().unwrap().parse().unwrap()
}

#[test]
fn a_pods_fragments_are_that_pods() {
    both_forms("refrag-pod", |field| {
        let wire = field.one.wire();
        for (reason, namespace, name) in
            [(DefaultDeny, "b", "two"), (DefaultDeny, "a", "shut"), (ClusterPolicy, "a", "guarded")]
        {
            let to = Inside::new(&field.lab, field.cni, namespace, name);
            let ends = field.one.to(&to, 1);
            field.is_dropped(reason, "a pod's fragments", &wire, &ends, &CUTS, &to);
        }
    });
}

#[test]
fn fragments_from_outside_are_from_outside_whatever_their_sender_says() {
    both_forms("refrag-out", |field| {
        let wire = Wire::open(&outside(&field.lab), "uplink");
        let destination_mac = mac_of(&node(&field.lab), "uplink");
        for source in [EXTERNAL[1].parse().unwrap(), node_address(&field.lab)] {
            let to = Inside::new(&field.lab, field.cni, "a", "shut");
            let ends = Ends { source_mac: [2, 0, 0, 0, 0, 9], destination_mac, source, destination: to.addresses[1] };
            field.is_dropped(DefaultDeny, &format!("fragments from {source}"), &wire, &ends, &ALL_CUTS, &to);
        }
        // Under the receiver's own name: nobody is let in as himself who has not proved it.
        let to = Inside::new(&field.lab, field.cni, "a", "shut");
        let source = to.addresses[1];
        let ends = Ends { source_mac: [2, 0, 0, 0, 0, 9], destination_mac, source, destination: source };
        let receiver = to.wire();
        for fragment in fragments(&ends, UDP, &frames::udp(FROM, TO, &[7; 56]), 99, Cut::OptionsBefore) {
            wire.send(&fragment);
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert_eq!(receiver.came(|bytes| bytes.ends_with(&[7; 16])), 0, "under the receiver's own name");
    });
}

/// A NodePort rewrites the sender to the node's address, which is not the node.
#[test]
fn masqueraded_fragments_are_not_the_nodes() {
    both_forms("refrag-masq", |field| {
        let wire = field.one.wire();
        let to = Inside::new(&field.lab, field.cni, "a", "shut");
        let ends = field.one.out(node_address(&field.lab));
        let receiver = to.wire();
        for cut in CUTS {
            field.counters.restart();
            for _ in 0..TIMES {
                field.id += 1;
                for fragment in fragments(&ends, UDP, &frames::udp(FROM, 30080, &[7; 56]), field.id, cut) {
                    wire.send(&fragment);
                }
            }
            field.is_counted(DefaultDeny, TIMES, &format!("masqueraded {cut:?} ({})", field.cni));
            assert_eq!(receiver.came(|bytes| bytes.ends_with(&[7; 16])), 0, "masqueraded {cut:?} arrived");
        }
    });
}
