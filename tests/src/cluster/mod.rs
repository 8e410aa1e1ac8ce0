//! A real Kubernetes for tests, by the scripts in tests/cluster/env.

pub mod field;
pub mod manifests;
mod node_agent;
mod other_abi;
mod pod;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use agent::net::NetNs;
pub use node_agent::{Agent, TEAMS};
pub use other_abi::other_abi;
pub use pod::{PodNetwork, pod_namespaces};
use serde_json::Value;

use crate::etcd;

/// The image of every pod that a test starts: upstream's toolbox.
pub const AGNHOST: &str = "registry.k8s.io/e2e-test-images/agnhost:2.56";

/// Names a cluster that is up, which the tests use instead of one of their own.
const REUSE: &str = "BULKHEAD_CLUSTER";

/// How kube-proxy rewrites what is sent to Services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    Iptables,
    Nftables,
}

impl Proxy {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Iptables => "iptables",
            Self::Nftables => "nftables",
        }
    }
}

/// Where a command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Beside the control plane, outside of every node.
    Outside,
    /// Inside a node; the first is 1.
    Node(u32),
}

/// A cluster of two nodes, taken down when the test ends, however it ends, unless it was there before.
#[derive(Debug)]
pub struct Cluster {
    name: String,
    ours: bool,
}

impl Cluster {
    /// # Panics
    /// Where it cannot be started, or where the one to reuse is not as asked for: with what is missing.
    #[must_use]
    pub fn up(proxy: Proxy) -> Self {
        let reused = std::env::var(REUSE).ok();
        let name = reused.clone().unwrap_or_else(|| format!("test-{}-{}", proxy.name(), std::process::id()));
        // From here on it is taken down again, also where it comes up only in part.
        let cluster = Self { name, ours: reused.is_none() };
        let status = cluster.script("up").env("CLUSTER_PROXY", proxy.name()).status().expect("up.sh");
        assert!(status.success(), "no cluster to test on; up.sh says why");
        cluster
    }

    /// Adds Capsule, with its webhooks.
    ///
    /// # Panics
    /// Where it does not get ready.
    pub fn add_capsule(&self) {
        let status = self.script("capsule").status().expect("capsule.sh");
        assert!(status.success(), "no Capsule; capsule.sh says why");
    }

    /// The network of the control plane, outside of every node.
    ///
    /// # Panics
    /// Where the cluster is gone.
    #[must_use]
    pub fn outside(&self) -> NetNs {
        NetNs::named(&format!("{}-cp", self.name)).expect("the control plane's network")
    }

    fn script(&self, name: &str) -> Command {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster/env");
        let mut command = Command::new(folder.join(name).with_extension("sh"));
        command.env("CLUSTER_NAME", &self.name).stdin(Stdio::null());
        command
    }

    /// `program` at a place, with `kubectl` in its path.
    #[must_use]
    pub fn command(&self, place: Place, program: &str) -> Command {
        let mut command = self.script("exec");
        match place {
            Place::Outside => command.arg("cp"),
            Place::Node(number) => command.arg(format!("node{number}")),
        };
        command.arg(program);
        command
    }

    /// What a command line prints at a place; its words are separated by spaces.
    ///
    /// # Panics
    /// Where it fails.
    pub fn run(&self, place: Place, line: &str) -> String {
        succeeded(line, &self.try_run(place, line))
    }

    /// As [`Self::run`], however it ends.
    ///
    /// # Panics
    /// Where nothing can be run there.
    #[must_use]
    pub fn try_run(&self, place: Place, line: &str) -> Output {
        let (program, arguments) = line.split_once(' ').unwrap_or((line, ""));
        self.command(place, program).args(arguments.split_whitespace()).output().expect("exec.sh")
    }

    /// What `kubectl ARGUMENTS` prints.
    ///
    /// # Panics
    /// Where it fails.
    pub fn kubectl(&self, arguments: &str) -> String {
        self.run(Place::Outside, &format!("kubectl {arguments}"))
    }

    /// Puts objects into the cluster, as they are written in a file.
    ///
    /// # Panics
    /// Where the API server refuses one.
    pub fn apply(&self, objects: &str) {
        self.apply_with(objects, &[]);
    }

    /// The same with further flags of `kubectl apply`.
    ///
    /// # Panics
    /// Where the API server refuses one.
    pub fn apply_with(&self, objects: &str, flags: &[&str]) {
        let mut command = self.command(Place::Outside, "kubectl");
        command.args(["apply", "-f", "-"]).args(flags);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("kubectl");
        process.stdin.take().expect("a pipe").write_all(objects.as_bytes()).expect("kubectl reads");
        succeeded("kubectl apply", &process.wait_with_output().expect("its end"));
    }

    /// As [`etcd::store`].
    ///
    /// # Panics
    /// Where etcd refuses them.
    pub fn store(&self, objects: &[(String, Value)]) {
        etcd::store(objects, |line| drop(self.run(Place::Outside, &format!("curl {line}"))));
    }

    /// A kubeconfig of an administrator, for use in [`Self::outside`].
    #[must_use]
    pub fn admin_config(&self) -> PathBuf {
        self.folder().join("pki/admin.conf")
    }

    /// Waits until every pod of a namespace is ready.
    ///
    /// # Panics
    /// Where that takes more than two minutes.
    pub fn wait_for_pods(&self, namespace: &str) {
        self.kubectl(&format!("wait pod --all --namespace {namespace} --for condition=Ready --timeout 120s"));
    }

    /// The sum of an agent's metric over the series that have all of the labels, each written as `name="value"`.
    ///
    /// # Panics
    /// Where the agent of the node serves no metrics.
    #[must_use]
    pub fn metric(&self, node: u32, name: &str, labels: &[&str]) -> u64 {
        self.try_metric(node, name, labels).unwrap_or_else(|| panic!("the agent of node{node} serves no metrics"))
    }

    /// The same; `None` where the agent serves no metrics yet.
    ///
    /// # Panics
    /// Where a figure is none.
    #[must_use]
    pub fn try_metric(&self, node: u32, name: &str, labels: &[&str]) -> Option<u64> {
        let url = format!("http://{}:9469/metrics", self.address_of(node));
        let output = self.try_run(Place::Outside, &format!("curl --silent --fail {url}"));
        let text = output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())?;
        let series = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.split_once("} "));
        let wanted = series.filter(|(of, _)| labels.iter().all(|label| of.split(',').any(|one| one == *label)));
        Some(wanted.map(|(_, value)| value.parse::<u64>().expect("a count")).sum())
    }

    /// Takes a daemon of the control plane away, as a crash would.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn stop(&self, daemon: &str) {
        self.daemon("stop", daemon);
    }

    /// Gives a daemon of the control plane back, and waits until the API server answers again.
    ///
    /// # Panics
    /// Where it does not within a minute.
    pub fn start(&self, daemon: &str) {
        self.daemon("start", daemon);
        let ready = || self.try_run(Place::Outside, "kubectl get --raw /readyz").status.success();
        eventually("the API server answers", 60, || ready().then_some(()));
    }

    fn daemon(&self, action: &str, daemon: &str) {
        let line = format!("{action} {daemon}");
        succeeded(&line, &self.script("daemon").args([action, daemon]).output().expect("daemon.sh"));
    }

    /// Kills a daemon of a node; the node starts it again.
    ///
    /// # Panics
    /// Where it does not run, or does not run again within a minute.
    pub fn restart_on(&self, node: u32, daemon: &str) {
        let pid = || {
            let output = self.try_run(Place::Node(node), &format!("pidof {daemon}"));
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let old = pid().unwrap_or_else(|| panic!("{daemon} does not run on node{node}"));
        self.run(Place::Node(node), &format!("kill {old}"));
        eventually(daemon, 60, || pid().filter(|new| *new != old));
    }

    /// Whether the chained plugin is in a node's network configuration.
    ///
    /// # Panics
    /// Where the node is gone.
    #[must_use]
    pub fn has_plugin(&self, node: u32) -> bool {
        self.try_run(Place::Node(node), "grep -r bulkhead-cni /etc/cni/net.d").status.success()
    }

    /// The first process of a node, as this machine numbers it.
    fn first_process_of(&self, node: u32) -> u32 {
        let file = self.folder().join(format!("node{node}/pid"));
        let pid = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        pid.trim().parse().expect("a number")
    }

    /// The root folder of a node.
    ///
    /// # Panics
    /// Where the cluster has no such node.
    #[must_use]
    pub fn root_of(&self, node: u32) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.first_process_of(node)))
    }

    /// Where the scripts keep what belongs to this cluster.
    fn folder(&self) -> PathBuf {
        cache().join("run").join(&self.name)
    }

    /// The address of a node on the network of the nodes.
    #[must_use]
    pub fn address_of(&self, node: u32) -> String {
        format!("10.89.0.{}", 10 + node)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.ours {
            match self.script("down").output() {
                Ok(output) if output.status.success() => {}
                other => eprintln!("cluster {} is still there: {other:?}", self.name),
            }
        }
    }
}

/// Where the scripts keep what clusters share: binaries and images.
pub(crate) fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME")).join(".cache/bulkhead-cluster");
    std::env::var_os("CLUSTER_CACHE").map_or_else(home, PathBuf::from)
}

/// Asks again and again until the answer is there.
///
/// # Panics
/// Where it is not after so many seconds.
pub fn eventually<T>(what: &str, seconds: u64, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {seconds} s");
        sleep(Duration::from_millis(100));
    }
}

fn succeeded(line: &str, output: &Output) -> String {
    assert!(output.status.success(), "{line}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    String::from_utf8_lossy(&output.stdout).into_owned()
}
