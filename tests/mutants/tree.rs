//! The copy of the tree that mistakes are made in.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use tests::copy::TreeCopy;

use crate::Mutant;

/// Makes a mistake good again.
pub struct Mutated {
    file: PathBuf,
    right: String,
}

/// Where the mistake is to be made.
///
/// # Errors
/// The text is not there, or more than once.
pub fn find(tree: &TreeCopy, mutant: &Mutant) -> Result<(PathBuf, String)> {
    tree.find(&mutant.file, &mutant.find).with_context(|| format!("\"{}\"", mutant.name))
}

pub fn mutate(tree: &TreeCopy, mutant: &Mutant) -> Result<Mutated> {
    let (file, right) = find(tree, mutant)?;
    fs::write(&file, right.replacen(&mutant.find, &mutant.replace, 1))?;
    Ok(Mutated { file, right })
}

impl Drop for Mutated {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.file, &self.right) {
            eprintln!("{}: {error}", self.file.display());
        }
    }
}
