//! The addresses of a Service.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ServiceSpec, ServiceStatus};

use super::super::Report;
use super::{Shape, Type, one_of};
use crate::ingest::check;

/// In place of a ClusterIP.
const NONE: &str = "None";

pub fn is_headless(spec: &ServiceSpec) -> bool {
    spec.cluster_ip.as_deref() == Some(NONE) || spec.cluster_ips.iter().flatten().any(|ip| ip == NONE)
}

/// `clusterIPs`, or `clusterIP` alone: at most one of each family.
pub fn cluster_ips(report: &mut Report<'_>, shape: Shape, spec: &ServiceSpec) -> Vec<IpAddr> {
    let single = spec.cluster_ip.as_deref().unwrap_or_default();
    let all = spec.cluster_ips.as_deref().unwrap_or_default();
    let mut written: Vec<_> =
        all.iter().enumerate().map(|(index, text)| (format!("spec.clusterIPs[{index}]"), text.as_str())).collect();
    match written.first() {
        None if single.is_empty() => {}
        None => written.push(("spec.clusterIP".to_owned(), single)),
        Some((field, first)) if !single.is_empty() && *first != single => {
            report.error(field, format!("`{first}` must be the same as spec.clusterIP, which is `{single}`"));
        }
        Some(_) => {}
    }
    if shape.kind == Type::ExternalName && !written.is_empty() {
        report.error("spec.clusterIP", "an ExternalName has none, leave it out");
        return Vec::new();
    }
    if shape.headless {
        if written.len() > 1 {
            report.error("spec.clusterIPs", "`None` must be the only entry");
        }
        return Vec::new();
    }
    let mut addresses: Vec<IpAddr> = Vec::new();
    for (field, text) in written {
        let Some(address) = report.accept(&field, check::lenient_address(text)) else { continue };
        if addresses.iter().any(|other| other.is_ipv4() == address.is_ipv4()) {
            report.error(&field, format!("{text} is a second address of its family, keep one"));
            continue;
        }
        addresses.push(address);
    }
    addresses
}

/// Families, IPv4 and IPv6, in which a cluster would give the Service a ClusterIP. Without a word of the file about
/// families: both, as pods have them.
pub fn wanted(report: &mut Report<'_>, shape: Shape, spec: &ServiceSpec, given: &[IpAddr]) -> [bool; 2] {
    const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];
    const POLICIES: [&str; 3] = ["SingleStack", "PreferDualStack", "RequireDualStack"];
    let families = spec.ip_families.as_deref().unwrap_or_default();
    for (index, family) in families.iter().enumerate() {
        let field = format!("spec.ipFamilies[{index}]");
        if !FAMILIES.contains(&family.as_str()) {
            report.error(&field, one_of(family, &FAMILIES));
        } else if families[..index].contains(family) {
            report.error(&field, format!("`{family}` is there twice, keep one"));
        }
    }
    let policy = spec.ip_family_policy.as_deref().unwrap_or_default();
    if !policy.is_empty() && !POLICIES.contains(&policy) {
        report.error("spec.ipFamilyPolicy", one_of(policy, &POLICIES));
    }
    if policy == "SingleStack" && (families.len() > 1 || given.len() > 1) {
        report.error("spec.ipFamilyPolicy", "SingleStack has one family, name one family and one address");
    }
    if shape.headless || shape.kind == Type::ExternalName || !given.is_empty() {
        return [false; 2];
    }
    match (families, policy) {
        ([], "SingleStack") => [true, false],
        ([], _) | (_, "PreferDualStack" | "RequireDualStack") => [true; 2],
        (families, _) => FAMILIES.map(|family| families.iter().any(|written| written == family)),
    }
}

pub fn external_ips(report: &mut Report<'_>, spec: &ServiceSpec) -> Vec<IpAddr> {
    let written = spec.external_ips.iter().flatten().enumerate();
    let checked = written.filter_map(|(index, text)| {
        report.accept(format_args!("spec.externalIPs[{index}]"), check::lenient_address(text).and_then(is_ordinary))
    });
    checked.collect()
}

/// Those that nodes rewrite: with `ipMode: Proxy` the load balancer itself is to see the call.
pub fn load_balancer_ips(report: &mut Report<'_>, status: &ServiceStatus) -> Vec<IpAddr> {
    let ingress = status.load_balancer.iter().filter_map(|it| it.ingress.as_ref()).flatten().enumerate();
    let virtual_ips = ingress.filter(|(_, it)| it.ip_mode.as_deref() != Some("Proxy"));
    let written = virtual_ips.filter_map(|(index, it)| Some((index, it.ip.as_deref().filter(|ip| !ip.is_empty())?)));
    let checked = written.filter_map(|(index, text)| {
        report.accept(format_args!("status.loadBalancer.ingress[{index}].ip"), check::lenient_address(text))
    });
    checked.collect()
}

/// Not one that means something else to every host (`ValidateNonSpecialIP`).
pub fn is_ordinary(address: IpAddr) -> Result<IpAddr, String> {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.octets()[..3] == [224, 0, 0],
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.octets()[..2] == [0xff, 2],
    };
    if address.is_unspecified() || address.is_loopback() || link_local {
        return Err(format!("{address} may not be unspecified, loopback or link-local"));
    }
    Ok(address)
}
