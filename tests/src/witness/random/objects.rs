//! Random tenants, namespaces, nodes, pods, and configurations.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

use super::selector::labels;
use super::{Extent, HOST_POD, NAMESPACES, NODES, PODS, PORTS, PROTOCOLS, TENANTS, object, pod_addresses};

const MODES: [&str; 4] = ["off", "audit", "baseline", "strict"];
const ISOLATION: &str = "bulkhead.dev/isolation";
const PROJECT: &str = "field.cattle.io/projectId";

/// CONTRACT.md §2.
pub fn config() -> impl Strategy<Value = Value> {
    let source = vec![
        json!({"capsule": {}}),
        json!({"namespaceLabel": "role"}),
        json!({"namespaceAnnotation": PROJECT}),
        json!({"podLabel": "role"}),
    ];
    let sources = prop_oneof![
        2 => Just(vec![json!({"capsule": {}})]),
        1 => subsequence(source.clone(), 1..=source.len()).prop_shuffle(),
    ];
    let untenanted = select(&["platform", "isolated"][..]);
    (select(&MODES[..]), untenanted, sources, select(&["drop", "allow"][..])).prop_map(
        |(mode, untenanted, sources, unknown)| {
            json!({
                "tenancy": {"mode": mode, "untenanted": untenanted, "sources": sources},
                "endpoints": {"unknown": unknown},
            })
        },
    )
}

/// Each there or not, with or without a uid.
pub fn tenants() -> impl Strategy<Value = Vec<Value>> {
    let tenant = |name: &'static str| {
        let isolation = option::weighted(0.3, isolation());
        option::weighted(0.8, (prop::bool::weighted(0.8), isolation)).prop_map(move |fields| {
            let (has_uid, isolation) = fields?;
            let metadata = object([
                ("name", Some(name.into())),
                ("uid", has_uid.then(|| uid(name).into())),
                ("annotations", isolation.map(|mode| json!({ISOLATION: mode}))),
            ]);
            Some(json!({"apiVersion": "capsule.clastix.io/v1beta2", "kind": "Tenant", "metadata": metadata}))
        })
    };
    TENANTS.map(tenant).prop_map(|all| all.into_iter().flatten().collect())
}

fn uid(tenant: &str) -> String {
    format!("uid-{tenant}")
}

fn isolation() -> impl Strategy<Value = &'static str> {
    prop_oneof![9 => select(&MODES[..]), 1 => Just("no-such-mode")]
}

pub fn namespaces() -> impl Strategy<Value = Vec<Value>> {
    NAMESPACES.map(namespace).prop_map(|all| all.into_iter().flatten().collect())
}

/// A namespace that no file describes exists all the same.
pub fn namespace(name: &'static str) -> BoxedStrategy<Option<Value>> {
    let annotations = (option::weighted(0.3, isolation()), option::weighted(0.3, select(&["", "p1"][..])));
    (option::weighted(0.9, (labels(), marks(), annotations)))
        .prop_map(move |fields| {
            let (mut labels, (label, references), (isolation, project)) = fields?;
            if let Some(label) = label {
                labels["capsule.clastix.io/tenant"] = label.into();
            }
            let annotations = object([(ISOLATION, isolation.map(Value::from)), (PROJECT, project.map(Value::from))]);
            let metadata =
                json!({"name": name, "labels": labels, "annotations": annotations, "ownerReferences": references});
            Some(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}))
        })
        .boxed()
}

/// Capsule's label and ownerReferences: mostly of one tenant, or none.
fn marks() -> impl Strategy<Value = (Option<&'static str>, Vec<Value>)> {
    let tenant = || select(&TENANTS[..]);
    let reference = |(tenant, is_live): (&str, bool)| {
        let uid = if is_live { uid(tenant) } else { "uid-of-another".to_owned() };
        json!({"apiVersion": "capsule.clastix.io/v1beta2", "kind": "Tenant", "name": tenant, "uid": uid})
    };
    let any_reference = (tenant(), prop::bool::weighted(0.8)).prop_map(reference);
    prop_oneof![
        3 => Just((None, Vec::new())),
        6 => tenant().prop_map(move |tenant| (Some(tenant), vec![reference((tenant, true))])),
        3 => (option::of(tenant()), vec(any_reference, 0..3)),
    ]
}

pub fn nodes(extent: Extent) -> impl Strategy<Value = Vec<Value>> {
    let there = if extent == Extent::Whole { NODES.len() } else { 1 };
    vec(labels(), there..=there).prop_map(|labels| {
        let node = |(labels, (name, v4, v6)): (Value, (&str, &str, &str))| {
            let addresses = [v4, v6].map(|address| json!({"type": "InternalIP", "address": address}));
            json!({
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": name, "labels": labels},
                "spec": {"podCIDRs": ["10.244.0.0/16", "fd00:10:244::/64"]},
                "status": {"addresses": addresses},
            })
        };
        labels.into_iter().zip(NODES).map(node).collect()
    })
}

pub fn pods(extent: Extent) -> impl Strategy<Value = Vec<Value>> {
    let pods: Vec<_> = (0..PODS.len()).map(|place| pod(extent, place)).collect();
    (pods, option::weighted(0.3, labels())).prop_map(|(pods, host)| {
        let host = host.map(|labels| {
            let mut pod = manifest(HOST_POD, &labels, json!({"nodeName": super::super::NODE, "hostNetwork": true}));
            pod["status"] = json!({"phase": "Running"});
            pod
        });
        pods.into_iter().flatten().chain(host).collect()
    })
}

/// A pod of [`PODS`]; now and then not there, or ended.
pub fn pod(extent: Extent, place: usize) -> BoxedStrategy<Option<Value>> {
    let whole = extent == Extent::Whole;
    let node = prop_oneof![4 => Just(NODES[0].0), 1 => Just(NODES[usize::from(whole)].0)];
    let phase = if whole {
        prop_oneof![20 => Just("Running"), 1 => Just("Pending"), 1 => Just("Succeeded"), 1 => Just("Failed")].boxed()
    } else {
        Just("Running").boxed()
    };
    option::weighted(0.9, (labels(), containers(), node, phase))
        .prop_map(move |fields| {
            let (labels, containers, node, phase) = fields?;
            let mut spec = containers;
            spec["nodeName"] = node.into();
            let mut pod = manifest(PODS[place], &labels, spec);
            let addresses = pod_addresses(place).map(|address| json!({"ip": address}));
            pod["status"] = json!({"phase": phase, "podIP": addresses[0]["ip"], "podIPs": addresses});
            Some(pod)
        })
        .boxed()
}

fn manifest(key: &str, labels: &Value, mut spec: Value) -> Value {
    let (namespace, name) = key.split_once('/').expect("a namespace and a name");
    if spec.get("containers").is_none() {
        spec["containers"] = json!([{"name": "main"}]);
    }
    let metadata = json!({"namespace": namespace, "name": name, "labels": labels});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
}

/// Containers, and one that runs before them or beside them.
fn containers() -> impl Strategy<Value = Value> {
    let init = (container("init"), prop::bool::ANY).prop_map(|(mut container, is_sidecar)| {
        if is_sidecar {
            container["restartPolicy"] = "Always".into();
        }
        json!([container])
    });
    (container("main"), option::weighted(0.3, container("side")), option::weighted(0.3, init)).prop_map(
        |(main, side, init)| {
            let all: Vec<Value> = [Some(main), side].into_iter().flatten().collect();
            object([("containers", Some(all.into())), ("initContainers", init)])
        },
    )
}

/// A name is there once in a container, and may be in another one again.
fn container(name: &'static str) -> impl Strategy<Value = Value> {
    let port = |name: &'static str| {
        let fields = (select(&PORTS[..]), option::weighted(0.8, select(&PROTOCOLS[..])));
        option::of(fields).prop_map(move |fields| {
            let (port, protocol) = fields?;
            Some(object([
                ("name", Some(name.into())),
                ("containerPort", Some(port.into())),
                ("protocol", protocol.map(Value::from)),
            ]))
        })
    };
    (port("web"), port("dns")).prop_map(move |ports| {
        let ports: Vec<Value> = [ports.0, ports.1].into_iter().flatten().collect();
        json!({"name": name, "ports": ports})
    })
}
