//! A walk through a folder of steps: each is applied on top of the ones before, checked with real packets, and told.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::{Interrupt, Lab, LabName, Report, UpOptions, need_root};
use crate::ingest::Manifests;

/// A folder of the tutorial, named like `1-deny-cross-namespace`, with a README.md that explains it.
#[derive(Clone, Debug)]
pub struct Step {
    folder: PathBuf,
    /// As people read it: `1 · deny cross namespace`.
    pub title: String,
    /// The paragraphs of its README.md.
    pub explanation: String,
}

/// What there is to tell during a walk.
#[derive(Clone, Copy, Debug)]
pub enum Scene<'a> {
    /// A step is about to be applied.
    Step(&'a Step, &'a Manifests),
    /// It is enforced and was checked.
    Checked(&'a Report),
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

/// Walks the steps in a lab of its own, which is removed at the end. Returns how many records differed from the model.
///
/// # Errors
/// The caller is not root, a step cannot be applied or checked, or `tell` fails.
pub fn walk(
    name: &LabName,
    steps: &[Step],
    options: &UpOptions,
    mut tell: impl FnMut(Scene<'_>) -> Result<()>,
) -> Result<usize> {
    need_root()?;
    let interrupt = Interrupt::catch()?;
    let (first, others) = steps.split_first().context("a tutorial without steps")?;
    let manifests = first.manifests()?;
    tell(Scene::Step(first, &manifests))?;
    let mut lab = Lab::up(name, manifests, options)?;
    let differences = walk_on(&mut lab, others, &interrupt, &mut tell);
    lab.remove()?;
    differences
}

/// Checks the step that the lab was brought up with; then applies and checks the others.
fn walk_on(
    lab: &mut Lab,
    others: &[Step],
    interrupt: &Interrupt,
    tell: &mut impl FnMut(Scene<'_>) -> Result<()>,
) -> Result<usize> {
    let check = |lab: &Lab, tell: &mut dyn FnMut(Scene<'_>) -> Result<()>| {
        let report = lab.check(&[], || interrupt.check())?;
        tell(Scene::Checked(&report))?;
        anyhow::Ok(report.differences())
    };
    let mut differences = check(lab, tell)?;
    for step in others {
        interrupt.check()?;
        let manifests = step.manifests()?;
        tell(Scene::Step(step, &manifests))?;
        lab.apply(manifests)?;
        differences += check(lab, tell)?;
    }
    Ok(differences)
}

impl Step {
    fn manifests(&self) -> Result<Manifests> {
        Ok(Manifests::read(std::slice::from_ref(&self.folder))?)
    }
}
