//! Services (`v1`): the API server's validation, and what it fills in.

mod addresses;
mod options;
mod ports;
mod ranges;
mod slice;
mod stand_in;

use k8s_openapi::api::core::v1 as core;
use policy::model::{EndpointSlice, Labels, Service};

use super::{Report, Unknown, compact};
use crate::ingest::check;

pub use ranges::service_cidr;
pub use slice::endpoint_slice;

/// Names the Service that a slice belongs to.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Labels of Services and slices that kube-proxy does not ask the API server for, whatever their value
/// (`cmd/kube-proxy/app/server.go`, `noProxyName` and `noHeadlessEndpoints`).
const PASSED_OVER: [&str; 2] = ["service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"];

fn is_passed_over(has: impl Fn(&str) -> bool) -> bool {
    PASSED_OVER.into_iter().any(has)
}

/// A Service as a file has it, and what a cluster would give it.
#[derive(Debug)]
pub struct DraftService {
    pub service: Service,
    /// Families in which it has no ClusterIP yet.
    pub wants_v4: bool,
    pub wants_v6: bool,
    pub wants_node_ports: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Type {
    ClusterIp,
    NodePort,
    LoadBalancer,
    ExternalName,
}

impl Type {
    const ALL: [(Self, &'static str); 4] = [
        (Self::ClusterIp, "ClusterIP"),
        (Self::NodePort, "NodePort"),
        (Self::LoadBalancer, "LoadBalancer"),
        (Self::ExternalName, "ExternalName"),
    ];

    /// Called at the addresses of nodes.
    const fn has_node_ports(self) -> bool {
        matches!(self, Self::NodePort | Self::LoadBalancer)
    }
}

/// What decides which fields a Service may have.
#[derive(Clone, Copy, Debug)]
struct Shape {
    kind: Type,
    headless: bool,
}

/// A Service of a cluster, whole or as one whose addresses lead to nobody knows whom.
pub fn live_service(report: &mut Report<'_>) -> Service {
    report.whole(service).map_or_else(|| stand_in::service(report), |draft| draft.service)
}

/// An EndpointSlice of a cluster, whole or as one that leads to nobody knows whom.
pub fn live_endpoint_slice(report: &mut Report<'_>) -> EndpointSlice {
    report.whole(endpoint_slice).unwrap_or_else(|| stand_in::endpoint_slice(report))
}

pub fn service(report: &mut Report<'_>) -> Option<DraftService> {
    let written: core::Service = report.parse(Unknown::Warn)?;
    let labels = report.labels("metadata", &written.metadata);
    report.annotations("metadata", &written.metadata);
    let spec = written.spec.unwrap_or_default();
    let kind = kind(report, spec.type_.as_deref().unwrap_or_default())?;
    let shape = Shape { kind, headless: addresses::is_headless(&spec) };
    if shape.headless && kind.has_node_ports() {
        report.error("spec.clusterIP", "may not be `None` for a Service that is called at nodes");
    }
    let selector = compact(spec.selector.as_ref());
    for (key, value) in &selector {
        report.accept("spec.selector", check::qualified_name(key));
        report.accept(format_args!("spec.selector[{key}]"), check::label_value(value));
    }
    let first = spec.cluster_ip.as_deref().unwrap_or_default();
    if first.is_empty() && spec.cluster_ips.iter().flatten().next().is_some() {
        report.error("spec.clusterIPs", "may not be there without spec.clusterIP, which is the first of them");
    }
    options::check(report, shape, &spec);
    let cluster_ips = addresses::cluster_ips(report, shape, &spec);
    let [wants_v4, wants_v6] = addresses::wanted(report, shape, &spec, &cluster_ips);
    let (namespace, name) = (report.manifest.id.namespace.clone(), report.manifest.id.name.clone());
    let service = Service {
        namespace,
        name,
        selector: if kind == Type::ExternalName { Labels::default() } else { selector },
        cluster_ips,
        external_ips: addresses::external_ips(report, &spec),
        load_balancer_ips: addresses::load_balancer_ips(report, &written.status.unwrap_or_default()),
        ports: ports::ports(report, shape, &spec),
        is_passed_over: is_passed_over(|label| labels.contains_key(label)),
        is_local: options::is_local(&spec),
        is_undecided: false,
    };
    let wants_node_ports =
        kind == Type::NodePort || kind == Type::LoadBalancer && spec.allocate_load_balancer_node_ports.unwrap_or(true);
    Some(DraftService { service, wants_v4, wants_v6, wants_node_ports })
}

fn kind(report: &mut Report<'_>, written: &str) -> Option<Type> {
    let kind = Type::ALL.into_iter().find(|(_, name)| *name == written || written.is_empty() && *name == "ClusterIP");
    if kind.is_none() {
        report.error("spec.type", one_of(written, &Type::ALL.map(|(_, name)| name)));
    }
    kind.map(|(kind, _)| kind)
}

/// What to say about a value that is none of those there are.
fn one_of(written: &str, values: &[&str]) -> String {
    format!("`{written}` must be one of {}", values.join(", "))
}
