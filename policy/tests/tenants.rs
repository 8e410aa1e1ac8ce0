//! Whose a namespace is, and how it is held apart (CONTRACT.md §2). What that means for packets is in
//! `tests/semantics/cases/tenancy/`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where its world does not hold")]

mod world;

use common::abi::{Direction, DropReason};
use common::decide::Verdict;
use policy::model::tenants::{Finding, ISOLATION_ANNOTATION, QuarantineReason, Tenancy, Tenant};
use policy::model::{Isolation, Labels, Namespace, OwnerReference, PodKey, TenantSource, Untenanted};
use world::{Scene, to_tcp};

/// One namespace `x` with a pod `x/a`, owned by the Tenant `red`.
fn scene() -> Scene {
    let mut scene = Scene::default();
    scene.owned("x", "red");
    scene.pod("x/a", "", &["10.244.0.1"]);
    scene
}

fn namespace(scene: &mut Scene) -> &mut Namespace {
    scene.world.namespaces.get_mut("x").unwrap()
}

/// The tenant and the mode of the pod.
fn membership(scene: &Scene, namespace: &str, name: &str) -> (Option<Tenant>, Isolation) {
    let tenancy = Tenancy::of(&scene.world, &scene.config);
    let key = PodKey { namespace: namespace.to_owned(), name: name.to_owned() };
    let membership = tenancy.membership(&scene.world.pods[&key]).unwrap();
    (membership.tenant.map(|tenant| tenancy.tenants()[tenant].clone()), membership.mode)
}

fn of_x(scene: &Scene) -> (Option<Tenant>, Isolation) {
    membership(scene, "x", "a")
}

fn red() -> Option<Tenant> {
    Some(Tenant::Capsule("red".to_owned()))
}

#[test]
fn label_and_reference_to_a_live_tenant_make_a_member() {
    assert_eq!(of_x(&scene()), (red(), Isolation::Baseline));
}

#[test]
fn a_tenant_without_uid_owns_by_label_alone() {
    let mut scene = scene();
    scene.world.tenants.get_mut("red").unwrap().uid = None;
    namespace(&mut scene).tenant_references.clear();
    assert_eq!(of_x(&scene), (red(), Isolation::Baseline));
}

#[test]
fn every_disagreement_is_quarantine_and_never_another_source() {
    let reference = |name: &str, uid: &str| OwnerReference { name: name.to_owned(), uid: uid.to_owned() };
    let red = || "red".to_owned();
    type Change = Box<dyn Fn(&mut Scene)>;
    let cases: Vec<(Change, QuarantineReason)> = vec![
        (
            Box::new(|it| namespace(it).tenant_references.clear()),
            QuarantineReason::LabelWithoutReference { tenant: red() },
        ),
        (
            Box::new(|it| drop(namespace(it).labels.remove("capsule.clastix.io/tenant"))),
            QuarantineReason::ReferenceWithoutLabel { tenant: red() },
        ),
        (
            Box::new(move |it| namespace(it).tenant_references.push(reference("red", "uid-red"))),
            QuarantineReason::SeveralReferences { count: 2 },
        ),
        (
            Box::new(move |it| namespace(it).tenant_references = vec![reference("red", "uid-blue")]),
            QuarantineReason::WrongUid { tenant: red() },
        ),
        (
            Box::new(move |it| namespace(it).tenant_references = vec![reference("blue", "uid-blue")]),
            QuarantineReason::OtherName { label: red(), reference: "blue".to_owned() },
        ),
        (
            Box::new(|it| it.world.tenants.get_mut("red").unwrap().uid = None),
            QuarantineReason::TenantWithoutUid { tenant: red() },
        ),
        (Box::new(|it| it.world.tenants.clear()), QuarantineReason::NoSuchTenant { tenant: red() }),
    ];
    for (change, reason) in cases {
        let mut scene = scene();
        scene.config.sources.push(TenantSource::NamespaceLabel("kubernetes.io/metadata.name".to_owned()));
        namespace(&mut scene).annotations.insert(ISOLATION_ANNOTATION.into(), "off".into());
        change(&mut scene);
        assert_eq!(of_x(&scene), (Some(Tenant::Quarantine("x".to_owned())), Isolation::Strict), "{reason}");
        let findings = Tenancy::of(&scene.world, &scene.config).findings().to_vec();
        assert_eq!(findings, [Finding::Quarantine { namespace: "x".to_owned(), reason }]);
    }
}

#[test]
fn quarantine_is_no_stricter_than_a_cluster_that_is_not_enforced() {
    let mut scene = scene();
    namespace(&mut scene).tenant_references.clear();
    for (configured, expected) in [
        (Isolation::Off, Isolation::Off),
        (Isolation::Audit, Isolation::Audit),
        (Isolation::Baseline, Isolation::Strict),
        (Isolation::Strict, Isolation::Strict),
    ] {
        scene.config.mode = configured;
        assert_eq!(of_x(&scene).1, expected);
    }
}

#[test]
fn a_tenants_annotation_overrides_and_a_namespaces_only_tightens() {
    let annotate = |mode: &str| Labels::from_iter([(ISOLATION_ANNOTATION.into(), mode.into())]);
    let mut scene = scene();
    for (tenant, namespaces, expected) in [
        ("off", "", Isolation::Off),
        ("strict", "off", Isolation::Strict),
        ("off", "audit", Isolation::Audit),
        ("audit", "strict", Isolation::Strict),
        ("off", "no such mode", Isolation::Strict),
        ("no such mode", "off", Isolation::Strict),
    ] {
        scene.world.tenants.get_mut("red").unwrap().annotations = annotate(tenant);
        namespace(&mut scene).annotations =
            if namespaces.is_empty() { Default::default() } else { annotate(namespaces) };
        assert_eq!(of_x(&scene).1, expected, "{tenant} {namespaces}");
        let unknown = [tenant, namespaces].contains(&"no such mode");
        assert_eq!(Tenancy::of(&scene.world, &scene.config).findings().len(), usize::from(unknown));
    }
}

#[test]
fn the_first_source_wins_and_an_empty_value_names_a_tenant() {
    let mut scene = scene();
    let label = |value: &str| Tenant::NamespaceLabel { key: "team".to_owned(), value: value.to_owned() };
    scene.config.sources.push(TenantSource::NamespaceLabel("team".to_owned()));
    namespace(&mut scene).labels.insert("team".into(), "".into());
    assert_eq!(of_x(&scene).0, red());
    scene.config.sources.reverse();
    assert_eq!(of_x(&scene).0, Some(label("")));
}

#[test]
fn without_a_tenant_a_namespace_is_the_platform_or_a_tenant_of_its_own() {
    let mut scene = Scene::default();
    scene.pod("x/a", "", &["10.244.0.1"]);
    assert_eq!(of_x(&scene), (None, Isolation::Off));
    scene.config.untenanted = Untenanted::Isolated;
    assert_eq!(of_x(&scene), (Some(Tenant::Namespace("x".to_owned())), Isolation::Baseline));
}

#[test]
fn pod_labels_name_tenants_within_their_namespace() {
    let mut scene = Scene::default();
    scene.config.sources = vec![TenantSource::PodLabel("vc".to_owned())];
    scene.pod("x/a", "vc=one", &["10.244.0.1"]);
    scene.pod("y/a", "vc=one", &["10.244.0.2"]);
    scene.pod("y/b", "", &["10.244.0.3"]);
    let tenancy = Tenancy::of(&scene.world, &scene.config);
    assert_eq!(tenancy.names(), ["x/one", "y/one"]);
    assert_eq!(membership(&scene, "y", "b").0, None);
}

#[test]
fn equal_names_from_different_sources_are_told_apart() {
    let mut scene = scene();
    scene.config.sources.push(TenantSource::NamespaceLabel("team".to_owned()));
    scene.namespace("y", "team=red");
    scene.namespace("z", "team=blue");
    let tenancy = Tenancy::of(&scene.world, &scene.config);
    assert_eq!(tenancy.names(), ["red", "blue", "team=red"]);
}

#[test]
fn a_pod_whose_namespace_is_not_known_is_an_unknown_pod() {
    let mut scene = scene();
    scene.owned("y", "green");
    scene.pod("y/b", "", &["10.244.0.2"]);
    scene.world.namespaces.remove("y");
    let judgement = scene.judge(&scene.compile(), "x/a", Direction::Ingress, "10.244.0.2", to_tcp(80));
    assert_eq!(judgement.verdict, Verdict::Drop(DropReason::UnknownEndpoint));
}
