//! Services, as far as the model has them.

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use policy::model::{Service, ServicePort, TargetPort};

use super::network_policy::protocol;
use super::{Report, Unknown};
use crate::ingest::check;

pub fn service(report: &mut Report<'_>) -> Option<Service> {
    let written: core::Service = report.parse(Unknown::Warn)?;
    let spec = written.spec.unwrap_or_default();
    let selector = spec.selector.unwrap_or_default();
    for (key, value) in &selector {
        report.accept("spec.selector", check::qualified_name(key));
        report.accept(format_args!("spec.selector[{key}]"), check::label_value(value));
    }
    let mut ports = Vec::new();
    for (index, written) in spec.ports.iter().flatten().enumerate() {
        ports.extend(port(report, &format!("spec.ports[{index}]"), written));
    }
    let id = &report.manifest.id;
    Some(Service { namespace: id.namespace.clone(), name: id.name.clone(), selector, ports })
}

fn port(report: &mut Report<'_>, field: &str, written: &core::ServicePort) -> Option<ServicePort> {
    let protocol = written.protocol.as_deref().filter(|name| !name.is_empty()).unwrap_or("TCP");
    let protocol = report.accept(format_args!("{field}.protocol"), self::protocol(protocol));
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
    Some(ServicePort { protocol: protocol?, port, target })
}
