//! Network namespaces for tests: named after the test, gone when it ends, also when it fails.

use std::ops::Deref;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use agent::net::NetNs;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A name that no other test has, nor another run of the tests.
#[must_use]
pub fn unique(label: &str) -> String {
    format!("bht-{label}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A network namespace with `lo` up, deleted on drop.
#[derive(Debug)]
pub struct TestNetNs {
    name: String,
    inner: NetNs,
}

impl TestNetNs {
    /// # Panics
    /// Without root: these tests cannot do without it.
    #[must_use]
    pub fn new(label: &str) -> Self {
        require_root();
        let name = unique(label);
        let inner = NetNs::create(&name).expect("a network namespace");
        let this = Self { name, inner };
        this.ip("link set lo up");
        this
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip ARGUMENTS` inside.
    ///
    /// # Panics
    /// Where it fails, with what it said.
    pub fn ip(&self, arguments: &str) {
        self.command("ip", arguments);
    }

    /// Runs a program inside, with arguments that are separated by spaces, and returns what it printed.
    ///
    /// # Panics
    /// Where it fails, with what it said.
    pub fn command(&self, program: &str, arguments: &str) -> String {
        let output = self
            .run(|| Command::new(program).args(arguments.split_whitespace()).output())
            .expect("enter the namespace")
            .unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Deref for TestNetNs {
    type Target = NetNs;

    fn deref(&self) -> &NetNs {
        &self.inner
    }
}

impl Drop for TestNetNs {
    fn drop(&mut self) {
        if let Err(error) = NetNs::delete_named(&self.name) {
            eprintln!("{error:#}");
        }
    }
}

/// # Panics
/// Without root.
pub fn require_root() {
    assert!(
        nix::unistd::geteuid().is_root(),
        "these tests make network namespaces and load BPF programs: run them as root"
    );
}
