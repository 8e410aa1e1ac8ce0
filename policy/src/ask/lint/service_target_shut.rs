//! A Service that leads to a port which its backends' policies do not know.

use common::abi::Direction;

use super::subject::{Subject, isolates};
use super::{LintFinding, LintRule, Severity};
use crate::model::{NetworkPolicy, Pod, Port, Protocol, Service};

const NAME: &str = "service-target-shut";

pub(super) const RULE: LintRule = LintRule {
    name: NAME,
    about: "A Service whose target port no ingress rule of a backend allows, from anybody: policy is about the \
            backend's port, not the Service's.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<LintFinding> {
    let mut findings = Vec::new();
    for service in subject.world.services.values() {
        for (index, port) in service.ports.iter().enumerate() {
            let backends = subject.pods().filter(|pod| service.selects(pod));
            let shut = backends.filter_map(|pod| Some((pod, port.on(pod)?))).find_map(|(pod, target)| {
                let policies = subject.isolating(pod, Direction::Ingress);
                let open = policies.is_empty() || policies.iter().any(|it| allows(it, pod, port.protocol, target));
                (!open).then_some((pod, target, policies))
            });
            if let Some((pod, target, policies)) = shut {
                findings.push(finding(service, index, pod, (port.protocol, target), &policies));
            }
        }
    }
    findings
}

fn finding(
    service: &Service,
    index: usize,
    pod: &Pod,
    (protocol, target): (Protocol, u16),
    policies: &[&NetworkPolicy],
) -> LintFinding {
    let names: Vec<&str> = policies.iter().map(|policy| policy.name.as_str()).collect();
    LintFinding {
        object: format!("service/{}/{}", service.namespace, service.name),
        field: format!("spec.ports[{index}].targetPort"),
        severity: Severity::Warning,
        rule: NAME,
        message: format!(
            "leads to {} {target} of {}, which no ingress rule of {} allows to anybody",
            protocol.name(),
            pod.key(),
            names.join(", ")
        ),
        remedy: format!("allow port {target} in one of them: rules name the pod's port, not the Service's"),
    }
}

fn allows(policy: &NetworkPolicy, pod: &Pod, protocol: Protocol, number: u16) -> bool {
    let is_it = |port: &Port| match port {
        Port::All(own) => *own == protocol,
        Port::Range(own, first, last) => *own == protocol && (*first..=*last).contains(&number),
        Port::Named(own, name) => {
            pod.ports.iter().any(|port| *own == protocol && port.port == number && port.is_named(protocol, name))
        }
    };
    let rules = isolates(policy, Direction::Ingress).into_iter().flatten();
    rules.into_iter().any(|rule| rule.ports.is_empty() || rule.ports.iter().any(is_it))
}
