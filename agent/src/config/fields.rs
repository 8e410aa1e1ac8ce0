//! What each field of the configuration file is for, as the reference prints it.

/// A field of the configuration file.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Names from the top of the file, with dots between them.
    pub path: &'static str,
    /// What may stand there.
    pub values: &'static str,
    /// What holds where the field is left out, as YAML; `None` where the BPF object says it
    /// (`MapCapacities::defaults`).
    pub default: Option<&'static str>,
    pub about: &'static str,
}

/// Every field, in the order in which people write them.
pub const FIELDS: [Field; 22] = [
    Field {
        path: "tenancy.mode",
        values: "`off`, `audit`, `baseline` or `strict`",
        default: Some("baseline"),
        about: "How tenants are held apart. `audit` judges as `strict`, reports and lets pass; under `baseline` only a \
                rule that names namespaces admits another tenant; under `strict` no NetworkPolicy does.",
    },
    Field {
        path: "tenancy.untenanted",
        values: "`platform` or `isolated`",
        default: Some("platform"),
        about: "What namespaces without a tenant are: the platform's own, which reach tenants and are reached, or each \
                a tenant of its own.",
    },
    Field {
        path: "tenancy.sources",
        values: "list of `capsule: {}`, `namespaceLabel: KEY`, `namespaceAnnotation: KEY`, `podLabel: KEY`",
        default: Some("[{capsule: {}}]"),
        about: "What names the tenant of a pod; the first that does counts.",
    },
    Field {
        path: "endpoints.unknown",
        values: "`drop` or `allow`",
        default: Some("drop"),
        about: "What happens at a pod's veth before it is known whose pod it is.",
    },
    Field {
        path: "endpoints.tunnels",
        values: "`drop` or `allow`",
        default: Some("drop"),
        about: "What happens to tunnel packets from a pod to anything but a known pod: a node that opens them carries on \
                what is inside, whoever that claims to be. `allow`: policy decides.",
    },
    Field {
        path: "endpoints.tunnelPorts",
        values: "list of UDP ports",
        default: Some("[]"),
        about: "Ports of tunnels beside 4789, 6081, 8285, 8472 and those of the node's own devices (VXLAN, Geneve, \
                bare UDP, AMT, and what a device sends in UDP). Name those of FoU, L2TP and of programs on the nodes that \
                open tunnels themselves.",
    },
    Field {
        path: "endpoints.further",
        values: "`drop` or `allow`",
        default: Some("drop"),
        about: "What happens on a further veth into a pod's network namespace that no CNI result of that pod (in \
                `/var/lib/cni/results`) names. Those that Multus adds are named, unless their plugin does not list the \
                interface on the node's side: only then set `allow`. Nothing is enforced on a further veth that is named.",
    },
    Field {
        path: "endpoints.routers",
        values: "list of `{namespace: NAME, podLabels: {KEY: VALUE}}`",
        default: Some("[]"),
        about: "Pods that forward for others: they may send under addresses that are no pod's and no node's, speak as \
                routers and DHCP servers, and get what is for others. Name only namespaces in which no tenant makes pods: \
                labels are for whoever makes the pod.",
    },
    Field {
        path: "cluster.podCIDRs",
        values: "list of ranges",
        default: Some("[]"),
        about: "Where the addresses of pods are from; empty: as the Nodes say.",
    },
    Field {
        path: "cluster.serviceCIDRs",
        values: "list of ranges",
        default: Some("[]"),
        about: "Where the addresses of Services are from; empty: as the cluster says.",
    },
    Field {
        path: "cluster.agentPort",
        values: "port, or 0",
        default: Some("9469"),
        about: "The port at which the agents serve metrics and health on nodes' addresses. Pods of tenants cannot reach \
                it at any node, unless a ClusterNetworkPolicy of the Admin tier accepts it. 0: nothing is guarded.",
    },
    Field {
        path: "datapath.afterDnat",
        values: "`auto` or `off`",
        default: Some("auto"),
        about: "Where calls are judged that the node rewrites (Services, host ports). `auto`: behind the rewriting, as \
                what they became, where the kernel can attach BPF to netfilter (Linux 6.4); `off`: at the pod's veth, by \
                what is known of Services. `status` says which is in force.",
    },
    size("maps.endpoints", "Pods of one node."),
    size("maps.profiles", "What applies to a pod, published side by side with what it replaces: two for each of them."),
    size("maps.peers", "Addresses of pods and nodes, of each family."),
    size("maps.ranges", "Address ranges of policies and of the cluster, of each family."),
    size(
        "maps.services",
        "Addresses and ports of Services, groups of backends behind them, and who is asked for a group.",
    ),
    size("maps.rules", "Pairs of a policy set and a peer that it says something about."),
    size("maps.ports", "Port ranges of all rules together."),
    size("maps.flows", "Flows that are tracked at once: half of them established, half opening or closing."),
    size("maps.ids", "Numbers in use for identities, classes, sets, programs, profiles, rules and tenants together."),
    size("maps.drops", "Pairs of tenants, by direction and reason, whose drops are counted apart."),
];

/// A size of maps: all of them have it from the BPF object.
const fn size(path: &'static str, about: &'static str) -> Field {
    Field { path, values: "entries, at least 1", default: None, about }
}

#[cfg(test)]
mod tests {
    use super::super::{Settings, parse};
    use super::*;

    /// `path: value` as nested YAML.
    fn nested(path: &str, value: &str) -> String {
        path.rsplit('.').fold(value.to_owned(), |inner, name| format!("{{{name}: {inner}}}"))
    }

    #[test]
    fn the_defaults_are_the_defaults() {
        for Field { path, default, .. } in FIELDS {
            let Some(default) = default else { continue };
            assert_eq!(parse(&nested(path, default)).unwrap(), Settings::default(), "{path}");
        }
    }

    #[test]
    fn every_field_that_the_parser_knows_is_listed_and_no_other() {
        let mut known = Vec::new();
        for section in ["tenancy", "endpoints", "cluster", "datapath", "maps"] {
            // `tenancy.x: unknown field `x`, expected one of `mode`, …`
            let error = parse(&nested(&format!("{section}.x"), "1")).unwrap_err().to_string();
            let (_, expected) = error.split_once("expected").unwrap();
            known.extend(expected.split('`').skip(1).step_by(2).map(|name| format!("{section}.{name}")));
        }
        assert_eq!(known, FIELDS.map(|field| field.path));
    }
}
