//! What `iptables-save` prints.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use policy::model::Protocol;

use super::{At, Call, Rewritten, protocol};

/// A rule, as far as it says where a packet goes.
#[derive(Clone, Debug, Default)]
struct Rule {
    destination: Option<IpAddr>,
    local: bool,
    protocol: Option<Protocol>,
    ports: Vec<u16>,
    target: String,
    to: Option<SocketAddr>,
}

/// What a packet is known to be after some rules.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    at: Option<At>,
    protocol: Option<Protocol>,
    port: Option<u16>,
}

/// Rules by table and chain, of one family.
struct Rules<'a> {
    chains: BTreeMap<(String, String), Vec<Rule>>,
    node: Node<'a>,
}

/// The node that the rules are on, in their family.
#[derive(Clone, Copy)]
struct Node<'a> {
    v4: bool,
    addresses: &'a [IpAddr],
}

/// What the output of `iptables-save` (`v4`) or `ip6tables-save` rewrites on a node with these addresses, for packets that
/// arrive from a pod. Conditions on the sender, on chance and on time are taken as met.
///
/// # Panics
/// Where a rule has an address or a port that is none.
#[must_use]
pub fn read(saved: &str, v4: bool, addresses: &[IpAddr]) -> Rewritten {
    let mut rules = Rules { chains: BTreeMap::new(), node: Node { v4, addresses } };
    let mut table = "";
    for line in saved.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if let Some(rule) = line.strip_prefix("-A ") {
            let (chain, rule) = parse(&words(rule));
            rules.chains.entry((table.to_owned(), chain)).or_default().push(rule);
        }
    }
    let mut rewritten = Rewritten::new();
    rules.follow("nat", "PREROUTING", Known::default(), &mut rewritten);
    for hook in ["INPUT", "FORWARD"] {
        rules.follow("filter", hook, Known::default(), &mut rewritten);
    }
    rewritten
}

impl Rules<'_> {
    fn follow(&self, table: &str, chain: &str, known: Known, rewritten: &mut Rewritten) {
        for rule in self.chains.get(&(table.to_owned(), chain.to_owned())).into_iter().flatten() {
            for known in rule.narrow(known, self.node) {
                match rule.target.as_str() {
                    "DNAT" => rewritten.entry(known.call()).or_default().extend(rule.to),
                    // Of a packet that is not named by address and port this says nothing about a Service.
                    "REJECT" | "DROP" if known.is_whole() => drop(rewritten.entry(known.call()).or_default()),
                    target => self.follow(table, target, known, rewritten),
                }
            }
        }
    }
}

impl Rule {
    /// What a packet is that this rule matches: one for each of its ports, none where it matches no such packet.
    fn narrow(&self, known: Known, node: Node<'_>) -> Vec<Known> {
        let at = match (known.at, self.destination, self.local) {
            (Some(At::Address(known)), Some(wanted), _) if known != wanted => return Vec::new(),
            (Some(At::Node { .. }), Some(wanted), _) if !node.addresses.contains(&wanted) => return Vec::new(),
            (_, Some(wanted), _) => Some(At::Address(wanted)),
            (None, None, true) => Some(At::Node { v4: node.v4 }),
            (known, None, _) => known,
        };
        let protocol = match (known.protocol, self.protocol) {
            (Some(known), Some(wanted)) if known != wanted => return Vec::new(),
            (known, wanted) => wanted.or(known),
        };
        if self.ports.is_empty() {
            return vec![Known { at, protocol, port: known.port }];
        }
        let ports = self.ports.iter().filter(|port| known.port.is_none_or(|known| known == **port));
        ports.map(|&port| Known { at, protocol, port: Some(port) }).collect()
    }
}

impl Known {
    const fn is_whole(self) -> bool {
        self.at.is_some() && self.protocol.is_some() && self.port.is_some()
    }

    fn call(self) -> Call {
        let Self { at: Some(at), protocol: Some(protocol), port: Some(port) } = self else {
            panic!("a rule rewrites {self:?}, which is not one address and port");
        };
        Call { at, protocol, port }
    }
}

/// The words of a rule; what is between quotes is one, and a backslash takes a quote's meaning away.
fn words(rule: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for c in rule.chars() {
        if std::mem::take(&mut escaped) {
            continue;
        }
        match c {
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("a word").push(c),
        }
    }
    words
}

fn parse(words: &[String]) -> (String, Rule) {
    let (chain, mut rest) = words.split_first().expect("a chain");
    let mut rule = Rule::default();
    let mut negated = false;
    while let [flag, others @ ..] = rest {
        rest = others;
        let value = others.first().map_or("", String::as_str);
        match flag.as_str() {
            "!" => {
                negated = true;
                continue;
            }
            // What a packet must not be is the node's own loopback address, which no pod's packet arrives with.
            "-d" if !negated => rule.destination = single(value),
            "-p" => rule.protocol = protocol(value),
            "--dst-type" => rule.local = value == "LOCAL",
            "--dport" | "--dports" => rule.ports = value.split(',').map(|port| port.parse().expect("a port")).collect(),
            "-j" | "-g" => value.clone_into(&mut rule.target),
            "--to-destination" => rule.to = Some(value.parse().expect("an address and port")),
            _ => {}
        }
        negated = false;
    }
    (chain.clone(), rule)
}

/// The address of `10.96.0.1/32`; a range names no Service.
fn single(range: &str) -> Option<IpAddr> {
    let (address, length) = range.split_once('/').unwrap_or((range, ""));
    let address: IpAddr = address.parse().expect("an address");
    let whole = if address.is_ipv4() { "32" } else { "128" };
    (length.is_empty() || length == whole).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAVED: &str = r#"
*nat
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A CNI-HOSTPORT-DNAT -p tcp -m comment --comment "dnat name: \"ptp\" id: \"c 34 -p udp\"" -m multiport --dports 8080,8081 -j CNI-DN-1
-A CNI-DN-1 -d 10.89.0.1/32 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.244.1.9:80
-A CNI-DN-1 -d 203.0.113.9/32 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.244.1.9:80
-A CNI-DN-1 -p tcp -m tcp --dport 8081 -j DNAT --to-destination 10.244.1.9:81
-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment "a/b:c cluster IP -j X" -m tcp --dport 443 -j KUBE-SVC-1
-A KUBE-SERVICES ! -d 127.0.0.1/32 -m comment --comment "last" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-NODEPORTS -p tcp -m tcp --dport 30080 -j KUBE-SVC-1
-A KUBE-SVC-1 ! -s 10.244.0.0/16 -d 10.96.0.1/32 -p tcp -m tcp --dport 443 -j KUBE-MARK-MASQ
-A KUBE-SVC-1 -m statistic --mode random --probability 0.5 -j KUBE-SEP-1
-A KUBE-SVC-1 -j KUBE-SEP-2
-A KUBE-SEP-1 -p tcp -m tcp -j DNAT --to-destination 10.244.1.2:8443
-A KUBE-SEP-2 -p tcp -m tcp -j DNAT --to-destination 10.244.2.2:8443
*filter
-A FORWARD -j KUBE-SERVICES
-A FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-SERVICES -d 10.96.0.9/32 -p udp -m udp --dport 53 -j REJECT --reject-with icmp-port-unreachable
"#;

    #[test]
    fn every_way_through_the_chains_is_followed() {
        let read: Vec<String> = read(SAVED, true, &[[10, 89, 0, 1].into()])
            .into_iter()
            .map(|(call, ends)| format!("{call} {ends:?}"))
            .collect();
        let both = "{10.244.1.2:8443, 10.244.2.2:8443}";
        assert_eq!(
            read,
            [
                "10.89.0.1:8080 tcp {10.244.1.9:80}",
                &format!("10.96.0.1:443 tcp {both}"),
                "10.96.0.9:53 udp {}",
                "node:8081 tcp {10.244.1.9:81}",
                &format!("node:30080 tcp {both}"),
            ]
        );
    }
}
