//! What holds in a namespace that is being deleted: its policies may be gone before its pods are (CVE-2024-7598).

use super::{PodKey, World};

impl World {
    /// Keeps the policies that `last` had, in each terminating namespace, until its pods are gone.
    pub fn hold_policies(&mut self, last: &Self) {
        for name in self.namespaces.values().filter(|namespace| namespace.terminating).map(|namespace| &namespace.name)
        {
            let first = PodKey { namespace: name.clone(), name: String::new() };
            let has_pods = self.pods.range(first..).next().is_some_and(|(key, _)| key.namespace == *name);
            if !has_pods {
                continue;
            }
            let range = (name.clone(), String::new())..;
            for (key, policy) in last.network_policies.range(range.clone()).take_while(|(key, _)| key.0 == *name) {
                if !self.invalid_policies.contains_key(key) {
                    self.network_policies.entry(key.clone()).or_insert_with(|| policy.clone());
                }
            }
            for (key, policy) in last.invalid_policies.range(range).take_while(|(key, _)| key.0 == *name) {
                if !self.network_policies.contains_key(key) {
                    self.invalid_policies.entry(key.clone()).or_insert_with(|| policy.clone());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{InvalidPolicy, Namespace, NetworkPolicy, Pod, Selector};
    use super::*;

    /// Namespaces x and y with a policy each, and a pod in x.
    fn world(terminating: bool) -> World {
        let mut world = World::default();
        for name in ["x", "y"] {
            let namespace = Namespace { name: name.to_owned(), terminating, ..Namespace::default() };
            world.namespaces.insert(name.to_owned(), namespace);
            let key = (name.to_owned(), "p".to_owned());
            let (subject, ingress) = (Selector::default(), Some(Vec::new()));
            let policy =
                NetworkPolicy { namespace: key.0.clone(), name: key.1.clone(), subject, ingress, egress: None };
            world.network_policies.insert(key, policy);
        }
        let pod = Pod { namespace: "x".to_owned(), name: "a".to_owned(), ..Pod::default() };
        world.pods.insert(pod.key(), pod);
        world
    }

    fn without_policies(mut world: World) -> World {
        world.network_policies.clear();
        world
    }

    fn held(mut next: World, last: &World) -> Vec<String> {
        next.hold_policies(last);
        next.network_policies.keys().chain(next.invalid_policies.keys()).map(|key| key.0.clone()).collect()
    }

    #[test]
    fn a_terminating_namespace_keeps_its_policies_until_its_pods_are_gone() {
        let last = world(false);
        assert_eq!(held(without_policies(world(true)), &last), ["x"], "y has no pods");
        assert!(held(without_policies(world(false)), &last).is_empty(), "deleted by somebody");
        let mut empty = without_policies(world(true));
        empty.pods.clear();
        assert!(held(empty, &last).is_empty());
    }

    #[test]
    fn a_policy_that_is_there_is_taken_as_it_is() {
        let last = world(true);
        let mut next = without_policies(world(true));
        let key = ("x".to_owned(), "p".to_owned());
        let invalid = InvalidPolicy {
            namespace: key.0.clone(),
            name: key.1.clone(),
            subject: Selector::default(),
            isolates_ingress: true,
            isolates_egress: true,
            over_share: false,
        };
        next.invalid_policies.insert(key, invalid);
        next.hold_policies(&last);
        assert!(next.network_policies.is_empty());
        let mut gone = without_policies(world(true));
        gone.hold_policies(&next);
        assert_eq!(gone.invalid_policies, next.invalid_policies);
    }
}
