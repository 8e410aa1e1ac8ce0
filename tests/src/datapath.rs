//! A datapath of a test's own: its pins and a network namespace, both gone when the test ends.

use std::collections::BTreeMap;

use agent::kernel::{AfterDnat, Attachment, Datapath, Maps, Options, Pins, destroy};
use common::abi::{Address, Endpoint, Interface, Mac, Peer, Profile, TenantId};
use policy::compile::{Desired, Tables};

use crate::netns::{TestNetNs, unique};

/// A network namespace as a node with one pod's veth, and a place for pins.
#[derive(Debug)]
pub struct TestNode {
    pub ns: TestNetNs,
    pub pins: Pins,
}

/// The host side of the veth in every [`TestNode`], and the pod's side.
pub const VETH: &str = "veth0";
pub const PEER: &str = "peer0";
/// The pod behind it: its addresses, tenant and endpoint.
pub const POD: [u8; 4] = [10, 244, 0, 5];
pub const MAC: [u8; 6] = [2, 0, 0, 0, 0, 5];
pub const TENANT: TenantId = TenantId(7);
pub const ENDPOINT: u32 = 9;

impl TestNode {
    /// # Panics
    /// Without root.
    #[must_use]
    pub fn new(label: &str) -> Self {
        let ns = TestNetNs::new(label);
        let pins = Pins::lab(&unique(label)).expect("a name for a lab");
        ns.ip(&format!("link add {VETH} type veth peer name {PEER} address 02:00:00:00:00:05"));
        ns.ip(&format!("link set {VETH} up"));
        ns.ip(&format!("link set {PEER} up"));
        Self { ns, pins }
    }

    /// Another veth, by the name of its host side: its interface index.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn add_veth(&self, name: &str) -> u32 {
        self.ns.ip(&format!("link add {name} type veth peer name {name}-peer"));
        self.ns.ip(&format!("link set {name} up"));
        self.inside(|| nix::net::if_::if_nametoindex(name).expect("the veth"))
    }

    /// # Panics
    /// Where the datapath cannot be opened.
    #[must_use]
    pub fn open(&self, attachment: Attachment) -> Datapath {
        self.inside(|| self.datapath(attachment, AfterDnat::Off))
    }

    /// The same for a caller that is inside already.
    ///
    /// # Panics
    /// Where the datapath cannot be opened.
    #[must_use]
    pub fn datapath(&self, attachment: Attachment, after_dnat: AfterDnat) -> Datapath {
        let options = Options { attachment, after_dnat, ..Options::default() };
        Datapath::open(&self.pins, &options).expect("open the datapath")
    }

    /// Tells the programs of the pod behind the veth. Nothing restricts it.
    ///
    /// # Panics
    /// Where the maps cannot be written.
    pub fn bind(&self, maps: &mut Maps) {
        self.bind_among(maps, BTreeMap::new());
    }

    /// The same, and of others.
    ///
    /// # Panics
    /// Where the maps cannot be written.
    pub fn bind_among(&self, maps: &mut Maps, peers: BTreeMap<Address, Peer>) {
        let ifindex = self.veth();
        let profile = Profile { tenant: TENANT, written: 1, ..Profile::default() };
        let endpoint = Endpoint {
            profile: 1,
            id: ENDPOINT,
            ifindex,
            v4: POD,
            mac: Mac::new(MAC),
            flags: 0,
            adopt_until: 0,
            v6: [0; 16],
        };
        let tables = Tables {
            interfaces: BTreeMap::from([(ifindex, Interface::endpoint(ifindex, 0))]),
            endpoints: BTreeMap::from([(0, endpoint)]),
            profiles: BTreeMap::from([(1, profile)]),
            peers,
            ..Tables::default()
        };
        maps.reconcile(&Desired { tables, ..Desired::default() }).expect("bind the pod");
    }

    /// The veth's interface index.
    ///
    /// # Panics
    /// Where it is gone.
    #[must_use]
    pub fn veth(&self) -> u32 {
        self.inside(|| nix::net::if_::if_nametoindex(VETH).expect("the veth"))
    }

    /// Runs `work` in the node's network namespace.
    ///
    /// # Panics
    /// Where it cannot be entered.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.ns.run(work).expect("enter the node's namespace")
    }

    /// Removes the datapath.
    ///
    /// # Panics
    /// Where that fails.
    pub fn destroy(&self) {
        self.inside(|| destroy(&self.pins).expect("destroy the datapath"));
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        let destroyed = self.ns.run(|| destroy(&self.pins)).and_then(|result| result);
        if let Err(error) = destroyed {
            eprintln!("{error:#}");
        }
    }
}
