//! `bulkhead agent` as a process on a found node, told by a [`ToldApi`]: with a bpffs and a `/run/bulkhead` of its own.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::found::{FoundNode, NODE};
use crate::told_api::ToldApi;

/// Longer than an agent takes to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// Is killed with this value, and everything that it has pinned goes with it.
#[derive(Debug)]
pub struct AgentProcess {
    child: Child,
    binary: &'static str,
    folder: TempDir,
}

impl AgentProcess {
    /// Starts `binary` on a node, with a configuration and further flags.
    ///
    /// # Panics
    /// Without root.
    #[must_use]
    pub fn start(node: &FoundNode, binary: &'static str, config: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("run")).expect("a folder");
        fs::write(path("config.yaml"), config).expect("a file");
        let log = File::create(path("log")).expect("a file");
        // `ip netns exec` has made a mount namespace, in which this is nobody else's.
        let script = "mkdir -p /run/bulkhead && mount --bind \"$0\" /run/bulkhead && mount -t bpf bpf /sys/fs/bpf && exec \"$@\"";
        let mut command = Command::new("ip");
        command.args(["netns", "exec", node.ns.name(), "sh", "-c", script]).arg(path("run"));
        command.args([binary, "agent", "--node-name", NODE, "--kubeconfig"]).arg(ToldApi::kubeconfig(folder.path()));
        command.arg("--config").arg(path("config.yaml")).args(flags);
        command.stdout(log.try_clone().expect("a handle")).stderr(log);
        Self { child: command.spawn().expect("ip netns exec"), binary, folder }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("run/node/agent.sock")
    }

    /// What a command says that asks this agent.
    ///
    /// # Panics
    /// Where it cannot be run.
    #[must_use]
    pub fn ask(&self, command: &[&str]) -> Output {
        let mut asked = Command::new(self.binary);
        asked.args(command).arg("--socket").arg(self.socket()).output().expect("the binary runs")
    }

    /// Waits until a command says what is waited for.
    ///
    /// # Panics
    /// Where that takes too long.
    pub fn until(&self, command: &[&str], is: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = self.ask(command);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if is(&text) {
                return text;
            }
            assert!(Instant::now() < deadline, "{command:?}: {text} {}", String::from_utf8_lossy(&output.stderr));
            sleep(Duration::from_millis(50));
        }
    }

    /// Everything that it has written.
    ///
    /// # Panics
    /// Where the log is gone.
    #[must_use]
    pub fn log(&self) -> Vec<u8> {
        fs::read(self.folder.path().join("log")).expect("the log")
    }

    /// Its number, by which `/proc` knows it.
    #[must_use]
    pub fn pid(&self) -> String {
        self.child.id().to_string()
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("── the agent said:\n{}", String::from_utf8_lossy(&self.log()).escape_debug());
        }
    }
}
