//! A cluster's worth of objects that nobody runs, as [`crate::etcd::store`] takes them: what is not watched is there, too.

use std::ops::Range;

use policy::plan::Capacities;
use serde_json::{Value, json};

/// The maps as the programs have them.
pub const ROOM: Capacities = Capacities {
    peers: 131_072,
    ranges: 131_072,
    services: 32_768,
    rules: 1_048_576,
    ports: 262_144,
    profiles: 8192,
    endpoints: 1024,
    interfaces: 1024,
    ids: 1_048_576,
};

pub const NAMESPACES: usize = 100;
/// Values of the label `app`.
const APPS: usize = 50;

/// `ns-0` and on.
#[must_use]
pub fn namespaces() -> Vec<(String, Value)> {
    let namespace = |number| {
        let name = format!("ns-{number}");
        let labels =
            json!({"kubernetes.io/metadata.name": name, "stage": if number % 2 == 0 { "test" } else { "live" }});
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
        (format!("namespaces/{name}"), object)
    };
    (0..NAMESPACES).map(namespace).collect()
}

/// Pods as a kubelet and a Deployment leave them, on no node: a controller would take away what is on a node that is not
/// there, and a scheduler leaves what has a gate alone.
#[must_use]
pub fn pods(many: usize) -> Vec<(String, Value)> {
    let pod = |number| {
        let (namespace, app) = (format!("ns-{}", number % NAMESPACES), format!("app-{}", number % APPS));
        let name = format!("{app}-5d4f8c7b9d-{number:05}");
        let ip = format!("10.245.{}.{}", number / 250, number % 250 + 2);
        let managed = json!({"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:spec": {"f:containers": {
            "k:{\"name\":\"app\"}": {".": {}, "f:image": {}, "f:ports": {".": {}, "f:name": {}}, "f:resources": {}}}}});
        let conditions = ["Ready", "Initialized", "ContainersReady", "PodScheduled"]
            .map(|kind| json!({"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}));
        let object = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "namespace": namespace, "name": name, "uid": format!("00000000-0000-4000-8000-{number:012}"),
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"app": app, "pod-template-hash": "5d4f8c7b9d", "tier": "backend"},
                "annotations": {"kubernetes.io/config.seen": "2026-01-01T00:00:00Z", "note": "x".repeat(200)},
                "managedFields": (0..3).map(|_| json!({"manager": "kubelet", "operation": "Update", "apiVersion": "v1",
                    "fieldsType": "FieldsV1", "fieldsV1": managed})).collect::<Vec<_>>(),
            },
            "spec": {
                "schedulingGates": [{"name": "bulkhead.dev/crowd"}], "restartPolicy": "Always", "dnsPolicy": "ClusterFirst",
                "containers": [{
                    "name": "app", "image": "registry.example.com/app:1.2.3", "imagePullPolicy": "IfNotPresent",
                    "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                    "env": (0..10).map(|n| json!({"name": format!("VARIABLE_{n}"), "value": "y".repeat(40)})).collect::<Vec<_>>(),
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                }],
                "volumes": [{"name": "scratch", "emptyDir": {}}],
            },
            "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "hostIP": "10.0.0.1",
                "conditions": conditions},
        });
        (format!("pods/{namespace}/{name}"), object)
    };
    (0..many).map(pod).collect()
}

/// Policies by their numbers: each admits the pods of the next app of its namespace.
#[must_use]
pub fn policies(numbers: Range<usize>) -> Vec<(String, Value)> {
    let policy = |number| {
        let (namespace, name) = (format!("ns-{}", number % NAMESPACES), format!("policy-{number}"));
        let object = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"namespace": namespace, "name": name, "uid": format!("00000000-0000-4000-9000-{number:012}"),
                "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {
                "podSelector": {"matchLabels": {"app": format!("app-{}", number % APPS)}}, "policyTypes": ["Ingress"],
                "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": format!("app-{}", (number + 1) % APPS)}}}],
                    "ports": [{"port": 8080, "protocol": "TCP"}]}],
            },
        });
        (format!("networkpolicies/{namespace}/{name}"), object)
    };
    numbers.map(policy).collect()
}
