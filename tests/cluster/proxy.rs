//! Services as the agent understands them beside the rules that the real kube-proxy writes for them: the odd ones of
//! tests/cluster/proxy/cases.yaml, each as the API server takes it. It needs no node and no pod that runs.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use policy::model::{Config, World};
use serde_json::{Value, json};
use tests::api_server::{ApiServer, RULES};
use tests::cluster::Proxy;
use tests::following::Following;
use tests::kube_proxy::believed::{Believed, End, Probes};
use tests::kube_proxy::cases::{Beside, Case, NODES, cases};
use tests::kube_proxy::{At, Call, Rewritten, node};

/// A bare API server that holds every case, and the node's rules in each mode of kube-proxy.
struct Bench {
    cases: Vec<Case>,
    world: World,
    rules: Vec<(Proxy, Rewritten)>,
}

impl Bench {
    fn new() -> Self {
        let server = ApiServer::start("proxy");
        server.grant(RULES);
        node::prepare(&server);
        let cases = cases();
        write(&server, &cases);
        let world = Following::start(&server).until_world("every pod", |world| {
            world.pods.len() >= node::pods(&cases).len() && world.nodes.len() == NODES.len()
        });
        let mapped = node::mapped(&server, &cases);
        let rules = [Proxy::Iptables, Proxy::Nftables].map(|proxy| {
            let mut rewritten = node::rewritten(&server, proxy);
            rewritten.extend(mapped.clone());
            (proxy, rewritten)
        });
        Self { cases, world, rules: rules.into() }
    }
}

/// Gives the API server what it takes, and holds it to what it must refuse.
fn write(server: &ApiServer, cases: &[Case]) {
    let namespace = |name: String| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let own = |case: &Case| [case.namespace(), format!("{}-other", case.namespace())].map(namespace);
    server.apply(&documents(&cases.iter().flat_map(own).collect::<Vec<_>>()));
    server.store(&node::pods(cases));
    let objects: Vec<Value> = cases.iter().flat_map(|case| case.objects.clone()).collect();
    server.apply(&documents(&objects));
    let with_status = objects.into_iter().filter(|object| object["status"].is_object()).collect::<Vec<_>>();
    server.apply_status(&documents(&with_status));
    for case in cases {
        for object in &case.refused {
            let refusal = server.refusal(&object.to_string());
            assert!(refusal.is_some(), "case {}, {}: the API server takes {object}", case.number, case.name);
        }
    }
}

fn documents(objects: &[Value]) -> String {
    objects.iter().map(|object| format!("---\n{object}\n")).collect()
}

/// A call as kube-proxy and as the agent have it.
struct Cell {
    call: Call,
    beside: Option<Beside>,
    is_refused: bool,
    theirs: String,
    ours: String,
}

fn list(ends: &BTreeSet<SocketAddr>) -> String {
    if ends.is_empty() { "none".to_owned() } else { ends.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ") }
}

/// Compares what a packet to `call` becomes. What no rule rewrites stays what it is.
fn compare(call: Call, rewritten: &Rewritten, probes: &mut Probes, candidates: &BTreeSet<End>) -> Cell {
    let to = address_of(call);
    let is_node = NODES[0].1.contains(&to.ip().to_string().as_str());
    let at_node = Call { at: At::Node { v4: call.is_v4() }, ..call };
    let at = Call { at: At::Address(to.ip()), ..call };
    let found = rewritten.get(&at).or_else(|| rewritten.get(&at_node).filter(|_| is_node));
    let truth = found.cloned().unwrap_or_else(|| BTreeSet::from([to]));
    let mut believed = probes.believed(to, call.protocol, candidates);
    let theirs = match found {
        None => "not rewritten".to_owned(),
        Some(ends) if ends.is_empty() => "refused".to_owned(),
        Some(ends) => list(ends),
    };
    let mut ours = String::new();
    if let Believed::Ends(ends) = &mut believed {
        // No policy comes between a pod and its own node.
        if ends.is_empty() && found.is_none() && is_node {
            ends.insert(to);
        }
        // An address that the owner of the Service chose must be allowed by itself, too.
        if !truth.contains(&to) && ends.remove(&to) {
            "itself and ".clone_into(&mut ours);
        }
    }
    let beside = match &believed {
        Believed::Ends(ends) if *ends == truth => Some(Beside::Equal),
        Believed::Ends(ends) if ends.is_superset(&truth) => Some(Beside::Covers),
        Believed::Ends(_) => None,
        Believed::Undecided(_) => Some(Beside::Undecided),
    };
    ours += &match &believed {
        Believed::Undecided(reason) => format!("drops: {}", reason.name()),
        Believed::Ends(ends) if *ends == BTreeSet::from([to]) => "itself".to_owned(),
        Believed::Ends(ends) => list(ends),
    };
    // What the node refuses reaches nobody.
    Cell { call, beside, is_refused: truth.is_empty(), theirs, ours }
}

/// Where a pod would send it. A node's is that of node1.
fn address_of(call: Call) -> SocketAddr {
    let address = match call.at {
        At::Address(address) => address,
        At::Node { v4 } => NODES[0].1[usize::from(!v4)].parse().expect("an address"),
    };
    SocketAddr::new(address, call.port)
}

/// Every end that a case names, and the called addresses themselves.
fn candidates(case: &Case) -> BTreeSet<End> {
    let called = case.calls().into_iter().map(|call| (address_of(call), call.protocol));
    case.ends().into_iter().chain(called).collect()
}

#[test]
fn a_service_is_what_kube_proxy_makes_of_it() {
    let bench = Bench::new();
    let all: BTreeSet<End> = bench.cases.iter().flat_map(candidates).collect();
    let config =
        Config { pod_cidrs: ["10.244.0.0/16", "fd44::/48"].map(|it| it.parse().unwrap()).into(), ..Config::default() };
    let mut probes = Probes::new(bench.world.clone(), &config, &node::view(), &all);
    let mut wrong = Vec::new();
    for (proxy, rewritten) in &bench.rules {
        println!("\nkube-proxy in {} mode\n", proxy.name());
        println!("| | case | call | kube-proxy | the agent | |\n|---|---|---|---|---|---|");
        let mut left = rewritten.clone();
        for case in &bench.cases {
            for call in case.calls() {
                left.remove(&call);
                left.remove(&Call { at: At::Address(address_of(call).ip()), ..call });
                let cell = compare(call, rewritten, &mut probes, &candidates(case));
                let right = cell.is_refused || cell.beside.is_some_and(|beside| beside <= case.ours);
                let Cell { call, theirs, ours, beside, .. } = &cell;
                let says = beside.map_or("WRONG".to_owned(), |it| format!("{it:?}").to_lowercase());
                let says = if right || beside.is_none() { says } else { format!("{says}: not as written") };
                let row = format!("| {} | {} | {call} | {theirs} | {ours} | {says} |", case.number, case.name);
                println!("{row}");
                if !right {
                    wrong.push(format!("{}: {row}", proxy.name()));
                }
            }
        }
        left.retain(|call, _| call.port != 443);
        assert!(left.is_empty(), "{}: no case names {left:?}", proxy.name());
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    counts(&bench);
}

/// Both modes see every case, and most calls are rewritten.
fn counts(bench: &Bench) {
    assert!(bench.cases.len() >= 50);
    let counts: BTreeMap<&str, usize> = bench.rules.iter().map(|(proxy, it)| (proxy.name(), it.len())).collect();
    assert!(counts.values().all(|count| *count > 80), "{counts:?}");
}
