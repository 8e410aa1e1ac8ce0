//! Verdicts as people read them: a grid for each port, or a line for each verdict.

use std::collections::BTreeMap;
use std::fmt::Write;

use policy::ask::{Record, Said};

/// Colour, where it is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    colour: bool,
}

impl Paint {
    /// `terminal`: somebody looks at it; `NO_COLOR` still turns colour off.
    #[must_use]
    pub fn new(terminal: bool) -> Self {
        Self { colour: terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    #[must_use]
    pub fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    #[must_use]
    pub fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }

    #[must_use]
    pub fn faint(self, text: &str) -> String {
        self.wrap("2", text)
    }

    #[must_use]
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The verdicts of one pair on one port: one for each address family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Cell {
    v4: Option<&'static str>,
    v6: Option<&'static str>,
}

/// What a mark in the grid means.
const ALLOWED: &str = "allowed";
const SELF: &str = "same_pod";

impl Cell {
    fn add(&mut self, record: &Record) {
        let meaning = match record.dropped_by() {
            Some((_, direction)) => direction.reason,
            None if record.egress.reason == SELF => SELF,
            None => ALLOWED,
        };
        *(if record.from_ip.is_ipv4() { &mut self.v4 } else { &mut self.v6 }) = Some(meaning);
    }

    /// What both families say; a drop where one does and the other does not is said in a mark of its own.
    fn meaning(&self) -> &'static str {
        match (self.v4, self.v6) {
            (None, None) => "",
            (Some(one), None) | (None, Some(one)) => one,
            (Some(v4), Some(v6)) if v4 == v6 => v4,
            (Some(ALLOWED), Some(_)) => "IPv4 only",
            (Some(_), Some(ALLOWED)) => "IPv6 only",
            (Some(v4), Some(_)) => v4,
        }
    }
}

/// The mark of a meaning, one column wide.
fn mark(meaning: &str) -> &'static str {
    match meaning {
        "" => " ",
        ALLOWED => "✓",
        SELF => "·",
        "IPv4 only" => "4",
        "IPv6 only" => "6",
        "tenant_isolation" => "T",
        "default_deny" => "D",
        "quarantine" => "Q",
        "cluster_policy" => "C",
        "invalid_policy" => "I",
        "unknown_endpoint" => "U",
        _ => "✗",
    }
}

type Grid = BTreeMap<(usize, usize), Cell>;

/// Sources down, destinations across. Ports with the same verdicts share a grid.
#[must_use]
pub fn table(verdicts: &[Record], paint: Paint) -> String {
    let names = names(verdicts);
    let mut grids: Vec<(String, Grid)> = Vec::new();
    for (title, grid) in by_port(verdicts, &names) {
        match grids.iter_mut().find(|(_, other)| *other == grid) {
            Some((titles, _)) => {
                let _ = write!(titles, ", {title}");
            }
            None => grids.push((title, grid)),
        }
    }
    let mut text = String::new();
    for (title, grid) in &grids {
        draw(&mut text, title, grid, &names, paint);
    }
    let _ = writeln!(text, "{}", legend(&grids, paint));
    let _ = writeln!(text, "{}", summary(verdicts));
    text
}

/// Every end in the order of the verdicts, pods before addresses, with its place.
fn names(verdicts: &[Record]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for name in verdicts.iter().flat_map(|record| [record.from.as_str(), record.to.as_str()]) {
        names.push(name);
    }
    names.sort_by_key(|name| (!name.contains('/'), *name));
    names.dedup();
    names
}

/// `TCP 80`, in the order of the records.
fn by_port(verdicts: &[Record], names: &[&str]) -> Vec<(String, Grid)> {
    let places: BTreeMap<&str, usize> = names.iter().copied().zip(0..).collect();
    let mut grids: Vec<(String, Grid)> = Vec::new();
    let mut index: BTreeMap<(&str, u16), usize> = BTreeMap::new();
    for record in verdicts {
        let at = *index.entry((record.protocol, record.port)).or_insert_with(|| {
            grids.push((port_title(record), Grid::new()));
            grids.len() - 1
        });
        if let (Some(from), Some(to)) = (places.get(record.from.as_str()), places.get(record.to.as_str()))
            && let Some((_, grid)) = grids.get_mut(at)
        {
            grid.entry((*from, *to)).or_default().add(record);
        }
    }
    grids
}

fn port_title(record: &Record) -> String {
    if record.port == 0 { record.protocol.to_owned() } else { format!("{} {}", record.protocol, record.port) }
}

fn draw(text: &mut String, title: &str, grid: &Grid, names: &[&str], paint: Paint) {
    let digits = names.len().to_string().len();
    let width = names.iter().map(|name| name.len()).max().unwrap_or_default();
    let _ = writeln!(text, "{}", paint.bold(title));
    let _ = write!(text, "{:1$}", "", width + digits + 4);
    for column in 1..=names.len() {
        let _ = write!(text, " {}", paint.faint(&format!("{column:>digits$}")));
    }
    text.push('\n');
    for (row, name) in names.iter().enumerate() {
        let _ = write!(text, "  {} {name:width$} ", paint.faint(&format!("{:>digits$}", row + 1)));
        for column in 0..names.len() {
            let meaning = grid.get(&(row, column)).map_or("", Cell::meaning);
            let _ = write!(text, " {:1$}{2}", "", digits - 1, painted(meaning, paint));
        }
        text.push('\n');
    }
    text.push('\n');
}

fn painted(meaning: &str, paint: Paint) -> String {
    let mark = mark(meaning);
    match meaning {
        "" => mark.to_owned(),
        SELF => paint.faint(mark),
        ALLOWED => paint.green(mark),
        _ => paint.red(mark),
    }
}

/// The marks that appear.
fn legend(grids: &[(String, Grid)], paint: Paint) -> String {
    let mut meanings: Vec<&str> = grids.iter().flat_map(|(_, grid)| grid.values().map(Cell::meaning)).collect();
    meanings.sort_by_key(|meaning| (*meaning != ALLOWED, *meaning == SELF, *meaning));
    meanings.dedup();
    let marks: Vec<String> = meanings
        .into_iter()
        .filter(|meaning| !meaning.is_empty())
        .map(|meaning| format!("{} {}", painted(meaning, paint), meaning.replace('_', " ")))
        .collect();
    format!("Rows reach columns: {}", marks.join("   "))
}

/// How many flows pass, and what drops the others.
#[must_use]
pub fn summary(verdicts: &[Record]) -> String {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, direction) in verdicts.iter().filter_map(Record::dropped_by) {
        *reasons.entry(direction.reason).or_default() += 1;
    }
    let dropped: usize = reasons.values().sum();
    let mut text = format!("{} flows: {} allowed, {dropped} dropped", verdicts.len(), verdicts.len() - dropped);
    if dropped > 0 {
        let reasons: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        let _ = write!(text, " ({})", reasons.join(", "));
    }
    let audited = verdicts.iter().filter(|record| record.audited.is_some()).count();
    if audited > 0 {
        let _ = write!(text, "; tenancy in audit mode would drop {audited}");
    }
    text
}

/// A line for each verdict: the direction that drops, its reason and rules; or for what passes, both reasons.
#[must_use]
pub fn wide(verdicts: &[Record], paint: Paint) -> String {
    let heads = ["FROM", "ADDRESS", "TO", "ADDRESS", "PORT", "VERDICT", "WHY"].map(str::to_owned);
    let rows: Vec<[String; 7]> = std::iter::once(heads).chain(verdicts.iter().map(line)).collect();
    let widths: [usize; 7] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or_default());
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let padded = format!("{cell:width$}");
            let cell = match cell.as_str() {
                "allow" => paint.green(&padded),
                "drop" => paint.red(&padded),
                _ if number == 0 => paint.faint(&padded),
                _ => padded,
            };
            let _ = write!(line, "{cell}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let _ = writeln!(text, "\n{}", summary(verdicts));
    text
}

fn line(record: &Record) -> [String; 7] {
    let why = match record.dropped_by() {
        Some((name, direction)) => {
            let rules =
                if direction.rules.is_empty() { String::new() } else { format!(" by {}", direction.rules.join(", ")) };
            format!("{name} {}{rules}", direction.reason)
        }
        None => {
            let [(_, egress), (_, ingress)] = record.directions();
            format!("egress {}, ingress {}", egress.reason, ingress.reason)
        }
    };
    let audited = record.audited.map(|reason| format!(" (audited: {reason})")).unwrap_or_default();
    [
        record.from.clone(),
        record.from_ip.to_string(),
        record.to.clone(),
        record.to_ip.to_string(),
        port_title(record),
        match record.verdict {
            Said::Allow => "allow".to_owned(),
            Said::Drop => "drop".to_owned(),
        },
        why + &audited,
    ]
}
