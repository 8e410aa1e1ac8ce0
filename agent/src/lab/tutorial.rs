//! A walk through a folder of steps: each is applied on top of the ones before, checked with real packets, and told.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::{Interrupt, Lab, LabName, UpOptions};
use crate::cli::Paint;
use crate::ingest::Manifests;

/// A folder of the tutorial, named like `1-deny-cross-namespace`, with a README.md that explains it.
#[derive(Clone, Debug)]
pub struct Step {
    folder: PathBuf,
    /// As people read it: `1 · deny cross namespace`.
    title: String,
    explanation: String,
}

/// The steps of a tutorial, in the order of their names.
///
/// # Errors
/// The folder cannot be read, or has no steps.
pub fn steps(tutorial: &Path) -> Result<Vec<Step>> {
    let complain = || format!("cannot read {}", tutorial.display());
    let mut steps = Vec::new();
    for entry in fs::read_dir(tutorial).with_context(complain)? {
        let folder = entry.with_context(complain)?.path();
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some((number, words)) = name.split_once('-') else { continue };
        if !folder.is_dir() || !number.chars().all(|c| c.is_ascii_digit()) {
            continue;
        }
        let readme = folder.join("README.md");
        let explanation = fs::read_to_string(&readme).with_context(|| format!("cannot read {}", readme.display()))?;
        let title = format!("{number} · {}", words.replace('-', " "));
        steps.push(Step { folder, title, explanation: explanation.trim().to_owned() });
    }
    ensure!(!steps.is_empty(), "{} has no steps: folders named like 0-start", tutorial.display());
    steps.sort_by(|a, b| a.folder.cmp(&b.folder));
    Ok(steps)
}

/// Walks the steps in a lab of its own, which is removed at the end. `tell` gets the text of each step, in pieces.
/// Returns how many records differed from the model.
///
/// # Errors
/// A step cannot be applied or checked.
pub fn walk(
    name: &LabName,
    steps: &[Step],
    options: &UpOptions,
    paint: Paint,
    mut tell: impl FnMut(&str) -> Result<()>,
) -> Result<usize> {
    let interrupt = Interrupt::catch()?;
    let mut steps = steps.iter();
    let first = steps.next().context("a tutorial without steps")?;
    let manifests = Manifests::read(std::slice::from_ref(&first.folder))?;
    tell(&first.introduction(&manifests, paint))?;
    let mut lab = Lab::up(name, manifests, options)?;
    let mut rest = || {
        let report = lab.check(&[], || interrupt.check())?;
        tell(&report.table(paint))?;
        let mut differences = report.differences();
        for step in steps.by_ref() {
            interrupt.check()?;
            let manifests = Manifests::read(std::slice::from_ref(&step.folder))?;
            tell(&step.introduction(&manifests, paint))?;
            lab.apply(manifests)?;
            let report = lab.check(&[], || interrupt.check())?;
            tell(&report.table(paint))?;
            differences += report.differences();
        }
        Ok(differences)
    };
    let differences = rest();
    lab.remove()?;
    differences
}

impl Step {
    /// Its title, what it is about, and what is applied.
    fn introduction(&self, manifests: &Manifests, paint: Paint) -> String {
        let objects: Vec<String> = manifests.iter().map(|object| object.id.to_string()).collect();
        let rule = "─".repeat(100_usize.saturating_sub(self.title.chars().count() + 4));
        let title = paint.bold(&format!("── {} {rule}", self.title));
        let applied = paint.faint(&format!("applied: {}", objects.join(", ")));
        format!("\n{title}\n\n{}\n\n{applied}\n\n", self.explanation)
    }
}
