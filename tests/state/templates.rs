//! `bulkhead policy template`: each template, written by the binary and applied in a lab, does on real packets what it
//! says and nothing else.
#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expects by failing")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use agent::ingest::Manifests;
use agent::lab::{Cni, Lab, UpOptions};
use policy::ask::{FlowPort, Said};
use tests::lab::{Tried, manifests};

/// What the tutorial's tenants have not: an ingress controller and a monitoring system.
const PLATFORM: &str = "
{apiVersion: v1, kind: Pod, metadata: {name: controller, namespace: ingress-nginx,
  labels: {app.kubernetes.io/name: ingress-nginx}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: prometheus, namespace: monitoring,
  labels: {app.kubernetes.io/name: prometheus}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: other, namespace: monitoring}}
";
const OUTSIDE: &str = "198.51.100.7";
const NAMESPACES: &str = "namespaces=team-a-front,team-a-back";

#[test]
fn every_template_opens_what_it_says_and_nothing_else() {
    let tried = Tried::new("templates");
    let start = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/tutorial/0-start");
    let mut world = Manifests::read(&[start]).expect("the tutorial");
    world.merge(manifests(PLATFORM));
    let external = vec![OUTSIDE.parse().expect("an address")];
    let mut lab = tried.up(world, &UpOptions { external, ..Tried::options(Cni::Ptp) });
    let mut open = passing(&lab);

    let shut = apply(&mut lab, &mut open, &["default-deny"]);
    assert!(shut.opened.is_empty() && shut.is_shut("team-a-front/web", "team-a-front/client", "tcp/80"));
    assert!(shut.is_shut("team-a-front/web", OUTSIDE, "tcp/80") && shut.is_shut(OUTSIDE, "team-a-front/web", "tcp/80"));
    assert!(!open.iter().any(is_of_tenant), "a default deny leaves nothing");

    let change = apply(&mut lab, &mut open, &["isolate-tenant", "tenant=team-a"]);
    change.opens_only(|from, to, _| of_tenant(from) && of_tenant(to));
    assert!(change.is_open("team-a-front/client", "team-a-back/api", "tcp/80"));

    let change = apply(&mut lab, &mut open, &["allow-dns"]);
    change.opens_only(|from, to, port| of_tenant(from) && to == "kube-system/dns" && port == "udp/53");
    assert!(change.is_open("team-a-back/api", "kube-system/dns", "udp/53"));

    let change = apply(&mut lab, &mut open, &["allow-ingress-controller", "ports=80", "pods=app=web"]);
    change.opens_only(|from, to, port| {
        from == "ingress-nginx/controller" && to == "team-a-front/web" && port == "tcp/80"
    });
    assert_eq!(change.opened.len(), 2, "over IPv4 and IPv6");

    let change = apply(&mut lab, &mut open, &["allow-monitoring", "ports=9090"]);
    change.opens_only(|from, to, port| from == "monitoring/prometheus" && of_tenant(to) && port == "tcp/9090");
    assert!(change.is_open("monitoring/prometheus", "team-a-back/api", "tcp/9090"));

    let change = apply(&mut lab, &mut open, &["allow-tenant", "from=team-b", "ports=80", "pods=app=web"]);
    change.opens_only(|from, to, port| from.starts_with("team-b-") && to == "team-a-front/web" && port == "tcp/80");
    assert!(change.is_open("team-b-back/api", "team-a-front/web", "tcp/80"));

    let change = apply(&mut lab, &mut open, &["egress-network", "cidr=198.51.100.0/24", "ports=80"]);
    change.opens_only(|from, to, port| of_tenant(from) && to == OUTSIDE && port == "tcp/80");
    assert!(change.is_open("team-a-front/client", OUTSIDE, "tcp/80"));
    lab.remove().expect("the lab goes away");
}

/// Source and its address, destination, port.
type Flow = (String, String, String, String);

/// What real packets found to be different after a template was applied.
struct Change {
    template: String,
    opened: BTreeSet<Flow>,
    shut: BTreeSet<Flow>,
}

fn of_tenant(end: &str) -> bool {
    end.starts_with("team-a-")
}

fn is_of_tenant((from, _, to, _): &Flow) -> bool {
    from != to && (of_tenant(from) || of_tenant(to))
}

fn is(flow: &Flow, from: &str, to: &str, port: &str) -> bool {
    (flow.0.as_str(), flow.2.as_str(), flow.3.as_str()) == (from, to, port)
}

impl Change {
    fn opens_only(&self, wanted: impl Fn(&str, &str, &str) -> bool) {
        assert!(self.shut.is_empty() && !self.opened.is_empty(), "{}: {:#?}", self.template, self.shut);
        for (from, _, to, port) in &self.opened {
            assert!(wanted(from, to, port), "{} opened {from} to {to} on {port}", self.template);
        }
    }

    fn is_open(&self, from: &str, to: &str, port: &str) -> bool {
        self.opened.iter().any(|flow| is(flow, from, to, port))
    }

    fn is_shut(&self, from: &str, to: &str, port: &str) -> bool {
        self.shut.iter().any(|flow| is(flow, from, to, port))
    }
}

/// Writes a template, applies it, and sends packets. `open`: what passed before, and passes now.
fn apply(lab: &mut Lab, open: &mut BTreeSet<Flow>, args: &[&str]) -> Change {
    let (name, set) = args.split_first().expect("a template");
    let set = set.iter().chain([&NAMESPACES]).flat_map(|set| ["--set", set]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_tested-bulkhead"));
    let output = command.args(["policy", "template", name]).args(set).output().expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    lab.apply(manifests(&String::from_utf8(output.stdout).expect("UTF-8"))).expect("the template is enforced");
    let before = std::mem::replace(open, passing(lab));
    let opened = open.difference(&before).cloned().collect();
    let shut = before.difference(open).cloned().collect();
    Change { template: (*name).to_owned(), opened, shut }
}

/// The flows whose packets arrive; each as the model says.
fn passing(lab: &Lab) -> BTreeSet<Flow> {
    let ports = ["tcp/80", "tcp/9090", "udp/53"];
    let asked: Vec<FlowPort> = ports.iter().map(|port| port.parse().expect("a port")).collect();
    let report = lab.check(&asked, || Ok(())).expect("packets can be sent");
    let differences: Vec<String> = report.verdicts.iter().filter_map(|checked| checked.difference()).collect();
    assert!(differences.is_empty(), "{differences:#?}");
    let arrived = report.verdicts.iter().filter(|checked| checked.observed == Said::Allow);
    arrived
        .map(|checked| {
            let record = &checked.record;
            let port = format!("{}/{}", record.protocol.to_ascii_lowercase(), record.port);
            (record.from.to_string(), record.from_ip.to_string(), record.to.to_string(), port)
        })
        .collect()
}
