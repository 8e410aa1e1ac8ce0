//! Egress is restricted, and nobody thought of DNS.

use std::collections::BTreeMap;

use common::abi::Direction;

use super::subject::{Subject, counted, isolates, name_of, warning};
use super::{LintFinding, LintRule};
use crate::ask::FlowPort;
use crate::ask::end::End;
use crate::ask::record::Said;
use crate::model::{NetworkPolicy, Pod, Port, Protocol};

const NAME: &str = "dns-forgotten";

pub(super) const RULE: LintRule =
    LintRule { name: NAME, about: "Pods whose egress is restricted and that may not ask for names (UDP 53).", check };

/// Labels of the usual DNS servers.
const SERVERS: [(&str, &[&str]); 2] =
    [("k8s-app", &["kube-dns", "coredns", "node-local-dns"]), ("app.kubernetes.io/name", &["coredns", "kube-dns"])];
const DNS: u16 = 53;
const QUESTION: FlowPort = FlowPort::Transport(Protocol::Udp, DNS);

fn check(subject: &Subject<'_>) -> Vec<LintFinding> {
    let servers: Vec<&Pod> = subject.pods().filter(|pod| is_server(pod)).collect();
    let mut mute: BTreeMap<(&str, &str), (&NetworkPolicy, Vec<&Pod>)> = BTreeMap::new();
    for pod in subject.pods().filter(|pod| !is_server(pod)) {
        let policies = subject.isolating(pod, Direction::Egress);
        let Some(first) = policies.first() else { continue };
        let asks =
            if servers.is_empty() { policies.iter().any(|it| names_dns(it)) } else { reaches(subject, pod, &servers) };
        if !asks {
            mute.entry((&first.namespace, &first.name)).or_insert_with(|| (first, Vec::new())).1.push(pod);
        }
    }
    let warn = |(policy, pods): (&NetworkPolicy, Vec<&Pod>)| {
        let example = pods.first().map(|pod| pod.key().to_string()).unwrap_or_default();
        let message = format!(
            "{} may send only what egress rules allow, and none allows UDP 53 to a DNS server: names do not resolve \
             (for example at {example})",
            counted(pods.len(), "pod")
        );
        let remedy = format!("bulkhead policy template allow-dns --set namespaces={}", policy.namespace);
        warning(NAME, name_of(policy), "spec.egress", message, remedy)
    };
    mute.into_values().map(warn).collect()
}

fn is_server(pod: &Pod) -> bool {
    SERVERS.iter().any(|(key, values)| pod.labels.get(*key).is_some_and(|value| values.contains(&value.as_str())))
}

/// True where the pod's own egress rules let it ask one of the servers, over either family.
fn reaches(subject: &Subject<'_>, pod: &Pod, servers: &[&Pod]) -> bool {
    let parties = |pod: &Pod| subject.engine.parties(&End::Pod(pod.key())).unwrap_or_default();
    let from = parties(pod);
    servers.iter().flat_map(|server| parties(server)).any(|to| {
        let near = from.iter().find(|from| from.same_family(&to));
        near.is_some_and(|from| subject.engine.ask(from, &to, QUESTION).egress.verdict == Said::Allow)
    })
}

/// Where the world has no DNS server: some egress rule allows UDP 53, to whomever.
fn names_dns(policy: &NetworkPolicy) -> bool {
    let rules = isolates(policy, Direction::Egress);
    rules.into_iter().flatten().any(|rule| {
        let is_dns = |port: &Port| match port {
            Port::All(protocol) => *protocol == Protocol::Udp,
            Port::Range(protocol, first, last) => *protocol == Protocol::Udp && (*first..=*last).contains(&DNS),
            Port::Named(protocol, name) => *protocol == Protocol::Udp && name.contains("dns"),
        };
        rule.ports.is_empty() || rule.ports.iter().any(is_dns)
    })
}
