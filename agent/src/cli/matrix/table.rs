//! Sources down, destinations across: a grid for each port.

use std::collections::{BTreeMap, HashMap};
use std::io::{Result, Write};

use policy::ask::{FlowPort, Matrix, Record};

use super::lines::title;
use super::tally::Tally;
use crate::cli::Paint;

/// More ends than this do not fit a terminal, so those that are judged alike share a line.
const SHOWN_ONE_BY_ONE: usize = 32;

const ALLOWED: &str = "allowed";
const SELF: &str = "same_pod";

/// Ports with the same verdicts share a grid.
pub(super) fn write(out: &mut dyn Write, matrix: &Matrix<'_>, paint: Paint) -> Result<()> {
    let ends = Ends::of(matrix);
    let mut tally = Tally::default();
    let mut meanings = Meanings::default();
    let mut grids: Vec<Grid> = matrix.ports().iter().map(|port| Grid::new(*port, ends.names.len())).collect();
    let places: HashMap<(&str, u16), usize> =
        matrix.ports().iter().map(|port| (port.protocol(), port.port())).zip(0..).collect();
    for record in matrix.records() {
        tally.count(&record);
        let meaning = meanings.number(meaning(&record));
        let place = (ends.index[&*record.from], ends.index[&*record.to]);
        grids[places[&(record.protocol, record.port)]].add(place, meaning, record.from_ip.is_ipv4());
    }
    let lines = ends.lines();
    for (titles, grid) in merge(&grids) {
        draw(out, &titles.join(", "), &Drawing { grid, ends: &ends, lines: &lines, meanings: &meanings, paint })?;
    }
    writeln!(out, "{}", legend(&grids, &meanings, paint))?;
    writeln!(out, "{tally}")
}

/// Every end by its name, pods before addresses.
struct Ends<'m> {
    names: Vec<&'m str>,
    index: HashMap<&'m str, usize>,
    /// The groups of its addresses: ends with the same ones are judged alike.
    alike: Vec<Vec<usize>>,
}

impl<'m> Ends<'m> {
    fn of(matrix: &'m Matrix<'_>) -> Self {
        let mut ends: BTreeMap<(bool, &str), Vec<usize>> = BTreeMap::new();
        for (party, group) in matrix.parties().iter().zip(matrix.groups()) {
            ends.entry((!party.name.contains('/'), &*party.name)).or_default().push(*group);
        }
        let names: Vec<&str> = ends.keys().map(|(_, name)| *name).collect();
        let index = names.iter().copied().zip(0..).collect();
        Self { names, index, alike: ends.into_values().collect() }
    }

    /// The ends of each line, as indices of the names.
    fn lines(&self) -> Vec<Vec<usize>> {
        if self.names.len() <= SHOWN_ONE_BY_ONE {
            return (0..self.names.len()).map(|end| vec![end]).collect();
        }
        let mut lines: Vec<Vec<usize>> = Vec::new();
        let mut known: HashMap<&[usize], usize> = HashMap::new();
        for (end, groups) in self.alike.iter().enumerate() {
            let line = *known.entry(groups).or_insert_with(|| {
                lines.push(Vec::new());
                lines.len() - 1
            });
            lines[line].push(end);
        }
        lines
    }

    fn label(&self, line: &[usize]) -> String {
        match line {
            [end] => self.names[*end].to_owned(),
            [end, others @ ..] => format!("{} and {} alike", self.names[*end], others.len()),
            [] => String::new(),
        }
    }
}

/// What marks stand for, by number; 0 is a flow that was not asked about.
struct Meanings(Vec<&'static str>);

impl Default for Meanings {
    fn default() -> Self {
        Self(vec![""])
    }
}

impl Meanings {
    /// There are fewer reasons than numbers.
    fn number(&mut self, meaning: &'static str) -> u8 {
        let known = self.0.iter().position(|known| *known == meaning);
        let place = known.unwrap_or_else(|| {
            self.0.push(meaning);
            self.0.len() - 1
        });
        u8::try_from(place).unwrap_or_default()
    }

    /// What both families say; a drop where one does and the other does not is said in a mark of its own.
    fn of(&self, [v4, v6]: [u8; 2]) -> &'static str {
        match [v4, v6].map(|number| self.0[usize::from(number)]) {
            [one, ""] | ["", one] => one,
            [ALLOWED, v6] if v6 != ALLOWED => "IPv4 only",
            [v4, ALLOWED] if v4 != ALLOWED => "IPv6 only",
            [v4, _] => v4,
        }
    }
}

fn meaning(record: &Record) -> &'static str {
    match record.dropped_by() {
        Some((_, direction)) => direction.reason,
        None if record.egress.reason == SELF => SELF,
        None => ALLOWED,
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

/// The verdicts on one port: numbers of meanings, of IPv4 and of IPv6.
struct Grid {
    port: FlowPort,
    ends: usize,
    cells: Vec<[u8; 2]>,
}

impl Grid {
    fn new(port: FlowPort, ends: usize) -> Self {
        Self { port, ends, cells: vec![[0; 2]; ends * ends] }
    }

    fn add(&mut self, (from, to): (usize, usize), meaning: u8, v4: bool) {
        self.cells[from * self.ends + to][usize::from(!v4)] = meaning;
    }

    fn cell(&self, from: usize, to: usize) -> [u8; 2] {
        self.cells[from * self.ends + to]
    }
}

fn merge(grids: &[Grid]) -> Vec<(Vec<String>, &Grid)> {
    let mut merged: Vec<(Vec<String>, &Grid)> = Vec::new();
    for grid in grids {
        match merged.iter_mut().find(|(_, other)| other.cells == grid.cells) {
            Some((titles, _)) => titles.push(title(grid.port)),
            None => merged.push((vec![title(grid.port)], grid)),
        }
    }
    merged
}

struct Drawing<'d> {
    grid: &'d Grid,
    ends: &'d Ends<'d>,
    lines: &'d [Vec<usize>],
    meanings: &'d Meanings,
    paint: Paint,
}

fn draw(out: &mut dyn Write, title: &str, drawing: &Drawing<'_>) -> Result<()> {
    let Drawing { grid, ends, lines, meanings, paint } = drawing;
    let labels: Vec<String> = lines.iter().map(|line| ends.label(line)).collect();
    let digits = lines.len().to_string().len();
    let width = labels.iter().map(String::len).max().unwrap_or_default();
    writeln!(out, "{}", paint.bold(title))?;
    write!(out, "{:1$}", "", width + digits + 4)?;
    for column in 1..=lines.len() {
        write!(out, " {}", paint.faint(&format!("{column:>digits$}")))?;
    }
    writeln!(out)?;
    for (row, (from, label)) in lines.iter().zip(&labels).enumerate() {
        write!(out, "  {} {label:width$} ", paint.faint(&format!("{:>digits$}", row + 1)))?;
        for to in *lines {
            let meaning = between(from, to).map_or("", |(from, to)| meanings.of(grid.cell(from, to)));
            write!(out, " {:1$}{2}", "", digits - 1, painted(meaning, *paint))?;
        }
        writeln!(out)?;
    }
    writeln!(out)
}

/// A flow that stands for all from one line to another: where both are one line, between two of its ends.
fn between(from: &[usize], to: &[usize]) -> Option<(usize, usize)> {
    let (first, other) = (*from.first()?, *to.first()?);
    Some((first, if first == other { *to.get(1).unwrap_or(&other) } else { other }))
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
fn legend(grids: &[Grid], meanings: &Meanings, paint: Paint) -> String {
    let mut cells: Vec<[u8; 2]> = Vec::new();
    for cell in grids.iter().flat_map(|grid| &grid.cells) {
        if !cells.contains(cell) {
            cells.push(*cell);
        }
    }
    let mut shown: Vec<&str> = cells.into_iter().map(|cell| meanings.of(cell)).collect();
    shown.sort_by_key(|meaning| (*meaning != ALLOWED, *meaning == SELF, *meaning));
    shown.dedup();
    let marks: Vec<String> = shown
        .into_iter()
        .filter(|meaning| !meaning.is_empty())
        .map(|meaning| format!("{} {}", painted(meaning, paint), meaning.replace('_', " ")))
        .collect();
    format!("Rows reach columns: {}", marks.join("   "))
}
