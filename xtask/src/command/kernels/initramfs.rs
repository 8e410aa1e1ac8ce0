//! The file system that a kernel starts with: programs with the libraries that they load, as a cpio archive
//! ("newc", Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_777;

/// An archive in the making.
#[derive(Debug, Default)]
pub struct Initramfs {
    bytes: Vec<u8>,
    /// What is in it already.
    paths: BTreeSet<String>,
}

impl Initramfs {
    pub fn new() -> Self {
        let mut this = Self::default();
        // Where the loader and the libraries are looked for on any distribution with a merged /usr.
        for (link, target) in [("lib", "usr/lib"), ("lib64", "usr/lib64"), ("sbin", "bin")] {
            this.entry(link, LINK, target.as_bytes());
        }
        this
    }

    /// Adds a program as `/bin/NAME`, and every library that it is linked with at its own path.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn program(&mut self, name: &str, path: &Path) -> Result<()> {
        self.file(&format!("bin/{name}"), 0o755, &read(path)?);
        let output = Command::new("ldd").arg(path).output().context("cannot run ldd")?;
        // Lines like `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)` or `/lib64/ld-linux-x86-64.so.2 (0x…)`.
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        for library in said.split_whitespace().filter(|word| word.starts_with('/')) {
            let place = library.trim_start_matches('/');
            let place = if place.starts_with("lib") { format!("usr/{place}") } else { place.to_owned() };
            self.file(&place, 0o755, &read(Path::new(library))?);
        }
        Ok(())
    }

    /// Adds a file and the folders above it; one that is there already stays.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        for (end, _) in path.match_indices('/') {
            self.entry(&path[..end], FOLDER, &[]);
        }
        self.entry(path, FILE | mode, content);
    }

    /// The archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        if !self.paths.insert(path.to_owned()) {
            return;
        }
        let inode = self.paths.len();
        // Magic, inode, mode, owner, group, links, time, size, four device numbers, length of the name, checksum.
        let header = format!(
            "070701{inode:08x}{mode:08x}{zero:08x}{zero:08x}{one:08x}{zero:08x}{size:08x}\
             {zero:08x}{zero:08x}{zero:08x}{zero:08x}{name:08x}{zero:08x}",
            zero = 0,
            one = 1,
            size = content.len(),
            name = path.len() + 1
        );
        self.bytes.extend(header.as_bytes());
        self.bytes.extend(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    /// Names and contents start at multiples of four.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
