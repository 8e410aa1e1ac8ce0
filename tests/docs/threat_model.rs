//! The table of attacks in docs/threat-model.md: every test that it names is in the tree.

use std::collections::BTreeSet;
use std::path::Path;

/// The attacks that the table starts with: those that once worked.
const FOUND: usize = 32;

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).ok()
}

/// Number, attackers and tests of each row.
fn rows(page: &str) -> Vec<[&str; 3]> {
    let table = page.split("## Attacks and their tests").nth(1).expect("the table's heading");
    let cells = table.lines().filter(|line| line.starts_with("| ")).map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 5, "{line}");
        [cells[0], cells[1], cells[4]]
    });
    cells.skip(1).collect()
}

/// The texts between backquotes.
fn spans(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// A test is a file, or `FILE::FUNCTION`.
fn is_there(test: &str) -> bool {
    match test.split_once("::") {
        None => read(test).is_some(),
        Some((file, function)) => read(file).is_some_and(|text| text.contains(&format!("fn {function}("))),
    }
}

#[test]
fn every_test_of_the_threat_model_exists() {
    let page = read("docs/threat-model.md").expect("the page");
    let rows = rows(&page);
    let mut numbers = BTreeSet::new();
    for [number, attackers, tests] in &rows {
        assert!(numbers.insert(*number), "{number} is there twice");
        for attacker in attackers.split(", ") {
            let is_described = attacker == "none" || page.contains(&format!("**{attacker}, "));
            assert!(is_described, "row {number}: {attacker} is not described");
        }
        assert!(*tests == "open" || spans(tests).next().is_some(), "row {number} names no test");
        for test in spans(tests) {
            assert!(is_there(test), "row {number}: there is no {test}");
        }
    }
    for number in 1..=FOUND {
        assert!(numbers.contains(format!("{number:02}").as_str()), "attack {number} is missing");
    }
}

#[test]
fn a_test_that_is_not_there_is_noticed() {
    assert!(is_there("tests/docs/threat_model.rs::a_test_that_is_not_there_is_noticed"));
    assert!(is_there("tests/docs/threat_model.rs"));
    assert!(!is_there(&format!("tests/docs/threat_model.rs::{}", "another")));
    assert!(!is_there("tests/docs/no-such-file.rs"));
}
