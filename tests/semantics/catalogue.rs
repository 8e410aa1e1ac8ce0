//! That the cases are all there and do not disturb each other.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Failed, Trial};

use crate::scenario::Scenario;

/// Rows of semantics.md §4.
const ROWS: RangeInclusive<u32> = 1..=42;

type Check = fn(&[Scenario]) -> Result<()>;

pub fn trials(scenarios: &Arc<Vec<Scenario>>) -> Vec<Trial> {
    let checks: [(&str, Check); 3] =
        [("every-row-has-a-case", every_row), ("cases-are-apart", apart), ("other-tests-are-there", also)];
    let trial = |(name, check): (&str, Check)| {
        let scenarios = Arc::clone(scenarios);
        Trial::test(name, move || check(&scenarios).map_err(|error| Failed::from(format!("{error:#}"))))
    };
    checks.map(trial).into()
}

fn every_row(scenarios: &[Scenario]) -> Result<()> {
    for case in ROWS.map(|row| format!("network-policy/{row:02}-")) {
        ensure!(scenarios.iter().any(|scenario| scenario.name.starts_with(&case)), "{case} has no case");
    }
    let silent = scenarios.iter().find(|it| it.stages.is_empty() && it.head.also.is_empty());
    ensure!(silent.is_none(), "{silent:?} shows nothing");
    Ok(())
}

/// Cases in one lab have no namespace and no cluster-wide object in common.
fn apart(scenarios: &[Scenario]) -> Result<()> {
    let mut owners: BTreeMap<String, &str> = BTreeMap::new();
    for scenario in scenarios {
        ensure!(!scenario.head.shows.is_empty() && !scenario.head.source.is_empty(), "{} says nothing", scenario.name);
        for place in scenario.places()? {
            let other = owners.insert(place.clone(), &scenario.name);
            ensure!(other.is_none(), "{place} is in {} and in {}", scenario.name, other.unwrap_or_default());
        }
    }
    Ok(())
}

/// Tests that cases point to exist.
fn also(scenarios: &[Scenario]) -> Result<()> {
    for scenario in scenarios {
        for (file, tests) in &scenario.head.also {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
            let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            for test in tests {
                let is_there = text.contains(&format!("fn {test}("));
                ensure!(is_there, "{} points to {test}, which is not in {}", scenario.name, file.display());
            }
        }
    }
    Ok(())
}
