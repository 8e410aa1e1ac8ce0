//! One verdict, as JSON has it (CONTRACT.md §4).

use std::net::IpAddr;
use std::sync::Arc;

use common::abi::AllowReason;
use serde::{Serialize, Serializer};

use super::FlowPort;
use super::end::Party;

/// A reason in [`DirectionRecord`] beside the closed list: the end has no judgement of its own.
const NOT_JUDGED: &str = "not_judged";

/// Allow or drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Said {
    Allow,
    Drop,
}

impl Said {
    /// As in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Drop => "drop",
        }
    }
}

/// A flow from one end to another, and whether it may be opened. Cheap to clone: millions share names and directions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    #[serde(serialize_with = "shared")]
    pub from: Arc<str>,
    #[serde(rename = "fromIP")]
    pub from_ip: IpAddr,
    #[serde(serialize_with = "shared")]
    pub to: Arc<str>,
    #[serde(rename = "toIP")]
    pub to_ip: IpAddr,
    pub protocol: &'static str,
    /// 0 for ICMP.
    pub port: u16,
    pub verdict: Said,
    /// What tenancy in audit mode would have dropped it for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audited: Option<&'static str>,
    #[serde(serialize_with = "shared")]
    pub egress: Arc<DirectionRecord>,
    #[serde(serialize_with = "shared")]
    pub ingress: Arc<DirectionRecord>,
}

/// The verdict at one end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DirectionRecord {
    pub verdict: Said,
    /// One of the closed list, or `not_judged`.
    pub reason: &'static str,
    /// What decided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audited: Option<&'static str>,
}

impl DirectionRecord {
    const fn allowed(reason: &'static str) -> Self {
        Self { verdict: Said::Allow, reason, rules: Vec::new(), audited: None }
    }

    pub(super) const fn to_itself() -> Self {
        Self::allowed(AllowReason::SamePod.name())
    }

    pub(super) const fn not_judged() -> Self {
        Self::allowed(NOT_JUDGED)
    }
}

/// What a [`Record`] says, whoever the ends are.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub verdict: Said,
    audited: Option<&'static str>,
    egress: Arc<DirectionRecord>,
    ingress: Arc<DirectionRecord>,
}

impl Answer {
    pub fn of(egress: Arc<DirectionRecord>, ingress: Arc<DirectionRecord>) -> Self {
        let drops = [&egress, &ingress].into_iter().any(|direction| direction.verdict == Said::Drop);
        let verdict = if drops { Said::Drop } else { Said::Allow };
        Self { verdict, audited: egress.audited.or(ingress.audited), egress, ingress }
    }

    pub fn about(&self, from: &Party, to: &Party, port: FlowPort) -> Record {
        Record {
            from: Arc::clone(&from.name),
            from_ip: from.address,
            to: Arc::clone(&to.name),
            to_ip: to.address,
            protocol: port.protocol(),
            port: port.port(),
            verdict: self.verdict,
            audited: self.audited,
            egress: Arc::clone(&self.egress),
            ingress: Arc::clone(&self.ingress),
        }
    }
}

fn shared<T: Serialize + ?Sized, S: Serializer>(value: &Arc<T>, serializer: S) -> Result<S::Ok, S::Error> {
    value.as_ref().serialize(serializer)
}

impl Record {
    /// The verdicts in the order of judgement.
    #[must_use]
    pub fn directions(&self) -> [(&'static str, &DirectionRecord); 2] {
        [("egress", &self.egress), ("ingress", &self.ingress)]
    }

    /// The direction that drops, the first one of two.
    #[must_use]
    pub fn dropped_by(&self) -> Option<(&'static str, &DirectionRecord)> {
        self.directions().into_iter().find(|(_, direction)| direction.verdict == Said::Drop)
    }
}
