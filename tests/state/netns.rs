//! Network namespaces: made, entered, left and removed without moving anybody else.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::fs;
use std::process::Command;

use agent::net::NetNs;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use tests::netns::{TestNetNs, require_root, unique};

fn here() -> std::path::PathBuf {
    fs::read_link("/proc/thread-self/ns/net").expect("this thread's namespace")
}

#[test]
fn work_runs_inside_and_the_caller_stays_outside() {
    let ns = TestNetNs::new("in");
    let outside = here();
    let inside = ns.run(here).expect("enter");
    assert_ne!(inside, outside);
    assert_eq!(inside, ns.run(here).expect("enter again"), "the same namespace each time");
    assert_eq!(here(), outside);
}

#[test]
fn a_process_started_inside_is_inside() {
    let ns = TestNetNs::new("proc");
    let said = ns.command("readlink", "/proc/self/ns/net");
    assert_eq!(said.trim(), ns.run(here).expect("enter").to_string_lossy());
}

#[test]
fn a_taken_name_is_refused_and_stays() {
    let ns = TestNetNs::new("dup");
    let error = NetNs::create(ns.name()).expect_err("the name is taken");
    assert!(format!("{error:#}").contains(ns.name()), "{error:#}");
    NetNs::named(ns.name()).expect("still there");
}

#[test]
fn names_that_are_no_file_names_are_refused() {
    for name in ["", ".", "..", "a/b"] {
        NetNs::create(name).expect_err(name);
    }
}

#[test]
fn deleting_twice_and_deleting_half_a_name_is_fine() {
    require_root();
    let name = unique("del");
    NetNs::create(&name).expect("create").delete().expect("delete");
    NetNs::delete_named(&name).expect("again");
    fs::write(format!("/run/netns/{name}"), "").expect("what a crash in the middle leaves");
    NetNs::delete_named(&name).expect("half a name");
    assert!(!std::path::Path::new(&format!("/run/netns/{name}")).exists());
}

#[test]
fn a_name_can_be_removed_though_ip_netns_came_after_it() {
    require_root();
    let (name, theirs) = (unique("first"), unique("later"));
    // On a thread with mounts of its own, where nobody has named a namespace yet.
    let later = std::thread::spawn(move || {
        let nothing = None::<&str>;
        unshare(CloneFlags::CLONE_NEWNS).expect("mounts of its own");
        mount(nothing, "/", nothing, MsFlags::MS_PRIVATE | MsFlags::MS_REC, nothing).expect("nobody else's");
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), nothing).expect("an empty /run");
        let ns = NetNs::create(&name).expect("create");
        let added = Command::new("ip").args(["netns", "add", &theirs]).status().expect("ip");
        assert!(added.success());
        ns.delete().expect("delete");
        NetNs::delete_named(&theirs).expect("theirs");
        assert_eq!(fs::read_dir("/run/netns").expect("the folder").count(), 0);
    });
    later.join().expect("no panic");
}

#[test]
fn a_panic_inside_is_passed_on() {
    let ns = TestNetNs::new("panic");
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ns.run(|| panic!("on purpose"))));
    assert!(caught.is_err());
}
