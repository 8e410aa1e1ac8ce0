//! What a flow is sent to: a protocol and a port, and which of them are worth asking about.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use common::abi::PortKey;

use crate::model::{Port, Protocol, World};

/// A transport protocol and destination port, or ICMP, which has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FlowPort {
    Transport(Protocol, u16),
    Icmp,
}

impl FlowPort {
    const ICMP: u8 = 1;
    const ICMP_V6: u8 = 58;

    /// As Kubernetes writes it.
    #[must_use]
    pub const fn protocol(self) -> &'static str {
        match self {
            Self::Transport(protocol, _) => protocol.name(),
            Self::Icmp => "ICMP",
        }
    }

    /// 0 for ICMP.
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Transport(_, port) => port,
            Self::Icmp => 0,
        }
    }

    /// As the rules know it, in a flow to that address.
    pub(super) const fn key(self, to: IpAddr) -> PortKey {
        match (self, to) {
            (Self::Transport(protocol, port), _) => PortKey::new(protocol.number(), port),
            (Self::Icmp, IpAddr::V4(_)) => PortKey::new(Self::ICMP, 0),
            (Self::Icmp, IpAddr::V6(_)) => PortKey::new(Self::ICMP_V6, 0),
        }
    }

    /// Every port that a container declares or a policy names (of a range both ends), and of TCP, and of each
    /// protocol that a policy names without a port, one that none does.
    #[must_use]
    pub fn mentioned(world: &World) -> Vec<Self> {
        let mut ports: BTreeSet<Self> = BTreeSet::new();
        let mut whole = BTreeSet::from([Protocol::Tcp]);
        for port in world.pods.values().flat_map(|pod| &pod.ports) {
            ports.insert(Self::Transport(port.protocol, port.port));
        }
        for port in ports_of_policies(world) {
            match port {
                Port::Range(protocol, first, last) => {
                    ports.extend([Self::Transport(*protocol, *first), Self::Transport(*protocol, *last)]);
                }
                Port::All(protocol) => {
                    whole.insert(*protocol);
                }
                // A name stands for a port that some container declares.
                Port::Named(..) => {}
            }
        }
        let unmentioned: Vec<Self> =
            whole.into_iter().filter_map(|protocol| unmentioned(world, &ports, protocol)).collect();
        ports.extend(unmentioned);
        ports.into_iter().collect()
    }
}

fn ports_of_policies(world: &World) -> impl Iterator<Item = &Port> {
    let own = world.network_policies.values().flat_map(|policy| policy.ingress.iter().chain(&policy.egress).flatten());
    let cluster = world.cluster_network_policies.values();
    let cluster = cluster.flat_map(|policy| policy.ingress.iter().chain(&policy.egress));
    own.flat_map(|rule| &rule.ports).chain(cluster.flat_map(|rule| &rule.ports))
}

/// A port that no container declares and that lies in no policy's range. `None` where there is none.
fn unmentioned(world: &World, declared: &BTreeSet<FlowPort>, protocol: Protocol) -> Option<FlowPort> {
    let ranges: Vec<(u16, u16)> = ports_of_policies(world)
        .filter_map(|port| match port {
            Port::Range(other, first, last) if *other == protocol => Some((*first, *last)),
            Port::Range(..) | Port::All(_) | Port::Named(..) => None,
        })
        .collect();
    let is_free = |port: &u16| !ranges.iter().any(|(first, last)| (first..=last).contains(&port));
    (9999..=u16::MAX)
        .chain(1..9999)
        .filter(is_free)
        .map(|port| FlowPort::Transport(protocol, port))
        .find(|port| !declared.contains(port))
}

/// As it is written on the command line: `tcp/80`, `icmp`.
impl fmt::Display for FlowPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(protocol, port) => write!(f, "{}/{port}", protocol.name().to_ascii_lowercase()),
            Self::Icmp => f.write_str("icmp"),
        }
    }
}

impl FromStr for FlowPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || format!("`{text}` is no port, write it like tcp/80, udp/53, sctp/7777 or icmp");
        if text.eq_ignore_ascii_case("icmp") {
            return Ok(Self::Icmp);
        }
        let (name, port) = text.split_once('/').ok_or_else(unknown)?;
        let protocol = Protocol::ALL.into_iter().find(|protocol| protocol.name().eq_ignore_ascii_case(name));
        let port: u16 = port.parse().map_err(|_| unknown())?;
        protocol.filter(|_| port != 0).map(|protocol| Self::Transport(protocol, port)).ok_or_else(unknown)
    }
}
