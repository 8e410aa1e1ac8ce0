//! A world compiled for all of its pods, node by node, ready to be asked.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use common::abi::{AllowReason, Direction, DropReason, Peer, PeerKind, Profile, TenantId};
use common::decide::{Judgement, Question, Verdict, judge};

use super::end::{End, Party, Role};
use super::port::FlowPort;
use super::record::{DirectionRecord, Record, Said};
use crate::compile::{Binding, CompileError, Compiled, Ids, Input, NodeView, compile};
use crate::model::tenants::Finding;
use crate::model::{Config, ObjectRef, Pod, PodKey, World};

/// A reason in [`DirectionRecord`] beside the closed list: the end has no judgement of its own.
const NOT_JUDGED: &str = "not_judged";

/// Every pod of a world is judged as its own node would.
#[derive(Debug)]
pub struct Engine<'a> {
    pub(super) world: &'a World,
    nodes: BTreeMap<&'a str, Compiled>,
    /// The slot of each pod on its node.
    slots: BTreeMap<&'a PodKey, u32>,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskError {
    NoSuchPod(PodKey),
    NoSuchNode(String),
    /// A pod or node without an address.
    NoAddress(String),
    ServicesNotJudged(String),
    /// An address that was called external.
    NotExternal {
        address: IpAddr,
        pod: PodKey,
    },
    /// The two ends share no address family.
    OtherFamily {
        from: String,
        to: String,
    },
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchPod(key) => write!(f, "there is no running pod {key}, name one as NAMESPACE/POD"),
            Self::NoSuchNode(name) => write!(f, "there is no node {name}, name one as node/NAME"),
            Self::NoAddress(name) => write!(f, "{name} has no address, give it one in its status"),
            Self::ServicesNotJudged(name) => {
                write!(f, "{name}: Services are not judged yet, ask about a pod behind it on its target port")
            }
            Self::NotExternal { address, pod } => {
                write!(f, "{address} is pod {pod}'s, which is in the matrix by its name: leave it out of --external")
            }
            Self::OtherFamily { from, to } => {
                write!(f, "{from} and {to} share no address family, ask about addresses of one family")
            }
        }
    }
}

impl std::error::Error for AskError {}

/// One direction's judgement with all that led to it.
pub(super) struct Judged<'e> {
    pub compiled: &'e Compiled,
    pub profile: Profile,
    pub question: Question,
    pub judgement: Judgement,
}

impl<'a> Engine<'a> {
    /// Compiles the world once for each node.
    ///
    /// # Errors
    /// Where the compiler's numbers do not suffice.
    pub fn new(world: &'a World, config: &Config) -> Result<Self, CompileError> {
        let mut engine = Self { world, nodes: BTreeMap::new(), slots: BTreeMap::new() };
        let mut pods: BTreeMap<&str, Vec<(&PodKey, &Pod)>> =
            world.nodes.keys().map(|name| (name.as_str(), Vec::new())).collect();
        for (key, pod) in world.pods.iter().filter(|(_, pod)| !pod.host_network) {
            pods.entry(&pod.node).or_default().push((key, pod));
        }
        for (node, pods) in pods {
            let view = engine.bind(node, &pods);
            let input = Input { world, config, node: &view };
            engine.nodes.insert(node, compile(&input, &Ids::default(), None)?);
        }
        Ok(engine)
    }

    /// What the node would find: an interface for each of its pods. Numbers of interfaces start at 1.
    fn bind(&mut self, node: &str, pods: &[(&'a PodKey, &'a Pod)]) -> NodeView {
        let mut view = NodeView { name: node.to_owned(), ..NodeView::default() };
        for ((key, pod), slot) in pods.iter().zip(0..) {
            self.slots.insert(key, slot);
            view.endpoints.push(Binding {
                slot,
                id: slot + 1,
                ifindex: slot + 1,
                mac: [0; 6],
                addresses: pod.addresses.clone(),
                pod: Some((*key).clone()),
                adopt_until: 0,
                router: false,
            });
        }
        view
    }

    /// What somebody should look at in the marks of tenancy.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        self.nodes.values().next().map_or(&[], |compiled| &compiled.findings)
    }

    /// The name of the tenant that a party's pod belongs to; `None` for the platform and for what is no pod.
    #[must_use]
    pub fn tenant(&self, party: &Party) -> Option<&str> {
        let Role::Pod { node, slot, .. } = &party.role else { return None };
        let compiled = self.nodes.get(node.as_str())?;
        let profile = compiled.desired.tables.profile_of(*slot)?;
        compiled.desired.provenance.tenants.get(&profile.tenant).map(String::as_str)
    }

    /// The parties that an end stands for: one for each of its addresses.
    ///
    /// # Errors
    /// There is no such end, or it is a Service.
    pub fn parties(&self, end: &End) -> Result<Vec<Party>, AskError> {
        let parties = match end {
            End::Pod(key) => {
                let pod = self.world.pods.get(key).ok_or_else(|| AskError::NoSuchPod(key.clone()))?;
                self.pod_parties(key, pod)
            }
            End::Address(address) => vec![self.address_party(*address)],
            End::Node(name) => {
                let node = self.world.nodes.get(name).ok_or_else(|| AskError::NoSuchNode(name.clone()))?;
                let role = Role::Host { node: name.clone() };
                let party = |address: &IpAddr| Party { name: end.to_string(), address: *address, role: role.clone() };
                node.addresses.iter().map(party).collect()
            }
            End::Service { .. } => return Err(AskError::ServicesNotJudged(end.to_string())),
        };
        if parties.is_empty() { Err(AskError::NoAddress(end.to_string())) } else { Ok(parties) }
    }

    /// Every pod's parties, in the order of namespace and name.
    pub(super) fn all_pods(&self) -> Vec<Party> {
        self.world.pods.iter().flat_map(|(key, pod)| self.pod_parties(key, pod)).collect()
    }

    fn pod_parties(&self, key: &PodKey, pod: &Pod) -> Vec<Party> {
        let node = pod.node.clone();
        let role = match self.slots.get(key) {
            Some(&slot) => Role::Pod { key: key.clone(), node, slot },
            None => Role::Host { node },
        };
        let party = |address: &IpAddr| Party { name: key.to_string(), address: *address, role: role.clone() };
        pod.addresses.iter().map(party).collect()
    }

    /// An address is the pod or the node that has it.
    fn address_party(&self, address: IpAddr) -> Party {
        let has = |pod: &Pod| !pod.host_network && pod.addresses.contains(&address);
        if let Some((key, pod)) = self.world.pods.iter().find(|(_, pod)| has(pod)) {
            let found = self.pod_parties(key, pod).into_iter().find(|party| party.address == address);
            if let Some(party) = found {
                return party;
            }
        }
        let node = self.world.nodes.values().find(|node| node.addresses.contains(&address));
        let role = node.map_or(Role::Outside, |node| Role::Host { node: node.name.clone() });
        Party { name: address.to_string(), address, role }
    }

    /// The verdict on a flow. Both parties have addresses of one family.
    #[must_use]
    pub fn ask(&self, from: &Party, to: &Party, port: FlowPort) -> Record {
        let egress = self.direction(Direction::Egress, from, to, port);
        let ingress = self.direction(Direction::Ingress, from, to, port);
        let drops = [&egress, &ingress].into_iter().any(|direction| direction.verdict == Said::Drop);
        Record {
            from: from.name.clone(),
            from_ip: from.address,
            to: to.name.clone(),
            to_ip: to.address,
            protocol: port.protocol(),
            port: port.port(),
            verdict: if drops { Said::Drop } else { Said::Allow },
            audited: egress.audited.or(ingress.audited),
            egress,
            ingress,
        }
    }

    fn direction(&self, direction: Direction, from: &Party, to: &Party, port: FlowPort) -> DirectionRecord {
        if is_self(from, to) {
            return DirectionRecord::allowed(AllowReason::SamePod.name());
        }
        match self.judge(direction, from, to, port) {
            Some(judged) => judged.record(),
            None => DirectionRecord::allowed(NOT_JUDGED),
        }
    }

    /// Asks the compiled rules. `None` where the judged end is no pod.
    pub(super) fn judge(&self, direction: Direction, from: &Party, to: &Party, port: FlowPort) -> Option<Judged<'_>> {
        let (judged, other) = match direction {
            Direction::Egress => (from, to),
            Direction::Ingress => (to, from),
        };
        let Role::Pod { node, slot, .. } = &judged.role else { return None };
        let compiled = self.nodes.get(node.as_str())?;
        let tables = &compiled.desired.tables;
        // A profile that should be there and is not drops, as in the kernel.
        let profile = tables.profile_of(*slot).copied().unwrap_or_default();
        let peer = match &other.role {
            Role::Host { node: host } if host == node => {
                Peer::new(PeerKind::OwnNode, 0, tables.peer_of(other.address).class(), TenantId::PLATFORM)
            }
            Role::Pod { .. } | Role::Host { .. } | Role::Outside => tables.peer_of(other.address),
        };
        let question = Question { direction, peer, port: port.key(to.address) };
        let judgement = judge(tables, &profile, question);
        Some(Judged { compiled, profile, question, judgement })
    }
}

/// A pod's flows to itself; a pod on the node's network is its node and not judged.
pub(super) fn is_self(from: &Party, to: &Party) -> bool {
    from.pod().is_some() && from.pod() == to.pod()
}

impl Judged<'_> {
    pub fn record(&self) -> DirectionRecord {
        let (verdict, reason) = match self.judgement.verdict {
            Verdict::Allow(reason) => (Said::Allow, reason.name()),
            Verdict::Drop(reason) => (Said::Drop, reason.name()),
        };
        let audited = self.judgement.audited.map(DropReason::name);
        DirectionRecord { verdict, reason, rules: self.rules(), audited }
    }

    /// What decided: rules by their number, tenancy by the judged pod's tenant.
    fn rules(&self) -> Vec<String> {
        if self.judgement.rule != 0 {
            return self.named(self.judgement.rule);
        }
        let by_tenancy = matches!(
            self.judgement.verdict,
            Verdict::Drop(DropReason::TenantIsolation | DropReason::Quarantine | DropReason::UnknownEndpoint)
        );
        if by_tenancy { self.tenancy().into_iter().collect() } else { Vec::new() }
    }

    /// What the compiler's number for a decision stands for.
    pub fn named(&self, rule: u32) -> Vec<String> {
        let names = self.compiled.desired.provenance.rules.get(&rule);
        names.into_iter().flatten().map(ToString::to_string).collect()
    }

    /// The name of the judged pod's tenant; `None` for the platform.
    pub fn tenant(&self) -> Option<&str> {
        self.compiled.desired.provenance.tenants.get(&self.profile.tenant).map(String::as_str)
    }

    pub fn tenancy(&self) -> Option<String> {
        let tenant = self.tenant()?.to_owned();
        Some(ObjectRef::Tenancy { tenant }.to_string())
    }
}
