//! The objects that the tests put into a cluster.

use super::AGNHOST;

/// A pod of upstream's toolbox on a node. `labels` are written as `a: b, c: d`; `program` is one of agnhost's.
#[must_use]
pub fn pod(namespace: &str, name: &str, node: u32, labels: &str, program: &str) -> String {
    let arguments = program.split_whitespace().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
    format!(
        "---
apiVersion: v1
kind: Pod
metadata: {{namespace: {namespace}, name: {name}, labels: {{{labels}}}}}
spec:
  nodeName: node{node}
  terminationGracePeriodSeconds: 0
  containers: [{{name: main, image: \"{AGNHOST}\", args: [{arguments}]}}]
"
    )
}

/// A namespace of a team, which [`super::TEAMS`] makes a tenant.
#[must_use]
pub fn namespace(name: &str, team: &str) -> String {
    format!(
        "---\n{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {{example.com/team: {team}}}}}}}\n"
    )
}
