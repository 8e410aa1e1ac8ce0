//! What was measured beside what it may cost: the table that people read, and the same as JSON.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

/// A limit of DESIGN.md §10.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    AtMost(f64),
    AtLeast(f64),
}

impl Budget {
    fn holds(self, measured: f64) -> bool {
        match self {
            Self::AtMost(limit) => measured <= limit,
            Self::AtLeast(limit) => measured >= limit,
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "≤ {limit}"),
            Self::AtLeast(limit) => write!(f, "≥ {limit:.2}"),
        }
    }
}

/// One figure: a median.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Which of the benchmarks.
    pub part: &'static str,
    pub name: String,
    pub measured: f64,
    pub unit: &'static str,
    /// What the figure was made of, for people: the absolute value of a ratio, the spread.
    pub note: String,
    pub budget: Option<Budget>,
    /// `None` where there is no budget.
    pub met: Option<bool>,
}

impl Row {
    pub fn new(part: &'static str, name: String, measured: f64, unit: &'static str, budget: Option<Budget>) -> Self {
        let met = budget.map(|budget| budget.holds(measured));
        Self { part, name, measured, unit, note: String::new(), budget, met }
    }

    pub fn note(mut self, note: String) -> Self {
        self.note = note;
        self
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let budget = self.budget.map(|budget| budget.to_string()).unwrap_or_default();
        let met = match self.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        let digits = if self.unit == "ratio" { 3 } else { 1 };
        write!(
            f,
            "{:<8} {:<58} {:>9.digits$} {:<6} {budget:<8} {met:<7} {}",
            self.part, self.name, self.measured, self.unit, self.note
        )
    }
}

/// Prints the table and writes `path`.
///
/// # Errors
/// The file cannot be written.
pub fn finish(rows: &[Row], path: &Path) -> Result<()> {
    println!();
    for row in rows {
        println!("{}", row.to_string().trim_end());
    }
    let budgets = rows.iter().filter_map(|row| row.met);
    let (met, all) = budgets.fold((0, 0), |(met, all), this| (met + usize::from(this), all + 1));
    println!("\n{met} of {all} budgets met; {}", path.display());
    let folder = path.parent().context("the report needs a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    fs::write(path, serde_json::to_vec_pretty(rows)?).with_context(|| format!("cannot write {}", path.display()))
}
