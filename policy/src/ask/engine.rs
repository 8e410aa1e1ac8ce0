//! A world compiled for all of its pods, ready to be asked.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use common::abi::{AdminVerdict, Direction, DropReason, LowerVerdict, Peer, PeerKind, Profile, TenantId};
use common::decide::{Judgement, Question, Said as Rules, Verdict, consult, judge};

use super::end::{End, Party, Role};
use super::lookup::Lookup;
use super::port::FlowPort;
use super::record::{Answer, DirectionRecord, Record, Said};
use crate::compile::{Binding, Budget, CompileError, Compiled, Excess, Ids, Input, NodeView, compile_within};
use crate::model::tenants::Finding;
use crate::model::{Config, ObjectRef, Pod, PodKey, World};

/// Every pod of a world is judged as its own node would. The world is compiled once, for a node that has every pod and
/// no address: what a pod's own node is to it, it is asked for by name.
#[derive(Debug)]
pub struct Engine<'a> {
    pub(super) world: &'a World,
    pub(super) compiled: Compiled,
    lookup: Lookup,
    slots: BTreeMap<&'a PodKey, u32>,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskError {
    NoSuchPod(PodKey),
    NoSuchNode(String),
    /// A pod or node without an address.
    NoAddress(String),
    NoSuchService(String),
    /// A Service, or a port of it, that has no address, or none of the caller's family.
    NotCalled(String),
    /// A Service in the place of who calls, or in a matrix.
    CallsNobody(String),
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
            Self::NoSuchService(name) => write!(f, "there is no {name}, name one as svc/NAMESPACE/NAME"),
            Self::NotCalled(name) => {
                write!(f, "{name} has no such port or no address of the caller's family: ask about a pod behind it")
            }
            Self::CallsNobody(name) => {
                write!(f, "{name}: a Service is called and calls nobody, explain answers about it as the second end")
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
    /// Compiles the world.
    ///
    /// # Errors
    /// Where the compiler's numbers do not suffice.
    pub fn new(world: &'a World, config: &Config) -> Result<Self, CompileError> {
        Self::within(world, config, &Budget::UNLIMITED)
    }

    /// The same for a node that has every pod and no more room than this.
    ///
    /// # Errors
    /// Where the compiler's numbers do not suffice.
    pub fn within(world: &'a World, config: &Config, budget: &Budget) -> Result<Self, CompileError> {
        let pods = world.pods.iter().filter(|(_, pod)| !pod.host_network);
        let slots: BTreeMap<&PodKey, u32> = pods.map(|(key, _)| key).zip(0..).collect();
        let node =
            NodeView { endpoints: slots.iter().map(|(key, slot)| bind(key, *slot)).collect(), ..NodeView::default() };
        let compiled = compile_within(&Input { world, config, node: &node }, &Ids::default(), None, budget)?;
        let lookup = Lookup::of(&compiled.desired.tables);
        Ok(Self { world, compiled, lookup, slots })
    }

    /// What somebody should look at in the marks of tenancy.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.compiled.findings
    }

    /// Namespaces whose NetworkPolicies ask for too much.
    #[must_use]
    pub fn excesses(&self) -> &[Excess] {
        &self.compiled.excesses
    }

    /// The name of the tenant that a party's pod belongs to; `None` for the platform and for what is no pod.
    #[must_use]
    pub fn tenant(&self, party: &Party) -> Option<&str> {
        let Role::Pod { slot, .. } = &party.role else { return None };
        let profile = self.compiled.desired.tables.profile_of(*slot)?;
        self.compiled.desired.provenance.tenants.get(&profile.tenant).map(String::as_str)
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
                self.parties_at(&node.addresses, &end.to_string(), &role)
            }
            End::Service { .. } => return Err(AskError::CallsNobody(end.to_string())),
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
        self.parties_at(&pod.addresses, &key.to_string(), &role)
    }

    fn parties_at(&self, addresses: &[IpAddr], name: &str, role: &Role) -> Vec<Party> {
        let name: Arc<str> = name.into();
        let party = |address: &IpAddr| self.party(&name, *address, role.clone());
        addresses.iter().map(party).collect()
    }

    fn party(&self, name: &Arc<str>, address: IpAddr, role: Role) -> Party {
        let peer = self.compiled.desired.tables.peer_of(address);
        Party { name: Arc::clone(name), address, role, peer }
    }

    /// An address is the pod or the node that has it.
    pub(super) fn address_party(&self, address: IpAddr) -> Party {
        let has = |pod: &Pod| !pod.host_network && pod.addresses.contains(&address);
        if let Some((key, pod)) = self.world.pods.iter().find(|(_, pod)| has(pod)) {
            let found = self.pod_parties(key, pod).into_iter().find(|party| party.address == address);
            if let Some(party) = found {
                return party;
            }
        }
        let node = self.world.nodes.values().find(|node| node.addresses.contains(&address));
        let role = node.map_or(Role::Outside, |node| Role::Host { node: node.name.clone() });
        self.party(&address.to_string().into(), address, role)
    }

    /// The verdict on a flow. Both parties have addresses of one family.
    #[must_use]
    pub fn ask(&self, from: &Party, to: &Party, port: FlowPort) -> Record {
        let [egress, ingress] = Direction::ALL.map(|direction| Arc::new(self.direction(direction, from, to, port)));
        Answer::of(egress, ingress).about(from, to, port)
    }

    fn direction(&self, direction: Direction, from: &Party, to: &Party, port: FlowPort) -> DirectionRecord {
        if is_self(from, to) {
            return DirectionRecord::to_itself();
        }
        self.judge(direction, from, to, port).map_or_else(DirectionRecord::not_judged, |judged| judged.record())
    }

    /// Asks the compiled rules. `None` where the judged end is no pod.
    pub(super) fn judge(&self, direction: Direction, from: &Party, to: &Party, port: FlowPort) -> Option<Judged<'_>> {
        let (judged, other) = match direction {
            Direction::Egress => (from, to),
            Direction::Ingress => (to, from),
        };
        let Role::Pod { node, slot, .. } = &judged.role else { return None };
        // A profile that should be there and is not drops, as in the kernel.
        let profile = self.compiled.desired.tables.profile_of(*slot).copied().unwrap_or_default();
        let peer = match &other.role {
            Role::Host { node: host } if host == node => {
                Peer::new(PeerKind::OwnNode, 0, other.peer.class(), TenantId::PLATFORM)
            }
            Role::Pod { .. } | Role::Host { .. } | Role::Outside => other.peer,
        };
        let question = Question::new(direction, peer, port.key(to.address));
        let judgement = judge(&self.lookup, &profile, question);
        Some(Judged { compiled: &self.compiled, profile, question, judgement })
    }

    /// The number of what is published for a pod.
    pub(super) fn profile_index(&self, slot: u32) -> Option<u32> {
        let endpoint = self.compiled.desired.tables.endpoints.get(&slot)?;
        u32::try_from(endpoint.profile).ok()
    }
}

/// An endpoint of the node that has them all. It claims no address: of two pods with one address neither has it.
fn bind(pod: &PodKey, slot: u32) -> Binding {
    Binding {
        slot,
        id: slot + 1,
        ifindex: slot + 1,
        mac: [0; 6],
        addresses: Vec::new(),
        pod: Some(pod.clone()),
        adopt_until: 0,
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

    /// What NetworkPolicies and the Baseline tier say; `None` where a compiled record that should be there is not.
    pub fn lower(&self) -> Option<LowerVerdict> {
        self.said().map(|said| said.lower.lower_verdict())
    }

    /// True where the Admin tier accepts or denies.
    pub fn admin_decides(&self) -> bool {
        self.said().is_some_and(|said| said.admin.admin_verdict() != AdminVerdict::Pass)
    }

    /// What the rules say, tier by tier.
    pub fn said(&self) -> Option<Rules> {
        let rules = self.profile.direction(self.question.direction);
        consult(&self.compiled.desired.tables, rules, self.question)
    }

    pub fn tenancy(&self) -> Option<String> {
        let tenant = self.tenant()?.to_owned();
        Some(ObjectRef::Tenancy { tenant }.to_string())
    }
}
