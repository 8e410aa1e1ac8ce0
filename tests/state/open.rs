//! Opening a datapath: what the machine must have, which maps are taken over, and which are not.
#![expect(clippy::expect_used, reason = "a test says what it expects by failing")]

use std::fs;

use agent::kernel::{Attachment, Datapath, LogLevel, MapCapacities, Maps, Options, Pins};
use aya::maps::{HashMap, MapData, MapInfo};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use tests::datapath::TestNode;
use tests::netns::{require_root, unique};

fn refused(node: &TestNode, options: &Options) -> String {
    let opened = node.inside(|| Datapath::open(&node.pins, options).map(|_| ()));
    format!("{:#}", opened.expect_err("this datapath must not open"))
}

#[test]
fn a_second_open_takes_over_the_maps() {
    let node = TestNode::new("reuse");
    assert!(node.open(Attachment::Auto).is_fresh());
    let id = |name| MapInfo::from_pin(node.pins.maps().join(name)).expect("a pinned map").id();
    let before = (id("FLOW"), id("RULE"), id("EVENTS"));
    let again = node.open(Attachment::Auto);
    assert!(!again.is_fresh());
    assert_eq!((id("FLOW"), id("RULE"), id("EVENTS")), before);
    Maps::open(&node.pins, &MapCapacities::default()).expect("a reader finds them, too");
}

#[test]
fn a_crash_while_the_maps_were_made_is_made_good() {
    let node = TestNode::new("half");
    drop(node.open(Attachment::Auto));
    fs::remove_file(node.pins.maps().join("RULE")).expect("lose a map");
    drop(node.open(Attachment::Auto));
    assert!(node.pins.maps().join("RULE").exists());
}

#[test]
fn a_pinned_map_of_another_size_is_refused_with_the_setting() {
    let node = TestNode::new("size");
    let capacities = MapCapacities { rules: Some(1000), ..MapCapacities::default() };
    let options = Options { capacities, ..Options::default() };
    node.inside(|| Datapath::open(&node.pins, &options).map(|_| ())).expect("a map of the wanted size");

    let said = refused(&node, &Options::default());
    for part in ["RULE", "1000 entries", "1048576", "`maps.rules` to 1000", "lab down"] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[test]
fn a_pinned_map_of_another_shape_is_refused() {
    let node = TestNode::new("shape");
    drop(node.open(Attachment::Auto));
    let pin = node.pins.maps().join("PEER_V4");
    fs::remove_file(&pin).expect("unpin");
    let wide: HashMap<MapData, u64, [u64; 8]> = HashMap::create(131_072, 1).expect("a map");
    wide.pin(&pin).expect("pin");
    let said = refused(&node, &Options::default());
    assert!(said.contains("PEER_V4") && said.contains("8 bytes a key where this version has 4"), "{said}");
}

#[test]
fn a_machine_without_a_bpf_file_system_is_told_how_to_get_one() {
    require_root();
    let said = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).expect("private");
        umount2("/sys/fs/bpf", MntFlags::MNT_DETACH).expect("no bpffs");
        let pins = Pins::lab(&unique("nobpffs")).expect("a name");
        format!("{:#}", Datapath::open(&pins, &Options::default()).map(|_| ()).expect_err("no bpffs"))
    })
    .join()
    .expect("the thread");
    assert_eq!(said, "no BPF file system is mounted at /sys/fs/bpf: `mount -t bpf bpf /sys/fs/bpf` mounts it");
}

#[test]
fn names_that_bpffs_does_not_take_are_refused() {
    for name in ["", "a.b", "a/b", "a b"] {
        Pins::lab(name).expect_err(name);
    }
}

#[test]
fn a_log_level_is_taken() {
    let node = TestNode::new("log");
    let options = Options { log_level: LogLevel::Debug, ..Options::default() };
    node.inside(|| Datapath::open(&node.pins, &options).map(|_| ())).expect("open");
}
