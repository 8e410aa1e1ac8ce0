//! `cargo xtask mutants`: makes the mistakes of `mutants.yaml`, one after the other, in a copy of the tree, and says which
//! test notices each.
#![allow(clippy::print_stdout, reason = "it is what the command is for")]

mod run;
mod tree;

use std::fmt;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, ensure};
use serde::Deserialize;

use run::Fate;
use tests::copy::{TreeCopy, workspace};

/// A mistake.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    /// What is wrong, as a sentence.
    name: String,
    file: String,
    /// Is there once in the file.
    find: String,
    replace: String,
    /// Where it should be noticed: `PACKAGE TEST` each, the quickest first.
    tests: Vec<String>,
}

/// What became of a mutant.
struct Row<'a> {
    mutant: &'a Mutant,
    /// `TEST::FUNCTION`; `None` where nothing noticed.
    caught: Option<String>,
}

fn main() -> ExitCode {
    match mutate(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(survivors) => {
            println!("{survivors} mutants survived");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Every mistake that is known.
fn all() -> Result<Vec<Mutant>> {
    let text = std::fs::read_to_string(workspace().join("tests/mutants/mutants.yaml"))?;
    Ok(serde_yaml_ng::from_str(&text)?)
}

/// How many survived. `words`: only mutants with one of them in their name.
fn mutate(words: &[String]) -> Result<usize> {
    let all = all()?;
    let is_asked = |mutant: &&Mutant| words.is_empty() || words.iter().any(|word| mutant.name.contains(word.as_str()));
    let asked: Vec<&Mutant> = all.iter().filter(is_asked).collect();
    let tree = TreeCopy::new("mutants")?;
    for mutant in &asked {
        tree::find(&tree, mutant)?;
    }
    unharmed(&tree, &asked)?;
    let mut rows = Vec::new();
    for mutant in asked {
        let started = Instant::now();
        let row = Row { mutant, caught: caught(&tree, mutant)? };
        println!("{row} {:.0?}", started.elapsed());
        rows.push(row);
    }
    println!("\n| mutant | file | caught by |\n|---|---|---|");
    rows.iter().for_each(|row| println!("{row}"));
    Ok(rows.iter().filter(|row| row.caught.is_none()).count())
}

/// What fails without a mutant notices nothing with one.
fn unharmed(tree: &TreeCopy, mutants: &[&Mutant]) -> Result<()> {
    let mut tests: Vec<&String> = mutants.iter().flat_map(|mutant| &mutant.tests).collect();
    tests.sort();
    tests.dedup();
    for test in tests {
        let fate = run::test(tree, test)?;
        ensure!(fate == Fate::Passed, "{test} without a mutant: {fate:?}");
        println!("{test} passes without a mutant");
    }
    Ok(())
}

fn caught(tree: &TreeCopy, mutant: &Mutant) -> Result<Option<String>> {
    let _mutated = tree::mutate(tree, mutant)?;
    for test in &mutant.tests {
        match run::test(tree, test)? {
            Fate::Passed => {}
            Fate::Failed(function) => return Ok(Some(format!("{test}: {function}"))),
            Fate::NotBuilt(errors) => anyhow::bail!("\"{}\" does not build:\n{errors}", mutant.name),
        }
    }
    Ok(None)
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mutant { name, file, .. } = self.mutant;
        write!(f, "| {name} | {file} | {} |", self.caught.as_deref().unwrap_or("SURVIVED"))
    }
}

#[cfg(test)]
mod current {
    use std::fs;

    use tests::copy::find;

    use super::*;

    /// Of a package: a file of its folder, or a target that its manifest names.
    fn is_there(test: &str) -> bool {
        let Some((package, name)) = test.split_once(' ') else { return workspace().join(test).is_dir() };
        let manifest = fs::read_to_string(workspace().join(package).join("Cargo.toml")).unwrap();
        workspace().join(format!("{package}/tests/{name}.rs")).is_file()
            || manifest.contains(&format!("name = \"{name}\"\n"))
    }

    #[test]
    fn every_mistake_can_be_made_in_the_tree_as_it_is_and_its_tests_are_there() {
        for Mutant { name, file, find: text, tests, .. } in all().unwrap() {
            find(workspace(), &file, &text).unwrap_or_else(|error| panic!("\"{name}\": {error:#}"));
            tests.iter().for_each(|test| assert!(is_there(test), "\"{name}\": there is no test {test}"));
        }
    }
}
