//! A line for each verdict, for people (`wide`) and for spreadsheets (`csv`).

use std::borrow::Cow;
use std::io::{Result, Write};

use policy::ask::{FlowPort, Matrix, Record};

use super::tally::Tally;
use crate::cli::Paint;

/// What decided: the direction that drops, its reason and rules; or for what passes, both reasons.
pub(super) fn wide(out: &mut dyn Write, matrix: &Matrix<'_>, paint: Paint) -> Result<()> {
    let longest = |heading: &str, lengths: &mut dyn Iterator<Item = usize>| lengths.fold(heading.len(), usize::max);
    let parties = matrix.parties();
    let end = longest("FROM", &mut parties.iter().map(|party| party.name.len()));
    let address = longest("ADDRESS", &mut parties.iter().map(|party| party.address.to_string().len()));
    let port = longest("PORT", &mut matrix.ports().iter().map(|port| title(*port).len()));
    let head = format!(
        "{:end$}  {:address$}  {:end$}  {:address$}  {:port$}  VERDICT  WHY",
        "FROM", "ADDRESS", "TO", "ADDRESS", "PORT"
    );
    writeln!(out, "{}", paint.faint(&head))?;
    let mut tally = Tally::default();
    for record in matrix.records() {
        tally.count(&record);
        let Record { from, from_ip, to, to_ip, verdict, .. } = &record;
        let shown = format!("{:7}", verdict.name());
        let shown = if record.dropped_by().is_some() { paint.red(&shown) } else { paint.green(&shown) };
        writeln!(
            out,
            "{from:end$}  {:address$}  {to:end$}  {:address$}  {:port$}  {shown}  {}",
            from_ip.to_string(),
            to_ip.to_string(),
            port_of(&record),
            why(&record)
        )?;
    }
    writeln!(out, "\n{tally}")
}

/// The reason that a line gives for its verdict.
pub(in crate::cli) fn why(record: &Record) -> String {
    let why = match record.dropped_by() {
        Some((name, direction)) if direction.rules.is_empty() => format!("{name} {}", direction.reason),
        Some((name, direction)) => format!("{name} {} by {}", direction.reason, direction.rules.join(", ")),
        None => {
            let [(_, egress), (_, ingress)] = record.directions();
            format!("egress {}, ingress {}", egress.reason, ingress.reason)
        }
    };
    record.audited.map_or(why.clone(), |reason| format!("{why} (audited: {reason})"))
}

pub(in crate::cli) fn port_of(record: &Record) -> String {
    if record.port == 0 { record.protocol.to_owned() } else { format!("{} {}", record.protocol, record.port) }
}

/// `TCP 80`
pub(super) fn title(port: FlowPort) -> String {
    if port.port() == 0 { port.protocol().to_owned() } else { format!("{} {}", port.protocol(), port.port()) }
}

pub(super) fn csv(out: &mut dyn Write, matrix: &Matrix<'_>) -> Result<()> {
    writeln!(
        out,
        "from,fromIP,to,toIP,protocol,port,verdict,audited,egress,egressReason,egressRules,ingress,ingressReason,\
         ingressRules"
    )?;
    for record in matrix.records() {
        let Record { from, from_ip, to, to_ip, protocol, port, verdict, audited, egress, ingress } = &record;
        let (verdict, audited) = (verdict.name(), audited.unwrap_or_default());
        write!(out, "{from},{from_ip},{to},{to_ip},{protocol},{port},{verdict},{audited}")?;
        for direction in [egress, ingress] {
            let rules = direction.rules.join("; ");
            write!(out, ",{},{},{}", direction.verdict.name(), direction.reason, field(&rules))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Tenants' names can hold anything.
fn field(text: &str) -> Cow<'_, str> {
    if text.contains(['"', ',', '\n', '\r']) {
        Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")))
    } else {
        Cow::Borrowed(text)
    }
}
