//! What stands in for a Service or an EndpointSlice in which something is not understood: kube-proxy may understand it,
//! and rewrite what is sent to every address and port that it names.

use std::net::IpAddr;

use policy::model::{EndpointSlice, Labels, Protocol, Service, ServicePort, TargetPort};
use serde_json::Value;

use super::super::Report;
use super::super::network_policy::protocol;
use super::{SERVICE_LABEL, is_passed_over};
use crate::ingest::check;

/// All that can be read of where a Service is called.
pub fn service(report: &Report<'_>) -> Service {
    let object = &report.manifest.value;
    let spec = &object["spec"];
    let ingress = list(&object["status"]["loadBalancer"]["ingress"]);
    let virtual_ips = ingress.iter().filter(|it| it["ipMode"] != "Proxy").map(|it| &it["ip"]);
    let mut cluster_ips = addresses(list(&spec["clusterIPs"]).iter().chain([&spec["clusterIP"]]));
    cluster_ips.dedup();
    Service {
        namespace: report.manifest.id.namespace.clone(),
        name: report.manifest.id.name.clone(),
        selector: Labels::default(),
        cluster_ips,
        external_ips: addresses(list(&spec["externalIPs"])),
        load_balancer_ips: addresses(virtual_ips),
        ports: list(&spec["ports"]).iter().filter_map(port).collect(),
        is_passed_over: is_passed_over(|label| !object["metadata"]["labels"][label].is_null()),
        is_local: false,
        is_undecided: true,
    }
}

/// The Service that a slice belongs to.
pub fn endpoint_slice(report: &Report<'_>) -> EndpointSlice {
    let labels = &report.manifest.value["metadata"]["labels"];
    EndpointSlice {
        namespace: report.manifest.id.namespace.clone(),
        name: report.manifest.id.name.clone(),
        service: labels[SERVICE_LABEL].as_str().unwrap_or_default().to_owned(),
        is_undecided: !is_passed_over(|label| !labels[label].is_null()),
        ..EndpointSlice::default()
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn addresses<'a>(written: impl IntoIterator<Item = &'a Value>) -> Vec<IpAddr> {
    written.into_iter().filter_map(|text| check::lenient_address(text.as_str()?).ok()).collect()
}

fn port(written: &Value) -> Option<ServicePort> {
    let number = |field: &str| written[field].as_u64().and_then(|number| u16::try_from(number).ok());
    let protocol: Option<Protocol> = protocol(written["protocol"].as_str().unwrap_or("TCP")).ok();
    let port = number("port")?;
    Some(ServicePort {
        name: written["name"].as_str().unwrap_or_default().to_owned(),
        protocol: protocol?,
        port,
        target: TargetPort::Number(port),
        node_port: number("nodePort").filter(|number| *number != 0),
    })
}
