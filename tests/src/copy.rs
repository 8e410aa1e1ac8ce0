//! A copy of the tree, to change and build.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Below the target folder, and kept there: the next run builds only what has changed. What it builds is in a target
/// folder of its own: in a common one cargo takes what a build script of one tree made for the other's.
#[derive(Debug)]
pub struct TreeCopy {
    root: PathBuf,
}

impl TreeCopy {
    /// Everything of this tree that git would keep, as it lies there now.
    ///
    /// # Errors
    /// A file cannot be read or written, or git is missing.
    pub fn new(name: &str) -> Result<Self> {
        let from = workspace();
        let copy = Self { root: from.join("target").join(name) };
        let mut git = Command::new("git");
        git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(from);
        let listed = git.output().context("cannot run git")?;
        ensure!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
        for name in String::from_utf8(listed.stdout)?.split_terminator('\0') {
            copy.bring(&from.join(name), name)?;
        }
        Ok(copy)
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

    /// As [`find`], in the copy.
    ///
    /// # Errors
    /// As there.
    pub fn find(&self, file: &str, text: &str) -> Result<(PathBuf, String)> {
        find(&self.root, file, text)
    }

    /// Cargo on the copy.
    #[must_use]
    pub fn cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(arguments).current_dir(&self.root).env("CARGO_TARGET_DIR", self.target());
        cargo
    }

    /// Where it builds.
    #[must_use]
    pub fn target(&self) -> PathBuf {
        self.root.join("target")
    }
}

/// The tree that the tests belong to.
#[must_use]
pub fn workspace() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// A file of a tree, in which `text` stands once, and its content.
///
/// # Errors
/// The text is not there, or more than once.
pub fn find(root: &Path, file: &str, text: &str) -> Result<(PathBuf, String)> {
    let path = root.join(file);
    let content = fs::read_to_string(&path).with_context(|| format!("cannot read {file}"))?;
    let times = content.matches(text).count();
    ensure!(times == 1, "{file} has this {times} times, and should once:\n{text}");
    Ok((path, content))
}
