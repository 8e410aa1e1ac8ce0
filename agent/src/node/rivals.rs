//! Others that enforce policies on this node, known by the names that their DaemonSets give to pods.

use policy::model::World;

/// How their pods' names begin. kindnet and kube-network-policies judge NetworkPolicies only, the others more.
const RIVALS: [&str; 10] = [
    "antrea-agent",
    "aws-node",
    "calico-node",
    "canal",
    "cilium",
    "kindnet",
    "kube-network-policies",
    "kube-router",
    "ovnkube-node",
    "weave-net",
];

/// A sentence for each.
pub(super) fn findings<'a>(world: &'a World, node: &'a str) -> impl Iterator<Item = String> + 'a {
    let here = world.pods.iter().filter(move |(_, pod)| pod.host_network && pod.node == node);
    here.filter(|(key, _)| RIVALS.iter().any(|rival| is_of(&key.name, rival))).map(|(key, _)| {
        format!("{key} may enforce policies on this node, too: what it drops is in none of our counters and answers")
    })
}

/// A DaemonSet's name, a dash, and five characters that the cluster chose.
fn is_of(pod: &str, daemon_set: &str) -> bool {
    let suffix = pod.strip_prefix(daemon_set).and_then(|rest| rest.strip_prefix('-'));
    suffix.is_some_and(|suffix| suffix.len() == 5 && !suffix.contains('-'))
}

#[cfg(test)]
mod tests {
    use policy::model::Pod;

    use super::*;

    #[test]
    fn a_daemon_of_this_node_is_named_and_no_other_pod() {
        let mut world = World::default();
        for (name, node, host_network) in [
            ("kindnet-x7k2p", "n1", true),
            ("kindnet-abcde", "n2", true),
            ("kindnet-tools", "n1", false),
            ("cilium-operator-6b8f9-abcde", "n1", true),
            ("kube-proxy-x7k2p", "n1", true),
        ] {
            let (namespace, name, node) = ("kube-system".to_owned(), name.to_owned(), node.to_owned());
            let pod = Pod { namespace, name, node, host_network, ..Pod::default() };
            world.pods.insert(pod.key(), pod);
        }
        let found: Vec<String> = findings(&world, "n1").collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("kube-system/kindnet-x7k2p "), "{found:?}");
    }
}
