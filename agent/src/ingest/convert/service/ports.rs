//! The ports of a Service.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{ServicePort as Written, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use policy::model::{Protocol, ServicePort, TargetPort};

use super::super::Report;
use super::super::network_policy::protocol;
use super::{Shape, Type};
use crate::ingest::check;

pub fn ports(report: &mut Report<'_>, shape: Shape, spec: &ServiceSpec) -> Vec<ServicePort> {
    let written = spec.ports.as_deref().unwrap_or_default();
    if written.is_empty() && !shape.headless && shape.kind != Type::ExternalName {
        report.error("spec.ports", "is required, say which ports are called");
    }
    let mut names = BTreeSet::new();
    let mut ports: Vec<ServicePort> = Vec::new();
    for (index, written_port) in written.iter().enumerate() {
        let field = format!("spec.ports[{index}]");
        let name = written_port.name.clone().unwrap_or_default();
        if name.is_empty() && written.len() > 1 {
            report.error(format_args!("{field}.name"), "is required where there are several ports");
        } else if !name.is_empty() {
            report.accept(format_args!("{field}.name"), check::dns_label(&name));
            if !names.insert(name) {
                report.error(format_args!("{field}.name"), "is there twice, rename one of them");
            }
        }
        let Some(port) = port(report, shape, &field, written_port) else { continue };
        if ports.iter().any(|other| other.protocol == port.protocol && other.port == port.port) {
            report.error(&field, format!("{} {} is there twice, keep one", port.protocol.name(), port.port));
        }
        let called = port.node_port.filter(|number| {
            ports.iter().any(|other| other.protocol == port.protocol && other.node_port == Some(*number))
        });
        if let Some(number) = called {
            report.error(format_args!("{field}.nodePort"), format!("{number} is there twice, change one of them"));
        }
        ports.push(port);
    }
    ports
}

fn port(report: &mut Report<'_>, shape: Shape, field: &str, written: &Written) -> Option<ServicePort> {
    let protocol = protocol_of(report, field, written.protocol.as_deref());
    let port = report.accept(format_args!("{field}.port"), check::port_number(written.port))?;
    let target_field = format!("{field}.targetPort");
    let target = match &written.target_port {
        None | Some(IntOrString::Int(0)) => TargetPort::Number(port),
        Some(IntOrString::Int(number)) => TargetPort::Number(report.accept(target_field, check::port_number(*number))?),
        Some(IntOrString::String(name)) if name.is_empty() => TargetPort::Number(port),
        Some(IntOrString::String(name)) => {
            report.accept(target_field, check::port_name(name));
            TargetPort::Named(name.clone())
        }
    };
    let node_field = format!("{field}.nodePort");
    let node_port = match written.node_port {
        None | Some(0) => None,
        Some(_) if !shape.kind.has_node_ports() => {
            report.error(node_field, "may not be used, unless spec.type is NodePort or LoadBalancer");
            None
        }
        Some(number) => report.accept(node_field, check::port_number(number)),
    };
    Some(ServicePort { name: written.name.clone().unwrap_or_default(), protocol: protocol?, port, target, node_port })
}

/// TCP where none is written.
pub fn protocol_of(report: &mut Report<'_>, field: &str, written: Option<&str>) -> Option<Protocol> {
    let written = written.filter(|name| !name.is_empty()).unwrap_or("TCP");
    report.accept(format_args!("{field}.protocol"), protocol(written))
}
