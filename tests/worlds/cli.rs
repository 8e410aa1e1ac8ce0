//! The command line as scripts use it: what it prints, and its exit codes.
#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expects by failing")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

struct Answer {
    code: i32,
    out: String,
    err: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {} {}", self.out, self.err))
    }
}

fn bulkhead(args: &[&str]) -> Answer {
    let output = Command::new(env!("CARGO_BIN_EXE_tested-bulkhead")).args(args).output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Answer { code: output.status.code().expect("no signal"), out: text(output.stdout), err: text(output.stderr) }
}

fn tutorial(step: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/tutorial").join(step);
    path.to_str().expect("UTF-8").to_owned()
}

fn written(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("object.yaml");
    std::fs::write(&path, text).expect("a file");
    path
}

/// Verdicts by source, destination, protocol and port.
fn verdicts(matrix: &Value) -> BTreeMap<[String; 4], String> {
    let records = matrix["verdicts"].as_array().expect("verdicts");
    records.iter().map(|record| (flow(record), record["verdict"].as_str().expect("a verdict").to_owned())).collect()
}

fn flow(record: &Value) -> [String; 4] {
    ["fromIP", "toIP", "protocol", "port"].map(|field| record[field].to_string())
}

#[test]
fn the_matrix_says_the_same_in_every_form() {
    let world = tutorial("");
    let [table, wide, json, csv] = ["table", "wide", "json", "csv"]
        .map(|form| bulkhead(&["matrix", "-f", &world, "--port", "tcp/80", "-o", form]));
    assert_eq!([&table, &wide, &json, &csv].map(|answer| answer.code), [0; 4]);
    let records = json.json()["verdicts"].as_array().expect("verdicts").len();
    assert_eq!(json.json()["kind"], "Matrix");
    assert_eq!(csv.out.lines().count(), records + 1, "a line each, and a heading");
    assert_eq!(wide.out.lines().count(), records + 3, "and a sum");
    let sum = |answer: &Answer| answer.out.lines().last().expect("a sum").to_owned();
    assert_eq!(sum(&table), sum(&wide));
    assert!(sum(&table).starts_with(&format!("{records} flows: ")), "{}", sum(&table));
    assert!(!table.out.contains('\x1b'), "colours are for terminals");
    assert_eq!(bulkhead(&["matrix", "-f", &world, "-n", "nowhere"]).code, 2);
}

#[test]
fn simulate_is_the_difference_of_two_matrices() {
    let (start, step) = (tutorial("0-start"), tutorial("1-deny-cross-namespace"));
    let ports = ["--port", "tcp/80", "--port", "udp/53"];
    let matrix = |files: &[&str]| {
        let files = files.iter().flat_map(|file| ["-f", file]);
        let args: Vec<&str> = ["matrix", "-o", "json"].into_iter().chain(files).chain(ports).collect();
        verdicts(&bulkhead(&args).json())
    };
    let (before, after) = (matrix(&[&start]), matrix(&[&start, &step]));
    let simulated = bulkhead(&[&["simulate", "-f", &start, "--add", &step, "-o", "json"], &ports[..]].concat());
    assert_eq!(simulated.code, 1, "{}", simulated.err);
    let changes = simulated.json()["changes"].as_array().expect("changes").clone();
    let simulated: BTreeMap<_, _> =
        changes.iter().map(|it| (flow(it), [it["before"].clone(), it["after"].clone()])).collect();
    let differences = before.iter().filter(|(flow, verdict)| after[*flow] != **verdict);
    let expected: BTreeMap<_, _> = differences
        .map(|(flow, verdict)| (flow.clone(), [verdict.clone().into(), after[flow].clone().into()]))
        .collect();
    assert_eq!(simulated, expected);
    assert_eq!(changes.len(), expected.len());

    let both = ["-f", &start, "-f", &step];
    let remove = |objects: &[&str]| bulkhead(&[&["simulate"], &both[..], &["--remove"], objects].concat());
    let all = ["networkpolicy/team-a-front/same-namespace-only", "networkpolicy/team-a-back/same-namespace-only"];
    assert_eq!(remove(&all).code, 1);
    let unknown = remove(&["networkpolicy/team-a-front/nothing"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("NetworkPolicy team-a-front/nothing"), "{}", unknown.err);
    let nothing = bulkhead(&["simulate", "-f", &start, "--add", &start]);
    assert_eq!((nothing.code, nothing.out.as_str()), (0, "No verdict would change.\n"));
    assert_eq!(bulkhead(&["simulate", "-f", &start]).code, 2, "neither --add nor --remove");
}

#[test]
fn what_explain_proposes_can_be_applied_and_opens_one_flow() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = tutorial("");
    let flow = ["team-b-front/client", "team-a-back/api"];
    let ask =
        |more: &[&str]| bulkhead(&[&["explain", "-f", &world, flow[0], flow[1], "--port", "tcp/443"], more].concat());
    let explained = ask(&["-o", "json"]);
    assert_eq!(explained.code, 1, "{}", explained.err);
    let change = explained.json()["change"].clone();
    let objects: Vec<String> =
        change.as_array().expect("changes").iter().map(|change| change["apply"].to_string()).collect();
    assert_eq!(objects.len(), 1, "{change}");
    let file = written(&folder, &objects.join("\n---\n"));
    let simulated = bulkhead(&["simulate", "-f", &world, "--add", file.to_str().expect("UTF-8"), "-o", "json"]);
    let changes = simulated.json()["changes"].clone();
    let changes = changes.as_array().expect("changes");
    assert_eq!(changes.len(), 2, "one flow, over each family: {changes:?}");
    for change in changes {
        assert_eq!([&change["from"], &change["to"], &change["after"]], [flow[0], flow[1], "allow"]);
        assert_eq!(change["port"], 443);
    }
    let text = ask(&[]).out;
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn lint_finds_the_mistakes_of_the_tutorial() {
    let (start, step) = (tutorial("0-start"), tutorial("1-deny-cross-namespace"));
    let lint = |files: &[&str], more: &[&str]| {
        let files = files.iter().flat_map(|file| ["-f", file]);
        bulkhead(&["policy", "lint"].into_iter().chain(files).chain(more.iter().copied()).collect::<Vec<_>>())
    };
    assert_eq!((lint(&[&start], &[]).code, lint(&[&start], &[]).out.as_str()), (0, "no findings\n"));
    let findings = lint(&[&start, &step], &["-o", "json"]);
    assert_eq!(findings.code, 0, "warnings are no errors");
    let rules = |answer: &Answer| -> Vec<String> {
        let findings = answer.json()["findings"].as_array().expect("findings").clone();
        findings
            .iter()
            .map(|it| format!("{} {}", it["object"].as_str().expect("text"), it["rule"].as_str().expect("text")))
            .collect()
    };
    let expected: Vec<String> = ["team-a-back", "team-a-front"]
        .iter()
        .flat_map(|namespace| {
            let rules = ["dns-forgotten", "same-tenant-shut", "owner-can-undo", "same-tenant-shut"];
            rules.map(|rule| format!("networkpolicy/{namespace}/same-namespace-only {rule}"))
        })
        .collect();
    let mut found = rules(&findings);
    let mut expected = expected;
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(rules(&lint(&[&start, &step], &["-n", "team-a-back", "-o", "json"])).len(), 4);
    let text = lint(&[&start, &step], &[]).out;
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn lint_reports_what_is_refused_beside_what_is_odd() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = written(
        &folder,
        "
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: x}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: refused, namespace: x},
  spec: {ingress: [{ports: [{port: 90, endPort: 80}]}]}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: odd, namespace: x},
  spec: {ingress: [{from: [{ipBlock: {cidr: 192.0.2.7/24}}]}]}}
",
    );
    let file = file.to_str().expect("UTF-8");
    let answer = bulkhead(&["policy", "lint", "-f", file, "-o", "json"]);
    assert_eq!(answer.code, 1, "{}", answer.err);
    let findings = answer.json()["findings"].as_array().expect("findings").clone();
    let told: Vec<[&str; 3]> =
        findings.iter().map(|it| ["object", "field", "severity"].map(|key| it[key].as_str().expect("text"))).collect();
    let expected = [
        ["networkpolicy/x/odd", "spec.ingress[0].from[0].ipBlock.cidr", "warning"],
        ["networkpolicy/x/refused", "spec.ingress[0].ports[0].endPort", "error"],
    ];
    assert_eq!(told, expected);
    assert!(findings.iter().all(|it| it["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty())));
    let broken = written(&folder, "a: [");
    assert_eq!(bulkhead(&["policy", "lint", "-f", broken.to_str().expect("UTF-8")]).code, 2);
}

#[test]
fn lint_names_the_probes_and_hooks_that_have_the_kubelet_call_somebody_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = written(
        &folder,
        "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: x}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: c
        livenessProbe: {httpGet: {host: 10.244.7.7, port: 80}}
        readinessProbe: {tcpSocket: {host: db.other, port: 5432}}
        startupProbe: {httpGet: {port: 80}}
        lifecycle: {postStart: {httpGet: {host: 169.254.169.254, port: 80}}, preStop: {exec: {command: [sleep]}}}
      initContainers: [{name: i, restartPolicy: Always, startupProbe: {httpGet: {host: localhost, port: 1}}}]
",
    );
    let answer = bulkhead(&["policy", "lint", "-f", file.to_str().expect("UTF-8"), "-o", "json"]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let findings = answer.json()["findings"].as_array().expect("findings").clone();
    let fields: Vec<_> = findings
        .iter()
        .filter(|it| it["rule"] == "kubelet-as-proxy" && it["object"] == "pod/x/web")
        .map(|it| it["field"].as_str().expect("text").trim_start_matches("spec.template.spec."))
        .collect();
    let expected = [
        "containers[0].lifecycle.postStart.httpGet.host",
        "containers[0].livenessProbe.httpGet.host",
        "containers[0].readinessProbe.tcpSocket.host",
        "initContainers[0].startupProbe.httpGet.host",
    ];
    assert_eq!(fields, expected, "{findings:?}");
}

#[test]
fn templates_are_written_for_namespaces_or_for_capsule() {
    let template = |args: &[&str]| bulkhead(&[&["policy", "template"], args].concat());
    let list = template(&["--list"]);
    assert_eq!(list.code, 0);
    for name in ["default-deny", "isolate-tenant", "allow-dns", "allow-tenant", "egress-network"] {
        assert!(list.out.lines().any(|line| line == name), "{name}");
    }
    let written = |text: &str| -> Vec<Value> {
        let documents = serde_yaml_ng::Deserializer::from_str(text);
        documents.map(|document| serde::Deserialize::deserialize(document).expect("YAML")).collect()
    };
    let each = template(&["isolate-tenant", "--set", "tenant=team-a", "--set", "namespaces=a,b"]);
    let [a, b] = &written(&each.out)[..] else { panic!("{}", each.out) };
    assert_eq!([&a["metadata"]["namespace"], &b["metadata"]["namespace"]], ["a", "b"]);
    let capsule = template(&["isolate-tenant", "--set", "tenant=team-a"]);
    let [resource] = &written(&capsule.out)[..] else { panic!("{}", capsule.out) };
    assert_eq!([&resource["kind"], &resource["apiVersion"]], ["GlobalTenantResource", "capsule.clastix.io/v1beta2"]);
    assert_eq!(resource["spec"]["tenantSelector"]["matchLabels"]["kubernetes.io/metadata.name"], "team-a");
    let item = &resource["spec"]["resources"][0]["rawItems"][0];
    assert_eq!([&item["spec"], &item["kind"]], [&a["spec"], &a["kind"]]);
    assert_eq!(item["metadata"], serde_json::json!({"name": "isolate-tenant"}));

    for (args, part) in [
        (&["allow-dns"][..], "--set namespaces"),
        (&["isolate-tenant", "--set", "namespaces=a"], "tenant is required"),
        (&["allow-dns", "--set", "namespace=a"], "namespaces"),
        (&["allow-dns", "--set", "namespaces=A"], "lower-case"),
        (&["egress-network", "--set", "namespaces=a", "--set", "cidr=192.0.2.1/24"], "192.0.2.0/24"),
        (&["allow-tenant", "--set", "namespaces=a", "--set", "from=b", "--set", "ports=http"], "is no port"),
    ] {
        let refused = template(args);
        assert_eq!((refused.code, refused.out.as_str()), (2, ""), "{args:?}");
        assert!(refused.err.contains(part), "{args:?}: {}", refused.err);
    }
}
