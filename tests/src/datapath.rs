//! A datapath of a test's own: its pins and a network namespace, both gone when the test ends.

use agent::kernel::{Attachment, Datapath, Options, Pins, destroy};

use crate::netns::{TestNetNs, unique};

/// A network namespace as a node with one pod's veth, and a place for pins.
#[derive(Debug)]
pub struct TestNode {
    pub ns: TestNetNs,
    pub pins: Pins,
}

/// The host side of the veth in every [`TestNode`].
pub const VETH: &str = "veth0";

impl TestNode {
    /// # Panics
    /// Without root.
    #[must_use]
    pub fn new(label: &str) -> Self {
        let ns = TestNetNs::new(label);
        let pins = Pins::lab(&unique(label)).expect("a name for a lab");
        ns.ip(&format!("link add {VETH} type veth peer name peer0"));
        ns.ip(&format!("link set {VETH} up"));
        ns.ip("link set peer0 up");
        Self { ns, pins }
    }

    /// # Panics
    /// Where the datapath cannot be opened.
    #[must_use]
    pub fn open(&self, attachment: Attachment) -> Datapath {
        self.inside(|| self.datapath(attachment))
    }

    /// The same for a caller that is inside already.
    ///
    /// # Panics
    /// Where the datapath cannot be opened.
    #[must_use]
    pub fn datapath(&self, attachment: Attachment) -> Datapath {
        let options = Options { attachment, ..Options::default() };
        Datapath::open(&self.pins, &options).expect("open the datapath")
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
