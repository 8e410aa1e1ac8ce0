//! Rules that match nobody, or nothing that another rule does not allow already.

use common::abi::Direction;

use super::subject::{Placed, Subject, name_of, rules, warning};
use super::{LintFinding, LintRule};
use crate::model::{NetworkPolicy, Peer, Pod, Port, Rule};

const NAME: &str = "unreachable-rule";

pub(super) const RULE: LintRule = LintRule {
    name: NAME,
    about: "A rule whose peers match nobody, whose named ports no pod has, or that another rule covers.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<LintFinding> {
    subject.rules().filter_map(|placed| problem(subject, placed)).collect()
}

fn problem(subject: &Subject<'_>, placed: Placed<'_>) -> Option<LintFinding> {
    let warn =
        |message: String, remedy: &str| Some(warning(NAME, name_of(placed.policy), placed.field(), message, remedy));
    if !placed.rule.peers.is_empty()
        && placed.rule.peers.iter().all(|peer| matches_nobody(subject, placed.policy, peer))
    {
        return warn("none of its peers matches a pod".to_owned(), "correct the selectors, or take the rule out");
    }
    if let Some(name) = unknown_port(subject, placed) {
        return warn(
            format!("no pod that it is about calls a port {name}, so the rule matches nothing"),
            "write the port as a number, or name a container's port so",
        );
    }
    let cover = covering(subject, placed)?;
    warn(
        format!(
            "adds nothing: {} {}[{}] allows all of it already",
            name_of(cover.policy),
            cover.direction.name(),
            cover.index
        ),
        "take this rule out, or narrow the other one",
    )
}

fn matches_nobody(subject: &Subject<'_>, policy: &NetworkPolicy, peer: &Peer) -> bool {
    match peer {
        Peer::Block(_) => false,
        Peer::Pods { .. } => !subject.pods().any(|pod| subject.matches(&policy.namespace, peer, pod)),
    }
}

/// A port name of a rule that has only names, none of which stands for a number.
fn unknown_port<'a>(subject: &Subject<'a>, placed: Placed<'a>) -> Option<&'a str> {
    let is_known = |port: &Port| match port {
        Port::All(_) | Port::Range(..) => true,
        Port::Named(protocol, name) => {
            let has = |pod: &Pod| pod.ports.iter().any(|port| port.is_named(*protocol, name));
            match placed.direction {
                Direction::Ingress => subject.selected(placed.policy).any(has),
                Direction::Egress => subject.pods().any(has),
            }
        }
    };
    let names = placed.rule.ports.iter().filter_map(|port| match port {
        Port::Named(_, name) => Some(name.as_str()),
        Port::All(_) | Port::Range(..) => None,
    });
    // A policy that selects nobody has a finding of its own.
    let idle = subject.selected(placed.policy).next().is_none();
    if idle || placed.rule.ports.iter().any(is_known) { None } else { names.into_iter().next() }
}

/// A rule for the same pods that allows whatever this one does. Of two equal ones the first stays.
fn covering<'a>(subject: &Subject<'a>, placed: Placed<'a>) -> Option<Placed<'a>> {
    let policies = subject.policies().filter(|policy| {
        let same = policy.subject.is_empty() || policy.subject == placed.policy.subject;
        policy.namespace == placed.policy.namespace && same
    });
    let mut others = policies.flat_map(|policy| rules(policy, placed.direction));
    others.find(|other| {
        let place = |rule: &Placed<'_>| (rule.policy.name.clone(), rule.index);
        let covers = covers(other.rule, placed.rule, placed.direction);
        let mutual = covers
            && self::covers(placed.rule, other.rule, placed.direction)
            && (placed.policy.subject.is_empty() || placed.policy.subject == other.policy.subject);
        covers && place(other) != place(&placed) && (!mutual || place(other) < place(&placed))
    })
}

fn covers(rule: &Rule, other: &Rule, direction: Direction) -> bool {
    // A rule that names namespaces admits other tenants, which one without peers does not.
    let is_door = direction == Direction::Ingress && other.peers.iter().any(Peer::names_namespaces);
    let peers = if rule.peers.is_empty() {
        !is_door
    } else {
        !other.peers.is_empty() && other.peers.iter().all(|peer| rule.peers.contains(peer))
    };
    let is_in = |port: &Port| rule.ports.iter().any(|wider| holds(wider, port));
    let ports = rule.ports.is_empty() || !other.ports.is_empty() && other.ports.iter().all(is_in);
    peers && ports
}

pub(super) fn holds(wider: &Port, port: &Port) -> bool {
    match (wider, port) {
        (Port::All(own), Port::All(other) | Port::Range(other, ..) | Port::Named(other, _)) => own == other,
        (Port::Range(own, first, last), Port::Range(other, low, high)) => own == other && first <= low && high <= last,
        (Port::Named(..), Port::Named(..)) => wider == port,
        (Port::Range(..) | Port::Named(..), _) => false,
    }
}
