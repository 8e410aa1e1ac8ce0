//! From the numbers in an event to names.

use std::collections::HashMap;
use std::net::IpAddr;

use anyhow::{Context, Result};
use common::abi::{Direction, DropReason, Event, Peer, PeerKind, PortKey, ServiceKey, TenantId};
use common::decide::{Question, Verdict, judge};
use jiff::{SignedDuration, Timestamp};
use policy::compile::{Desired, NodeView};
use policy::model::{ObjectRef, PodKey, World};

use super::record::{DropRecord, End};
use crate::kernel::boot_time;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_ARP: u16 = 0x0806;

/// Who owns which address and which number, at one moment. Make a new one when the world has changed.
#[derive(Debug)]
pub struct Directory<'a> {
    desired: &'a Desired,
    pods: HashMap<IpAddr, &'a PodKey>,
    endpoints: HashMap<u32, &'a PodKey>,
    /// Slots of this node's pods.
    slots: HashMap<&'a PodKey, u32>,
    boot: Timestamp,
}

impl<'a> Directory<'a> {
    /// # Errors
    /// The clock cannot be read.
    pub fn new(world: &'a World, node: &'a NodeView, desired: &'a Desired) -> Result<Self> {
        let pods = world.pods.iter().filter(|(_, pod)| !pod.host_network);
        let pods = pods.flat_map(|(key, pod)| pod.addresses.iter().map(move |&ip| (ip, key))).collect();
        let bound = || node.endpoints.iter().filter_map(|binding| Some((binding, binding.pod.as_ref()?)));
        let endpoints = bound().map(|(binding, pod)| (binding.id, pod)).collect();
        let slots = bound().map(|(binding, pod)| (pod, binding.slot)).collect();
        Ok(Self { desired, pods, endpoints, slots, boot: boot_time()? })
    }

    /// Says in names what an event says in numbers.
    ///
    /// # Errors
    /// A number that this version does not know.
    pub fn enrich(&self, event: &Event) -> Result<DropRecord> {
        let reason = DropReason::from_number(event.reason)
            .with_context(|| format!("an event has the unknown reason {}", event.reason))?;
        let direction = self::direction(event.direction)?;
        let hook = self::direction(event.hook)?;
        let (reason, rule) = if direction == hook { (reason, event.rule) } else { self.refusal(event, reason) };
        let elapsed = SignedDuration::from_nanos(i64::try_from(event.time).context("an event from far ahead")?);
        Ok(DropRecord {
            time: self.boot.checked_add(elapsed).context("an event from far ahead")?,
            verdict: if event.audited == 0 { "drop" } else { "allow" },
            direction: direction.name(),
            reason: reason.name(),
            source: self.source(event, hook, reason),
            destination: self.destination(event, hook),
            protocol: protocol(event),
            rules: self.rules(event, direction, reason, rule),
            audited: (event.audited != 0).then_some(reason.name()),
        })
    }

    /// What the receiver would have said, where it is a pod of this node: the sender carried out that it is refused, and
    /// knows no more about it.
    fn refusal(&self, event: &Event, reason: DropReason) -> (DropReason, u32) {
        let tables = &self.desired.tables;
        let slot = self.pods.get(&IpAddr::from(event.destination)).and_then(|pod| self.slots.get(pod));
        let Some(profile) = slot.and_then(|slot| tables.profile_of(*slot)) else { return (reason, event.rule) };
        let port = if has_ports(event.protocol) { event.destination_port } else { 0 };
        let peer = tables.peer_of(IpAddr::from(event.source));
        let question = Question::new(Direction::Ingress, peer, PortKey::new(event.protocol, port));
        let judgement = judge(tables, profile, question);
        match judgement.verdict {
            Verdict::Drop(reason) => (reason, judgement.rule),
            // The world is not the one any more that the packet was judged in.
            Verdict::Allow(_) => (reason, event.rule),
        }
    }

    fn source(&self, event: &Event, hook: Direction, reason: DropReason) -> End {
        let ip = is_ip(event).then(|| IpAddr::from(event.source));
        let local = matches!(hook, Direction::Egress);
        let doubtful = ip.is_none() || reason == DropReason::SpoofedSource;
        End {
            pod: self.pod(ip, local.then_some(event.endpoint)),
            tenant: self.tenant(event.source_tenant),
            mac: doubtful.then(|| mac(event.source_mac)),
            port: has_ports(event.protocol).then_some(event.source_port),
            ip,
        }
    }

    fn destination(&self, event: &Event, hook: Direction) -> End {
        let ip = is_ip(event).then(|| IpAddr::from(event.destination));
        let local = matches!(hook, Direction::Ingress);
        End {
            pod: self.pod(ip, local.then_some(event.endpoint)),
            tenant: self.tenant(event.destination_tenant),
            mac: None,
            port: has_ports(event.protocol).then_some(event.destination_port),
            ip,
        }
    }

    /// The pod behind the veth where that is known: an address may be borrowed.
    fn pod(&self, ip: Option<IpAddr>, endpoint: Option<u32>) -> Option<String> {
        let pod = match endpoint {
            Some(endpoint) => self.endpoints.get(&endpoint),
            None => self.pods.get(&ip?),
        };
        pod.map(|key| key.to_string())
    }

    fn tenant(&self, tenant: TenantId) -> Option<String> {
        if tenant == TenantId::PLATFORM {
            return None;
        }
        Some(self.desired.provenance.tenants.get(&tenant).cloned().unwrap_or_else(|| format!("#{}", tenant.0)))
    }

    /// The Services, and pods with host ports, that were called.
    fn services(&self, event: &Event) -> &[ObjectRef] {
        let (port, services) =
            (PortKey::new(event.protocol, event.destination_port), &self.desired.provenance.services);
        let at = services.get(&ServiceKey { address: event.destination, port });
        let v4 = event.destination.is_v4();
        let at_any = |peer: &Peer| match peer.kind() {
            PeerKind::Pod | PeerKind::LocalPod => services.get(&ServiceKey::of_claimed_pods(v4, port)),
            _ => services.get(&ServiceKey::of_nodes(v4, port)),
        };
        let at_any = || self.desired.tables.peers.get(&event.destination).and_then(at_any);
        at.or_else(at_any).map_or(&[], Vec::as_slice)
    }

    fn rules(&self, event: &Event, direction: Direction, reason: DropReason, rule: u32) -> Vec<String> {
        if reason == DropReason::ServiceUndecided {
            return self.services(event).iter().map(ObjectRef::to_string).collect();
        }
        let tenancy = matches!(reason, DropReason::TenantIsolation | DropReason::Quarantine);
        let judged = match direction {
            Direction::Egress => event.source_tenant,
            Direction::Ingress => event.destination_tenant,
        };
        if let (true, Some(tenant)) = (tenancy, self.tenant(judged)) {
            return vec![ObjectRef::Tenancy { tenant }.to_string()];
        }
        let rules = self.desired.provenance.rules.get(&rule);
        rules.into_iter().flatten().map(ObjectRef::to_string).collect()
    }
}

fn direction(number: u8) -> Result<Direction> {
    let found = Direction::ALL.into_iter().find(|&direction| direction as u8 == number);
    found.with_context(|| format!("an event has the unknown direction {number}"))
}

const fn is_ip(event: &Event) -> bool {
    matches!(event.ether_type, ETHERTYPE_IPV4 | ETHERTYPE_IPV6)
}

fn has_ports(protocol: u8) -> bool {
    protocol_name(protocol).is_some_and(|(_, ports)| ports)
}

fn protocol(event: &Event) -> String {
    match event.ether_type {
        ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => protocol_name(event.protocol)
            .map_or_else(|| format!("IP protocol {}", event.protocol), |(name, _)| name.to_owned()),
        ETHERTYPE_ARP => "ARP".to_owned(),
        other => format!("EtherType 0x{other:04x}"),
    }
}

/// By IANA number, and whether it has ports.
const fn protocol_name(protocol: u8) -> Option<(&'static str, bool)> {
    Some(match protocol {
        1 => ("ICMP", false),
        4 => ("IP-in-IP", false),
        6 => ("TCP", true),
        17 => ("UDP", true),
        41 => ("IPv6-in-IP", false),
        47 => ("GRE", false),
        58 => ("ICMPv6", false),
        132 => ("SCTP", true),
        _ => return None,
    })
}

fn mac(bytes: [u8; 6]) -> String {
    let [a, b, c, d, e, f] = bytes;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use common::abi::Address;
    use policy::compile::{Binding, Provenance};
    use policy::model::Pod;

    use super::*;

    struct Scene {
        world: World,
        node: NodeView,
        desired: Desired,
    }

    fn key(namespace: &str, name: &str) -> PodKey {
        PodKey { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// Pods x/a (10.244.0.5, endpoint 7, tenant green) and y/b (10.244.0.9, tenant blue) and a policy with number 3.
    fn scene() -> Scene {
        let pod = |namespace: &str, name: &str, ip: [u8; 4]| {
            let pod =
                Pod { namespace: namespace.into(), name: name.into(), addresses: vec![ip.into()], ..Pod::default() };
            (pod.key(), pod)
        };
        let binding = Binding {
            slot: 0,
            id: 7,
            ifindex: 12,
            mac: [2, 0, 0, 0, 0, 5],
            addresses: vec![[10, 244, 0, 5].into()],
            pod: Some(key("x", "a")),
            adopt_until: 0,
        };
        let policy = ObjectRef::NetworkPolicy { namespace: "x".into(), name: "deny-all".into(), rule: None };
        Scene {
            world: World {
                pods: BTreeMap::from([pod("x", "a", [10, 244, 0, 5]), pod("y", "b", [10, 244, 0, 9])]),
                ..World::default()
            },
            node: NodeView { endpoints: vec![binding], ..NodeView::default() },
            desired: Desired {
                provenance: Provenance {
                    rules: BTreeMap::from([(3, vec![policy])]),
                    tenants: BTreeMap::from([(TenantId(1), "green".to_owned()), (TenantId(2), "blue".to_owned())]),
                    ..Provenance::default()
                },
                ..Desired::default()
            },
        }
    }

    fn event() -> Event {
        Event {
            time: 5_000_000_000,
            source: Address::v4([10, 244, 0, 5]),
            destination: Address::v4([10, 244, 0, 9]),
            endpoint: 7,
            rule: 3,
            source_tenant: TenantId(1),
            destination_tenant: TenantId(2),
            length: 74,
            source_mac: [2, 0, 0, 0, 0, 0xff],
            source_port: 43122,
            destination_port: 80,
            ether_type: 0x0800,
            protocol: 6,
            direction: Direction::Egress as u8,
            reason: DropReason::DefaultDeny as u8,
            audited: 0,
            hook: Direction::Egress as u8,
            _zero: [0; 3],
        }
    }

    fn line(event: &Event) -> String {
        let scene = scene();
        let directory = Directory::new(&scene.world, &scene.node, &scene.desired).expect("a clock");
        directory.enrich(event).expect("a known event").to_string()
    }

    #[test]
    fn a_default_deny_names_both_pods_and_the_policy() {
        assert_eq!(
            line(&event()),
            "drop TCP x/a 10.244.0.5:43122 [green] -> y/b 10.244.0.9:80 [blue]: default_deny (egress) \
             by networkpolicy/x/deny-all"
        );
    }

    #[test]
    fn tenancy_names_the_tenant_of_the_judged_pod() {
        let egress = Event { reason: DropReason::TenantIsolation as u8, rule: 0, ..event() };
        assert!(line(&egress).ends_with("tenant_isolation (egress) by tenancy/green"), "{}", line(&egress));
        let ingress =
            Event { direction: Direction::Ingress as u8, hook: Direction::Ingress as u8, audited: 1, ..egress };
        assert!(line(&ingress).starts_with("would drop "), "{}", line(&ingress));
        assert!(line(&ingress).ends_with("by tenancy/blue"), "{}", line(&ingress));
        let refused = Event { direction: Direction::Ingress as u8, ..egress };
        assert!(line(&refused).starts_with("drop TCP x/a "), "at the sender's veth: {}", line(&refused));
        assert!(line(&refused).ends_with("tenant_isolation (ingress) by tenancy/blue"), "{}", line(&refused));
    }

    #[test]
    fn a_borrowed_address_is_shown_beside_the_pod_that_used_it() {
        let spoofed = Event {
            reason: DropReason::SpoofedSource as u8,
            source: Address::v4([10, 244, 0, 9]),
            source_tenant: TenantId(1),
            rule: 0,
            ..event()
        };
        assert!(line(&spoofed).starts_with("drop TCP x/a 10.244.0.9:43122 02:00:00:00:00:ff [green] -> "));
    }

    #[test]
    fn what_is_not_ip_has_no_addresses() {
        let arp =
            Event { ether_type: 0x0806, protocol: 0, reason: DropReason::SpoofedSource as u8, rule: 0, ..event() };
        assert_eq!(line(&arp), "drop ARP x/a 02:00:00:00:00:ff [green] -> somebody [blue]: spoofed_source (egress)");
    }

    #[test]
    fn the_record_as_json() {
        let scene = scene();
        let directory = Directory::new(&scene.world, &scene.node, &scene.desired).expect("a clock");
        let mut json = serde_json::to_value(directory.enrich(&event()).expect("a known event")).expect("JSON");
        assert!(json["time"].take().is_string(), "RFC 3339");
        let expected = serde_json::json!({
            "time": null, "verdict": "drop", "direction": "egress", "reason": "default_deny",
            "source": {"ip": "10.244.0.5", "port": 43122, "pod": "x/a", "tenant": "green"},
            "destination": {"ip": "10.244.0.9", "port": 80, "pod": "y/b", "tenant": "blue"},
            "protocol": "TCP", "rules": ["networkpolicy/x/deny-all"]
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn numbers_that_nobody_gave_out_are_errors() {
        let scene = scene();
        let directory = Directory::new(&scene.world, &scene.node, &scene.desired).expect("a clock");
        directory.enrich(&Event { reason: 99, ..event() }).expect_err("no such reason");
        directory.enrich(&Event { direction: 2, ..event() }).expect_err("no such direction");
    }
}
