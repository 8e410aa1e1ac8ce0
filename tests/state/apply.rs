//! Plans carried out on the kernel's maps: what is read back is what was wanted.

#![expect(clippy::expect_used, reason = "a test says what it expects by failing")]

use std::collections::BTreeMap;

use agent::kernel::{Attachment, Datapath, MapCapacities, Maps, Options};
use aya::maps::{HashMap, Map, MapData};
use common::abi::{
    Address, AdminVerdict, Backend, Backends, DelegateKey, DirectionRules, Endpoint, Interface, Lead, LowerVerdict,
    Mac, Peer, PeerKind, PortKey, PortRow, Profile, ProgramRef, Ranked, RuleKey, ServiceKey, TenantId,
};
use policy::compile::{Desired, Id, Ids, Kind, Tables};
use policy::plan::{Op, Plan, PlanError};
use tests::datapath::TestNode;

const TENANT: TenantId = TenantId(3);

fn endpoint(id: u32, ifindex: u32) -> Endpoint {
    let v6 = [0xfd, 0, 0x10, 0x02, 0x44, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5];
    Endpoint { profile: 1, id, ifindex, v4: [10, 244, 0, 5], mac: Mac::new([2; 6]), flags: 0, adopt_until: 9, v6 }
}

/// Something in every table; two interfaces share a place in `SLOT`.
fn desired() -> Desired {
    let rules = DirectionRules { none: ProgramRef::new(0, 2), set: 4, flags: DirectionRules::IDENTITIES };
    let profile = Profile { rules: [rules; 2], tenant: TENANT, mode: 2, agent_port: 0, written: 1 };
    let row = |last| PortRow {
        last,
        admin: Ranked::admin(7, AdminVerdict::Pass),
        lower: Ranked::lower(3, LowerVerdict::DefaultDeny),
        admin_rule: 1,
        lower_rule: 2,
        _zero: 0,
    };
    let pod = Peer::new(PeerKind::Pod, 11, 2, TENANT);
    let peer = |address: &str| (Address::from(address.parse::<std::net::IpAddr>().expect("an address")), pod);
    let unknown = Peer::new(PeerKind::UnknownPod, 0, 0, TenantId::PLATFORM);
    let range = |range: &str| (range.parse().expect("a range"), unknown);
    let tables = Tables {
        interfaces: BTreeMap::from([
            (12, Interface::endpoint(12, 0)),
            (12 + 4096, Interface::endpoint(12 + 4096, 1)),
            (77, Interface::bridge(77)),
        ]),
        endpoints: BTreeMap::from([(0, endpoint(1, 12)), (1, endpoint(2, 12 + 4096))]),
        locals: ["10.244.0.5", "fd00:10:244::5"].map(|address| (peer(address).0, 0)).into(),
        profiles: BTreeMap::from([(1, profile)]),
        peers: BTreeMap::from([peer("10.244.0.5"), peer("fd00:10:244::5")]),
        ranges: BTreeMap::from([range("10.244.0.0/16"), range("0.0.0.0/0"), range("fd00:10:244::/64"), range("::/0")]),
        services: BTreeMap::from([(ServiceKey::of_nodes(true, PortKey::new(6, 30080)), Lead::new(5).chosen())]),
        backends: BTreeMap::from([(5, Backends { kinds: Backends::SEVERAL, ..Backends::UNKNOWN })]),
        delegates: BTreeMap::from([(DelegateKey::new(5, &profile), Backend::new(pod, 8080).differ())]),
        rules: BTreeMap::from([
            (RuleKey::identity(4, 11), ProgramRef::new(0, 2)),
            (RuleKey::class(4, 2), ProgramRef::new(0, 1)),
        ]),
        tunnels: BTreeMap::from([(74, 1 << 53), (132, 1 << 24)]),
        ports: BTreeMap::from([(0, row(PortKey::new(6, 79).0)), (1, row(PortKey::LAST.0))]),
    };
    let ids = Ids(BTreeMap::from([(Id { kind: Kind::Identity, number: 11 }, [5; 16])]));
    Desired { tables, ids, ..Desired::default() }
}

fn opened(node: &TestNode, capacities: MapCapacities) -> Datapath {
    let options = Options { capacities, ..Options::default() };
    node.inside(|| Datapath::open(&node.pins, &options).expect("open"))
}

#[test]
fn what_is_read_back_is_what_was_applied_and_then_nothing_is_left_to_do() {
    let node = TestNode::new("apply");
    let mut maps = node.open(Attachment::Auto).maps;
    assert_eq!(maps.observe().expect("observe"), policy::plan::Observed::default());

    let desired = desired();
    assert!(!maps.reconcile(&desired).expect("apply").is_empty());
    let observed = maps.observe().expect("observe");
    assert_eq!(observed.tables, desired.tables);
    assert_eq!(observed.ids, desired.ids);
    assert_eq!(observed.epoch, 1);
    assert!(maps.reconcile(&desired).expect("again").is_empty());
}

#[test]
fn everything_can_be_taken_away_again() {
    let node = TestNode::new("empty");
    let mut maps = node.open(Attachment::Auto).maps;
    maps.reconcile(&desired()).expect("apply");
    let plan = maps.reconcile(&Desired::default()).expect("take away");
    assert!(plan.ops.contains(&Op::Grace), "records go after a grace period");
    let observed = maps.observe().expect("observe");
    assert_eq!((observed.tables, observed.ids), (Tables::default(), Ids::default()));
}

#[test]
fn another_process_can_apply_and_drift_is_repaired() {
    let node = TestNode::new("drift");
    drop(node.open(Attachment::Auto));
    let mut maps = Maps::open(&node.pins, &MapCapacities::default()).expect("open");
    let desired = desired();
    maps.reconcile(&desired).expect("apply");

    let data = MapData::from_pin(node.pins.maps().join("RULE")).expect("the pinned map");
    let mut rules: HashMap<_, RuleKey, u64> = Map::from_map_data(data).expect("a map").try_into().expect("a hash map");
    rules.remove(&RuleKey::identity(4, 11)).expect("somebody removes a row");
    rules.insert(RuleKey::identity(4, 99), 0, 0).expect("and adds one");

    let plan = maps.reconcile(&desired).expect("repair");
    assert!(plan.ops.iter().any(|op| matches!(op, Op::SetRule { key, .. } if *key == RuleKey::identity(4, 11))));
    assert_eq!(maps.observe().expect("observe").tables, desired.tables);
}

#[test]
fn rows_that_are_in_use_are_seen_without_their_ids() {
    let node = TestNode::new("ids");
    let mut maps = node.open(Attachment::Auto).maps;
    // None of the rows and profiles has an id here.
    let desired = desired();
    maps.reconcile(&desired).expect("apply");
    let mut other = desired;
    other.tables.ports.insert(0, PortRow { admin_rule: 77, ..other.tables.ports[&0] });
    let error = maps.reconcile(&other).expect_err("a row that packets are judged by is not overwritten");
    assert!(matches!(error.downcast_ref(), Some(PlanError::Corrupt { .. })), "{error:#}");
}

#[test]
fn a_change_that_does_not_fit_is_refused_whole() {
    let node = TestNode::new("full");
    let mut maps = opened(&node, MapCapacities { rules: Some(2), ..MapCapacities::default() }).maps;
    let fitting = desired();
    maps.reconcile(&fitting).expect("two rules fit");

    let mut larger = desired();
    larger.tables.rules.insert(RuleKey::identity(4, 12), ProgramRef::new(0, 2));
    larger.tables.peers.clear();
    let error = maps.reconcile(&larger).expect_err("a third does not");
    assert!(matches!(error.downcast_ref(), Some(PlanError::Full { needed: 3, capacity: 2, .. })), "{error:#}");
    assert!(error.to_string().contains("maps.rules"), "{error:#}");
    assert_eq!(maps.observe().expect("observe").tables, fitting.tables, "nothing has changed");
}

#[test]
fn a_write_that_the_kernel_refuses_names_the_map_and_the_setting() {
    let node = TestNode::new("e2big");
    let mut maps = opened(&node, MapCapacities { rules: Some(1), profiles: Some(4), ..MapCapacities::default() }).maps;
    let rule = |set| Op::SetRule { key: RuleKey::identity(set, 1), program: ProgramRef::new(0, 1) };
    let error = maps.apply(&Plan { ops: vec![rule(1), rule(2)] }).expect_err("one row is all that fits");
    assert!(format!("{error:#}").ends_with("the map RULE is full: raise `maps.rules`"), "{error:#}");

    let profile = Op::SetProfile { index: 4, profile: Profile::default() };
    let error = maps.apply(&Plan { ops: vec![profile] }).expect_err("beyond the end");
    assert!(format!("{error:#}").ends_with("the map PROFILE is full: raise `maps.profiles`"), "{error:#}");
}
