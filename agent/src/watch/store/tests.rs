//! What is kept of objects, and what the world says of them.

use serde_json::{Value, json};

use super::*;

fn object(value: &Value) -> Object {
    let text = |field: &str| value["metadata"][field].as_str().unwrap_or_default().to_owned();
    let key = Key { namespace: text("namespace"), name: text("name") };
    Object { key, uid: text("uid"), text: value.to_string().into_bytes() }
}

fn pod(name: &str, phase: &str, label: &str) -> Object {
    object(&labelled(name, phase, label))
}

fn labelled(name: &str, phase: &str, label: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": "x", "labels": {"app": label},
            "annotations": {"bulkhead.dev/a": "kept", "other": "left out"},
        },
        "spec": {"nodeName": "n", "containers": [{"name": "c"}]},
        "status": {"phase": phase, "podIPs": [{"ip": "10.244.0.5"}]},
    })
}

fn pods(store: &Store) -> Vec<String> {
    store.world().pods.into_keys().map(|key| key.name).collect()
}

#[test]
fn a_list_shows_when_it_is_complete() {
    let mut store = Store::new(&Config::default());
    let mut take = |event| store.take(Resource::Pods, event, 0);
    assert!(!take(Event::Init) && !take(Event::InitApply(pod("a", "Running", "1"))) && take(Event::InitDone));
    assert!(!take(Event::Init) && !take(Event::InitApply(pod("b", "Running", "1"))));
    assert_eq!(pods(&store), ["a"]);
    assert!(store.take(Resource::Pods, Event::InitDone, 0));
    assert_eq!(pods(&store), ["b"]);
}

#[test]
fn only_what_policy_sees_is_a_change() {
    let mut store = Store::new(&Config::default());
    let mut take = |event| store.take(Resource::Pods, event, 0);
    assert!(take(Event::Apply(pod("a", "Running", "1"))));
    let mut same = labelled("a", "Running", "1");
    same["metadata"]["resourceVersion"] = json!("7");
    assert!(!take(Event::Apply(object(&same))));
    assert!(take(Event::Apply(pod("a", "Running", "2"))));
    assert!(take(Event::Apply(pod("a", "Succeeded", "2"))), "it has ended");
    assert!(pods(&store).is_empty());
    assert!(store.take(Resource::Pods, Event::Delete(pod("a", "Succeeded", "2")), 0));
}

#[test]
fn annotations_that_nobody_reads_are_left_out() {
    let mut store = Store::new(&Config::default());
    store.take(Resource::Pods, Event::Apply(pod("a", "Running", "1")), 0);
    let world = store.world();
    let keys: Vec<_> = world.pods.values().flat_map(|pod| pod.annotations.keys()).collect();
    assert_eq!(keys, ["bulkhead.dev/a"]);
}

#[test]
fn a_policy_that_is_not_understood_is_named_and_fails_closed() {
    let mut store = Store::new(&Config::default());
    let policy = json!({
        "metadata": {"name": "p", "namespace": "x", "uid": "u"},
        "spec": {"podSelector": {}, "ingress": [{"from": [{"planets": {}}]}]},
    });
    assert!(store.take(Resource::NetworkPolicies, Event::Apply(object(&policy)), 0));
    assert_eq!(store.world().invalid_policies.len(), 1);
    let rejected = store.rejected();
    let said: Vec<_> = rejected.iter().map(|it| (it.object.to_string(), it.uid.as_str(), it.field.as_str())).collect();
    let about = |field| ("NetworkPolicy x/p".to_owned(), "u", field);
    // A peer of which nothing is known is an empty one, too.
    assert_eq!(said, [about("spec.ingress[0].from[0].planets"), about("spec.ingress[0].from[0]")]);
}

/// A policy of so many ipBlocks, each of about 37 bytes.
fn blocks(namespace: &str, name: &str, blocks: usize, subject: &Value) -> Object {
    let from: Vec<_> = (0..blocks)
        .map(|n| json!({"ipBlock": {"cidr": format!("10.{}.{}.{}/32", n >> 16, n >> 8 & 255, n & 255)}}))
        .collect();
    object(&json!({
        "metadata": {"name": name, "namespace": namespace, "uid": name},
        "spec": {"podSelector": subject, "policyTypes": ["Ingress"], "ingress": [{"from": from}]},
    }))
}

fn names(policies: impl Iterator<Item = (String, String)>) -> Vec<String> {
    policies.map(|(namespace, name)| format!("{namespace}/{name}")).collect()
}

#[test]
fn policies_over_their_share_isolate_and_come_back_when_there_is_room() {
    let mut store = Store::new(&Config::default());
    let everything = json!({});
    store.take(Resource::NetworkPolicies, Event::Apply(blocks("x", "small", 10, &everything)), 0);
    for name in ["a", "b", "c", "d", "e"] {
        let subject = json!({"matchLabels": {"app": name}});
        store.take(Resource::NetworkPolicies, Event::Apply(blocks("evil", name, 25_000, &subject)), 0);
    }
    store.settle(0);
    let world = store.world();
    assert_eq!(names(world.network_policies.into_keys()), ["evil/a", "evil/b", "evil/c", "evil/d", "x/small"]);
    assert_eq!(names(world.invalid_policies.keys().cloned()), ["evil/e"]);
    let invalid = world.invalid_policies.values().next().unwrap();
    assert!(invalid.over_share && invalid.isolates_ingress && !invalid.isolates_egress && !invalid.subject.is_empty());
    let [rejected] = &store.rejected()[..] else { panic!("{:?}", store.rejected()) };
    assert_eq!((rejected.object.to_string().as_str(), rejected.uid.as_str()), ("NetworkPolicy evil/e", "e"));
    assert!(rejected.problem.contains("4096 KiB"), "{}", rejected.problem);
    assert_eq!(store.wanted(), None);

    let gone = blocks("evil", "a", 0, &everything);
    assert!(store.take(Resource::NetworkPolicies, Event::Delete(gone), 0));
    store.settle(0);
    let (resource, key) = store.wanted().unwrap();
    assert_eq!((resource, key.to_string().as_str()), (Resource::NetworkPolicies, "evil/e"));
    store.take(resource, Event::Apply(blocks("evil", "e", 25_000, &everything)), 0);
    store.settle(0);
    assert_eq!(store.wanted(), None);
    assert!(store.world().invalid_policies.is_empty() && store.rejected().is_empty());
}

#[test]
fn what_was_read_briefly_fails_closed_and_is_wanted_where_it_fits() {
    let mut store = Store::new(&Config::default());
    let policy = |number: usize| blocks("evil", &format!("p{number}"), 25_000, &json!({"matchLabels": {"app": "a"}}));
    let service = |number: usize| service("evil", &format!("s{number}"), 1000, 3000);
    for number in 0..6 {
        for (resource, object) in [(Resource::NetworkPolicies, policy(number)), (Resource::Services, service(number))] {
            let read = store.reader().read_briefly(resource, object);
            assert!(store.put(resource, read, 0));
        }
    }
    store.settle(0);
    let world = store.world();
    assert!(world.network_policies.is_empty() && world.services.is_empty());
    assert_eq!(world.invalid_policies.values().map(|policy| policy.subject.is_empty()).collect::<Vec<_>>(), [false]);
    assert_eq!(world.unread_services.iter().collect::<Vec<_>>(), ["evil"]);
    let mut read = Vec::new();
    while let Some((resource, key)) = store.wanted() {
        let number = key.name[1..].parse().unwrap();
        let object = if resource == Resource::Services { service(number) } else { policy(number) };
        store.take(resource, Event::Apply(object), 0);
        store.settle(0);
        read.push(key.name);
    }
    assert_eq!(read, ["s0", "s1", "s2", "s3", "s4", "s5", "p0", "p1", "p2", "p3"], "each once, and no policy too many");
    let world = store.world();
    assert_eq!((world.network_policies.len(), world.services.len(), world.unread_services.len()), (4, 6, 0));
}

#[test]
fn a_policy_that_is_too_large_is_never_read_whole_and_isolates_what_it_selects() {
    let mut store = Store::new(&Config::default());
    let subject = json!({"matchLabels": {"app": "a"}});
    store.take(Resource::NetworkPolicies, Event::Apply(blocks("evil", "a", 40_000, &subject)), 0);
    let many: Vec<_> = (0..1000).map(|n| format!("v{n}")).collect();
    let subject = json!({"matchExpressions": [{"key": "app", "operator": "In", "values": many}]});
    store.take(Resource::NetworkPolicies, Event::Apply(blocks("evil", "b", 40_000, &subject)), 0);
    store.settle(0);
    let world = store.world();
    let [a, b] = &world.invalid_policies.values().collect::<Vec<_>>()[..] else { panic!("{world:?}") };
    assert!(!a.subject.is_empty() && a.isolates_ingress && !a.isolates_egress);
    assert!(b.subject.is_empty() && b.isolates_ingress && b.isolates_egress, "what selects too much selects all");
}

#[test]
fn many_small_policies_are_one_in_the_world_and_told_of_once() {
    let mut store = Store::new(&Config::default());
    for number in 0..20_000 {
        let subject = json!({"matchLabels": {"app": format!("a{}", number % 100)}});
        let policy = blocks("evil", &format!("{number:05}"), 1, &subject);
        store.take(Resource::NetworkPolicies, Event::Apply(policy), 0);
    }
    store.take(Resource::NetworkPolicies, Event::Apply(blocks("x", "p", 1, &json!({}))), 0);
    store.settle(0);
    let world = store.world();
    let kept = world.network_policies.keys().filter(|(namespace, _)| namespace == "evil").count();
    assert!((4000..6000).contains(&kept), "{kept}");
    let [invalid] = &world.invalid_policies.values().collect::<Vec<_>>()[..] else { panic!("one is enough") };
    assert!(invalid.subject.is_empty() && invalid.isolates_egress);
    let [rejected] = &store.rejected()[..] else { panic!("one is enough") };
    assert_eq!(rejected.others, 20_000 - kept - 1);
    assert!(world.network_policies.contains_key(&("x".to_owned(), "p".to_owned())));
}

#[test]
fn pods_with_a_mebibyte_of_labels_are_unknown_and_annotations_cost_nothing() {
    let mut store = Store::new(&Config::default());
    let with = |name: &str, field: &str, bytes: usize| {
        let mut pod = labelled(name, "Running", "1");
        let many: serde_json::Map<_, _> = (0..bytes / 64).map(|n| (format!("k{n}"), json!("v".repeat(57)))).collect();
        pod["metadata"][field] = many.into();
        object(&pod)
    };
    store.take(Resource::Pods, Event::Apply(with("annotated", "annotations", 200 << 10)), 0);
    store.take(Resource::Pods, Event::Apply(with("labelled", "labels", 1 << 20)), 0);
    for number in 0..200 {
        store.take(Resource::Pods, Event::Apply(with(&format!("many-{number:03}"), "labels", 100 << 10)), 0);
    }
    store.settle(0);
    let pods = pods(&store);
    assert!(pods.contains(&"annotated".to_owned()) && !pods.contains(&"labelled".to_owned()));
    assert!((100..120).contains(&pods.len()), "16 MiB of them: {}", pods.len());
}

#[test]
fn an_object_of_mistakes_tells_five_and_a_namespace_of_such_objects_twenty() {
    let mut store = Store::new(&Config::default());
    for number in 0..100 {
        let from: Vec<_> = (0..1000).map(|_| json!({"ipBlock": {"cidr": "x".repeat(1000)}})).collect();
        let policy = json!({
            "metadata": {"name": format!("{number:03}"), "namespace": "evil", "uid": "u"},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": from}]},
        });
        if number == 0 {
            let Read { entry, .. } = store.reader().read(Resource::NetworkPolicies, object(&policy));
            assert!(entry.size < 1_100_000, "the sentences are short: {}", entry.size);
        }
        let small = json!({
            "metadata": {"name": format!("{number:03}"), "namespace": "evil", "uid": "u"},
            "spec": {"podSelector": {}, "ingress": [{"from": from[..7]}]},
        });
        store.take(Resource::NetworkPolicies, Event::Apply(object(&small)), 0);
    }
    store.settle(0);
    let rejected = store.rejected();
    assert_eq!(rejected.len(), TOLD * 5);
    assert_eq!(rejected.iter().map(|it| it.others).sum::<usize>(), 100 - TOLD);
    assert!(rejected.iter().any(|it| it.problem.contains("(and 2 more problems)")), "{}", rejected[4].problem);
    assert!(rejected.iter().all(|it| it.problem.len() < 400));
}

fn service(namespace: &str, name: &str, outside: usize, ports: usize) -> Object {
    let external: Vec<_> = (0..outside).map(|n| format!("198.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255)).collect();
    let ports: Vec<_> = (1..=ports).map(|port| json!({"name": format!("p{port}"), "port": port})).collect();
    object(&json!({
        "metadata": {"name": name, "namespace": namespace, "uid": name},
        "spec": {
            "type": "ClusterIP", "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"],
            "selector": {"app": "a"}, "externalIPs": external, "ports": ports,
        },
    }))
}

fn slice(namespace: &str, name: &str, service: &str, endpoints: usize) -> Object {
    let endpoints: Vec<_> = (0..endpoints)
        .map(|n| json!({"addresses": [format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255)]}))
        .collect();
    object(&json!({
        "metadata": {
            "name": name, "namespace": namespace, "uid": name, "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4", "endpoints": endpoints, "ports": [{"name": "p1", "port": 80}],
    }))
}

fn services(world: &World, namespace: &str, undecided: bool) -> usize {
    let own = world.services.values().filter(|it| it.namespace == namespace);
    own.filter(|it| it.is_undecided == undecided).count()
}

#[test]
fn services_over_their_share_are_undecided_and_come_back_when_there_is_room() {
    let mut store = Store::new(&Config::default());
    store.take(Resource::Services, Event::Apply(service("x", "web", 1, 1)), 0);
    // A quarter of a mebibyte each.
    for number in 0..20 {
        store.take(Resource::Services, Event::Apply(service("evil", &format!("s{number:02}"), 1000, 3000)), 0);
    }
    store.settle(0);
    let world = store.world();
    assert_eq!(
        (services(&world, "x", false), services(&world, "evil", false) + services(&world, "evil", true)),
        (1, 20)
    );
    let undecided = services(&world, "evil", true);
    assert!((2..10).contains(&undecided), "{undecided}");
    let cut = world.services.values().find(|it| it.is_undecided).unwrap();
    assert_eq!((cut.cluster_ips.len(), cut.external_ips.len(), cut.ports.len()), (1, 1000, 3000), "nodes rewrite them");
    assert!(world.unread_services.is_empty());
    let [rejected] = &store.rejected()[..] else { panic!("{:?}", store.rejected()) };
    assert_eq!((rejected.object.namespace.as_str(), rejected.others), ("evil", undecided - 1));
    assert!(rejected.effect.contains("service_undecided") && rejected.problem.contains("4096 KiB"), "{rejected}");

    for number in 0..10 {
        let gone = service("evil", &format!("s{number:02}"), 0, 0);
        store.take(Resource::Services, Event::Delete(gone), 0);
    }
    store.settle(0);
    while let Some((resource, key)) = store.wanted() {
        store.take(resource, Event::Apply(service(&key.namespace, &key.name, 1000, 3000)), 0);
        store.settle(0);
    }
    assert_eq!((services(&store.world(), "evil", true), store.rejected().len()), (0, 0));
}

#[test]
fn whose_services_are_too_many_even_as_undecided_ones_is_shut() {
    let mut store = Store::new(&Config::default());
    store.take(Resource::Services, Event::Apply(service("x", "web", 1, 1)), 0);
    for number in 0..200 {
        store.take(Resource::Services, Event::Apply(service("evil", &format!("s{number:03}"), 1000, 3000)), 0);
    }
    store.settle(0);
    let world = store.world();
    assert_eq!(world.unread_services.iter().collect::<Vec<_>>(), ["evil"]);
    assert_eq!(services(&world, "x", false), 1);
    assert!(world.services.len() < 50, "{}", world.services.len());
    let [rejected] = &store.rejected()[..] else { panic!("{:?}", store.rejected()) };
    assert!(rejected.effect.contains("open no connection"), "{rejected}");
    assert_eq!(store.wanted(), None, "nothing is read again and again");
    for number in 3..200 {
        store.take(Resource::Services, Event::Delete(service("evil", &format!("s{number:03}"), 0, 0)), 0);
    }
    store.settle(0);
    while let Some((resource, key)) = store.wanted() {
        store.take(resource, Event::Apply(service(&key.namespace, &key.name, 1000, 3000)), 0);
        store.settle(0);
    }
    assert!(store.world().unread_services.is_empty() && store.rejected().is_empty());
    assert_eq!(services(&store.world(), "evil", false), 3);
}

#[test]
fn one_service_or_slice_of_more_than_a_mebibyte_is_never_made_a_tree_of_values() {
    let mut store = Store::new(&Config::default());
    store.take(Resource::Services, Event::Apply(service("evil", "large", 80_000, 10)), 0);
    store.take(Resource::EndpointSlices, Event::Apply(slice("evil", "large-1", "large", 50_000)), 0);
    store.take(Resource::EndpointSlices, Event::Apply(slice("x", "web-1", "web", 2)), 0);
    store.settle(0);
    let world = store.world();
    assert!(world.services.is_empty() && world.unread_services.contains("evil"));
    let slices: Vec<_> = world.endpoint_slices.values().map(|it| (it.service.as_str(), it.is_undecided)).collect();
    assert_eq!(slices, [("large", true), ("web", false)]);
}

#[test]
fn slices_over_their_share_make_their_services_undecided_and_nobody_elses() {
    let mut store = Store::new(&Config::default());
    store.take(Resource::EndpointSlices, Event::Apply(slice("x", "web-1", "web", 2)), 0);
    for number in 0..200 {
        let name = format!("s{number:03}");
        store.take(Resource::EndpointSlices, Event::Apply(slice("evil", &name, &name, 1000)), 0);
    }
    store.settle(0);
    let world = store.world();
    let undecided: Vec<_> = world.endpoint_slices.values().filter(|it| it.is_undecided).collect();
    assert!(undecided.len() > 20 && undecided.iter().all(|it| it.namespace == "evil"), "{}", undecided.len());
    assert!(undecided.iter().all(|it| it.service == it.name && it.endpoints.is_empty()));
    let [rejected] = &store.rejected()[..] else { panic!("{:?}", store.rejected()) };
    assert_eq!((rejected.others, rejected.object.namespace.as_str()), (undecided.len() - 1, "evil"));
}

/// A tenant's first Services are its smallest ones: nobody loses one by what another writes.
#[test]
fn a_service_that_rewrites_nothing_is_nothing_once_it_is_over_its_share() {
    let mut store = Store::new(&Config::default());
    for number in 0..7000 {
        let name = format!("s{number:04}");
        let headless = json!({
            "metadata": {"name": name, "namespace": "evil", "uid": name},
            "spec": {"clusterIP": "None", "clusterIPs": ["None"], "selector": {"app": "a"},
                "ports": [{"name": "p", "port": 80}, {"name": "q", "port": 81}]},
        });
        store.take(Resource::Services, Event::Apply(object(&headless)), 0);
    }
    store.settle(0);
    let world = store.world();
    assert!((3000..7000).contains(&world.services.len()), "{}", world.services.len());
    assert!(world.unread_services.is_empty() && services(&world, "evil", true) == 0);
}

#[test]
fn what_goes_and_comes_back_at_once_has_been_away() {
    let slice = |address: &str| {
        object(&json!({
            "metadata": {"name": "s", "namespace": "x", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4", "ports": [{"port": 80}], "endpoints": [{"addresses": [address]}],
        }))
    };
    let service = |claims: &[&str]| {
        object(&json!({
            "metadata": {"name": "web", "namespace": "x"},
            "spec": {"clusterIP": "10.96.0.1", "externalIPs": claims, "ports": [{"port": 80}]},
        }))
    };
    let mut store = Store::new(&Config::default());
    let own = |store: &mut Store, now| {
        store.take(Resource::EndpointSlices, Event::Apply(slice("10.244.0.5")), now);
        store.take(Resource::Services, Event::Apply(service(&[])), now);
    };
    own(&mut store, 0);
    assert_eq!(store.departed_until(), None);
    store.take(Resource::EndpointSlices, Event::Apply(slice("203.0.113.7")), 100);
    store.take(Resource::Services, Event::Apply(service(&["198.51.100.7"])), 100);
    own(&mut store, 101);
    let gone = store.world().departed;
    let ends = gone.slices.values().flat_map(|it| &it.object.endpoints).map(|it| it.address.to_string());
    assert!(ends.collect::<Vec<_>>().contains(&"203.0.113.7".to_owned()));
    let claims = gone.services.values().flat_map(|it| &it.object.external_ips).map(ToString::to_string);
    assert_eq!(claims.collect::<Vec<_>>(), ["198.51.100.7"]);
    // A list that lacks an object says that it is gone, too.
    for event in [Event::Init, Event::InitDone] {
        store.take(Resource::Services, event, 20_000);
    }
    assert_eq!(store.world().departed.services.len(), 1);
    store.settle(30_000);
    assert_eq!(store.departed_until(), None);
}
