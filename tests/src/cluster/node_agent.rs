//! `bulkhead agent` on a node, as a child of the test.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Cluster, Place, eventually};

/// An agent that runs on a node, in every namespace of it. When a test fails its log is shown.
#[derive(Debug)]
pub struct Agent {
    /// `nsenter`, which waits for the agent.
    launcher: Child,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

/// Tenants by the label `example.com/team` of their namespaces.
pub const TEAMS: &str = "tenancy: {mode: baseline, sources: [{namespaceLabel: example.com/team}]}\n";

impl Agent {
    /// Starts `binary`, a path of this machine under the work folder, which every node sees, with a configuration.
    ///
    /// # Panics
    /// Where it does not start.
    #[must_use]
    pub fn start(cluster: &Cluster, node: u32, binary: &str, config: &str) -> Self {
        Self::start_with(cluster, node, binary, config, &[])
    }

    /// The same with further flags of `bulkhead agent`.
    ///
    /// # Panics
    /// As [`Agent::start`].
    #[must_use]
    pub fn start_with(cluster: &Cluster, node: u32, binary: &str, config: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("agent.log");
        let output = File::create(&log).expect("a log");
        fs::write(cluster.root_of(node).join("run/agent.yaml"), config).expect("a configuration");
        let mut command = cluster.command(Place::Node(node), binary);
        command.args(["agent", "--node-name", &format!("node{node}"), "--config", "/run/agent.yaml"]).args(flags);
        command.stdout(output.try_clone().expect("a second handle")).stderr(output);
        Self { launcher: command.spawn().expect("exec.sh"), log, _folder: folder }
    }

    /// One on each node.
    ///
    /// # Panics
    /// As [`Agent::start`].
    #[must_use]
    pub fn start_everywhere(cluster: &Cluster, binary: &str, config: &str) -> [Self; 2] {
        [1, 2].map(|node| Self::start(cluster, node, binary, config))
    }

    /// The agent's own process, as this machine numbers it.
    ///
    /// # Panics
    /// Where it has ended.
    #[must_use]
    pub fn pid(&self) -> Pid {
        eventually("the process of the agent", 10, || {
            let output = Command::new("pgrep").args(["--parent", &self.launcher.id().to_string()]).output();
            let pids = String::from_utf8_lossy(&output.expect("pgrep").stdout).into_owned();
            pids.trim().parse().ok().map(Pid::from_raw)
        })
    }

    /// Ends it with a signal and waits for its end.
    ///
    /// # Panics
    /// Where it has ended before.
    pub fn end(&mut self, signal: Signal) {
        kill(self.pid(), signal).expect("a running agent");
        self.launcher.wait().expect("its end");
    }

    /// What it has said so far.
    ///
    /// # Panics
    /// Where the log is gone.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("the log")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Ok(None) = self.launcher.try_wait() {
            self.end(Signal::SIGKILL);
        }
        if std::thread::panicking() {
            eprintln!("── the agent said:\n{}", self.log());
        }
    }
}
