//! Debian's kernel packages: the newest of a series, its boot image, and the modules that a test needs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// An unpacked kernel.
#[derive(Debug)]
pub struct Image {
    pub package: String,
    pub vmlinuz: PathBuf,
    /// The files of all modules, by name.
    modules: BTreeMap<String, PathBuf>,
}

/// The newest kernel of `series` that apt offers, downloaded to `folder` once.
///
/// # Errors
/// There is no apt, or it offers no such kernel.
pub fn fetch(series: &str, folder: &Path) -> Result<Image> {
    let package = newest(series)?;
    let root = folder.join(&package);
    if !root.is_dir() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        call(Command::new("apt-get").args(["-q", "download", &package]).current_dir(folder))?;
        let files = fs::read_dir(folder)?.flatten().map(|file| file.path());
        let archive = files.filter(|file| is_archive_of(file, &package)).max();
        let archive = archive.with_context(|| format!("apt-get downloaded no {package}"))?;
        let fresh = folder.join("fresh");
        call(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&fresh))?;
        fs::rename(&fresh, &root)?;
    }
    let mut modules = BTreeMap::new();
    collect(&root, &mut modules)?;
    let boot = fs::read_dir(root.join("boot"))?.flatten().map(|file| file.path());
    let vmlinuz = boot.into_iter().find(|file| file.to_string_lossy().contains("vmlinuz"));
    Ok(Image { vmlinuz: vmlinuz.with_context(|| format!("{package} has no vmlinuz"))?, package, modules })
}

impl Image {
    /// These modules and what they need, in the order in which they load. One that is built in is left out.
    ///
    /// # Errors
    /// A module cannot be read.
    pub fn modules(&self, names: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
        let mut found = Vec::new();
        for name in names {
            self.add(name, &mut found)?;
        }
        Ok(found)
    }

    fn add(&self, name: &str, found: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
        let Some(path) = self.modules.get(name) else { return Ok(()) };
        if found.iter().any(|(other, _)| other == name) {
            return Ok(());
        }
        let content = match path.extension().and_then(|extension| extension.to_str()) {
            Some("xz") => call(Command::new("xz").arg("-dc").arg(path))?,
            _ => fs::read(path).with_context(|| format!("cannot read {}", path.display()))?,
        };
        for needed in depends(&content) {
            self.add(&needed, found)?;
        }
        found.push((name.to_owned(), content));
        Ok(())
    }
}

/// Package versions are compared by the numbers in their names.
fn newest(series: &str) -> Result<String> {
    let start = format!("linux-image-{series}.");
    let names = call(Command::new("apt-cache").args(["pkgnames", &start]))?;
    let names = String::from_utf8_lossy(&names).into_owned();
    let numbers = |name: &str| -> Vec<u32> {
        name.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
    };
    let newest = names.lines().filter(|name| name.ends_with("-cloud-amd64")).max_by_key(|name| numbers(name));
    Ok(newest.with_context(|| format!("apt offers no {start}*-cloud-amd64: run `apt-get update`"))?.to_owned())
}

fn is_archive_of(file: &Path, package: &str) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.starts_with(&format!("{package}_")) && file.extension().is_some_and(|extension| extension == "deb")
}

fn collect(folder: &Path, modules: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if entry.file_type()?.is_dir() {
            collect(&path, modules)?;
        } else if let Some((module, _)) = name.split_once(".ko") {
            modules.insert(module.replace('-', "_"), path);
        }
    }
    Ok(())
}

/// The names in a module's own `depends=` (section .modinfo, entries end in a zero byte).
fn depends(module: &[u8]) -> Vec<String> {
    let key = b"depends=";
    let Some(at) = module.windows(key.len()).position(|window| window == key) else { return Vec::new() };
    let value = module.get(at + key.len()..).unwrap_or_default();
    let value = value.split(|&byte| byte == 0).next().unwrap_or_default();
    let names = String::from_utf8_lossy(value);
    names.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

/// What a program prints.
fn call(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {:?}", command.get_program()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{:?} ended with {}: {}", command, output.status, said.trim());
    Ok(output.stdout)
}
