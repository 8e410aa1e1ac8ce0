//! Text that somebody writes who wants more than to be read, and every place that takes it.

use serde_json::{Value, json};

/// Begins a line that the program did not write.
pub const FORGED: &str = "FORGED";

/// Texts by what they try. Each that breaks lines says [`FORGED`] behind the break.
#[must_use]
pub fn texts() -> Vec<(&'static str, String)> {
    vec![
        (
            "colours, moves and titles",
            "a\x1b[31m\x1b[2J\x1b[H\x1b]0;t\x07\u{9b}31m\u{90}q\u{9c}\x7f\x08\x0e".to_owned(),
        ),
        ("links", "\x1b]8;;http://x\x1b\\a\x1b]8;;\x1b\\".to_owned()),
        ("lines", "a\nFORGED\n\nFORGED\n".to_owned()),
        ("other lines", "a\r\nFORGED\rFORGED\u{85}FORGED\u{2028}FORGED\u{2029}FORGED\x0bFORGED\x0cFORGED".to_owned()),
        ("order", "a\u{202e}b\u{2066}c\u{2069}\u{200f}\u{61c}".to_owned()),
        ("nothing to see", "a\u{200b}\u{200d}\u{feff}\u{ad}\u{2060}\u{e0041}\u{180e}".to_owned()),
        ("a mark of colour", "\u{fdd0}\u{fde0}\u{fde1}31m\u{fdd0}".to_owned()),
        ("NUL", "a\0b".to_owned()),
        ("formats and quotes", "%s%n%x {} {0} \"'`\\ <b>&amp;</b> $(x) ,;=:/#|\t".to_owned()),
        ("a name of a megabyte", "a".repeat(1 << 20)),
        ("a megabyte of escapes", "\x1b[2J\n".repeat(1 << 17)),
        ("a megabyte of letters", "ö".repeat(1 << 19)),
    ]
}

/// Puts a text where a tenant may write one.
pub type Place = (&'static str, fn(&mut Vec<Value>, &str));

/// Objects of two namespaces, in the order that [`PLACES`] count on.
#[must_use]
pub fn objects() -> Vec<Value> {
    let pod = |name: &str, namespace: &str, address: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "uid": name, "labels": {"app": name}, "annotations": {}},
            "spec": {
                "nodeName": "n1",
                "containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 80, "protocol": "TCP"}]}],
            },
            "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]},
        })
    };
    let namespace = |name: &str, team: &str| {
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "uid": name, "labels": {"team": team}, "annotations": {"team": team}},
        })
    };
    vec![
        namespace("x", "red"),
        namespace("y", "blue"),
        pod("a", "x", "10.244.0.11"),
        pod("b", "y", "10.244.0.12"),
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "p", "namespace": "y", "uid": "p", "labels": {}, "annotations": {}},
            "spec": {
                "podSelector": {"matchLabels": {"app": "b"}}, "policyTypes": ["Ingress"],
                "ingress": [{
                    "from": [{"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.7/32"]}}, {
                        "namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "In", "values": ["green"]}]},
                    }],
                    "ports": [{"port": "http", "protocol": "TCP"}],
                }],
            },
        }),
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "s", "namespace": "y", "uid": "s", "labels": {}, "annotations": {}},
            "spec": {
                "selector": {"app": "b"}, "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"],
                "externalIPs": ["192.0.2.9"], "type": "ClusterIP",
                "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
            },
            "status": {"loadBalancer": {}},
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": "s-1", "namespace": "y", "uid": "s-1",
                "labels": {"kubernetes.io/service-name": "s"}, "annotations": {},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.244.0.12"], "conditions": {"ready": true}, "nodeName": "n1"}],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        }),
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "uid": "n1"},
            "spec": {"podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24"]},
            "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]},
        }),
    ]
}

/// Every place of [`objects`] that a tenant writes.
pub const PLACES: [Place; 39] = [
    ("a tenant by annotation", |it, text| it[1]["metadata"]["annotations"]["team"] = text.into()),
    ("a mode of isolation", |it, text| it[1]["metadata"]["annotations"]["bulkhead.dev/isolation"] = text.into()),
    ("a namespace", |it, text| it[1]["metadata"]["name"] = text.into()),
    ("a namespace's label", |it, text| it[1]["metadata"]["labels"]["team"] = text.into()),
    ("a namespace's label's key", |it, text| it[1]["metadata"]["labels"][text] = "1".into()),
    ("a namespace's annotation's key", |it, text| it[1]["metadata"]["annotations"][text] = "1".into()),
    ("an owner", |it, text| {
        it[1]["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "capsule.clastix.io/v1beta2", "kind": "Tenant", "name": text, "uid": text}]);
    }),
    ("a pod", |it, text| it[3]["metadata"]["name"] = text.into()),
    ("a pod's namespace", |it, text| it[3]["metadata"]["namespace"] = text.into()),
    ("a pod's label", |it, text| it[3]["metadata"]["labels"]["app"] = text.into()),
    ("a pod's label's key", |it, text| it[3]["metadata"]["labels"][text] = "1".into()),
    ("a pod's annotation", |it, text| it[3]["metadata"]["annotations"]["bulkhead.dev/x"] = text.into()),
    ("a pod's node", |it, text| it[3]["spec"]["nodeName"] = text.into()),
    ("a port's name", |it, text| it[3]["spec"]["containers"][0]["ports"][0]["name"] = text.into()),
    ("a port's protocol", |it, text| it[3]["spec"]["containers"][0]["ports"][0]["protocol"] = text.into()),
    ("a port's hostIP", |it, text| it[3]["spec"]["containers"][0]["ports"][0]["hostIP"] = text.into()),
    ("a probe's host", |it, text| {
        it[3]["spec"]["containers"][0]["livenessProbe"] = json!({"httpGet": {"host": text, "port": 80}});
    }),
    ("a pod's address", |it, text| it[3]["status"]["podIPs"][0]["ip"] = text.into()),
    ("a policy", |it, text| it[4]["metadata"]["name"] = text.into()),
    ("a policy's annotation", |it, text| it[4]["metadata"]["annotations"]["x"] = text.into()),
    ("a policy's podSelector", |it, text| it[4]["spec"]["podSelector"]["matchLabels"]["app"] = text.into()),
    ("a policy's podSelector's key", |it, text| it[4]["spec"]["podSelector"]["matchLabels"][text] = "1".into()),
    ("a policy's type", |it, text| it[4]["spec"]["policyTypes"][0] = text.into()),
    ("a policy's cidr", |it, text| it[4]["spec"]["ingress"][0]["from"][0]["ipBlock"]["cidr"] = text.into()),
    ("a policy's except", |it, text| it[4]["spec"]["ingress"][0]["from"][0]["ipBlock"]["except"][0] = text.into()),
    ("an operator", |it, text| {
        it[4]["spec"]["ingress"][0]["from"][1]["namespaceSelector"]["matchExpressions"][0]["operator"] = text.into();
    }),
    ("a selector's value", |it, text| {
        it[4]["spec"]["ingress"][0]["from"][1]["namespaceSelector"]["matchExpressions"][0]["values"][0] = text.into();
    }),
    ("a policy's port", |it, text| it[4]["spec"]["ingress"][0]["ports"][0]["port"] = text.into()),
    ("a field that nobody knows", |it, text| it[4]["spec"][text] = "1".into()),
    ("a type that is not asked for", |it, text| it[4]["spec"]["ingress"] = text.into()),
    ("a Service", |it, text| it[5]["metadata"]["name"] = text.into()),
    ("a Service's selector", |it, text| it[5]["spec"]["selector"]["app"] = text.into()),
    ("a Service's address", |it, text| it[5]["spec"]["externalIPs"][0] = text.into()),
    ("a Service's type", |it, text| it[5]["spec"]["type"] = text.into()),
    ("a Service's port's name", |it, text| it[5]["spec"]["ports"][0]["name"] = text.into()),
    ("a Service's target", |it, text| it[5]["spec"]["ports"][0]["targetPort"] = text.into()),
    ("a slice's Service", |it, text| it[6]["metadata"]["labels"]["kubernetes.io/service-name"] = text.into()),
    ("a slice's address", |it, text| it[6]["endpoints"][0]["addresses"][0] = text.into()),
    ("a slice's type", |it, text| it[6]["addressType"] = text.into()),
];
