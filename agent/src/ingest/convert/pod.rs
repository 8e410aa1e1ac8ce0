//! Pods, and the pod that stands for a workload's template.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{
    self as core, Container, HTTPGetAction, LifecycleHandler, PodSpec, PodStatus, PodTemplateSpec, Probe,
    TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use policy::model::{ContainerPort, HostPort, KubeletCall, Pod, Protocol};

use super::network_policy::protocol;
use super::{Report, Unknown};
use crate::ingest::check;
use crate::ingest::kind::Kind;

/// The pod, without node and addresses where the file leaves them out.
pub fn pod(report: &mut Report<'_>) -> Option<Pod> {
    let written: core::Pod = report.parse(Unknown::Warn)?;
    let mut pod = from_spec(report, "", &written.metadata, &written.spec.unwrap_or_default());
    pod.addresses = addresses(report, &written.status.unwrap_or_default());
    Some(pod)
}

/// The pod that stands for a workload's template, named after the workload.
pub fn workload(report: &mut Report<'_>, kind: Kind) -> Option<Pod> {
    let template: Option<PodTemplateSpec> = match kind {
        Kind::Deployment => report.parse::<Deployment>(Unknown::Warn)?.spec.map(|spec| spec.template),
        Kind::StatefulSet => report.parse::<StatefulSet>(Unknown::Warn)?.spec.map(|spec| spec.template),
        Kind::DaemonSet => report.parse::<DaemonSet>(Unknown::Warn)?.spec.map(|spec| spec.template),
        Kind::ReplicaSet => report.parse::<ReplicaSet>(Unknown::Warn)?.spec.and_then(|spec| spec.template),
        Kind::Job => report.parse::<Job>(Unknown::Warn)?.spec.map(|spec| spec.template),
        Kind::CronJob => {
            let job = report.parse::<CronJob>(Unknown::Warn)?.spec.map(|spec| spec.job_template);
            job.and_then(|job| job.spec).map(|spec| spec.template)
        }
        _ => None,
    };
    let prefix = if kind == Kind::CronJob { "spec.jobTemplate.spec.template." } else { "spec.template." };
    let Some(template) = template else {
        report.error(prefix.trim_end_matches('.'), "is required, describe the workload's pods there");
        return None;
    };
    let metadata = template.metadata.unwrap_or_default();
    Some(from_spec(report, prefix, &metadata, &template.spec.unwrap_or_default()))
}

fn from_spec(report: &mut Report<'_>, prefix: &str, metadata: &ObjectMeta, spec: &PodSpec) -> Pod {
    let id = &report.manifest.id;
    let (namespace, name) = (id.namespace.clone(), id.name.clone());
    let at_metadata = format!("{prefix}metadata");
    Pod {
        namespace,
        name,
        labels: report.labels(&at_metadata, metadata),
        annotations: report.annotations(&at_metadata, metadata),
        addresses: Vec::new(),
        node: node_name(report, prefix, spec),
        host_network: spec.host_network.unwrap_or_default(),
        ports: ports(report, prefix, spec),
        kubelet_calls: kubelet_calls(prefix, spec),
    }
}

/// What the kubelet is asked to call, where that is named.
fn kubelet_calls(prefix: &str, spec: &PodSpec) -> Vec<KubeletCall> {
    let mut calls = Vec::new();
    for (list, containers) in [("containers", &spec.containers[..]), ("initContainers", inits(spec))] {
        for (index, container) in containers.iter().enumerate() {
            let hosts = handlers(container).into_iter().flat_map(|(name, [http, tcp])| {
                let named = [("httpGet", http), ("tcpSocket", tcp)].into_iter();
                named.filter_map(move |(kind, host)| Some((format!("{name}.{kind}.host"), host?)))
            });
            calls.extend(hosts.filter(|(_, host)| !host.is_empty()).map(|(field, host)| KubeletCall {
                field: format!("{prefix}spec.{list}[{index}].{field}"),
                host: host.to_owned(),
            }));
        }
    }
    calls
}

fn inits(spec: &PodSpec) -> &[Container] {
    spec.init_containers.as_deref().unwrap_or_default()
}

/// Hosts that are named, over HTTP and TCP.
type Hosts<'a> = [Option<&'a str>; 2];

fn hosts<'a>(http: Option<&'a HTTPGetAction>, tcp: Option<&'a TCPSocketAction>) -> Hosts<'a> {
    [http.and_then(|it| it.host.as_deref()), tcp.and_then(|it| it.host.as_deref())]
}

fn probe(probe: Option<&Probe>) -> Hosts<'_> {
    probe.map_or([None; 2], |it| hosts(it.http_get.as_ref(), it.tcp_socket.as_ref()))
}

fn hook(hook: Option<&LifecycleHandler>) -> Hosts<'_> {
    hook.map_or([None; 2], |it| hosts(it.http_get.as_ref(), it.tcp_socket.as_ref()))
}

/// What each probe and hook of a container names.
fn handlers(container: &Container) -> [(&'static str, Hosts<'_>); 5] {
    let lifecycle = container.lifecycle.as_ref();
    [
        ("livenessProbe", probe(container.liveness_probe.as_ref())),
        ("readinessProbe", probe(container.readiness_probe.as_ref())),
        ("startupProbe", probe(container.startup_probe.as_ref())),
        ("lifecycle.postStart", hook(lifecycle.and_then(|it| it.post_start.as_ref()))),
        ("lifecycle.preStop", hook(lifecycle.and_then(|it| it.pre_stop.as_ref()))),
    ]
}

fn node_name(report: &mut Report<'_>, prefix: &str, spec: &PodSpec) -> String {
    let name = spec.node_name.clone().unwrap_or_default();
    if !name.is_empty() {
        report.accept(format_args!("{prefix}spec.nodeName"), check::dns_subdomain(&name));
    }
    name
}

/// The ports of containers and of sidecars: init containers that are always restarted.
fn ports(report: &mut Report<'_>, prefix: &str, spec: &PodSpec) -> Vec<ContainerPort> {
    let containers = spec.containers.iter().enumerate().map(|(index, container)| ("containers", index, container));
    let sidecars = spec.init_containers.iter().flatten().enumerate();
    let sidecars = sidecars
        .filter(|(_, container)| container.restart_policy.as_deref() == Some("Always"))
        .map(|(index, container)| ("initContainers", index, container));
    let mut ports = Vec::new();
    let mut on_host = BTreeSet::new();
    for (list, index, container) in containers.chain(sidecars) {
        let mut names = BTreeSet::new();
        for (number, written) in container.ports.iter().flatten().enumerate() {
            let field = format!("{prefix}spec.{list}[{index}].ports[{number}]");
            let port = port(report, &field, written);
            check_host_port(report, &field, spec, port.as_ref(), &mut on_host);
            ports.extend(port);
            if let Some(name) = &written.name
                && !names.insert(name)
            {
                report.error(format_args!("{field}.name"), format!("`{name}` is there twice, rename one of them"));
            }
        }
    }
    ports
}

/// A port of the node is there once, and a pod on the node's network is called at its own.
fn check_host_port(
    report: &mut Report<'_>,
    field: &str,
    spec: &PodSpec,
    port: Option<&ContainerPort>,
    on_host: &mut BTreeSet<(Protocol, Option<IpAddr>, u16)>,
) {
    let Some((port, on_node)) = port.and_then(|port| Some((port, port.host_port.as_ref()?))) else { return };
    let field = format!("{field}.hostPort");
    if spec.host_network == Some(true) && on_node.port != port.port {
        let problem = format!("{} must be the containerPort {} on the node's network", on_node.port, port.port);
        report.error(&field, problem);
    }
    if !on_host.insert((port.protocol, on_node.address, on_node.port)) {
        report.error(&field, format!("{} is there twice, change one of them", on_node.port));
    }
}

fn port(report: &mut Report<'_>, field: &str, written: &core::ContainerPort) -> Option<ContainerPort> {
    let name = written.name.clone().filter(|name| !name.is_empty());
    if let Some(name) = &name {
        report.accept(format_args!("{field}.name"), check::port_name(name));
    }
    let written_protocol = written.protocol.as_deref().filter(|name| !name.is_empty()).unwrap_or("TCP");
    let protocol = report.accept(format_args!("{field}.protocol"), protocol(written_protocol));
    let port = report.accept(format_args!("{field}.containerPort"), check::port_number(written.container_port));
    let host_port = host_port(report, field, written);
    Some(ContainerPort { name: name.map(Into::into), protocol: protocol?, port: port?, host_port })
}

/// A `hostIP` that stands for all addresses is none.
fn host_port(report: &mut Report<'_>, field: &str, written: &core::ContainerPort) -> Option<HostPort> {
    let number = written.host_port.filter(|number| *number != 0)?;
    let port = report.accept(format_args!("{field}.hostPort"), check::port_number(number))?;
    let address = written.host_ip.as_deref().filter(|ip| !ip.is_empty());
    let address = address.and_then(|ip| report.accept(format_args!("{field}.hostIP"), check::lenient_address(ip)));
    Some(HostPort { port, address: address.filter(|address| !address.is_unspecified()) })
}

/// `podIPs`, or `podIP` alone: at most one of each family.
fn addresses(report: &mut Report<'_>, status: &PodStatus) -> Vec<IpAddr> {
    let mut written: Vec<(String, String)> = status
        .pod_ips
        .iter()
        .flatten()
        .enumerate()
        .map(|(index, pod_ip)| (format!("status.podIPs[{index}].ip"), pod_ip.ip.clone()))
        .collect();
    if written.is_empty() {
        written.extend(status.pod_ip.clone().map(|text| ("status.podIP".to_owned(), text)));
    }
    let mut addresses: Vec<IpAddr> = Vec::new();
    for (field, text) in written.into_iter().filter(|(_, text)| !text.is_empty()) {
        let Some(address) = report.accept(&field, check::address(&text)) else { continue };
        if addresses.iter().any(|other| other.is_ipv4() == address.is_ipv4()) {
            report.error(&field, format!("{text} is a second address of its family, keep one"));
            continue;
        }
        addresses.push(address);
    }
    addresses
}
