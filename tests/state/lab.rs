//! Labs on this machine: real packets are held against the model through every change, and nothing is left behind.

#![expect(clippy::expect_used, reason = "a test says what it expects by failing")]

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::str::FromStr;

use agent::ingest::ObjectId;
use agent::lab::{Cni, Lab, UpOptions};
use agent::net::NetNs;
use policy::ask::{FlowPort, Said};
use policy::model::PodKey;
use tests::lab::{Tried, manifests};

const WORLD: &str = r#"
{apiVersion: v1, kind: Namespace, metadata: {name: blue, labels: {team: blue}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: green, labels: {team: green}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: blue, labels: {app: a}}, spec: {containers: []}}
---
{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: blue, labels: {app: b}}, spec: {containers: []}}
---
{apiVersion: v1, kind: Pod, metadata: {name: c, namespace: green}, spec: {containers: []}}
---
{apiVersion: v1, kind: Pod, metadata: {name: host, namespace: green}, spec: {hostNetwork: true, containers: []}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: from-b, namespace: blue}
spec:
  podSelector: {matchLabels: {app: a}}
  ingress: [{from: [{podSelector: {matchLabels: {app: b}}}], ports: [{port: 80}, {port: 7777, protocol: SCTP}]}]
"#;

fn up(tried: &Tried, cni: Cni) -> Lab {
    let external = ["192.0.2.7", "2001:db8::7"].map(|ip| ip.parse().expect("an address")).to_vec();
    tried.up(manifests(WORLD), &UpOptions { external, ..Tried::options(cni) })
}

/// Sends packets of all four kinds; how many were dropped.
fn agrees(lab: &Lab) -> usize {
    let ports =
        ["tcp/80", "tcp/81", "udp/53", "sctp/7777", "icmp"].map(|port| FlowPort::from_str(port).expect("a port"));
    let report = lab.check(&ports, || Ok(())).expect("packets can be sent");
    let differences: Vec<String> = report.verdicts.iter().filter_map(|checked| checked.difference()).collect();
    assert!(differences.is_empty(), "{differences:#?}");
    report.verdicts.iter().filter(|checked| checked.observed == Said::Drop).count()
}

fn pod(name: &str) -> PodKey {
    PodKey { namespace: "blue".to_owned(), name: name.to_owned() }
}

fn inode(lab: &Lab, name: &str) -> u64 {
    let namespace = NetNs::named(&lab.namespace_of(&pod(name)).expect("a pod")).expect("a namespace");
    std::fs::metadata(namespace.path()).expect("a namespace").ino()
}

fn lives_through_changes(name: &str, cni: Cni) {
    let tried = Tried::new(name);
    let mut lab = up(&tried, cni);
    let dropped = agrees(&lab);
    assert!(dropped > 0, "the policy drops something");

    let before = inode(&lab, "a");
    let moved = WORLD.replace(
        "labels: {app: a}}, spec: {containers: []}}",
        "labels: {app: b}}, spec: {containers: []}, status: {podIPs: [{ip: 10.244.9.9}, {ip: 'fd00:10:244::99'}]}}",
    );
    lab.apply(manifests(&moved)).expect("apply");
    assert_eq!(inode(&lab, "a"), before, "another address and label keep the network namespace");
    assert_eq!(agrees(&lab), 0, "nothing selects the pod any more");

    lab.apply(manifests(WORLD)).expect("apply");
    assert_eq!(agrees(&lab), dropped, "as at first");
    let object = |text: &str| ObjectId::from_str(text).expect("an object's name");
    lab.delete(&[object("pod/blue/b"), object("networkpolicy/blue/from-b")]).expect("delete");
    assert_eq!(agrees(&lab), 0);
    lab.namespace_of(&pod("b")).expect_err("the pod is gone");

    lab.remove().expect("down");
    assert_eq!(tried.remains(), Vec::<PathBuf>::new());
}

#[test]
fn a_lab_in_ptp_form_lives_through_changes() {
    lives_through_changes("ptp", Cni::Ptp);
}

#[test]
fn a_lab_in_bridge_form_lives_through_changes() {
    lives_through_changes("bridge", Cni::Bridge);
}

#[test]
fn down_cleans_up_after_a_crash_and_twice() {
    let tried = Tried::new("crash");
    drop(up(&tried, Cni::Ptp));
    std::fs::remove_dir_all(tried.0.folder()).expect("the state is lost");
    NetNs::delete_named(&tried.0.node()).expect("half of the namespaces are lost");
    Lab::down(&tried.0).expect("down");
    assert_eq!(tried.remains(), Vec::<PathBuf>::new());
    Lab::down(&tried.0).expect("down again");
    assert_eq!(tried.remains(), Vec::<PathBuf>::new());
}

#[test]
fn two_labs_stand_side_by_side() {
    let (one, other) = (Tried::new("one"), Tried::new("other"));
    let (first, second) = (up(&one, Cni::Ptp), up(&other, Cni::Bridge));
    let dropped = agrees(&first);
    first.remove().expect("down");
    assert_eq!(agrees(&second), dropped);
}

#[test]
fn bad_input_leaves_everything_as_it_was() {
    let tried = Tried::new("bad");
    let mut lab = up(&tried, Cni::Ptp);
    let dropped = agrees(&lab);
    let service = "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 0}]}}";
    let error = lab.apply(manifests(service)).expect_err("0 is no port");
    assert!(error.to_string().contains("Service default/web"), "{error}");
    let taken = "{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: []}, status: {podIP: 192.0.2.7}}";
    lab.apply(manifests(taken)).expect_err("the address belongs to the world");
    drop(lab);
    let options = Tried::options(Cni::Ptp);
    let error = Lab::up(&tried.0, manifests(WORLD), &options).expect_err("a lab of that name is up");
    assert!(error.to_string().contains("lab down"), "{error}");
    assert_eq!(agrees(&Lab::open(&tried.0).expect("still up")), dropped);
}
