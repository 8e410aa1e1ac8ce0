//! EndpointSlices (`discovery.k8s.io/v1`).

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::discovery::v1 as discovery;
use policy::model::{EndpointPort, EndpointSlice, SliceEndpoint};

use super::super::{Report, Unknown};
use super::addresses::is_ordinary;
use super::ports::protocol_of;
use super::{SERVICE_LABEL, is_passed_over, one_of};
use crate::ingest::check;

/// The API server's limits (`pkg/apis/discovery/validation`).
const MOST_ENDPOINTS: usize = 1000;
const MOST_ADDRESSES: usize = 100;
const MOST_PORTS: usize = 20_000;

pub fn endpoint_slice(report: &mut Report<'_>) -> Option<EndpointSlice> {
    let written: discovery::EndpointSlice = report.parse(Unknown::Warn)?;
    let labels = report.labels("metadata", &written.metadata);
    report.annotations("metadata", &written.metadata);
    let family = family(report, &written.address_type);
    let endpoints = written.endpoints;
    limit(report, "endpoints", endpoints.len(), MOST_ENDPOINTS);
    let mut listed = Vec::new();
    for (index, endpoint) in endpoints.iter().enumerate() {
        listed.extend(self::endpoint(report, &format!("endpoints[{index}]"), family, endpoint));
    }
    if is_passed_over(|label| labels.contains_key(label)) {
        listed.clear();
    }
    let (namespace, name) = (report.manifest.id.namespace.clone(), report.manifest.id.name.clone());
    Some(EndpointSlice {
        namespace,
        name,
        service: labels.get(SERVICE_LABEL).map(ToString::to_string).unwrap_or_default(),
        ports: ports(report, &written.ports.unwrap_or_default()),
        endpoints: listed,
        is_undecided: false,
    })
}

/// What the addresses of a slice are.
#[derive(Clone, Copy, PartialEq)]
enum Family {
    V4,
    V6,
    Names,
}

fn family(report: &mut Report<'_>, written: &str) -> Family {
    match written {
        "IPv4" => Family::V4,
        "IPv6" => Family::V6,
        "FQDN" => Family::Names,
        "" => {
            report.error("addressType", "is required: IPv4 or IPv6");
            Family::Names
        }
        other => {
            report.error("addressType", one_of(other, &["IPv4", "IPv6", "FQDN"]));
            Family::Names
        }
    }
}

fn endpoint(
    report: &mut Report<'_>,
    field: &str,
    family: Family,
    written: &discovery::Endpoint,
) -> Option<SliceEndpoint> {
    let field = format!("{field}.addresses");
    if written.addresses.is_empty() {
        report.error(&field, "is required, name an address");
    }
    limit(report, &field, written.addresses.len(), MOST_ADDRESSES);
    if family == Family::Names {
        return None;
    }
    let mut first = None;
    for (index, text) in written.addresses.iter().enumerate() {
        let of_family = |address: IpAddr| {
            let fits = address.is_ipv4() == (family == Family::V4);
            fits.then_some(address).ok_or_else(|| format!("{address} is not of the slice's addressType"))
        };
        let checked = check::lenient_address(text).and_then(of_family).and_then(is_ordinary);
        let address = report.accept(format_args!("{field}[{index}]"), checked);
        first = first.or(address.filter(|_| index == 0));
    }
    let ready = written.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
    Some(SliceEndpoint { address: first?, ready })
}

/// One without a number is for consumers who know their port otherwise: nothing is sent there by way of a Service.
fn ports(report: &mut Report<'_>, written: &[discovery::EndpointPort]) -> Vec<EndpointPort> {
    limit(report, "ports", written.len(), MOST_PORTS);
    let mut names = BTreeSet::new();
    let mut ports = Vec::new();
    for (index, written) in written.iter().enumerate() {
        let field = format!("ports[{index}]");
        let name = written.name.clone().unwrap_or_default();
        if !name.is_empty() {
            report.accept(format_args!("{field}.name"), check::dns_label(&name));
        }
        if !names.insert(name.clone()) {
            report.error(format_args!("{field}.name"), format!("`{name}` is there twice, rename one of them"));
        }
        let protocol = protocol_of(report, &field, written.protocol.as_deref());
        // kube-proxy passes over 0, too (`endpointInfoByServicePort`).
        let Some(number) = written.port.filter(|number| *number != 0) else { continue };
        let port = report.accept(format_args!("{field}.port"), check::port_number(number));
        ports.extend(protocol.zip(port).map(|(protocol, port)| EndpointPort { name, protocol, port }));
    }
    ports
}

fn limit(report: &mut Report<'_>, field: &str, written: usize, most: usize) {
    if written > most {
        report.error(field, format!("has {written} entries, {most} are possible: split them up"));
    }
}
