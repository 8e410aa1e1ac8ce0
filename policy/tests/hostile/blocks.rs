//! Address ranges: whoever names them pays for them.

use policy::compile::Resource;
use policy::model::{NetworkPolicy, Peer};
use policy::plan::{Capacities, Observed, prepare};

use crate::scene::{Node, SMALL, scene};
use crate::world::{Scene, block, policy, rule};

/// A namespace of a tenant, with a pod and a policy that names so many blocks.
fn with_blocks(
    scene: &mut Scene,
    namespace: &str,
    tenant: Option<&str>,
    number: usize,
    nets: impl Iterator<Item = String>,
) {
    let _ = match tenant {
        Some(tenant) => scene.owned(namespace, tenant),
        None => scene.namespace(namespace, ""),
    };
    scene.pod(&format!("{namespace}/p"), "app=p", &[&format!("10.244.3.{}", number + 1)]);
    let blocks: Vec<Peer> = nets.map(|net| block(&net, &[])).collect();
    scene.policy(NetworkPolicy { ingress: Some(vec![rule(&blocks, &[])]), ..policy(namespace, "blocks") });
}

fn apart(number: usize, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |index| format!("172.{}.{index}.0/24", 16 + number))
}

fn closed(scene: &Scene) -> Vec<(String, Resource)> {
    let mut node = Node::default();
    node.enforce(scene);
    node.compiled.excesses.iter().map(|excess| (excess.namespace.clone(), excess.of)).collect()
}

#[test]
fn a_tenant_pays_for_the_blocks_of_all_its_namespaces_together() {
    let mut scene = scene();
    for number in 0..5 {
        with_blocks(&mut scene, &format!("evil-{number}"), Some("black"), number, apart(number, 9 + number % 2));
    }
    // More than any one of them.
    with_blocks(&mut scene, "z", Some("red"), 7, apart(7, 12));
    let closed = closed(&scene);
    assert!(closed.iter().all(|(name, of)| name.starts_with("evil-") && *of == Resource::Ranges), "{closed:?}");
    // 46 + 12 of 40: the two largest of them are enough.
    assert_eq!(closed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["evil-1", "evil-3"]);
}

#[test]
fn namespaces_without_a_tenant_pay_each_for_its_own_blocks() {
    let mut scene = scene();
    for number in 0..4 {
        with_blocks(&mut scene, &format!("evil-{number}"), None, number, apart(number, 11));
    }
    with_blocks(&mut scene, "z", Some("red"), 7, apart(7, 6));
    with_blocks(&mut scene, "small", None, 8, apart(8, 3));
    let closed = closed(&scene);
    assert!(closed.len() == 2 && closed.iter().all(|(name, _)| name.starts_with("evil-")), "{closed:?}");
}

#[test]
fn blocks_that_overlap_are_paid_for_by_who_nests_them() {
    let capacities = Capacities { ranges: 3 * 40_000, rules: 3 * 100_000, ids: 3 * 100_000, ..SMALL };
    let mut scene = scene();
    // Holes make each of many wide blocks another one, and all of them hold all of them.
    scene.owned("evil-0", "black");
    scene.pod("evil-0/p", "app=p", &["10.244.3.1"]);
    let blocks: Vec<Peer> =
        (0..3000_u32).map(|index| block("0.0.0.0/0", &[&format!("11.{}.{}.0/24", index / 256, index % 256)])).collect();
    scene.policy(NetworkPolicy { ingress: Some(vec![rule(&blocks, &[])]), ..policy("evil-0", "wide") });
    // A neighbour with more blocks, one of which holds everything.
    let nets = (0..6000).map(|index| format!("12.{}.{}.0/24", index / 256, index % 256));
    with_blocks(&mut scene, "z", Some("red"), 7, nets.chain(["0.0.0.0/0".to_owned()]));
    let (compiled, _) = prepare(&scene.input(), &Observed::default(), None, &capacities).unwrap();
    let closed: Vec<_> = compiled.excesses.iter().map(|excess| (excess.namespace.as_str(), excess.of)).collect();
    assert_eq!(closed, [("evil-0", Resource::Work)]);
}
