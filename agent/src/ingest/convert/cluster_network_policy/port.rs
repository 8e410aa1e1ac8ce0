//! The protocols of a rule: numbers, ranges and names of destination ports.

use policy::model::{Port, Protocol};

use super::{at_most, written};
use crate::ingest::check;
use crate::ingest::convert::Report;

/// Empty where the rule names no protocols: it is about whatever the protocol.
pub(super) fn ports(report: &mut Report<'_>, field: &str, protocols: Option<&[written::Protocol]>) -> Vec<Port> {
    let Some(protocols) = protocols else { return Vec::new() };
    if protocols.is_empty() {
        report.error(field, "is empty, name at least one protocol or leave it out");
    }
    at_most(report, field, "protocols", protocols.len());
    let ports = protocols.iter().enumerate();
    ports.flat_map(|(index, protocol)| one(report, &format!("{field}[{index}]"), protocol)).collect()
}

fn one(report: &mut Report<'_>, field: &str, written: &written::Protocol) -> Vec<Port> {
    let written::Protocol { tcp, udp, sctp, destination_named_port } = written;
    let transports = [(Protocol::Tcp, "tcp", tcp), (Protocol::Udp, "udp", udp), (Protocol::Sctp, "sctp", sctp)];
    let mut named = transports.into_iter().filter_map(|(protocol, name, it)| Some((protocol, name, it.as_ref()?)));
    match (named.next(), named.next(), destination_named_port) {
        (Some((protocol, name, transport)), None, None) => {
            let field = format!("{field}.{name}");
            self::transport(report, &field, protocol, transport).into_iter().collect()
        }
        (None, None, Some(name)) => named_port(report, field, name),
        _ => {
            report.error(field, "must name exactly one of tcp, udp, sctp and destinationNamedPort");
            Vec::new()
        }
    }
}

/// Whatever the protocol.
fn named_port(report: &mut Report<'_>, field: &str, name: &str) -> Vec<Port> {
    if let Err(problem) = check::port_name(name) {
        report.warn(format_args!("{field}.destinationNamedPort"), format!("{problem}; no pod has such a port"));
    }
    Protocol::ALL.map(|protocol| Port::Named(protocol, name.to_owned())).into()
}

fn transport(report: &mut Report<'_>, field: &str, protocol: Protocol, written: &written::Transport) -> Option<Port> {
    let Some(port) = &written.destination_port else {
        report.error(field, "names no port, add destinationPort");
        return None;
    };
    let field = format!("{field}.destinationPort");
    match port {
        written::Port { number: Some(number), range: None } => {
            let number = report.accept(format_args!("{field}.number"), check::port_number(*number))?;
            Some(Port::Range(protocol, number, number))
        }
        written::Port { number: None, range: Some(range) } => {
            let start = report.accept(format_args!("{field}.range.start"), check::port_number(range.start));
            let end = report.accept(format_args!("{field}.range.end"), check::port_number(range.end));
            let (start, end) = (start?, end?);
            if start >= end {
                report.error(format_args!("{field}.range"), format!("start {start} must be less than end {end}"));
                return None;
            }
            Some(Port::Range(protocol, start, end))
        }
        written::Port { .. } => {
            report.error(field, "must name exactly one of number and range");
            None
        }
    }
}
