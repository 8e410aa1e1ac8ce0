//! Judgement at the pod's veth, by what is known of Services: of kernels without BPF at netfilter, and switched off.

use agent::lab::Cni;
use common::abi::{Direction, DropReason};

use crate::scene::{Answer, BACKEND, Scene, Stage, egress_to, serve};

/// Egress of a/client to the externalIPs.
const OUTSIDE: &str = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: outside, namespace: a}, \
    spec: {podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 203.0.113.0/24}}], ports: [{port: 80}]}]}}";

#[test]
fn a_service_is_judged_as_what_is_behind_it() {
    let mut scene = Scene::up("services", Cni::Ptp, Stage::AtVeth);
    let mixed = (scene.cluster_ip("a2", "mixed"), 80);
    let isolated = Answer::Dropped(Direction::Ingress, DropReason::TenantIsolation);
    let denied = Answer::Dropped(Direction::Egress, DropReason::DefaultDeny);
    let undecided = Answer::Dropped(Direction::Egress, DropReason::ServiceUndecided);
    let red = || Answer::From("a2".to_owned());

    // Also where the node rewrites the sender, at a NodePort and an externalIP.
    scene.check(&scene.red(), &red());
    scene.check(&scene.green(), &isolated);
    scene.check(&[mixed], &undecided);
    assert!(scene.service("a2", "none").cluster_ips.is_empty(), "nothing leads to a headless Service");
    scene.check(&[([10, 244, 0, 50].into(), BACKEND)], &red());
    let unknown = ([10, 96, 255, 254].into(), 80);
    scene.check(&[unknown], &undecided);
    scene.check(&[(scene.cluster_ip("a2", "web"), 81)], &undecided);

    // A policy means the backend's port, not the Service's. An address that whoever may write a Service chooses must be
    // allowed by itself, too: nobody promises that a node rewrites it.
    let outside = ([203, 0, 113, 5].into(), 80);
    let inside = |scene: &Scene| scene.red().into_iter().filter(|door| *door != outside).collect::<Vec<_>>();
    scene.apply(&egress_to(BACKEND));
    scene.check(&inside(&scene), &red());
    scene.check(&[outside], &denied);
    scene.apply(&format!("{}\n---\n{OUTSIDE}", egress_to(BACKEND)));
    scene.check(&scene.red(), &red());
    scene.check(&scene.green(), &denied);
    scene.check(&[mixed], &undecided);
    scene.apply(&egress_to(80));
    scene.check(&scene.red(), &denied);
    scene.check(&[mixed], &denied);

    // A change of what is behind a Service counts for the next packet.
    scene.apply(&egress_to(BACKEND));
    let moved = "
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, ports: [{port: 8080}],
 metadata: {name: mixed, namespace: a2, labels: {kubernetes.io/service-name: mixed}}, endpoints: [{addresses: [10.244.0.50]}]}";
    scene.apply(moved);
    scene.check(&[mixed], &red());
}

#[test]
fn a_pod_reaches_itself_by_way_of_its_service() {
    for stage in [Stage::AtVeth, Stage::AfterDnat] {
        let mut scene = Scene::up("hairpin", Cni::Ptp, stage);
        let client = scene.inside("a", "client");
        serve(&client, "itself");
        let slice = format!(
            "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, ports: [{{port: 8080}}], metadata: {{name: itself, \
         namespace: a, labels: {{kubernetes.io/service-name: itself}}}}, endpoints: [{{addresses: [{}]}}]}}",
            client.addresses[0]
        );
        let deny = "
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: deny, namespace: a},
 spec: {podSelector: {}, policyTypes: [Ingress, Egress]}}";
        scene.apply(&format!("{slice}{deny}"));
        assert_eq!(scene.call((scene.cluster_ip("a", "itself"), 80)), Answer::From("itself".to_owned()));
    }
}
