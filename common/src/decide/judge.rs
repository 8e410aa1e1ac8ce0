//! Judgement of one direction (CONTRACT.md §3): Admin tier, strict isolation, NetworkPolicy, Baseline tier,
//! baseline isolation.

use crate::abi::{
    AdminVerdict, AllowReason, Direction, DirectionRules, DropReason, LowerVerdict, Mode, Peer, PeerKind, PortKey,
    PortRow, Profile, ProgramRef, Ranked, RuleKey, TenantId,
};

/// What happens to a packet, and why.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allow(AllowReason),
    Drop(DropReason),
}

/// Look-ups of compiled rules.
pub trait Rules {
    fn rule(&self, key: &RuleKey) -> Option<ProgramRef>;
    fn port_row(&self, row: u32) -> Option<&PortRow>;
}

/// Who is at the other end, and on which port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    pub direction: Direction,
    pub peer: Peer,
    /// Protocol and destination port.
    pub port: PortKey,
}

/// A verdict with what decided it.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    pub verdict: Verdict,
    /// [`PortRow::admin_rule`] or [`PortRow::lower_rule`] of the row that decided, 0 where none did.
    pub rule: u32,
    /// What tenancy in audit mode would have dropped it for.
    pub audited: Option<DropReason>,
}

impl Judgement {
    const fn new(verdict: Verdict, rule: u32) -> Self {
        Self { verdict, rule, audited: None }
    }
}

/// Judges one direction of a flow at one pod.
#[inline(always)]
pub fn judge<R: Rules>(rules: &R, profile: &Profile, question: Question) -> Judgement {
    if profile.written == 0 {
        return Judgement::new(Verdict::Drop(DropReason::Capacity), 0);
    }
    let Some(said) = consult(rules, profile.direction(question.direction), question) else {
        return Judgement::new(Verdict::Drop(DropReason::Capacity), 0);
    };
    weigh(profile, question, &said)
}

/// What the rules of a set say about a flow: nothing, where no rule restricts.
struct Said {
    admin: Ranked,
    lower: Ranked,
    admin_rule: u32,
    lower_rule: u32,
}

/// Asks the programs of the peer's identity and of its CIDR class: of two verdicts the one of higher rank
/// (the smaller number) decides. `None` where a row that should be there is not.
#[inline(always)]
fn consult<R: Rules>(rules: &R, set: &DirectionRules, question: Question) -> Option<Said> {
    let mut said = Said { admin: Ranked::NONE, lower: Ranked::NONE, admin_rule: 0, lower_rule: 0 };
    let (identity, class) = (question.peer.identity(), question.peer.class());
    let mut matched = false;
    if set.flags & DirectionRules::IDENTITIES != 0
        && identity != 0
        && let Some(program) = rules.rule(&RuleKey::identity(set.set, identity))
    {
        matched = true;
        said.hear(search(rules, program, question.port)?);
    }
    if set.flags & DirectionRules::CLASSES != 0
        && class != 0
        && let Some(program) = rules.rule(&RuleKey::class(set.set, class))
    {
        matched = true;
        said.hear(search(rules, program, question.port)?);
    }
    if !matched && set.none.rows() != 0 {
        said.hear(search(rules, set.none, question.port)?);
    }
    Some(said)
}

impl Said {
    #[inline(always)]
    fn hear(&mut self, row: &PortRow) {
        if row.admin < self.admin {
            self.admin = row.admin;
            self.admin_rule = row.admin_rule;
        }
        if row.lower < self.lower {
            self.lower = row.lower;
            self.lower_rule = row.lower_rule;
        }
    }
}

/// The first row of a program that ends at or after `port`.
///
/// Halves the interval a fixed number of times without a branch on what it reads: a verifier that follows
/// both sides of every comparison would not come to an end.
#[inline(always)]
fn search<R: Rules>(rules: &R, program: ProgramRef, port: PortKey) -> Option<&PortRow> {
    let rows = program.rows();
    let mut first = program.first();
    let mut span = rows;
    while span > 1 {
        let half = span / 2;
        let row = rules.port_row(first + half - 1)?;
        // 1 where the row ends before the port, without a branch.
        let before = (row.last.wrapping_sub(port.0) >> 31) & 1;
        first += half * before;
        span -= half;
    }
    rules.port_row(first)
}

/// The order of judgement, given what the rules say.
#[inline(always)]
fn weigh(profile: &Profile, question: Question, said: &Said) -> Judgement {
    let own_node = matches!(question.peer.kind(), PeerKind::OwnNode);
    match said.admin.admin_verdict() {
        AdminVerdict::Accept => return Judgement::new(Verdict::Allow(AllowReason::ClusterPolicy), said.admin_rule),
        AdminVerdict::Deny => return Judgement::new(Verdict::Drop(DropReason::ClusterPolicy), said.admin_rule),
        AdminVerdict::Pass => {}
    }
    if own_node {
        return Judgement::new(Verdict::Allow(AllowReason::OwnNode), 0);
    }
    let foreign = foreign(profile.tenant, question.peer);
    let mode = profile.mode();
    match (mode, foreign) {
        (Mode::Strict, Some(reason)) => Judgement::new(Verdict::Drop(reason), 0),
        (Mode::Audit, Some(reason)) => {
            let mut judgement = lower(said, question, None);
            judgement.audited = Some(reason);
            judgement
        }
        (Mode::Baseline, Some(reason)) if matches!(question.direction, Direction::Ingress) => {
            lower(said, question, Some(reason))
        }
        _ => lower(said, question, None),
    }
}

/// Steps 3 to 6. `isolated`: the reason to drop what baseline isolation does not admit.
#[inline(always)]
fn lower(said: &Said, question: Question, isolated: Option<DropReason>) -> Judgement {
    let unknown = matches!(question.peer.kind(), PeerKind::UnknownPod);
    let drop = |reason: DropReason, rule: u32| {
        Judgement::new(Verdict::Drop(if unknown { DropReason::UnknownEndpoint } else { reason }), rule)
    };
    match (said.lower.lower_verdict(), isolated) {
        (LowerVerdict::AllowNamed, _) | (LowerVerdict::Allow, None) => {
            Judgement::new(Verdict::Allow(AllowReason::NetworkPolicy), said.lower_rule)
        }
        (LowerVerdict::Allow, Some(reason)) => Judgement::new(Verdict::Drop(reason), 0),
        (LowerVerdict::DefaultDeny, _) => drop(DropReason::DefaultDeny, said.lower_rule),
        (LowerVerdict::Invalid, _) => drop(DropReason::InvalidPolicy, said.lower_rule),
        (LowerVerdict::BaselineAccept, _) => {
            Judgement::new(Verdict::Allow(AllowReason::ClusterPolicy), said.lower_rule)
        }
        (LowerVerdict::BaselineDeny, _) => drop(DropReason::ClusterPolicy, said.lower_rule),
        (LowerVerdict::Pass, Some(reason)) => Judgement::new(Verdict::Drop(reason), 0),
        (LowerVerdict::Pass, None) => Judgement::new(Verdict::Allow(AllowReason::NoPolicy), 0),
    }
}

/// Why the other end is foreign to a pod of this tenant, if it is: "another tenant" needs two tenants, and an
/// unknown pod is foreign to every tenant.
#[inline(always)]
fn foreign(tenant: TenantId, peer: Peer) -> Option<DropReason> {
    if tenant.0 == 0 {
        return None;
    }
    match peer.kind() {
        PeerKind::UnknownPod => Some(DropReason::UnknownEndpoint),
        PeerKind::Pod if peer.tenant().0 != 0 && peer.tenant().0 != tenant.0 => {
            if tenant.is_quarantine() || peer.tenant().is_quarantine() {
                Some(DropReason::Quarantine)
            } else {
                Some(DropReason::TenantIsolation)
            }
        }
        _ => None,
    }
}
