//! The chain of steps that leads to a verdict (CONTRACT.md §3), as far as it was walked.

use common::abi::{AdminVerdict, AllowReason, Direction, DropReason, LowerVerdict, Mode, PeerKind};
use common::decide::{Said as Rules, Verdict, calls_agent, foreign};
use serde::Serialize;

use super::engine::Judged;

/// What a step made of the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// On to the next step.
    Next,
    Allow,
    Drop,
}

/// One step of the judgement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    pub step: &'static str,
    pub outcome: Outcome,
    /// A sentence.
    pub says: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
}

impl Step {
    pub(super) fn new(step: &'static str, outcome: Outcome, says: impl Into<String>) -> Self {
        Self { step, outcome, says: says.into(), rules: Vec::new() }
    }

    pub(super) fn by(self, rules: Vec<String>) -> Self {
        Self { rules, ..self }
    }
}

/// The steps up to the one that decided.
pub(super) fn steps(judged: &Judged<'_>) -> Vec<Step> {
    match judged.judgement.verdict {
        Verdict::Allow(AllowReason::OwnNode) if judged.question.direction == Direction::Ingress => {
            return vec![Step::new("own_node", Outcome::Allow, "the pod's own node reaches it, so that probes work")];
        }
        Verdict::Drop(DropReason::Capacity) if judged.judgement.rule == 0 => return vec![missing()],
        Verdict::Allow(_) | Verdict::Drop(_) => {}
    }
    let Some(said) = judged.said() else { return vec![missing()] };
    let walk = Walk { judged, said };
    let mut steps = Vec::new();
    for step in [
        Walk::admin,
        Walk::agent,
        Walk::own_node,
        Walk::strict,
        Walk::network_policy,
        Walk::baseline_tier,
        Walk::baseline,
        Walk::default,
    ] {
        let Some(step) = step(&walk) else { continue };
        let decided = step.outcome != Outcome::Next;
        steps.push(step);
        if decided {
            break;
        }
    }
    steps
}

fn missing() -> Step {
    Step::new("rules", Outcome::Drop, "a compiled record that should be there is not")
}

struct Walk<'j> {
    judged: &'j Judged<'j>,
    said: Rules,
}

impl Walk<'_> {
    /// Why the other end is foreign to the judged pod's tenant, if it is.
    fn foreign(&self) -> Option<DropReason> {
        foreign(self.judged.profile.tenant, self.judged.question.peer)
    }

    fn tenant(&self) -> String {
        self.judged.tenant().map_or_else(|| "the platform".to_owned(), |name| format!("tenant {name}"))
    }

    fn tenancy(&self) -> Vec<String> {
        self.judged.tenancy().into_iter().collect()
    }

    /// Unknown pods are dropped under a name of their own.
    fn unknown_note(&self) -> &'static str {
        match self.judged.question.peer.kind() {
            PeerKind::UnknownPod => " (the other end is an address in a pod range that no known pod owns)",
            PeerKind::External
            | PeerKind::Pod
            | PeerKind::LocalPod
            | PeerKind::OwnNode
            | PeerKind::OtherNode
            | PeerKind::Service => "",
        }
    }

    fn admin(&self) -> Option<Step> {
        const STEP: &str = "admin_tier";
        let rules = || self.judged.named(self.said.admin_rule);
        Some(match self.said.admin.admin_verdict() {
            AdminVerdict::Accept => Step::new(STEP, Outcome::Allow, "a ClusterNetworkPolicy accepts").by(rules()),
            AdminVerdict::Deny => Step::new(STEP, Outcome::Drop, "a ClusterNetworkPolicy denies").by(rules()),
            AdminVerdict::Pass => Step::new(STEP, Outcome::Next, "no ClusterNetworkPolicy of the Admin tier decides"),
        })
    }

    fn agent(&self) -> Option<Step> {
        if !calls_agent(&self.judged.profile, self.judged.question) {
            return None;
        }
        let says =
            format!("no tenant's pod reaches the agents' port, which tells about all tenants; {}", self.tenant());
        Some(match self.judged.profile.mode() {
            Mode::Audit => Step::new("agent_port", Outcome::Next, format!("{says} is audited: it would be dropped")),
            Mode::Off | Mode::Baseline | Mode::Strict => {
                Step::new("agent_port", Outcome::Drop, format!("{says} is the pod's")).by(self.tenancy())
            }
        })
    }

    fn own_node(&self) -> Option<Step> {
        let own_node = self.judged.question.peer.kind() == PeerKind::OwnNode;
        own_node.then(|| Step::new("own_node", Outcome::Allow, "the other end is the pod's own node"))
    }

    fn strict(&self) -> Option<Step> {
        const STEP: &str = "isolation";
        let note = self.unknown_note();
        let mode = self.judged.profile.mode();
        match (mode, self.foreign()) {
            (Mode::Strict, Some(_)) => {
                let says = format!("{} is strict and the other end is another tenant's{note}", self.tenant());
                Some(Step::new(STEP, Outcome::Drop, says).by(self.tenancy()))
            }
            (Mode::Audit, Some(_)) => {
                let says = format!("{} is audited: another tenant's pod would be dropped{note}", self.tenant());
                Some(Step::new(STEP, Outcome::Next, says))
            }
            (Mode::Strict | Mode::Audit, None) => {
                let says = format!("{} holds apart other tenants, and the other end is none's", self.tenant());
                Some(Step::new(STEP, Outcome::Next, says))
            }
            (Mode::Off | Mode::Baseline, _) => None,
        }
    }

    fn network_policy(&self) -> Option<Step> {
        const STEP: &str = "network_policy";
        let rules = || self.judged.named(self.said.lower_rule);
        let direction = self.judged.question.direction.name();
        Some(match self.said.lower.lower_verdict() {
            LowerVerdict::Allow if self.is_held_apart() => {
                let says = format!(
                    "a rule allows, but names no namespaces, so it does not let other tenants reach {}'s pods",
                    self.tenant()
                );
                Step::new(STEP, Outcome::Drop, says).by([rules(), self.tenancy()].concat())
            }
            LowerVerdict::AllowNamed | LowerVerdict::Allow => {
                Step::new(STEP, Outcome::Allow, "a NetworkPolicy's rule allows").by(rules())
            }
            LowerVerdict::DefaultDeny => {
                let says = format!(
                    "NetworkPolicies isolate the pod in {direction}, and none of their rules allows{}",
                    self.unknown_note()
                );
                Step::new(STEP, Outcome::Drop, says).by(rules())
            }
            LowerVerdict::Invalid => {
                Step::new(STEP, Outcome::Drop, "a NetworkPolicy that cannot be understood selects the pod").by(rules())
            }
            LowerVerdict::Capacity => {
                let says = "the NetworkPolicies of the pod's namespace ask for more than a node has room for";
                Step::new(STEP, Outcome::Drop, says).by(rules())
            }
            LowerVerdict::BaselineAccept | LowerVerdict::BaselineDeny | LowerVerdict::Pass => {
                Step::new(STEP, Outcome::Next, format!("no NetworkPolicy isolates the pod in {direction}"))
            }
        })
    }

    fn baseline_tier(&self) -> Option<Step> {
        const STEP: &str = "baseline_tier";
        let rules = || self.judged.named(self.said.lower_rule);
        Some(match self.said.lower.lower_verdict() {
            LowerVerdict::BaselineAccept => {
                Step::new(STEP, Outcome::Allow, "a ClusterNetworkPolicy accepts").by(rules())
            }
            LowerVerdict::BaselineDeny => Step::new(STEP, Outcome::Drop, "a ClusterNetworkPolicy denies").by(rules()),
            LowerVerdict::AllowNamed
            | LowerVerdict::Allow
            | LowerVerdict::DefaultDeny
            | LowerVerdict::Invalid
            | LowerVerdict::Capacity
            | LowerVerdict::Pass => {
                Step::new(STEP, Outcome::Next, "no ClusterNetworkPolicy of the Baseline tier decides")
            }
        })
    }

    fn baseline(&self) -> Option<Step> {
        const STEP: &str = "isolation";
        if self.is_held_apart() {
            let says = format!("{} admits no other tenant{}", self.tenant(), self.unknown_note());
            return Some(Step::new(STEP, Outcome::Drop, says).by(self.tenancy()));
        }
        let (mode, direction) = (self.judged.profile.mode(), self.judged.question.direction);
        let says = match (mode, direction) {
            (Mode::Baseline, Direction::Egress) => format!("the isolation of {} is about ingress", self.tenant()),
            (Mode::Baseline, Direction::Ingress) => {
                format!("{} keeps out other tenants, and the other end is none's", self.tenant())
            }
            (Mode::Off, _) => format!("{} is not isolated", self.tenant()),
            (Mode::Audit | Mode::Strict, _) => return None,
        };
        Some(Step::new(STEP, Outcome::Next, says))
    }

    fn default(&self) -> Option<Step> {
        Some(Step::new("default", Outcome::Allow, "nothing restricts this direction"))
    }

    /// True where baseline isolation keeps the other end out.
    fn is_held_apart(&self) -> bool {
        self.judged.profile.mode() == Mode::Baseline
            && self.judged.question.direction == Direction::Ingress
            && self.foreign().is_some()
    }
}
