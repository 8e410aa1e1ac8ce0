//! A report as people read it: who reaches whom, and below it why not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use policy::ask::{Record, Said};

use crate::cli::Paint;
use crate::cli::wrap::{WIDTH, wrap};
use crate::lab::{Checked, Report};

/// What a cell of the table is made of: the records from one end to another at one port, one a family.
type Cells<'a> = BTreeMap<(&'a str, &'a str), BTreeMap<Port, Vec<&'a Checked>>>;

/// In the order of protocol and port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Port(&'static str, u16);

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.0.to_ascii_lowercase();
        if self.1 == 0 { write!(f, "{name}") } else { write!(f, "{name}/{}", self.1) }
    }
}

/// The table, the drops with their reasons, and how the kernel and the model agree.
#[must_use]
pub fn table(report: &Report, paint: Paint) -> String {
    let cells = cells(&report.verdicts);
    let ports: BTreeSet<&Port> = cells.values().flat_map(BTreeMap::keys).collect();
    let names: Vec<String> = ports.iter().map(ToString::to_string).collect();
    let head = wrap(&format!("Rows reach columns. The marks of a cell, in order: {}", names.join(" ")), 2);
    let mut text = format!("{}\n\n", paint.faint(&head));
    text += &grid(&cells, &ports, paint);
    text.push('\n');
    text += &drops(report, &cells, ports.len(), paint);
    text += &summary(report, paint);
    text
}

/// One line: observed equals expected, or each difference on a line of its own.
fn summary(report: &Report, paint: Paint) -> String {
    let total = report.verdicts.len();
    let drops = report.verdicts.iter().filter(|checked| checked.observed == Said::Drop).count();
    let mut text = String::new();
    for checked in &report.verdicts {
        let Some(difference) = checked.difference() else { continue };
        let Record { from, to, to_ip, protocol, port, .. } = &checked.record;
        let port = Port(protocol, *port);
        let _ = writeln!(text, "{} {from} → {to} ({to_ip}) {port}: {difference}", paint.red("differs:"));
    }
    let reasons = if drops == 0 { "" } else { ", each for the expected reason" };
    let _ = match report.differences() {
        0 => writeln!(
            text,
            "{} {total} packets sent, {} arrived, {drops} dropped{reasons}",
            paint.green("observed = expected:"),
            total - drops
        ),
        differences => writeln!(text, "{} {differences} of {total}", paint.red("observed differs from expected:")),
    };
    text
}

/// Each drop, under its reason, its tenants and its ports. `ports`: how many were tried.
fn drops(report: &Report, cells: &Cells<'_>, ports: usize, paint: Paint) -> String {
    let mut reasons: BTreeMap<String, Flows<'_>> = BTreeMap::new();
    for ((from, to), tried) in cells {
        for (reason, dropped) in reasons_of(tried) {
            let whole = dropped.len() == ports && dropped.iter().all(|port| !port.ends_with(')'));
            let shown = if whole { "every port".to_owned() } else { dropped.join(" ") };
            let flows = reasons.entry(reason).or_default();
            flows.entry((tenants_of(report, from, to), shown, *to)).or_default().insert(from);
        }
    }
    let mut text = String::new();
    for (reason, flows) in &reasons {
        let _ = writeln!(text, "{} {}", paint.red("✗"), wrap(reason, 6));
        for ((tenants, ports), ends) in merge(flows) {
            let _ = writeln!(text, "    {}", paint.faint(&wrap(&format!("{tenants}{ports}"), 4)));
            ends.iter().for_each(|(from, to)| text.push_str(&arrow(from, to)));
        }
        text.push('\n');
    }
    text
}

/// `a, b → c` on a line where that fits, or else on two.
fn arrow(from: &[&str], to: &[&str]) -> String {
    let (from, to) = (from.join(", "), to.join(", "));
    let line = format!("      {from} → {to}\n");
    if line.chars().count() <= WIDTH + 1 {
        return line;
    }
    format!("{}\n{}\n", wrap(&format!("      {from}"), 6), wrap(&format!("        → {to}"), 10))
}

/// `team-a → team-b, `, where the lab has tenants at all.
fn tenants_of(report: &Report, from: &str, to: &str) -> String {
    let tenant = |end: &str| match (report.tenants.get(end), end.parse::<IpAddr>()) {
        (Some(tenant), _) => tenant.clone(),
        (None, Ok(_)) => "outside".to_owned(),
        (None, Err(_)) => "platform".to_owned(),
    };
    if report.tenants.is_empty() { String::new() } else { format!("{} → {}, ", tenant(from), tenant(to)) }
}

fn cells(verdicts: &[Checked]) -> Cells<'_> {
    let mut cells: Cells<'_> = BTreeMap::new();
    for checked in verdicts {
        let Record { from, to, protocol, port, .. } = &checked.record;
        let cell = cells.entry((from, to)).or_default();
        cell.entry(Port(protocol, *port)).or_default().push(checked);
    }
    cells
}

/// Tenants, ports and destination of drops, and their sources.
type Flows<'a> = BTreeMap<(String, String, &'a str), BTreeSet<&'a str>>;

/// Sources and destinations, all of the former to all of the latter.
type Ends<'a> = Vec<(Vec<&'a str>, Vec<&'a str>)>;

/// Destinations that the same sources did not reach stand together.
fn merge<'a>(flows: &'a Flows<'a>) -> BTreeMap<(&'a str, &'a str), Ends<'a>> {
    let mut merged: BTreeMap<(&str, &str), Ends<'_>> = BTreeMap::new();
    for ((tenants, ports, to), from) in flows {
        let from: Vec<&str> = from.iter().copied().collect();
        let ends = merged.entry((tenants, ports)).or_default();
        match ends.iter_mut().find(|(other, _)| *other == from) {
            Some((_, destinations)) => destinations.push(to),
            None => ends.push((from, vec![to])),
        }
    }
    merged
}

/// Why packets from one end to another were dropped, each reason with its ports. A port that dropped only one family
/// names it.
fn reasons_of(ports: &BTreeMap<Port, Vec<&Checked>>) -> BTreeMap<String, Vec<String>> {
    let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (port, records) in ports {
        let mut here: BTreeMap<String, Vec<&Checked>> = BTreeMap::new();
        for checked in records.iter().filter(|checked| checked.observed == Said::Drop) {
            here.entry(checked.observed_because()).or_default().push(checked);
        }
        for (reason, dropped) in here {
            let family = match dropped.as_slice() {
                some if some.len() == records.len() => "",
                [checked, ..] if checked.record.to_ip.is_ipv4() => "(IPv4)",
                _ => "(IPv6)",
            };
            reasons.entry(reason).or_default().push(format!("{port}{family}"));
        }
    }
    reasons
}

/// A row and a column an end, numbered, because names are long.
fn grid(cells: &Cells<'_>, ports: &BTreeSet<&Port>, paint: Paint) -> String {
    let ends: BTreeSet<&str> = cells.keys().flat_map(|(from, to)| [*from, *to]).collect();
    let digits = ends.len().to_string().len();
    let width = ends.iter().map(|end| end.chars().count()).max().unwrap_or(0);
    let cell = ports.len().max(digits);
    let mut text = " ".repeat(digits + width + 4);
    for number in 1..=ends.len() {
        let _ = write!(text, "{number:>cell$}  ");
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    for (number, from) in (1..).zip(&ends) {
        let _ = write!(text, "{number:>digits$}  {from:<width$}  ");
        for to in &ends {
            let marks: String = match cells.get(&(*from, *to)) {
                Some(found) => ports.iter().map(|port| mark(found.get(*port), paint)).collect(),
                None => paint.faint("·"),
            };
            let shown = if cells.contains_key(&(*from, *to)) { ports.len() } else { 1 };
            let _ = write!(text, "{}{marks}  ", " ".repeat(cell - shown));
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// Arrived, dropped, or only one family arrived.
fn mark(records: Option<&Vec<&Checked>>, paint: Paint) -> String {
    let Some(records) = records else { return " ".to_owned() };
    let arrived: Vec<bool> = records.iter().map(|checked| checked.observed == Said::Allow).collect();
    let only = |v4: bool| {
        records.iter().all(|checked| (checked.observed == Said::Allow) == (checked.record.to_ip.is_ipv4() == v4))
    };
    if arrived.iter().all(|arrived| *arrived) {
        paint.green("✓")
    } else if !arrived.contains(&true) {
        paint.red("✗")
    } else if only(true) {
        paint.red("4")
    } else if only(false) {
        paint.red("6")
    } else {
        paint.red("?")
    }
}
