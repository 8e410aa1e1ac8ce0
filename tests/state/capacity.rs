//! What maps have no room for: policies fail closed, and cost nobody else a packet; any other change is refused whole.

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

/// More pods than there is room for, and a policy that would open pod a to everybody.
const TOO_MUCH: &str = r#"
{apiVersion: v1, kind: Pod, metadata: {name: d, namespace: blue, labels: {app: d}}, spec: {containers: []}}
---
{apiVersion: v1, kind: Pod, metadata: {name: e, namespace: blue, labels: {app: d}}, spec: {containers: []}}
---
{apiVersion: v1, kind: Pod, metadata: {name: f, namespace: blue, labels: {app: d}}, spec: {containers: []}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: open, namespace: blue}
spec: {podSelector: {matchLabels: {app: a}}, ingress: [{}]}
"#;

/// Fits: from c instead of b.
const SMALLER: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: from-b, namespace: blue}
spec: {podSelector: {matchLabels: {app: a}}, ingress: [{from: [{podSelector: {matchLabels: {app: c}}}]}]}
"#;

fn options(folder: &tempfile::TempDir, maps: &str) -> UpOptions {
    let config = folder.path().join("config.yaml");
    std::fs::write(&config, format!("maps: {{{maps}}}")).expect("a file");
    UpOptions { config: Some(config), ..Tried::options(Cni::Ptp) }
}

#[test]
fn a_change_that_does_not_fit_is_refused_whole() {
    let tried = Tried::new("full");
    let folder = tempfile::tempdir().expect("a folder");
    let mut lab = tried.up(manifests(WORLD), &options(&folder, "endpoints: 4"));
    let before = observed(&lab);
    assert!(before.contains(&flow("b", "a", Said::Allow)) && before.contains(&flow("c", "a", Said::Drop)));

    let remains = tried.remains();
    let error = format!("{:#}", lab.apply(manifests(TOO_MUCH)).expect_err("4 endpoints do not suffice"));
    for part in ["not enforced", "endpoints", "has 4", "maps.endpoints"] {
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

/// A tenant beside the one of [`WORLD`].
const HOSTILE: &str = r#"
{apiVersion: capsule.clastix.io/v1beta2, kind: Tenant, metadata: {name: black}}
---
{apiVersion: capsule.clastix.io/v1beta2, kind: Tenant, metadata: {name: red}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: evil, labels: {capsule.clastix.io/tenant: black}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: y, namespace: evil, labels: {app: y}}, spec: {containers: []}}
---
{apiVersion: v1, kind: Pod, metadata: {name: z, namespace: evil, labels: {app: z}}, spec: {containers: []}}
"#;

/// A row for each pod of the lab, more than a third of the map.
const OVERFILL: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: many, namespace: evil}
spec:
  podSelector: {}
  ingress: [{from: [{namespaceSelector: {}, podSelector: {matchExpressions: [{key: app, operator: Exists}]}}]}]
"#;

const DENY: &str = r#"
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: no-b}
spec:
  tier: Admin
  priority: 0
  subject: {namespaces: {}}
  ingress: [{action: Deny, from: [{pods: {podSelector: {matchLabels: {app: b}}}}]}]
"#;

const MOVE: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: blue, labels: {capsule.clastix.io/tenant: red}}}
";

#[test]
fn a_tenant_that_asks_for_too_much_keeps_no_change_of_others_from_being_enforced() {
    let tried = Tried::new("hostile");
    let folder = tempfile::tempdir().expect("a folder");
    let mut lab = tried.up(manifests(&format!("{WORLD}---{HOSTILE}")), &options(&folder, "rules: 12"));
    let before = observed(&lab);
    let evil = |said| ("evil/y".to_owned(), "evil/z".to_owned(), said);
    let crossing = |said| ("evil/y".to_owned(), "blue/c".to_owned(), said);
    assert!(before.contains(&evil(Said::Allow)) && before.contains(&crossing(Said::Allow)));

    lab.apply(manifests(OVERFILL)).expect("what does not fit is left out");
    let closed = observed(&lab);
    assert!(closed.contains(&evil(Said::Drop)), "its own policies fail closed");
    let others = |all: &[Seen]| all.iter().filter(|(_, to, _)| to.starts_with("blue/")).cloned().collect::<Vec<_>>();
    assert_eq!(others(&closed), others(&before), "and cost nobody else a packet");

    lab.apply(manifests(DENY)).expect("an administrator's policy");
    let denied = observed(&lab);
    assert!(denied.contains(&flow("b", "a", Said::Drop)) && denied.contains(&flow("b", "c", Said::Drop)));
    assert!(denied.contains(&flow("a", "c", Said::Allow)));

    lab.apply(manifests(MOVE)).expect("a namespace's tenant");
    assert!(observed(&lab).contains(&crossing(Said::Drop)), "the next packet is judged by the new tenant");
}

/// Source, destination and what became of a packet.
type Seen = (String, String, Said);

/// For every pair.
fn observed(lab: &Lab) -> Vec<Seen> {
    let port: FlowPort = "tcp/80".parse().expect("a port");
    let report = lab.check(&[port], || Ok(())).expect("packets can be sent");
    assert_eq!(report.differences(), 0);
    let records = report.verdicts.iter().filter(|checked| checked.record.from_ip.is_ipv4());
    records.map(|checked| (checked.record.from.to_string(), checked.record.to.to_string(), checked.observed)).collect()
}

fn flow(from: &str, to: &str, said: Said) -> Seen {
    (format!("blue/{from}"), format!("blue/{to}"), said)
}
