//! Compiled rules say what the model says, for random worlds.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its world does not hold")]

mod world;

use common::abi::{Direction, PortKey};
use policy::compile::Binding;
use proptest::prelude::*;
use world::{Scene, naive, random};

/// The endpoints whose pod is known.
fn known(scene: &Scene) -> impl Iterator<Item = &Binding> {
    scene.node.endpoints.iter().filter(|binding| {
        let pod = binding.pod.as_ref().filter(|key| scene.world.pods.contains_key(key));
        pod.is_some_and(|key| scene.world.namespaces.contains_key(&key.namespace))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn compiled_rules_agree_with_the_model(scene in random::scene()) {
        let compiled = scene.compile();
        for binding in known(&scene) {
            let key = binding.pod.as_ref().unwrap();
            for address in random::addresses() {
                if binding.addresses.contains(&address) {
                    continue;
                }
                for (protocol, port) in random::questions() {
                    for direction in Direction::ALL {
                        let expected = naive::judge(&scene, key, direction, address, protocol, port);
                        let port = PortKey::new(protocol, port);
                        let judged = scene.judge(&compiled, &key.to_string(), direction, &address.to_string(), port);
                        let rules = compiled.desired.provenance.rules.get(&judged.rule).map_or(&[][..], Vec::as_slice);
                        prop_assert!(
                            expected.agrees(judged.verdict, rules),
                            "{key} {direction:?} {address} {port:?}: {:?} {rules:?}, not {expected:?}",
                            judged.verdict
                        );
                    }
                }
            }
        }
    }
}
