//! A step of the tutorial, as people read it.

use crate::cli::Paint;
use crate::cli::wrap::{WIDTH, wrap};
use crate::ingest::Manifests;
use crate::lab::tutorial::Step;

/// Its title, what it is about, and what is applied.
#[must_use]
pub fn introduction(step: &Step, manifests: &Manifests, paint: Paint) -> String {
    let rule = "─".repeat(WIDTH.saturating_sub(step.title.chars().count() + 4));
    let title = paint.bold(&format!("── {} {rule}", step.title));
    let explanation: Vec<String> = step.explanation.lines().map(|line| wrap(line, 0)).collect();
    let applied = paint.faint(&applied(manifests));
    format!("\n{title}\n\n{}\n\n{applied}\n\n", explanation.join("\n"))
}

/// The objects, a line or more for each kind.
fn applied(manifests: &Manifests) -> String {
    let mut kinds: Vec<(String, Vec<String>)> = Vec::new();
    for object in manifests.iter() {
        let name = object.id.to_string();
        let (kind, name) = name.split_once(' ').unwrap_or((&name, ""));
        match kinds.iter_mut().find(|(other, _)| other == kind) {
            Some((_, names)) => names.push(name.to_owned()),
            None => kinds.push((kind.to_owned(), vec![name.to_owned()])),
        }
    }
    let lines = kinds.iter().map(|(kind, names)| wrap(&format!("  {kind}  {}", names.join(", ")), kind.len() + 4));
    std::iter::once("Applied:".to_owned()).chain(lines).collect::<Vec<_>>().join("\n")
}
