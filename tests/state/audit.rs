//! One tenant under audit beside others that are enforced: its packets pass, what would have dropped is counted and told
//! exactly, and the day that it is enforced its live flows end.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::thread::sleep;
use std::time::Duration;

use agent::events::EventReader;
use agent::kernel::{MapCapacities, Maps};
use agent::lab::{Cni, Lab};
use common::abi::Direction::{self, Egress, Ingress};
use common::abi::DropReason::{self, Revoked, TenantIsolation};
use common::abi::{Event, TenantId};
use tests::inside::Inside;
use tests::lab::{Tried, manifests};
use tests::live::PATIENCE;

/// `red` is under audit, `blue` and `green` are as configured and off.
fn world(red: &str) -> String {
    let tenant = |name: &str, mode: &str| {
        let annotations = if mode.is_empty() { String::new() } else { format!("bulkhead.dev/isolation: '{mode}'") };
        format!(
            "
{{apiVersion: capsule.clastix.io/v1beta2, kind: Tenant, metadata: {{name: {name}, annotations: {{{annotations}}}}}}}
---
{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {{capsule.clastix.io/tenant: {name}}}}}}}
---
{{apiVersion: v1, kind: Pod, metadata: {{name: pod, namespace: {name}}}}}
---"
        )
    };
    [tenant("red", red), tenant("blue", ""), tenant("green", "off")].concat()
}

/// Packets by direction, reason, whether they passed, and the tenants of source and destination.
type Counted = BTreeMap<(Direction, DropReason, bool, TenantId, TenantId), u64>;

struct Field {
    cni: Cni,
    lab: Lab,
    maps: Maps,
    events: EventReader,
    before: Counted,
}

impl Field {
    fn pod(&self, tenant: &str) -> Inside {
        Inside::new(&self.lab, self.cni, tenant, "pod")
    }

    fn count(&self) -> Counted {
        let rows = self.maps.drops().unwrap().into_iter();
        let row = |(key, traffic): (common::abi::DropKey, common::abi::Traffic)| {
            let key = (key.direction(), key.reason().unwrap(), key.is_audited(), key.source(), key.destination());
            (key, traffic.packets)
        };
        rows.map(row).collect()
    }

    /// What was counted since the last call: whether each passed, and how often. Events say the same, one by one.
    fn since(&mut self, what: &str) -> BTreeMap<(Direction, DropReason, bool), u64> {
        sleep(Duration::from_millis(50));
        let now = self.count();
        let mut counted = BTreeMap::new();
        for (key, packets) in &now {
            let (direction, reason, audited, source, destination) = *key;
            let more = packets - self.before.get(key).copied().unwrap_or_default();
            if more > 0 {
                assert!(source.0 != 0 && destination.0 != 0 && source != destination, "{what}: two tenants are named");
                *counted.entry((direction, reason, audited)).or_insert(0) += more;
            }
        }
        self.before = now;
        let mut told = BTreeMap::new();
        for Event { direction, reason, audited, .. } in self.events.next_batch().unwrap() {
            let direction = if direction == Egress as u8 { Egress } else { Ingress };
            *told.entry((direction, DropReason::from_number(reason).unwrap(), audited == 1)).or_insert(0) += 1;
        }
        assert_eq!(told, counted, "{what} ({}): events and counters", self.cni);
        counted
    }
}

/// Sends datagrams, each from a port of its own; how many arrive.
fn send(from: &Inside, to: &Inside, family: usize, flows: usize) -> usize {
    let receiver = to.run(|| UdpSocket::bind((to.addresses[family], 5300)).unwrap());
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    for _ in 0..flows {
        sender(from, family).send_to(b"?", (to.addresses[family], 5300)).unwrap();
    }
    (0..flows).take_while(|_| receiver.recv(&mut [0; 8]).is_ok()).count()
}

fn sender(pod: &Inside, family: usize) -> UdpSocket {
    pod.run(|| UdpSocket::bind((pod.addresses[family], 0)).unwrap())
}

fn both_forms(name: &str, test: impl Fn(&mut Field, usize)) {
    for cni in [Cni::Ptp, Cni::Bridge] {
        for family in [0, 1] {
            let tried = Tried::new(&format!("{name}-{cni}-{family}"));
            let lab = tried.up(manifests(&world("audit")), &Tried::options(cni));
            let pins = lab.name().pins().unwrap();
            let maps = Maps::open(&pins, &MapCapacities::default()).unwrap();
            let events = EventReader::open(&pins).unwrap();
            let mut field = Field { cni, lab, maps, events, before: Counted::new() };
            field.since("coming up");
            test(&mut field, family);
        }
    }
}

#[test]
fn an_audited_tenant_is_counted_flow_by_flow_while_another_is_enforced() {
    both_forms("audited", |field, family| {
        let [red, blue, green] = ["red", "blue", "green"].map(|tenant| field.pod(tenant));
        assert_eq!(send(&blue, &red, family, 5), 5, "what comes to the audited tenant passes");
        assert_eq!(field.since("in"), [((Ingress, TenantIsolation, true), 5)].into());
        assert_eq!(send(&red, &green, family, 4), 4, "and what it sends");
        assert_eq!(field.since("out"), [((Egress, TenantIsolation, true), 4)].into());
        assert_eq!(send(&green, &blue, family, 3), 0, "the other one is enforced");
        assert_eq!(field.since("enforced"), [((Ingress, TenantIsolation, false), 3)].into());
        println!("{} family {family}: 9 flows counted under audit and passed, 3 dropped", field.cni);
    });
}

#[test]
fn a_flow_is_counted_once_and_cut_when_its_tenant_is_enforced() {
    both_forms("cut", |field, family| {
        let [red, blue] = ["red", "blue"].map(|tenant| field.pod(tenant));
        let receiver = red.run(|| UdpSocket::bind((red.addresses[family], 5300)).unwrap());
        receiver.set_read_timeout(Some(PATIENCE)).unwrap();
        let sender = sender(&blue, family);
        let ask = || {
            sender.send_to(b"?", (red.addresses[family], 5300)).unwrap();
            receiver.recv(&mut [0; 8]).is_ok()
        };
        assert!((0..7).all(|_| ask()), "seven packets of one flow");
        assert_eq!(field.since("one flow"), [((Ingress, TenantIsolation, true), 1)].into());
        field.lab.apply(manifests(&world("strict"))).unwrap();
        field.since("the change");
        assert!(!ask(), "it is enforced now");
        assert_eq!(field.since("the cut"), [((Ingress, Revoked, false), 1)].into());
    });
}
