//! NetworkPolicy, in the words of `networking/v1`.

use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::said::Rules;
use super::seen::{Other, labels_of, name_of, namespace_of};
use super::selector::{has_requirements, matches};
use super::{Case, Said, Side, range};

/// One rule of either direction.
struct Rule<'a> {
    name: String,
    peers: &'a [NetworkPolicyPeer],
    ports: &'a [NetworkPolicyPort],
}

impl Case<'_> {
    /// Step 3. `shut`: why the tenant is closed to the other end, unless a rule names namespaces. `None` where no policy
    /// isolates the pod in this direction.
    pub(super) fn network_policies(&self, shut: Option<&'static str>) -> Option<Said> {
        let isolating: Vec<&NetworkPolicy> = self.seen.policies.iter().filter(|it| self.isolates(it)).collect();
        if isolating.is_empty() {
            return None;
        }
        let (understood, invalid): (Vec<&NetworkPolicy>, Vec<&NetworkPolicy>) =
            isolating.into_iter().partition(|policy| is_understood(policy));
        let (mut naming, mut others) = (Vec::new(), Vec::new());
        for policy in &understood {
            for rule in self.rules(policy).into_iter().filter(|rule| self.is_port_of(rule.ports)) {
                let matching: Vec<_> = rule.peers.iter().filter(|peer| self.is_peer(policy, peer)).collect();
                if matching.iter().any(|peer| peer.namespace_selector.as_ref().is_some_and(has_requirements)) {
                    naming.push(rule.name);
                } else if rule.peers.is_empty() || !matching.is_empty() {
                    others.push(rule.name);
                }
            }
        }
        Some(match (naming.is_empty(), others.is_empty(), shut) {
            (true, true, _) => {
                let (reason, named) =
                    if invalid.is_empty() { ("default_deny", understood) } else { ("invalid_policy", invalid) };
                self.dropped(reason).by(Rules::All(named.into_iter().map(reference).collect()))
            }
            (true, false, Some(reason)) => Said::by_tenancy(reason),
            (_, _, Some(_)) => Said::allow("network_policy").by(Rules::OneOf(naming)),
            (_, _, None) => Said::allow("network_policy").by(Rules::OneOf([naming, others].concat())),
        })
    }

    /// "podSelector selects the pods to which this NetworkPolicy object applies. […] An empty podSelector matches all pods
    /// in this namespace."
    fn isolates(&self, policy: &NetworkPolicy) -> bool {
        let absent = NetworkPolicySpec::default();
        let spec = policy.spec.as_ref().unwrap_or(&absent);
        namespace_of(&policy.metadata) == namespace_of(&self.judged.metadata)
            && spec.pod_selector.as_ref().is_none_or(|it| matches(it, &labels_of(&self.judged.metadata)))
            && has_type(spec, self.flow.side)
    }

    fn rules<'p>(&self, policy: &'p NetworkPolicy) -> Vec<Rule<'p>> {
        let Some(spec) = &policy.spec else { return Vec::new() };
        let name = |index: usize| format!("{} {}[{index}]", reference(policy), self.flow.side.direction());
        match self.flow.side {
            Side::Destination => {
                let rules = spec.ingress.iter().flatten().enumerate();
                let rule = |(index, rule)| (name(index), rule);
                let rules = rules.map(rule);
                rules.map(|(name, rule)| Rule { name, peers: list(&rule.from), ports: list(&rule.ports) }).collect()
            }
            Side::Source => {
                let rules = spec.egress.iter().flatten().enumerate();
                let rule = |(index, rule)| (name(index), rule);
                let rules = rules.map(rule);
                rules.map(|(name, rule)| Rule { name, peers: list(&rule.to), ports: list(&rule.ports) }).collect()
            }
        }
    }

    /// "If both podSelector and namespaceSelector are set […] selects the pods matching podSelector in the namespaces
    /// selected by namespaceSelector. Otherwise it selects the pods matching podSelector in the policy's own namespace."
    fn is_peer(&self, policy: &NetworkPolicy, peer: &NetworkPolicyPeer) -> bool {
        if let Some(block) = &peer.ip_block {
            return self.is_in(block);
        }
        let Other::Pod(pod) = self.other else { return false };
        let there = match &peer.namespace_selector {
            Some(selector) => matches(selector, self.seen.namespace_labels(pod)),
            None => namespace_of(&pod.metadata) == namespace_of(&policy.metadata),
        };
        there && peer.pod_selector.as_ref().is_none_or(|selector| matches(selector, &labels_of(&pod.metadata)))
    }

    /// "except is a slice of CIDRs that should not be included within an IPBlock". Addresses of known pods count, those of
    /// unknown ones do not.
    fn is_in(&self, block: &IPBlock) -> bool {
        let address = self.flow.address;
        !matches!(self.other, Other::UnknownPod)
            && range::holds(&block.cidr, address)
            && !block.except.iter().flatten().any(|except| range::holds(except, address))
    }

    /// "If this field is empty or missing, this rule matches all ports (traffic not restricted by port)."
    fn is_port_of(&self, ports: &[NetworkPolicyPort]) -> bool {
        ports.is_empty() || ports.iter().any(|port| self.is_port(port))
    }

    /// "If this field [protocol] is not specified, this field defaults to TCP." "If this field [port] is not provided, this
    /// matches all port names and numbers."
    fn is_port(&self, port: &NetworkPolicyPort) -> bool {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let number = i32::from(self.flow.port);
        match &port.port {
            None => self.is_protocol(protocol),
            Some(IntOrString::Int(first)) => {
                let last = port.end_port.unwrap_or(*first);
                self.is_protocol(protocol) && *first <= number && number <= last
            }
            Some(IntOrString::String(name)) => self.is_named(name, Some(protocol)),
        }
    }
}

/// "If this field [policyTypes] is not specified, it will default based on the existence of ingress or egress rules;
/// policies that contain an egress section are assumed to affect egress, and all policies […] are assumed to affect ingress."
fn has_type(spec: &NetworkPolicySpec, side: Side) -> bool {
    match (spec.policy_types.as_deref().unwrap_or_default(), side) {
        ([], Side::Destination) => true,
        ([], Side::Source) => spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()),
        (types, Side::Destination) => types.iter().any(|it| it == "Ingress"),
        (types, Side::Source) => types.iter().any(|it| it == "Egress"),
    }
}

/// A peer or a protocol of a later API is neither matched nor left out: its policy isolates and allows nothing.
fn is_understood(policy: &NetworkPolicy) -> bool {
    let Some(spec) = &policy.spec else { return true };
    let ingress = spec.ingress.iter().flatten().map(|rule| (list(&rule.from), list(&rule.ports)));
    let egress = spec.egress.iter().flatten().map(|rule| (list(&rule.to), list(&rule.ports)));
    ingress.chain(egress).all(|(peers, ports)| {
        let names_something = |it: &NetworkPolicyPeer| *it != NetworkPolicyPeer::default();
        let protocol = |port: &NetworkPolicyPort| port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
        peers.iter().all(names_something)
            && ports.iter().all(|port| ["TCP", "UDP", "SCTP"].contains(&protocol(port).as_str()))
    })
}

fn list<T>(written: &Option<Vec<T>>) -> &[T] {
    written.as_deref().unwrap_or_default()
}

fn reference(policy: &NetworkPolicy) -> String {
    format!("networkpolicy/{}/{}", namespace_of(&policy.metadata), name_of(&policy.metadata))
}
