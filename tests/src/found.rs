//! A node whose pods an agent has to find: network namespaces on a bridge, wired by nobody that it knows.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use agent::config::Settings;
use agent::discover::watch;
use agent::ingest::Assigned;
use agent::kernel::{Attachment, Pins, destroy};
use agent::net::NetNs;
use agent::node::{Cluster, EndpointState, Inputs, Node, Options, Status, Timings};
use agent::watch::Snapshot;
use common::abi::VERSION;
use tempfile::TempDir;
use tokio::sync::{oneshot, watch as channel};

use crate::lab::manifests;
use crate::netns::{TestNetNs, unique};

/// The name of the node in the world.
pub const NODE: &str = "n1";
/// Longer than anything takes; only a test that fails waits for so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// A network namespace as a node, with a place for pins and for what an agent remembers.
#[derive(Debug)]
pub struct FoundNode {
    pub ns: TestNetNs,
    pub pins: Pins,
    state: TempDir,
    pods: BTreeMap<String, TestNetNs>,
}

impl FoundNode {
    /// # Panics
    /// Without root.
    #[must_use]
    pub fn new(label: &str) -> Self {
        let ns = TestNetNs::new(label);
        ns.ip("link add cni0 type bridge mcast_snooping 0");
        ns.ip("link set cni0 up");
        ns.ip("address add 10.244.0.1/24 dev cni0");
        let pins = Pins::lab(&unique(label)).expect("a name for a lab");
        Self { ns, pins, state: tempfile::tempdir().expect("a folder"), pods: BTreeMap::new() }
    }

    /// Wires a pod: its address is 10.244.0.N, its veth `vethN`.
    ///
    /// # Panics
    /// Where that fails.
    pub fn add_pod(&mut self, name: &str, number: u8) {
        let pod = TestNetNs::new(name);
        self.ns.ip(&format!("link add veth{number} type veth peer name eth0 netns {}", pod.name()));
        self.ns.ip(&format!("link set veth{number} master cni0 up"));
        pod.ip("link set eth0 up");
        pod.ip(&format!("address add 10.244.0.{number}/24 dev eth0"));
        self.pods.insert(name.to_owned(), pod);
    }

    /// Takes a pod and its veth away.
    ///
    /// # Panics
    /// Where there is none.
    pub fn remove_pod(&mut self, name: &str) {
        self.pods.remove(name).expect("a pod");
    }

    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn pod(&self, name: &str) -> &TestNetNs {
        &self.pods[name]
    }

    /// A socket of a pod's.
    ///
    /// # Panics
    /// Where it cannot be had.
    #[must_use]
    pub fn socket(&self, pod: &str, port: u16) -> UdpSocket {
        let socket = self.pod(pod).run(|| UdpSocket::bind(("0.0.0.0", port))).expect("its namespace");
        socket.expect("a socket")
    }

    /// Whether a datagram from one pod arrives at another.
    ///
    /// # Panics
    /// Where it cannot be sent.
    #[must_use]
    pub fn reaches(&self, from: &str, to: (&str, u8), port: u16) -> bool {
        self.arrives(&self.socket(from, 0), to, port)
    }

    /// Whether a datagram from the node itself arrives at a pod.
    ///
    /// # Panics
    /// Where it cannot be sent.
    #[must_use]
    pub fn node_reaches(&self, to: (&str, u8), port: u16) -> bool {
        let sender = self.ns.run(|| UdpSocket::bind("0.0.0.0:0")).expect("the node's namespace");
        self.arrives(&sender.expect("a socket"), to, port)
    }

    fn arrives(&self, sender: &UdpSocket, to: (&str, u8), port: u16) -> bool {
        let receiver = self.socket(to.0, port);
        let address = SocketAddr::new(IpAddr::from([10, 244, 0, to.1]), port);
        receiver.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
        sender.send_to(b"knock", address).expect("send");
        receiver.recv(&mut [0; 16]).is_ok()
    }

    /// The folder of what an agent remembers.
    #[must_use]
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// Starts an agent here, as a process of its own would. Until it is given a world it knows of none.
    #[must_use]
    pub fn agent(&self) -> RunningAgent {
        self.agent_of(VERSION)
    }

    /// The same for an agent whose layouts have another version.
    #[must_use]
    pub fn agent_of(&self, version: u32) -> RunningAgent {
        let options = Options {
            node: NODE.to_owned(),
            settings: Settings::default(),
            attachment: Attachment::Auto,
            pins: self.pins.clone().with_version(version),
            state: self.state.path().to_owned(),
        };
        RunningAgent::start(NetNs::named(self.ns.name()).expect("the node's namespace"), options)
    }
}

impl Drop for FoundNode {
    fn drop(&mut self) {
        let destroyed = self.ns.run(|| destroy(&self.pins)).and_then(|result| result);
        if let Err(error) = destroyed {
            eprintln!("{error:#}");
        }
    }
}

/// An API server that is always there.
struct Alive;

impl Cluster for Alive {
    fn missing(&self) -> Vec<String> {
        vec!["pods".to_owned()]
    }

    fn silence(&self) -> Duration {
        Duration::ZERO
    }

    fn worked(&self, _: Duration) {}
}

/// An agent on a thread of this process.
#[derive(Debug)]
pub struct RunningAgent {
    snapshots: channel::Sender<Option<Arc<Snapshot>>>,
    status: channel::Receiver<Arc<Status>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl RunningAgent {
    fn start(node: NetNs, options: Options) -> Self {
        let (snapshots, receiver) = channel::channel(None);
        let (sender, status) = channel::channel(Arc::new(Status::new(NODE)));
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let work = async {
                let sightings = watch().await.expect("sightings");
                let inputs = Inputs { cluster: Arc::new(Alive), snapshots: receiver, sightings };
                let node = Node::open(options, sender, Timings::default()).expect("the datapath");
                node.run(inputs, async { drop(stopped.await) }).await.expect("the loop");
            };
            // Its sockets are made, and its veths named, in the node's namespace.
            node.run(|| {
                let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
                runtime.expect("a runtime").block_on(work);
            })
            .expect("the node's namespace");
        });
        Self { snapshots, status, stop: Some(stop), thread: Some(thread) }
    }

    /// What the API server says from now on.
    ///
    /// # Panics
    /// Where the manifests are not valid.
    pub fn world(&self, yaml: &str) {
        let world = manifests(yaml).world(&Assigned::new()).expect("a world").world;
        let snapshot = Snapshot { world, rejected: Vec::new(), received: Instant::now() };
        self.snapshots.send_replace(Some(Arc::new(snapshot)));
    }

    /// Waits until the status is as wanted.
    ///
    /// # Panics
    /// Where that takes too long.
    pub fn wait(&self, wanted: impl Fn(&Status) -> bool) -> Arc<Status> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = Arc::clone(&self.status.borrow());
            if wanted(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "this is how it stays: {status:#?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until so many pods are enforced, in the newest world.
    pub fn wait_for_enforced(&self, pods: usize) -> Arc<Status> {
        let newest = self.snapshots.borrow().clone().expect("a world");
        self.wait(|status| {
            let in_force = status.enforced.as_ref().is_some_and(|it| Arc::ptr_eq(&it.snapshot, &newest));
            in_force && status.count(EndpointState::Enforced) == pods
        })
    }
}

/// Ends as on SIGTERM: everything stays as it is.
impl Drop for RunningAgent {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !thread::panicking()
        {
            panic!("the agent has died");
        }
    }
}
