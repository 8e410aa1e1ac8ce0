//! The templates. What they allow adds up: default-deny or isolate-tenant first, then the allowances beside it.

use anyhow::{Result, bail};
use policy::model::{Block, NetworkPolicy, Peer, Port, Protocol, Rule};

use super::parameters::{Given, Parameter};

/// A policy that most tenants need.
pub(super) struct Template {
    pub name: &'static str,
    pub about: &'static str,
    pub parameters: &'static [Parameter],
    /// The policy, in no namespace yet.
    pub build: fn(&Given) -> Result<NetworkPolicy>,
}

const TENANT_LABEL: Parameter = Parameter {
    name: "label",
    default: Some("capsule.clastix.io/tenant"),
    about: "the label of namespaces that names their tenant",
};
const PORTS: Parameter =
    Parameter { name: "ports", default: None, about: "ports of the pods, as in 80,udp/53,8000-8080" };

pub(super) const TEMPLATES: [Template; 7] = [
    Template {
        name: "default-deny",
        about: "Every pod starts with nothing: no traffic in or out but what other policies allow.",
        parameters: &[],
        build: |given| policy(given, "default-deny", Some(Vec::new()), Some(Vec::new())),
    },
    Template {
        name: "isolate-tenant",
        about: "Default deny, and the tenant's own namespaces reach each other. Names do not resolve until allow-dns is \
                there too.",
        parameters: &[
            Parameter { name: "tenant", default: None, about: "the tenant whose namespaces reach each other" },
            TENANT_LABEL,
        ],
        build: |given| {
            let own = vec![Rule { peers: vec![given.tenants_namespaces("tenant")?], ports: Vec::new() }];
            policy(given, "isolate-tenant", Some(own.clone()), Some(own))
        },
    },
    Template {
        name: "allow-dns",
        about: "Pods may ask the cluster's DNS servers.",
        parameters: &[
            Parameter { name: "from", default: Some("kube-system"), about: "the namespace of the DNS servers" },
            Parameter { name: "labels", default: Some("k8s-app=kube-dns"), about: "the labels of the DNS servers" },
        ],
        build: |given| {
            let ports = [Protocol::Udp, Protocol::Tcp].map(|protocol| Port::Range(protocol, 53, 53)).to_vec();
            let rule = Rule { peers: vec![given.pods_of("from", "labels")?], ports };
            policy(given, "allow-dns", None, Some(vec![rule]))
        },
    },
    Template {
        name: "allow-ingress-controller",
        about: "The ingress controller reaches pods on the ports that they serve.",
        parameters: &[
            Parameter { name: "from", default: Some("ingress-nginx"), about: "the namespace of the controller" },
            Parameter {
                name: "labels",
                default: Some("app.kubernetes.io/name=ingress-nginx"),
                about: "the labels of the controller's pods",
            },
            PORTS,
        ],
        build: |given| policy(given, "allow-ingress-controller", Some(vec![from_pods(given)?]), None),
    },
    Template {
        name: "allow-monitoring",
        about: "The monitoring system reads the metrics of pods.",
        parameters: &[
            Parameter { name: "from", default: Some("monitoring"), about: "the namespace of the monitoring system" },
            Parameter {
                name: "labels",
                default: Some("app.kubernetes.io/name=prometheus"),
                about: "the labels of its pods",
            },
            PORTS,
        ],
        build: |given| policy(given, "allow-monitoring", Some(vec![from_pods(given)?]), None),
    },
    Template {
        name: "allow-tenant",
        about: "Another tenant reaches pods on some ports. Where these isolate egress, its own policies must allow it too.",
        parameters: &[Parameter { name: "from", default: None, about: "the other tenant" }, TENANT_LABEL, PORTS],
        build: |given| {
            let rule = Rule { peers: vec![given.tenants_namespaces("from")?], ports: given.ports()? };
            let name = format!("allow-tenant-{}", given.required_tenant("from")?);
            policy(given, &name, Some(vec![rule]), None)
        },
    },
    Template {
        name: "egress-network",
        about: "Pods may open connections to a network outside the cluster.",
        parameters: &[
            Parameter { name: "cidr", default: None, about: "the network, as in 192.0.2.0/24" },
            Parameter { name: "except", default: Some(""), about: "parts of it to leave out, separated by commas" },
            Parameter { name: "ports", default: Some(""), about: "as in 443,8000-8080; without it, every port" },
        ],
        build: |given| {
            let rule = Rule { peers: network(given)?, ports: given.ports()? };
            policy(given, "allow-egress-network", None, Some(vec![rule]))
        },
    },
];

fn policy(given: &Given, name: &str, ingress: Option<Vec<Rule>>, egress: Option<Vec<Rule>>) -> Result<NetworkPolicy> {
    Ok(NetworkPolicy { namespace: String::new(), name: name.to_owned(), subject: given.subject()?, ingress, egress })
}

fn from_pods(given: &Given) -> Result<Rule> {
    Ok(Rule { peers: vec![given.pods_of("from", "labels")?], ports: given.ports()? })
}

fn network(given: &Given) -> Result<Vec<Peer>> {
    let (cidrs, except) = (given.ranges("cidr")?, given.ranges("except")?);
    let inside = |hole: &&ipnet::IpNet| cidrs.iter().any(|cidr| cidr.contains(*hole) && cidr != *hole);
    if let Some(hole) = except.iter().find(|hole| !inside(hole)) {
        bail!("--set except: {hole} must be a strict subset of cidr");
    }
    let block = |cidr: &ipnet::IpNet| {
        let except = except.iter().filter(|hole| cidr.contains(*hole)).copied().collect();
        Peer::Block(Block { cidr: *cidr, except })
    };
    Ok(cidrs.iter().map(block).collect())
}
