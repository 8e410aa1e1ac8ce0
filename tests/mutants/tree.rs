//! A copy of the tree, to make mistakes in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::Mutant;

/// Below the target folder, and kept there: the next run builds only what has changed.
pub struct Tree {
    root: PathBuf,
    target: PathBuf,
}

/// Makes a mistake good again.
pub struct Mutated {
    file: PathBuf,
    right: String,
}

impl Tree {
    /// Everything that git would keep, as it lies there now.
    pub fn copy(from: &Path) -> Result<Self> {
        let tree = Self { root: from.join("target/mutants"), target: from.join("target") };
        let mut git = Command::new("git");
        git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(from);
        let listed = git.output().context("cannot run git")?;
        ensure!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
        for name in String::from_utf8(listed.stdout)?.split_terminator('\0') {
            tree.bring(&from.join(name), name)?;
        }
        Ok(tree)
    }

    /// What is the same already keeps its time, by which cargo knows it.
    fn bring(&self, from: &Path, name: &str) -> Result<()> {
        let to = self.root.join(name);
        let Ok(content) = fs::read(from) else { return Ok(()) };
        if fs::read(&to).is_ok_and(|there| there == content) {
            return Ok(());
        }
        fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
        fs::write(&to, content).with_context(|| format!("cannot write {}", to.display()))
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The workspace's own: what others wrote is compiled already, and what lies elsewhere has other names there.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Where the mistake is to be made.
    ///
    /// # Errors
    /// The text is not there, or more than once.
    pub fn find(&self, mutant: &Mutant) -> Result<(PathBuf, String)> {
        let Mutant { name, file, find, .. } = mutant;
        let path = self.root.join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("\"{name}\": cannot read {file}"))?;
        let times = text.matches(find.as_str()).count();
        ensure!(times == 1, "\"{name}\": {file} has this {times} times, and should once:\n{find}");
        Ok((path, text))
    }

    pub fn mutate(&self, mutant: &Mutant) -> Result<Mutated> {
        let (file, right) = self.find(mutant)?;
        fs::write(&file, right.replacen(&mutant.find, &mutant.replace, 1))?;
        Ok(Mutated { file, right })
    }
}

impl Drop for Mutated {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.file, &self.right) {
            eprintln!("{}: {error}", self.file.display());
        }
    }
}
