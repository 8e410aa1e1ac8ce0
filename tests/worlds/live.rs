//! Objects that a cluster holds and that are not understood fail closed: what stands in for them keeps out what they
//! keep out, lets in nothing that they do not let in, and says where the fault is.
#![expect(clippy::expect_used, reason = "a test says what it expects by failing")]

use agent::ingest::{Kind, Live, Rejected, convert_live};
use policy::ask::{End, Engine, FlowPort, Said};
use policy::model::{Config, World};
use serde_json::Value;

fn object(text: &str) -> (Kind, Value) {
    let object: Value = serde_yaml_ng::from_str(text).expect("YAML");
    let (version, kind) = (object["apiVersion"].as_str(), object["kind"].as_str());
    let kind = Kind::of(version.expect("a version"), kind.expect("a kind")).expect("known").expect("read");
    (kind, object)
}

/// What is wrong, field by field.
fn rejected(text: &str) -> (Live, Vec<String>) {
    let (kind, object) = object(text);
    let Rejected { stand_in, errors } = *convert_live(kind, object).expect_err("something is not understood");
    let fields = errors.into_iter().map(|error| error.field.unwrap_or_default()).collect();
    (stand_in.expect("it is never nothing"), fields)
}

const PODS: [&str; 3] = [
    "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: x, labels: {app: a}}, \
     status: {podIP: 10.244.0.1, phase: Running}}",
    "{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: x, labels: {app: b}}, \
     status: {podIP: 10.244.0.2, phase: Running}}",
    "{apiVersion: v1, kind: Pod, metadata: {name: c, namespace: y}, status: {podIP: 10.244.0.3, phase: Running}}",
];

fn world(policies: &[&str]) -> World {
    let mut world = World::default();
    let namespaces = ["x", "y"].map(|name| format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}"));
    for text in namespaces.iter().map(String::as_str).chain(PODS) {
        let (kind, object) = object(text);
        convert_live(kind, object).expect("understood").expect("has a part in policy").put_into(&mut world);
    }
    for text in policies {
        let (kind, object) = object(text);
        match convert_live(kind, object) {
            Ok(live) => live.expect("a policy").put_into(&mut world),
            Err(rejected) => rejected.stand_in.expect("it is never nothing").put_into(&mut world),
        }
    }
    world
}

/// The verdict, and the reason of the direction that drops.
fn verdict(world: &World, from: &str, to: &str, port: &str) -> (Said, &'static str) {
    let config = Config::default();
    let engine = Engine::new(world, &config).expect("the world compiles");
    let party = |text: &str| engine.parties(&text.parse::<End>().expect("an end")).expect("is there").remove(0);
    let port: FlowPort = port.parse().expect("a port");
    let record = engine.ask(&party(from), &party(to), port);
    (record.verdict, record.dropped_by().map_or("", |(_, dropped)| dropped.reason))
}

const DROPPED: (Said, &str) = (Said::Drop, "invalid_policy");
const ALLOWED: (Said, &str) = (Said::Allow, "");

#[test]
fn a_network_policy_that_is_not_understood_isolates_what_it_selects_and_allows_nothing() {
    let policy = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: x}
spec:
  podSelector: {matchLabels: {app: a}}
  ingress: [{from: [{podSelector: {}, serviceSelector: {}}]}, {from: [{namespaceSelector: {}}]}]
";
    assert_eq!(rejected(policy).1, ["spec.ingress[0].from[0].serviceSelector"]);
    let world = world(&[policy]);
    assert_eq!(verdict(&world, "x/b", "x/a", "tcp/80"), DROPPED);
    assert_eq!(verdict(&world, "y/c", "x/a", "tcp/80"), DROPPED);
    assert_eq!(verdict(&world, "x/a", "x/b", "tcp/80"), ALLOWED, "it does not isolate b, nor a in egress");
}

#[test]
fn what_other_policies_allow_stays_allowed() {
    let invalid = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: x}
spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/33}}]}]}
";
    let valid = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: q, namespace: x}
spec: {podSelector: {matchLabels: {app: a}}, ingress: [{from: [{podSelector: {}}]}]}
";
    let world = world(&[invalid, valid]);
    assert_eq!(verdict(&world, "x/b", "x/a", "tcp/80"), ALLOWED);
    assert_eq!(verdict(&world, "y/c", "x/a", "tcp/80"), DROPPED);
    assert_eq!(verdict(&world, "x/a", "x/b", "tcp/80"), DROPPED);
}

#[test]
fn a_selector_or_types_that_are_not_understood_are_all_pods_and_both_directions() {
    let policy = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: x}
spec: {podSelector: {matchExpressions: [{key: app, operator: Like, values: [a]}]}, policyTypes: [Ingress, Forward]}
";
    assert_eq!(rejected(policy).1, ["spec.podSelector.matchExpressions[0].operator", "spec.policyTypes[1]"]);
    let world = world(&[policy]);
    assert_eq!(verdict(&world, "x/a", "x/b", "tcp/80"), DROPPED);
    assert_eq!(verdict(&world, "x/a", "y/c", "tcp/80"), DROPPED);
    assert_eq!(verdict(&world, "y/c", "x/a", "icmp"), DROPPED);
    assert_eq!(verdict(&world, "y/c", "y/c", "tcp/80"), ALLOWED);
}

#[test]
fn a_corrected_policy_takes_the_place_of_its_stand_in_and_back() {
    let text = |cidr: &str| {
        format!(
            "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p, namespace: x}}, \
             spec: {{podSelector: {{}}, ingress: [{{from: [{{ipBlock: {{cidr: {cidr}}}}}]}}]}}}}"
        )
    };
    let (bad, good) = (text("10.244.0.0"), text("10.244.0.0/24"));
    assert_eq!(verdict(&world(&[&bad, &good]), "x/b", "x/a", "tcp/80"), ALLOWED);
    assert_eq!(verdict(&world(&[&good, &bad]), "x/b", "x/a", "tcp/80"), DROPPED);
}

fn cluster(spec: &str) -> String {
    format!(
        "{{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {{name: p}}, \
         spec: {{{spec}}}}}"
    )
}

/// The verdict from b to a on tcp/80 and tcp/81.
fn both(policies: &[&str]) -> [Said; 2] {
    let world = world(policies);
    ["tcp/80", "tcp/81"].map(|port| verdict(&world, "x/b", "x/a", port).0)
}

#[test]
fn a_cluster_rule_that_is_not_understood_accepts_nothing_and_denies_everything() {
    let rules = |action: &str, peer: &str| {
        cluster(&format!(
            "tier: Admin, priority: 1, subject: {{namespaces: {{}}}}, ingress: [{{action: {action}, from: [{peer}], \
             protocols: [{{tcp: {{destinationPort: {{number: 80}}}}}}]}}, {{action: Deny, from: [{{namespaces: {{}}}}], \
             protocols: [{{tcp: {{destinationPort: {{number: 80}}}}}}]}}]"
        ))
    };
    let known = "{namespaces: {}}";
    for unknown in ["{services: {}}", "{}", "{pods: {}}", "{namespaces: {matchExpressions: [{key: a, operator: In}]}}"]
    {
        assert_eq!(both(&[&rules("Accept", known)]), [Said::Allow, Said::Allow]);
        assert_eq!(both(&[&rules("Accept", unknown)]), [Said::Drop, Said::Allow], "{unknown}");
        assert_eq!(both(&[&rules("Deny", unknown)]), [Said::Drop, Said::Drop], "{unknown}");
        assert_eq!(both(&[&rules("Pass", unknown)]), [Said::Drop, Said::Drop], "{unknown}");
    }
    assert_eq!(both(&[&rules("Log", known)]), [Said::Drop, Said::Drop], "an action that is not known");
}

#[test]
fn rules_of_a_policy_whose_place_or_subject_is_not_understood_only_ever_deny() {
    let policy = |place: &str, action: &str| {
        cluster(&format!(
            "{place}, ingress: [{{action: {action}, from: [{{namespaces: {{}}}}], protocols: [{{tcp: {{destinationPort: \
             {{number: 80}}}}}}]}}]"
        ))
    };
    // What would be denied if the rule in question did not come first.
    let deny = policy("tier: Admin, priority: 1, subject: {namespaces: {}}", "Deny").replace("name: p", "name: z");
    let good = "tier: Admin, priority: 0, subject: {namespaces: {}}";
    assert_eq!(both(&[&policy(good, "Accept"), &deny]), [Said::Allow, Said::Allow]);
    for bad in [
        "tier: Top, priority: 0, subject: {namespaces: {}}",
        "tier: Admin, priority: first, subject: {namespaces: {}}",
        "tier: Admin, priority: 0, subject: {nodes: {}}",
        "tier: Admin, priority: 0, subject: {namespaces: {matchExpressions: [{key: a, operator: In}]}}",
        "tier: Admin, priority: 0",
        "tier: Admin, priority: 0, subject: {namespaces: {}}, when: never",
    ] {
        assert_eq!(both(&[&policy(bad, "Accept"), &deny]), [Said::Drop, Said::Allow], "{bad}");
        assert_eq!(both(&[&policy(bad, "Deny")]), [Said::Drop, Said::Allow], "{bad}");
        assert_eq!(both(&[&policy(bad, "Pass")]), [Said::Drop, Said::Allow], "{bad}");
    }
    let no_list = cluster("tier: Baseline, priority: 0, subject: {namespaces: {}}, ingress: {}");
    assert_eq!(both(&[&no_list]), [Said::Drop, Said::Drop]);
}

#[test]
fn a_newer_server_is_no_fault() {
    for text in [
        "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: x, later: 1}, spec: {containers: [], later: {}}, \
         status: {later: 1}}",
        "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, namespace: x, later: 1}, \
         spec: {podSelector: {}}, status: {later: 1}}",
        "{apiVersion: policy.networking.k8s.io/v1alpha2, kind: ClusterNetworkPolicy, metadata: {name: p, later: 1}, \
         spec: {tier: Admin, priority: 1, subject: {namespaces: {}}}, status: {conditions: [], later: 1}}",
    ] {
        let (kind, object) = object(text);
        assert!(matches!(convert_live(kind, object), Ok(Some(_))), "{text}");
    }
}

#[test]
fn ended_pods_and_workloads_have_no_part() {
    for text in [
        "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: x}, status: {phase: Failed, podIP: 10.244.0.9}}",
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: p, namespace: x}}",
    ] {
        let (kind, object) = object(text);
        assert_eq!(convert_live(kind, object), Ok(None), "{text}");
    }
    let broken = "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: x, labels: {a: 1}}}";
    let (kind, value) = object(broken);
    let Rejected { stand_in, errors } = *convert_live(kind, value).expect_err("a label that is a number");
    assert_eq!((stand_in, errors.len()), (None, 1));
    assert!(errors[0].to_string().contains("Pod x/p: metadata.labels.a"), "{}", errors[0]);
}

#[test]
fn errors_name_object_and_every_field() {
    let (live, fields) = rejected(
        "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: x}
spec:
  podSelector: {}
  ingress: [{ports: [{port: 0}]}, {from: {}}, {port: []}]
  egress: many
",
    );
    let expected = ["spec.ingress[0].ports[0].port", "spec.ingress[1].from", "spec.ingress[2].port", "spec.egress"];
    assert_eq!(fields, expected);
    let Live::InvalidPolicy(policy) = live else { panic!("{live:?}") };
    assert!(policy.isolates_ingress && policy.isolates_egress, "egress is there, whatever it says");
}

/// A Service of x with the ClusterIP 10.96.0.20 and the node port 30080, with these labels and this in its port.
fn service(labels: &str, port: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: s, namespace: x, labels: {{{labels}}}}}, spec: {{type: NodePort, \
         clusterIP: 10.96.0.20, clusterIPs: [10.96.0.20], externalIPs: ['198.051.100.007'], \
         ports: [{{port: 80, nodePort: 30080{port}}}]}}}}"
    )
}

fn slice(labels: &str, ports: usize, endpoints: &str) -> String {
    let ports: Vec<String> = (1..=ports).map(|port| format!("{{name: p{port}, port: {port}}}")).collect();
    format!(
        "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, metadata: {{name: s-1, namespace: x, \
         labels: {{kubernetes.io/service-name: s{labels}}}}}, ports: [{}], endpoints: [{endpoints}]}}",
        ports.join(", ")
    )
}

fn understood(text: &str) -> Live {
    let (kind, object) = object(text);
    convert_live(kind, object).expect("understood").expect("has a part in policy")
}

#[test]
fn what_kube_proxy_reads_of_an_endpoint_slice_is_read() {
    for (ports, written, read) in [
        (101, "{addresses: [10.244.0.9]}", "10.244.0.9"),
        (1, "{addresses: [010.244.00.9]}", "10.244.0.9"),
        (1, "{addresses: ['::ffff:10.244.0.9']}", "10.244.0.9"),
        (1, "{addresses: [10.244.0.9, 10.244.0.10]}", "10.244.0.9"),
    ] {
        let Live::EndpointSlice(slice) = understood(&slice("", ports, written)) else { panic!("no slice") };
        let read_as: Vec<_> = slice.endpoints.iter().map(|it| it.address.to_string()).collect();
        assert_eq!(
            (slice.ports.len(), read_as, slice.is_undecided),
            (ports, vec![read.to_owned()], false),
            "{written}"
        );
    }
}

#[test]
fn what_kube_proxy_passes_over_rewrites_nothing() {
    for label in ["service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"] {
        let labels = format!("{label}: ''");
        let Live::Service(service) = understood(&service(&labels, "")) else { panic!("no Service") };
        assert_eq!((service.is_passed_over, service.addresses().count()), (true, 0), "{label}");
        let slice = slice(&format!(", {labels}"), 1, "{addresses: [10.244.0.9]}");
        let Live::EndpointSlice(slice) = understood(&slice) else { panic!("no slice") };
        assert_eq!((slice.endpoints.len(), slice.is_undecided), (0, false), "{label}");
    }
}

#[test]
fn a_service_that_is_not_understood_keeps_where_it_is_called() {
    for port in [", targetPort: 70000", ", targetPort: {a: b}", ", protocol: TCP, name: [1]"] {
        let (Live::Service(service), _) = rejected(&service("", port)) else { panic!("no Service") };
        let addresses: Vec<_> = service.addresses().map(|ip| ip.to_string()).collect();
        assert_eq!(addresses, ["10.96.0.20", "198.51.100.7"], "{port}");
        let ports: Vec<_> = service.ports.iter().map(|port| (port.port, port.node_port)).collect();
        assert_eq!((ports, service.is_undecided), (vec![(80, Some(30080))], true), "{port}");
    }
}

#[test]
fn an_endpoint_slice_that_is_not_understood_makes_its_service_undecided() {
    for endpoints in ["{addresses: [nowhere]}", "{addresses: [fd00::9]}", "{addresses: [127.0.0.1]}", "{addresses: {}}"]
    {
        let (Live::EndpointSlice(slice), fields) = rejected(&slice("", 1, endpoints)) else { panic!("no slice") };
        assert_eq!((slice.service.as_str(), slice.is_undecided), ("s", true), "{endpoints}");
        assert!(!fields.is_empty(), "{endpoints}");
    }
}
