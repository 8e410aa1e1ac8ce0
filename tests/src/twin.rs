//! One node twice: its maps in the kernel and on the host, and every packet through both.

use std::fmt;

use agent::kernel::{AfterDnat, Attachment, Datapath, Frame, Rewriting, now_ticks};
use aya::maps::{HashMap, Map, MapData, PerCpuArray};
use common::abi::{Direction, Endpoint, FlowKey, FlowState, FragmentKey};
use common::decide::{Seen, Verdict};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use policy::compile::{Desired, Ids, Tables};
use policy::plan::{Op, Plan, diff};

use crate::datapath::{TestNode, VETH};
use crate::host::{HostFrame, HostNode};

/// What a classifier returns for an allowed and for a dropped packet (`TC_ACT_UNSPEC`, `TC_ACT_SHOT`).
const ACTIONS: [i32; 2] = [-1, 2];

/// The two must see the same and decide the same.
pub struct Twin {
    host: HostNode,
    kernel: Datapath,
    seen: PerCpuArray<MapData, Seen>,
    flows: HashMap<MapData, FlowKey, [u64; 2]>,
    fragments: HashMap<MapData, FragmentKey, u64>,
    /// The interfaces of two pods: the node's veth and its other end.
    pub veths: [u32; 2],
}

impl fmt::Debug for Twin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Twin").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Twin {
    /// Runs a test with a twin in a network namespace of its own.
    ///
    /// # Panics
    /// Without root, where the datapath cannot be opened, or where `test` does.
    pub fn with<T: Send>(label: &str, test: impl FnOnce(&mut Self) -> T + Send) -> T {
        Self::with_stage(label, AfterDnat::Off, test)
    }

    /// The same where calls that the node rewrites are judged behind that, or at the veth.
    ///
    /// # Panics
    /// As there, and where the kernel cannot.
    pub fn with_stage<T: Send>(label: &str, stage: AfterDnat, test: impl FnOnce(&mut Self) -> T + Send) -> T {
        let node = TestNode::new(label);
        node.inside(|| {
            stay_on_one_cpu();
            test(&mut Self::new(&node, stage))
        })
    }

    /// The node has a veth for each of `pods` pods; otherwise as [`Self::with`].
    ///
    /// # Panics
    /// As there.
    pub fn with_veths<T: Send>(label: &str, pods: usize, test: impl FnOnce(&mut Self, Vec<u32>) -> T + Send) -> T {
        let node = TestNode::new(label);
        let veths = (0..pods).map(|pod| node.add_veth(&format!("pod{pod}"))).collect();
        node.inside(|| {
            stay_on_one_cpu();
            test(&mut Self::new(&node, AfterDnat::Off), veths)
        })
    }

    fn new(node: &TestNode, stage: AfterDnat) -> Self {
        let kernel = node.datapath(Attachment::Auto, stage);
        let mut host = HostNode::new(Tables::default());
        match (stage, kernel.rewriting()) {
            (AfterDnat::Off, _) => {}
            (AfterDnat::Auto, Rewriting::AfterDnat) => host.settings.after_dnat = 1,
            (AfterDnat::Auto, Rewriting::AtVeth { because }) => panic!("no judgement behind rewriting: {because}"),
        }
        let map = |name| {
            let data = MapData::from_pin(node.pins.maps().join(name)).expect("a pinned map");
            Map::from_map_data(data).expect("a kind of map that is known")
        };
        Self {
            host,
            seen: map("SEEN").try_into().expect("SEEN"),
            flows: map("FLOW").try_into().expect("FLOW"),
            fragments: map("FRAGMENT").try_into().expect("FRAGMENT"),
            kernel,
            veths: [VETH, "peer0"].map(|name| nix::net::if_::if_nametoindex(name).expect("an interface")),
        }
    }

    /// Puts tables in force on both sides, as an agent would.
    ///
    /// # Panics
    /// Where the plan cannot be made or applied.
    pub fn load(&mut self, desired: Desired) {
        self.kernel.maps.reconcile(&desired).expect("the plan applied");
        self.in_force(desired);
    }

    /// The same without the wait for what the change leaves behind, which stays. For changes that give no slot to
    /// another endpoint.
    ///
    /// # Panics
    /// Where the plan cannot be made or applied.
    pub fn load_and_leave(&mut self, desired: Desired) {
        let maps = &mut self.kernel.maps;
        let observed = maps.observe().expect("what the kernel holds");
        let capacities = maps.capacities().expect("the maps' capacities");
        let mut plan = diff(&observed, &desired, &capacities).expect("a plan");
        plan.ops = plan.ops.into_iter().take_while(|op| *op != Op::Grace).collect();
        maps.apply(&plan).expect("the plan applied");
        self.in_force(desired);
    }

    /// The same without any wait, which is for packets that are under way: here there are none.
    ///
    /// # Panics
    /// Where the plan cannot be made or applied.
    pub fn load_at_once(&mut self, desired: Desired) {
        let maps = &mut self.kernel.maps;
        let observed = maps.observe().expect("what the kernel holds");
        let capacities = maps.capacities().expect("the maps' capacities");
        let mut plan = diff(&observed, &desired, &capacities).expect("a plan");
        plan.ops.retain(|op| *op != Op::Grace);
        maps.apply(&plan).expect("the plan applied");
        self.in_force(desired);
    }

    fn in_force(&mut self, desired: Desired) {
        self.host.tables = desired.tables;
        self.host.epoch = self.kernel.maps.observe().expect("what the kernel holds").epoch;
    }

    /// The numbers that the kernel's maps use.
    ///
    /// # Panics
    /// Where they cannot be read.
    #[must_use]
    pub fn ids(&self) -> Ids {
        self.kernel.maps.observe().expect("what the kernel holds").ids
    }

    /// One packet through both.
    ///
    /// # Panics
    /// Where they differ in anything that was read of it or decided about it.
    pub fn run(&mut self, direction: Direction, frame: &HostFrame) -> Seen {
        self.host.now = now_ticks().expect("the clock");
        let host = self.host.run(direction, frame);
        let place = Frame { bytes: &frame.bytes, ifindex: frame.ifindex, ingress_ifindex: frame.ingress_ifindex };
        let ran = self.kernel.test_run(direction, &place, 1).expect("a test run");
        let kernel = self.seen.get(&0, 0).expect("what the kernel saw")[0];
        let mut written_down = self.host.written_down.expect("a packet has run");
        if written_down.is_brief() && !kernel.is_brief() {
            // It has been read once more, for an event.
            (written_down.frame, written_down.datagram) = (host.frame, host.datagram);
            self.host.written_down = Some(written_down);
        }
        // Each reads the clock for itself.
        let kernel = Seen { now: written_down.now, ..kernel };
        assert_eq!(written_down, kernel, "host and kernel differ on {direction:?} {:02x?} at {place:?}", frame.bytes);
        let expected = ACTIONS[usize::from(matches!(host.outcome.verdict, Verdict::Drop(_)))];
        assert_eq!(ran.action, expected, "the program's answer");
        host
    }

    /// A change of policy: another profile for the endpoint in a slot, and every flow is judged again.
    ///
    /// # Panics
    /// Where there is no such endpoint, or the kernel does not take it.
    pub fn publish(&mut self, slot: u32, profile: u64) {
        let endpoint = self.host.tables.endpoints.get_mut(&slot).expect("an endpoint");
        endpoint.profile = profile;
        self.host.epoch += 1;
        let (endpoint, epoch) = (*endpoint, self.host.epoch);
        let plan = Plan { ops: vec![Op::Publish { slot, endpoint }, Op::RaiseEpoch { epoch }] };
        self.kernel.maps.apply(&plan).expect("the change");
    }

    /// As in the midst of a plan: the endpoint's rules do not fit what addresses are.
    ///
    /// # Panics
    /// As [`Self::publish`].
    pub fn hold(&mut self, slot: u32) {
        let endpoint = self.host.tables.endpoints.get_mut(&slot).expect("an endpoint");
        endpoint.flags |= Endpoint::PENDING | Endpoint::HELD;
        let plan = Plan { ops: vec![Op::SetEndpoint { slot, endpoint: *endpoint }] };
        self.kernel.maps.apply(&plan).expect("the change");
    }

    /// The flows that the kernel knows.
    ///
    /// # Panics
    /// Where they cannot be read.
    pub fn flows(&self) -> impl Iterator<Item = (FlowKey, FlowState)> {
        self.flows.iter().map(|flow| flow.expect("a flow")).map(|(key, [_, state])| (key, FlowState(state)))
    }

    /// Forgets every flow and fragment, as after a loss of the tables.
    ///
    /// # Panics
    /// Where the kernel does not.
    pub fn forget(&mut self) {
        self.host.forget();
        let flows: Vec<_> = self.flows.keys().collect::<Result<_, _>>().expect("the flows");
        for flow in flows {
            self.flows.remove(&flow).expect("a flow removed");
        }
        let fragments: Vec<_> = self.fragments.keys().collect::<Result<_, _>>().expect("the fragments");
        for fragment in fragments {
            self.fragments.remove(&fragment).expect("a fragment removed");
        }
    }
}

/// So that what the program saw is read where it ran.
fn stay_on_one_cpu() {
    let mut cpus = CpuSet::new();
    cpus.set(0).expect("CPU 0");
    sched_setaffinity(Pid::from_raw(0), &cpus).expect("to stay on CPU 0");
}
