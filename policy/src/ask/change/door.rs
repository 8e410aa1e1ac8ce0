//! The policy that allows one flow and nothing else.

use common::abi::{Direction, LowerVerdict};
use ipnet::IpNet;

use super::Dropped;
use super::selection::{exactly, named};
use crate::ask::engine::Engine;
use crate::ask::port::FlowPort;
use crate::model::{Block, NamespaceScope, NetworkPolicy, Peer, Port, Rule};

/// The longest name of an object.
const NAME_LENGTH: usize = 253;

impl Engine<'_> {
    /// A NetworkPolicy for the judged pod alone, with a rule for the other end alone. Where nothing isolates the pod in
    /// this direction, a second rule keeps open what is open now. `None` for ICMP, which no rule can name alone.
    pub(super) fn door(&self, dropped: &Dropped<'_>) -> Option<NetworkPolicy> {
        let FlowPort::Transport(protocol, port) = dropped.port else { return None };
        let pod = self.world.pods.get(dropped.own.pod()?)?;
        let door = Rule { peers: vec![self.peer(dropped)], ports: vec![Port::Range(protocol, port, port)] };
        let rules = if is_isolated(dropped) { vec![door] } else { vec![door, Rule::default()] };
        let (ingress, egress) = match dropped.judged.question.direction {
            Direction::Ingress => (Some(rules), None),
            Direction::Egress => (None, Some(rules)),
        };
        Some(NetworkPolicy {
            namespace: pod.namespace.clone(),
            name: self.free_name(&pod.namespace, &name(dropped)),
            subject: exactly(self.world, pod),
            ingress,
            egress,
        })
    }

    /// The other end: a pod by its labels, anything else by its address.
    fn peer(&self, dropped: &Dropped<'_>) -> Peer {
        let other = dropped.other;
        let Some(pod) = other.pod().and_then(|key| self.world.pods.get(key)) else {
            return Peer::Block(Block { cidr: IpNet::from(other.address), except: Vec::new() });
        };
        let is_near = dropped.own.pod().is_some_and(|own| own.namespace == pod.namespace);
        // Another tenant is let in only by a rule that names namespaces.
        let own = is_near && self.tenant(dropped.own) == self.tenant(other);
        let namespaces = if own { NamespaceScope::Own } else { NamespaceScope::Selected(named(&pod.namespace)) };
        Peer::Pods { namespaces, pods: Some(exactly(self.world, pod)) }
    }

    fn free_name(&self, namespace: &str, name: &str) -> String {
        let taken = |name: &String| self.world.network_policies.contains_key(&(namespace.to_owned(), name.clone()));
        let numbered = (2..).map(|number: u32| format!("{name}-{number}"));
        std::iter::once(name.to_owned()).chain(numbered).find(|name| !taken(name)).unwrap_or_default()
    }
}

/// True where some NetworkPolicy isolates the judged pod in this direction already.
pub(super) fn is_isolated(dropped: &Dropped<'_>) -> bool {
    dropped.judged.lower().is_some_and(|lower| {
        matches!(
            lower,
            LowerVerdict::AllowNamed
                | LowerVerdict::Allow
                | LowerVerdict::DefaultDeny
                | LowerVerdict::Invalid
                | LowerVerdict::Capacity
        )
    })
}

/// `allow-to-db-pg-tcp-5432`
pub(super) fn name(dropped: &Dropped<'_>) -> String {
    let side = match dropped.judged.question.direction {
        Direction::Egress => "to",
        Direction::Ingress => "from",
    };
    let other: String = dropped.other.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let port = dropped.port.to_string().replace('/', "-");
    let room = NAME_LENGTH - "allow-from---4294967295".len() - port.len();
    let other = other.chars().take(room).collect::<String>();
    format!("allow-{side}-{}-{port}", other.trim_matches('-'))
}
