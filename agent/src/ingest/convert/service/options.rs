//! How a Service's endpoints are picked. It is held to what the API allows. Each endpoint may be the one, so that no
//! verdict depends on it, but that a traffic policy `Local` picks endpoints on their way out where others are ready.

use k8s_openapi::api::core::v1::ServiceSpec;

use super::super::Report;
use super::{Shape, Type, one_of};
use crate::ingest::check;

const LOCAL: &str = "Local";

pub fn check(report: &mut Report<'_>, shape: Shape, spec: &ServiceSpec) {
    external_name(report, shape, spec);
    traffic_policies(report, shape, spec);
    affinity(report, spec);
    load_balancer(report, shape, spec);
}

/// True where some calls stay on the node that they come to.
pub fn is_local(spec: &ServiceSpec) -> bool {
    [&spec.external_traffic_policy, &spec.internal_traffic_policy].into_iter().flatten().any(|policy| policy == LOCAL)
}

fn external_name(report: &mut Report<'_>, shape: Shape, spec: &ServiceSpec) {
    const FIELD: &str = "spec.externalName";
    let name = spec.external_name.as_deref().unwrap_or_default();
    if shape.kind != Type::ExternalName {
        return;
    }
    if name.is_empty() {
        report.error(FIELD, "is required for type ExternalName");
    } else {
        report.accept(FIELD, check::dns_subdomain(name.strip_suffix('.').unwrap_or(name)));
    }
}

fn traffic_policies(report: &mut Report<'_>, shape: Shape, spec: &ServiceSpec) {
    const VALUES: [&str; 2] = ["Cluster", LOCAL];
    let external = spec.external_traffic_policy.as_deref().unwrap_or_default();
    let internal = spec.internal_traffic_policy.as_deref().unwrap_or_default();
    for (field, written) in [("spec.externalTrafficPolicy", external), ("spec.internalTrafficPolicy", internal)] {
        if !written.is_empty() && !VALUES.contains(&written) {
            report.error(field, one_of(written, &VALUES));
        }
    }
    let is_external = shape.kind.has_node_ports() || spec.external_ips.as_ref().is_some_and(|ips| !ips.is_empty());
    if !external.is_empty() && !is_external {
        report.error(
            "spec.externalTrafficPolicy",
            "may only be set for a Service that is called from outside: type NodePort or LoadBalancer, or externalIPs",
        );
    }
    let checked = spec.health_check_node_port.filter(|number| *number != 0);
    if let Some(number) = checked {
        const FIELD: &str = "spec.healthCheckNodePort";
        report.accept(FIELD, check::port_number(number));
        if shape.kind != Type::LoadBalancer || external != LOCAL {
            report.error(FIELD, "may only be used with type LoadBalancer and externalTrafficPolicy Local");
        }
    }
}

fn affinity(report: &mut Report<'_>, spec: &ServiceSpec) {
    const FIELD: &str = "spec.sessionAffinity";
    const VALUES: [&str; 2] = ["None", "ClientIP"];
    let affinity = spec.session_affinity.as_deref().filter(|name| !name.is_empty()).unwrap_or("None");
    if !VALUES.contains(&affinity) {
        report.error(FIELD, one_of(affinity, &VALUES));
    }
    let Some(config) = &spec.session_affinity_config else { return };
    if affinity == "None" {
        report.error("spec.sessionAffinityConfig", "may not be set where spec.sessionAffinity is None");
    }
    let timeout = config.client_ip.as_ref().and_then(|it| it.timeout_seconds);
    if let Some(timeout) = timeout.filter(|timeout| !(1..=86400).contains(timeout)) {
        let field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
        report.error(field, format!("{timeout} must be between 1 and 86400"));
    }
}

fn load_balancer(report: &mut Report<'_>, shape: Shape, spec: &ServiceSpec) {
    for (index, range) in spec.load_balancer_source_ranges.iter().flatten().enumerate() {
        report.accept(format_args!("spec.loadBalancerSourceRanges[{index}]"), check::range(range.trim()));
    }
    if shape.kind == Type::LoadBalancer {
        return;
    }
    let ranges = spec.load_balancer_source_ranges.as_ref().is_some_and(|ranges| !ranges.is_empty());
    let only = [
        ("spec.loadBalancerSourceRanges", ranges),
        ("spec.loadBalancerClass", spec.load_balancer_class.is_some()),
        ("spec.allocateLoadBalancerNodePorts", spec.allocate_load_balancer_node_ports.is_some()),
    ];
    for (field, _) in only.into_iter().filter(|(_, written)| *written) {
        report.error(field, "may only be used with type LoadBalancer");
    }
}
