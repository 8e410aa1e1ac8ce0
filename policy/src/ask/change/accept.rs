//! The ClusterNetworkPolicy that accepts one flow before anything can drop it, and nothing else.

use common::abi::Direction;
use ipnet::IpNet;

use super::Dropped;
use super::door::name;
use super::selection::{exactly, named};
use crate::ask::engine::Engine;
use crate::ask::port::FlowPort;
use crate::model::{Action, ClusterNetworkPolicy, ClusterPeer, ClusterRule, Pod, Pods, PolicyTier, Port};

/// Where there is no other one in the tier.
const PRIORITY: u16 = 100;

impl Engine<'_> {
    /// `None` for ICMP, which no rule can name alone, for ingress from what is no pod, and where no policy can come
    /// before all others of the tier.
    pub(super) fn accept(&self, dropped: &Dropped<'_>, tier: PolicyTier) -> Option<ClusterNetworkPolicy> {
        let FlowPort::Transport(protocol, port) = dropped.port else { return None };
        let direction = dropped.judged.question.direction;
        let subject = self.these_pods(self.world.pods.get(dropped.own.pod()?)?);
        let peer = match (dropped.other.pod().and_then(|key| self.world.pods.get(key)), direction) {
            (Some(pod), _) => ClusterPeer::Pods(self.these_pods(pod)),
            (None, Direction::Egress) => ClusterPeer::Networks(vec![IpNet::from(dropped.other.address)]),
            (None, Direction::Ingress) => return None,
        };
        let rule =
            ClusterRule { action: Action::Accept, peers: vec![peer], ports: vec![Port::Range(protocol, port, port)] };
        let (ingress, egress) = match direction {
            Direction::Ingress => (vec![rule], Vec::new()),
            Direction::Egress => (Vec::new(), vec![rule]),
        };
        let (priority, name) = self.first_place(tier, &name(dropped))?;
        Some(ClusterNetworkPolicy { name, tier, priority, subject, ingress, egress })
    }

    fn these_pods(&self, pod: &Pod) -> Pods {
        Pods { namespaces: named(&pod.namespace), pods: exactly(self.world, pod) }
    }

    /// A priority and a name that come before all others of the tier.
    fn first_place(&self, tier: PolicyTier, name: &str) -> Option<(u16, String)> {
        let policies = || self.world.cluster_network_policies.values();
        let first =
            policies().filter(|policy| policy.tier == tier).min_by_key(|policy| (policy.priority, &policy.name));
        let priority = first.map_or(PRIORITY, |first| first.priority.saturating_sub(1));
        let is_free = |name: &String| !policies().any(|policy| policy.name == *name);
        let is_before = |name: &String| first.is_none_or(|first| (priority, name) < (first.priority, &first.name));
        let numbered = (1..=policies().count() + 1).map(|number| format!("{name}-{number}"));
        let leading = std::iter::once(format!("0-{name}"));
        std::iter::once(name.to_owned())
            .chain(numbered)
            .chain(leading)
            .find(|name| is_free(name) && is_before(name))
            .map(|name| (priority, name))
    }
}
