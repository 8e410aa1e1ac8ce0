//! Programs that run for as long as a value lives.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::netns::TestNetNs;

/// Longer than an API server takes to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// A program of the control plane, killed on drop.
#[derive(Debug)]
pub struct Daemon {
    process: Child,
    log: PathBuf,
}

impl Daemon {
    pub(crate) fn start(
        netns: &TestNetNs,
        folder: &Path,
        program: &str,
        name: &str,
        arguments: impl FnOnce(&mut Command),
    ) -> Self {
        let log = folder.join(format!("{name}.log"));
        let output = File::create(&log).expect("a log");
        let mut command = Command::new(binary(program));
        arguments(&mut command);
        command.stdin(Stdio::null()).stdout(output.try_clone().expect("a second handle")).stderr(output);
        let process = netns.run(|| command.spawn()).expect("enter the namespace");
        Self { process: process.unwrap_or_else(|error| panic!("{program}: {error}")), log }
    }

    /// Waits for three minutes at most.
    ///
    /// # Panics
    /// Where it is not there then, with the end of the program's output.
    pub fn wait_for(&self, what: &str, mut is_there: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_there() {
            if Instant::now() > deadline {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(20).collect();
                panic!("{what} is not there after {PATIENCE:?}; it said, last first:\n{}", tail.join("\n"));
            }
            sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A binary that `cargo xtask cluster build` has made.
pub(crate) fn binary(name: &str) -> PathBuf {
    let path = crate::cluster::cache().join("bin").join(name);
    assert!(path.exists(), "{} is missing: run `cargo xtask cluster build`", path.display());
    path
}
