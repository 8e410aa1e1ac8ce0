//! A pod that has the kubelet call somebody else.

use std::net::IpAddr;

use super::subject::Subject;
use super::{LintFinding, LintRule, Severity};
use crate::model::{KubeletCall, Pod, told};

const NAME: &str = "kubelet-as-proxy";
/// Bytes of a host that are shown.
const LONGEST: usize = 253;

pub(super) const RULE: LintRule = LintRule {
    name: NAME,
    about: "A probe or a lifecycle hook that names another host than its own pod: the kubelet calls it from the node, and \
            neither the pod's egress policies nor tenancy know of that. Pods on the node's network are left out.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<LintFinding> {
    let pods = subject.world.pods.values().filter(|pod| !pod.host_network);
    pods.flat_map(|pod| pod.kubelet_calls.iter().filter(|call| !is_own(pod, call)).map(|call| finding(pod, call)))
        .collect()
}

fn is_own(pod: &Pod, call: &KubeletCall) -> bool {
    call.host.parse::<IpAddr>().is_ok_and(|address| pod.addresses.contains(&address.to_canonical()))
}

fn finding(pod: &Pod, call: &KubeletCall) -> LintFinding {
    LintFinding {
        object: format!("pod/{}", pod.key()),
        field: call.field.clone(),
        severity: Severity::Warning,
        rule: NAME,
        message: format!(
            "the kubelet calls {} from the node: the pod's egress policies do not apply to that, and pods of the same node \
             let it in",
            told(&call.host, LONGEST)
        ),
        remedy:
            "leave host out, so that the kubelet calls the pod itself; Pod Security `baseline` of Kubernetes 1.34 and \
                 newer refuses such pods"
                .to_owned(),
    }
}
