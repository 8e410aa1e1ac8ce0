//! What `nft --json list ruleset` prints, of kube-proxy's own tables.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use super::{At, Call, Rewritten, protocol};

/// Maps from what is called to a chain: by address, protocol and port, or by protocol and port of a node.
const MAPS: [&str; 4] = ["service-ips", "service-nodeports", "no-endpoint-services", "no-endpoint-nodeports"];

/// What kube-proxy's tables rewrite, for packets that arrive from a pod. Conditions on the sender, on chance and on time
/// are taken as met.
///
/// # Panics
/// Where the rules are not as kube-proxy v1.34 writes them.
#[must_use]
pub fn read(ruleset: &Value) -> Rewritten {
    let objects = ruleset["nftables"].as_array().expect("a list of objects");
    let of_kube_proxy = |object: &Value| object["table"] == "kube-proxy" || object["name"] == "kube-proxy";
    let mut chains: BTreeMap<(&str, &str), Vec<&Value>> = BTreeMap::new();
    for rule in objects.iter().map(|object| &object["rule"]).filter(|rule| of_kube_proxy(rule)) {
        chains.entry((text(&rule["family"]), text(&rule["chain"]))).or_default().push(&rule["expr"]);
    }
    let mut rewritten = Rewritten::new();
    for map in objects.iter().map(|object| &object["map"]).filter(|map| of_kube_proxy(map)) {
        if !MAPS.contains(&text(&map["name"])) {
            continue;
        }
        let family = text(&map["family"]);
        for element in map["elem"].as_array().into_iter().flatten() {
            let key = element[0]["elem"].get("val").unwrap_or(&element[0]);
            let ends = rewritten.entry(call(key, family == "ip")).or_default();
            let mut seen = BTreeSet::new();
            follow(&chains, family, &element[1], &mut seen, ends);
        }
    }
    rewritten
}

fn call(key: &Value, v4: bool) -> Call {
    let parts = key["concat"].as_array().expect("several fields");
    let number = |port: &Value| u16::try_from(port.as_u64().expect("a number")).expect("a port");
    let (at, name, port) = match &parts[..] {
        [address, name, port] => (At::Address(text(address).parse().expect("an address")), name, port),
        [name, port] => (At::Node { v4 }, name, port),
        _ => panic!("{key} is no address and port"),
    };
    Call { at, protocol: protocol(text(name)).expect("a protocol"), port: number(port) }
}

/// Adds each end that an expression, or a chain that it goes to, rewrites to.
fn follow<'a>(
    chains: &BTreeMap<(&str, &str), Vec<&'a Value>>,
    family: &str,
    expression: &'a Value,
    seen: &mut BTreeSet<String>,
    ends: &mut BTreeSet<SocketAddr>,
) {
    match expression {
        Value::Array(list) => list.iter().for_each(|it| follow(chains, family, it, seen, ends)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match name.as_str() {
                    "dnat" => drop(ends.insert(end(value))),
                    "goto" | "jump" => {
                        let chain = text(&value["target"]);
                        if seen.insert(chain.to_owned()) {
                            let rules = chains.get(&(family, chain)).into_iter().flatten();
                            rules.for_each(|rule| follow(chains, family, rule, seen, ends));
                        }
                    }
                    _ => follow(chains, family, value, seen, ends),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn end(dnat: &Value) -> SocketAddr {
    let address: IpAddr = text(&dnat["addr"]).parse().expect("an address");
    let port = dnat["port"].as_u64().expect("a port");
    SocketAddr::new(address, u16::try_from(port).expect("a port"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
