//! The order of judgement of CONTRACT.md §3, read off the objects one after the other: slow, and without any of the
//! compiler's ideas.

mod cluster_policy;
mod network_policy;
mod range;
mod said;
mod seen;
mod selector;
mod tenancy;

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;

pub use said::Said;
use seen::Other;
pub use seen::Seen;
use tenancy::{Isolation, Member};

use super::NODE;

/// Where the agents serve.
pub const AGENT_PORT: u16 = 9469;

/// A flow as one of its ends sees it. Its port is the destination's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    pub side: Side,
    /// The other end's address.
    pub address: IpAddr,
    /// The pod's own node made the packet: more than carrying its address.
    pub made_by_node: bool,
    /// The IANA number.
    pub protocol: u8,
    /// 0 where the protocol has none.
    pub port: u16,
}

/// Which end the judged pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Source,
    Destination,
}

impl Side {
    pub const fn direction(self) -> &'static str {
        match self {
            Self::Source => "egress",
            Self::Destination => "ingress",
        }
    }
}

/// A question about a flow at a pod.
struct Case<'a> {
    seen: &'a Seen,
    judged: &'a Pod,
    flow: Flow,
    other: Other<'a>,
}

impl Seen {
    /// What a pod's own node does with a packet that opens a flow. `own` are the addresses behind its veth.
    ///
    /// # Panics
    /// Where an object is not what the API asks for.
    #[must_use]
    pub fn judge(&self, pod: &str, own: &[IpAddr], flow: Flow) -> Said {
        // 0.
        // Fragments that the node makes of others' packets look like its own: only its address tells.
        if own.contains(&flow.address) && !flow.made_by_node {
            return Said::allow("same_pod");
        }
        if flow.made_by_node && self.is_own_node(pod, flow.address) {
            return Said::allow("own_node");
        }
        match self.pod(pod).filter(|pod| self.is_heard_of(pod)) {
            Some(judged) => Case { seen: self, judged, flow, other: self.other(judged, flow.address) }.judge(),
            None => self.judge_unknown(flow),
        }
    }

    /// Of a pod that is not known, or whose namespace is not, nothing is known: everything drops, or passes where
    /// `endpoints.unknown` says so.
    fn judge_unknown(&self, flow: Flow) -> Said {
        let to_own_node = flow.side == Side::Source && self.has(NODE, flow.address);
        let to_agent =
            flow.side == Side::Source && flow.port == AGENT_PORT && self.nodes_at(flow.address).next().is_some();
        match self.config["endpoints"]["unknown"].as_str() {
            Some("allow") if to_agent => Said::by_tenancy("tenant_isolation"),
            _ if to_own_node && to_agent => Said::by_tenancy("tenant_isolation"),
            _ if to_own_node => Said::allow("own_node"),
            Some("allow") => Said::allow("no_policy"),
            _ => Said::drop("not_ready"),
        }
    }
}

impl Case<'_> {
    fn judge(&self) -> Said {
        // 1.
        if let Some(decided) = self.tier("Admin") {
            return decided;
        }
        let own = self.seen.member(self.judged);
        if self.calls_agent() && own.tenant.is_some() {
            if own.isolation != Isolation::Audit {
                return Said::by_tenancy("tenant_isolation");
            }
            return Said { audited: Some("tenant_isolation"), ..self.below(&own) };
        }
        self.below(&own)
    }

    fn below(&self, own: &Member) -> Said {
        if self.is_own_node() {
            return Said::allow("own_node");
        }
        // 2.
        let foreign = self.foreign();
        if let (Isolation::Strict, Some(reason)) = (own.isolation, foreign) {
            return Said::by_tenancy(reason);
        }
        // 3. to 6.
        let ingress = self.flow.side == Side::Destination;
        let shut = foreign.filter(|_| own.isolation == Isolation::Baseline && ingress);
        let said = self
            .network_policies(shut)
            .or_else(|| self.tier("Baseline"))
            .or_else(|| shut.map(Said::by_tenancy))
            .unwrap_or_else(|| Said::allow("no_policy"));
        Said { audited: foreign.filter(|_| own.isolation == Isolation::Audit), ..said }
    }

    /// Going to the pod's own node. Coming from its address proves nothing.
    fn is_own_node(&self) -> bool {
        self.flow.side == Side::Source && matches!(self.other, Other::OwnNode)
    }

    /// Going to the port at which agents serve, at a node.
    fn calls_agent(&self) -> bool {
        let node = matches!(self.other, Other::OwnNode | Other::DistantNode);
        self.flow.side == Side::Source && self.flow.port == AGENT_PORT && node
    }

    /// Why the other end is foreign to the judged pod's tenant: "another tenant" needs two tenants, and a pod that nobody
    /// knows is foreign to every tenant.
    fn foreign(&self) -> Option<&'static str> {
        let own = self.seen.member(self.judged).tenant?;
        match self.other {
            Other::UnknownPod => Some("unknown_endpoint"),
            Other::Pod(other) => {
                let other = self.seen.member(other).tenant.filter(|other| *other != own)?;
                let quarantine = own.is_quarantine() || other.is_quarantine();
                Some(if quarantine { "quarantine" } else { "tenant_isolation" })
            }
            Other::OwnNode | Other::DistantNode | Other::Outside => None,
        }
    }

    /// The drop of a flow that no rule allows.
    fn dropped(&self, reason: &'static str) -> Said {
        Said::drop(if matches!(self.other, Other::UnknownPod) { "unknown_endpoint" } else { reason })
    }

    /// The pod whose containers give a port's name its numbers: the destination, if it is one.
    fn destination(&self) -> Option<&Pod> {
        match (self.flow.side, &self.other) {
            (Side::Destination, _) => Some(self.judged),
            (Side::Source, Other::Pod(pod)) => Some(pod),
            (Side::Source, _) => None,
        }
    }

    /// Whether the destination has this port under a name. `protocol: None`: whichever the flow has.
    fn is_named(&self, name: &str, protocol: Option<&str>) -> bool {
        let Some(spec) = self.destination().and_then(|pod| pod.spec.as_ref()) else { return false };
        // Init containers have ended, unless they are sidecars.
        let sidecars = spec.init_containers.iter().flatten();
        let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
        let mut ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
        ports.any(|port| {
            let own = port.protocol.as_deref().unwrap_or("TCP");
            port.name.as_deref() == Some(name)
                && port.container_port == i32::from(self.flow.port)
                && protocol.is_none_or(|asked| asked == own)
                && self.is_protocol(own)
        })
    }

    fn is_protocol(&self, name: &str) -> bool {
        let number = match name {
            "TCP" => 6,
            "UDP" => 17,
            "SCTP" => 132,
            _ => panic!("{name} is no protocol of the API"),
        };
        self.flow.protocol == number
    }
}
