//! Questions about a live cluster: the same answers as about its manifests.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::process::{Command, Output};

use serde_json::{Value, json};
use tests::api_server::{ApiServer, RULES};

fn pod(namespace: &str, name: &str, address: &str) -> (String, Value) {
    let object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "uid": name, "labels": {"app": name}},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "ports": [{"containerPort": 80}]}]},
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]},
    });
    (format!("pods/{namespace}/{name}"), object)
}

const OBJECTS: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: x}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: 'y'}}
---
{apiVersion: v1, kind: Node, metadata: {name: 'n'}, spec: {podCIDRs: [10.244.0.0/24]}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: own, namespace: x}
spec: {podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}
";

const OPEN: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: open, namespace: x}
spec: {podSelector: {}, ingress: [{}]}
";

fn bulkhead(server: &ApiServer, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tested-bulkhead"));
    command.args(arguments.split_whitespace()).env("KUBECONFIG", server.agent_config());
    server.run(|| command.output()).expect("bulkhead")
}

/// What it prints, where it ends as expected.
fn answer(server: &ApiServer, arguments: &str, code: i32) -> String {
    let output = bulkhead(server, arguments);
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments}: {said}{wrong}");
    said.into_owned()
}

#[test]
fn a_cluster_is_asked_where_no_files_are_named() {
    let mut server = ApiServer::start("w-ask");
    server.grant(RULES);
    server.apply(OBJECTS);
    server.store(&[pod("x", "a", "10.244.0.2"), pod("x", "b", "10.244.0.3"), pod("y", "c", "10.244.0.4")]);

    let matrix: Value = serde_json::from_str(&answer(&server, "matrix --port tcp/80 -o json", 0)).expect("JSON");
    let verdicts = matrix["verdicts"].as_array().expect("verdicts");
    let verdict = |from: &str, to: &str| {
        let record = verdicts.iter().find(|it| it["from"] == from && it["to"] == to);
        record.unwrap_or_else(|| panic!("{from} to {to}: {matrix}"))["verdict"].clone()
    };
    assert_eq!((verdict("x/b", "x/a"), verdict("y/c", "x/a")), (json!("allow"), json!("drop")));

    answer(&server, "explain x/b x/a --port tcp/80", 0);
    assert!(answer(&server, "explain y/c x/a --port tcp/80", 1).contains("networkpolicy/x/own"));

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("open.yaml");
    std::fs::write(&file, OPEN).expect("a file");
    let change = format!("simulate --add {} --port tcp/80 -o json", file.display());
    let changes: Value = serde_json::from_str(&answer(&server, &change, 1)).expect("JSON");
    assert_eq!(changes["changes"].as_array().map(Vec::len), Some(2), "{changes}");
    answer(&server, "simulate --remove networkpolicy/x/own --port tcp/80", 1);
    answer(&server, "simulate --remove networkpolicy/x/other", 2);
    answer(&server, "policy lint", 0);

    server.stop();
    let output = bulkhead(&server, "matrix");
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{wrong}");
    assert!(wrong.contains("see that the API server can be reached"), "{wrong}");
}
