use policy::model::{Node, Pod};

use super::*;
use crate::discover::Behind;

/// A node that is looked at again and again.
struct Scene {
    listing: Listing,
    results: Vec<CniResult>,
    world: Option<World>,
    bindings: Bindings,
    slots: u32,
    bar_further: bool,
}

fn key(name: &str) -> PodKey {
    PodKey { namespace: "x".into(), name: name.into() }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn mac(last: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, last]
}

impl Scene {
    fn new() -> Self {
        let ranges = vec!["10.244.1.0/24".parse().unwrap(), "fd44::/64".parse().unwrap()];
        let node = Node { name: "n1".into(), pod_cidrs: ranges, ..Node::default() };
        let world = World { nodes: BTreeMap::from([("n1".to_owned(), node)]), ..World::default() };
        let bindings = Bindings::default();
        Self {
            listing: Listing::default(),
            results: Vec::new(),
            world: Some(world),
            bindings,
            slots: 8,
            bar_further: true,
        }
    }

    /// Another end in namespace `netns`, whose last byte of the MAC is the interface index.
    fn veth(&mut self, ifindex: u32, netns: i32, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| ip(text)).collect();
        let behind = Behind { netns, ifindex: 2, mac: mac(u8::try_from(ifindex).unwrap()), addresses };
        let veth = Veth { name: format!("veth{ifindex}"), bridge: None, behind: Some(behind) };
        self.listing.veths.insert(ifindex, veth);
    }

    fn pod(&mut self, name: &str, addresses: &[&str]) {
        let pod = Pod {
            namespace: "x".into(),
            name: name.into(),
            node: "n1".into(),
            addresses: addresses.iter().map(|text| ip(text)).collect(),
            ..Pod::default()
        };
        self.world.as_mut().unwrap().pods.insert(pod.key(), pod);
    }

    fn result(&mut self, name: &str, veth: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| ip(text)).collect();
        self.results.push(CniResult { pod: key(name), veths: vec![veth.into()], mac: Some(mac(0xc1)), addresses });
    }

    fn look(&mut self) -> Vec<Finding> {
        let ranges = ["10.244.0.0/16".parse().unwrap(), "fd44::/64".parse().unwrap()];
        let around = Surroundings {
            listing: &self.listing,
            results: &self.results,
            world: self.world.as_ref(),
            node: "n1",
            ranges: &ranges,
            now: Timestamp::UNIX_EPOCH,
            adopt_until: 7,
            slots: self.slots,
            bar_further: self.bar_further,
        };
        let (bindings, findings) = bind(&self.bindings, &around);
        let again = bind(&bindings, &around);
        assert_eq!(again, (bindings.clone(), findings.clone()), "a second look at the same changes nothing");
        let slots: BTreeSet<u32> = bindings.bound.values().map(|bound| bound.slot).collect();
        assert_eq!(slots.len(), bindings.bound.len(), "each has a slot of its own");
        self.bindings = bindings;
        findings
    }

    fn uninvited(&self, ifindex: u32, pod: Option<&str>) -> Finding {
        let veth = &self.listing.veths[&ifindex];
        let (name, addresses) = (veth.name.clone(), veth.addresses());
        Finding::Uninvited { ifindex, veth: name, pod: pod.map(key), addresses }
    }

    fn bound(&self, ifindex: u32) -> &Bound {
        &self.bindings.bound[&ifindex]
    }

    fn pod_of(&self, ifindex: u32) -> Option<PodKey> {
        self.bound(ifindex).pod.clone()
    }
}

#[test]
fn a_veth_is_bound_to_the_pod_that_has_its_address() {
    let mut scene = Scene::new();
    scene.veth(5, 0, &["fe80::1", "10.244.1.5", "fd44::5"]);
    scene.pod("a", &["10.244.1.5", "fd44::5"]);
    assert_eq!(scene.look(), []);
    let bound = scene.bound(5);
    assert_eq!((bound.pod.clone(), bound.mac), (Some(key("a")), mac(5)));
    assert_eq!(bound.addresses, [ip("10.244.1.5"), ip("fd44::5")]);
    assert_eq!(bound.adopt_until, 7);
}

#[test]
fn what_a_pod_does_to_its_own_interface_changes_nothing() {
    let mut scene = Scene::new();
    scene.veth(5, 0, &["10.244.1.5"]);
    scene.pod("a", &["10.244.1.5"]);
    scene.pod("b", &["10.244.1.6"]);
    scene.look();
    let before = scene.bound(5).clone();
    scene.veth(5, 3, &["10.244.1.6"]);
    scene.listing.veths.get_mut(&5).unwrap().behind.as_mut().unwrap().mac = mac(66);
    scene.look();
    // Where it leads is noted beside where it led: further veths into either are the pod's own making.
    let bound = |scene: &Scene| Bound { netns: before.netns.clone(), ..scene.bound(5).clone() };
    assert_eq!(bound(&scene), before);
    scene.listing.veths.get_mut(&5).unwrap().behind = None;
    scene.look();
    assert_eq!(bound(&scene), before);
    scene.listing.veths.clear();
    scene.look();
    assert_eq!(scene.bindings.bound, BTreeMap::new(), "gone with the veth");
}

#[test]
fn a_pod_that_is_not_known_yet_is_bound_later_with_the_addresses_that_it_really_has() {
    let mut scene = Scene::new();
    scene.veth(5, 0, &["10.244.1.5"]);
    scene.look();
    let pending = scene.bound(5).clone();
    assert_eq!((pending.pod, pending.addresses), (None, vec![ip("10.244.1.5")]));
    scene.pod("a", &["10.244.1.5", "fd44::5"]);
    scene.look();
    let bound = scene.bound(5);
    assert_eq!((bound.pod.clone(), bound.addresses.len()), (Some(key("a")), 2));
    assert_ne!((bound.id, bound.slot), (pending.id, pending.slot), "other addresses make another endpoint");
}

#[test]
fn becoming_known_with_the_same_addresses_keeps_the_endpoint() {
    let mut scene = Scene::new();
    scene.world = None;
    scene.veth(5, 0, &["10.244.1.5"]);
    scene.look();
    let pending = scene.bound(5).id;
    scene.world = Scene::new().world;
    scene.pod("a", &["10.244.1.5"]);
    scene.look();
    assert_eq!((scene.bound(5).id, scene.pod_of(5)), (pending, Some(key("a"))));
}

#[test]
fn of_two_claimants_neither_gets_the_address() {
    let mut scene = Scene::new();
    scene.pod("a", &["10.244.1.5"]);
    scene.veth(5, 0, &["10.244.1.5"]);
    scene.veth(6, 1, &["10.244.1.5"]);
    let veths = vec!["veth5".to_owned(), "veth6".to_owned()];
    assert_eq!(scene.look(), [Finding::Claimed { address: ip("10.244.1.5"), veths }]);
    assert_eq!((scene.pod_of(5), scene.pod_of(6)), (None, None));
    scene.result("a", "veth6", &["10.244.1.5"]);
    scene.look();
    assert_eq!((scene.pod_of(5), scene.pod_of(6)), (None, Some(key("a"))), "the CNI result names the veth");
    assert_eq!(scene.bound(6).mac, mac(0xc1), "and its MAC address");
}

#[test]
fn a_claimant_that_comes_later_takes_nothing_away() {
    let mut scene = Scene::new();
    scene.pod("a", &["10.244.1.5"]);
    scene.veth(5, 0, &["10.244.1.5"]);
    scene.look();
    scene.veth(6, 1, &["10.244.1.5"]);
    scene.look();
    assert_eq!((scene.pod_of(5), scene.pod_of(6)), (Some(key("a")), None));
}

#[test]
fn the_cni_result_has_the_name_before_the_api_has_the_address() {
    let mut scene = Scene::new();
    scene.pod("a", &[]);
    scene.veth(5, 0, &["10.244.1.5"]);
    scene.result("a", "veth5", &["10.244.1.5", "fd44::5"]);
    scene.look();
    assert_eq!((scene.pod_of(5), scene.bound(5).addresses.len()), (Some(key("a")), 2));
}

#[test]
fn a_result_that_is_left_over_from_another_pod_names_nobody() {
    let mut scene = Scene::new();
    scene.veth(5, 0, &["10.244.1.5"]);
    scene.result("old", "veth5", &["10.244.1.77"]);
    scene.look();
    assert_eq!(scene.pod_of(5), None);
}

#[test]
fn host_network_pods_and_pods_of_other_nodes_own_no_veth() {
    let mut scene = Scene::new();
    scene.veth(5, 0, &["10.244.1.5"]);
    scene.pod("a", &["10.244.1.5"]);
    scene.pod("b", &["10.244.1.5"]);
    let pods = &mut scene.world.as_mut().unwrap().pods;
    pods.get_mut(&key("a")).unwrap().host_network = true;
    pods.get_mut(&key("b")).unwrap().node = "n2".into();
    scene.look();
    assert_eq!(scene.pod_of(5), None);
}

#[test]
fn other_veths_are_left_alone_and_listed() {
    let mut scene = Scene::new();
    scene.veth(5, 0, &["10.244.1.5"]);
    scene.pod("a", &["10.244.1.5"]);
    scene.veth(6, 0, &["192.168.7.1", "fe80::6"]);
    scene.veth(7, 1, &["172.17.0.2"]);
    scene.listing.veths.insert(8, Veth { name: "veth8".into(), bridge: None, behind: None });
    let findings = scene.look();
    let uninvited = scene.uninvited(6, Some("a"));
    let foreign = Finding::Foreign { veth: "veth7".into(), addresses: vec![ip("172.17.0.2")] };
    assert_eq!(findings, [uninvited, foreign]);
    assert_eq!(scene.bindings.bound.keys().collect::<Vec<_>>(), [&5]);
}

#[test]
fn ids_are_not_used_again_and_slots_that_are_used_up_are_said() {
    let mut scene = Scene::new();
    scene.slots = 2;
    scene.veth(5, 0, &["10.244.1.5"]);
    scene.look();
    let first = scene.bound(5).clone();
    scene.listing.veths.clear();
    scene.veth(6, 0, &["10.244.1.5"]);
    scene.look();
    let second = scene.bound(6).clone();
    assert!(second.id > first.id && second.slot != first.slot, "{first:?} {second:?}");
    scene.veth(7, 1, &["10.244.1.7"]);
    scene.veth(8, 2, &["10.244.1.8"]);
    let findings = scene.look();
    assert!(matches!(&findings[..], [Finding::NoRoom { veth, .. }] if veth == "veth8"), "{findings:?}");
    assert_eq!(scene.bindings.bound.len(), 2);
}

#[test]
fn a_further_veth_that_no_result_of_its_pod_names_is_barred() {
    let mut scene = Scene::new();
    scene.pod("a", &["10.244.1.5"]);
    scene.veth(5, 0, &["10.244.1.5"]);
    scene.veth(6, 0, &[]);
    assert_eq!(scene.look(), [scene.uninvited(6, Some("a"))]);
    // Another pod's result does not invite it: its name is the attacker's to choose.
    scene.result("b", "veth6", &["10.244.1.6"]);
    assert_eq!(scene.look(), [scene.uninvited(6, Some("a"))]);
    // Multus has kept what its plugin answered.
    scene.result("a", "veth6", &["192.168.7.1"]);
    let further = Finding::Further { veth: "veth6".into(), pod: Some(key("a")), addresses: Vec::new() };
    assert_eq!(scene.look(), [further]);
    scene.listing.veths.get_mut(&6).unwrap().name = "renamed".into();
    assert_eq!(scene.look(), [scene.uninvited(6, Some("a"))]);
    scene.bar_further = false;
    assert!(matches!(&scene.look()[..], [Finding::Further { .. }]), "by configuration");
}

#[test]
fn a_pod_that_moves_its_own_interface_away_still_has_one_namespace_too_many() {
    let mut scene = Scene::new();
    scene.pod("a", &["10.244.1.5"]);
    scene.veth(5, 0, &["10.244.1.5"]);
    scene.look();
    // Into a namespace inside the pod; the new veth leads to where the pod was, or to where it is now.
    scene.veth(5, 7, &["10.244.1.5"]);
    scene.veth(6, 0, &[]);
    scene.veth(8, 7, &["192.168.7.1"]);
    let barred = [scene.uninvited(6, Some("a")), scene.uninvited(8, Some("a"))];
    assert_eq!(scene.look(), barred);
    // Also to an agent that has started since.
    scene.bindings = serde_json::from_str(&serde_json::to_string(&scene.bindings).unwrap()).unwrap();
    assert_eq!(scene.look(), barred);
}

#[test]
fn a_veth_before_its_pod_is_known_is_barred_and_a_stranger_on_the_pods_bridge_too() {
    let mut scene = Scene::new();
    scene.veth(5, 0, &["10.244.1.5"]);
    scene.veth(6, 0, &["172.17.0.2"]);
    assert_eq!(scene.look(), [scene.uninvited(6, None)]);
    scene.listing.veths.get_mut(&5).unwrap().bridge = Some(3);
    scene.veth(7, 9, &["172.17.0.3"]);
    scene.listing.veths.get_mut(&7).unwrap().bridge = Some(3);
    scene.veth(8, 9, &["172.17.0.4"]);
    scene.listing.veths.get_mut(&8).unwrap().bridge = Some(4);
    let foreign = Finding::Foreign { veth: "veth8".into(), addresses: vec![ip("172.17.0.4")] };
    assert_eq!(scene.look(), [scene.uninvited(6, None), scene.uninvited(7, None), foreign]);
}

#[test]
fn a_further_veth_with_a_pods_address_gets_an_endpoint_of_its_own_and_no_rights() {
    let mut scene = Scene::new();
    scene.pod("a", &["10.244.1.5"]);
    scene.pod("b", &["10.244.1.6"]);
    scene.veth(5, 0, &["10.244.1.5"]);
    scene.veth(6, 1, &["10.244.1.6"]);
    scene.look();
    scene.veth(7, 0, &["10.244.1.6"]);
    scene.look();
    assert_eq!((scene.pod_of(6), scene.pod_of(7)), (Some(key("b")), None));
}
