//! A change that a map has no room for is refused whole: packets go as before, and a smaller change still works.

#![expect(clippy::expect_used, reason = "a test says what it expects by failing")]

use agent::lab::{Cni, Lab, UpOptions};
use policy::ask::{FlowPort, Said};
use tests::lab::{Tried, manifests};

const WORLD: &str = r#"
{apiVersion: v1, kind: Namespace, metadata: {name: blue}}
---
{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: blue, labels: {app: a}}, spec: {containers: []}}
---
{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: blue, labels: {app: b}}, spec: {containers: []}}
---
{apiVersion: v1, kind: Pod, metadata: {name: c, namespace: blue, labels: {app: c}}, spec: {containers: []}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: from-b, namespace: blue}
spec:
  podSelector: {matchLabels: {app: a}}
  ingress: [{from: [{podSelector: {matchLabels: {app: b}}}]}]
"#;

/// A new pod, and policies with more rules than there is room for; the first would open pod a to everybody.
const TOO_MUCH: &str = r#"
{apiVersion: v1, kind: Pod, metadata: {name: d, namespace: blue, labels: {app: d}}, spec: {containers: []}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: open, namespace: blue}
spec: {podSelector: {matchLabels: {app: a}}, ingress: [{}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: many, namespace: blue}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
  ingress: [{from: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [a, b, c, d]}]}}]}]
  egress: [{to: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [a, b, c, d]}]}}]}]
"#;

/// Fits: from c instead of b.
const SMALLER: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: from-b, namespace: blue}
spec: {podSelector: {matchLabels: {app: a}}, ingress: [{from: [{podSelector: {matchLabels: {app: c}}}]}]}
"#;

#[test]
fn a_change_that_does_not_fit_is_refused_whole() {
    let tried = Tried::new("full");
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("config.yaml");
    std::fs::write(&config, "maps: {rules: 4}").expect("a file");
    let options = UpOptions { config: Some(config), ..Tried::options(Cni::Ptp) };
    let mut lab = tried.up(manifests(WORLD), &options);
    let before = observed(&lab);
    assert!(before.contains(&flow("b", "a", Said::Allow)) && before.contains(&flow("c", "a", Said::Drop)));

    let remains = tried.remains();
    let error = format!("{:#}", lab.apply(manifests(TOO_MUCH)).expect_err("4 rules do not suffice"));
    for part in ["not enforced", "rules", "has 4", "maps.rules"] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
    assert_eq!(observed(&lab), before, "the old state is enforced");
    assert_eq!(tried.remains(), remains, "nothing is left of the new pod");
    drop(lab);

    let mut lab = Lab::open(&tried.0).expect("still up");
    assert_eq!(observed(&lab), before, "another command sees the old state, too");
    lab.apply(manifests(SMALLER)).expect("this fits");
    let after = observed(&lab);
    assert!(after.contains(&flow("b", "a", Said::Drop)) && after.contains(&flow("c", "a", Said::Allow)));
}

/// Source, destination and what became of a packet, for every pair.
fn observed(lab: &Lab) -> Vec<(String, String, Said)> {
    let port: FlowPort = "tcp/80".parse().expect("a port");
    let report = lab.check(&[port], || Ok(())).expect("packets can be sent");
    assert_eq!(report.differences(), 0);
    let records = report.verdicts.iter().filter(|checked| checked.record.from_ip.is_ipv4());
    records.map(|checked| (checked.record.from.to_string(), checked.record.to.to_string(), checked.observed)).collect()
}

fn flow(from: &str, to: &str, said: Said) -> (String, String, Said) {
    (format!("blue/{from}"), format!("blue/{to}"), said)
}
