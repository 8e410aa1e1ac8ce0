//! One verdict, as JSON has it (CONTRACT.md §4).

use std::net::IpAddr;

use serde::Serialize;

/// Allow or drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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

/// A flow from one end to another, and whether it may be opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    pub from: String,
    #[serde(rename = "fromIP")]
    pub from_ip: IpAddr,
    pub to: String,
    #[serde(rename = "toIP")]
    pub to_ip: IpAddr,
    pub protocol: &'static str,
    /// 0 for ICMP.
    pub port: u16,
    pub verdict: Said,
    /// What tenancy in audit mode would have dropped it for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audited: Option<&'static str>,
    pub egress: DirectionRecord,
    pub ingress: DirectionRecord,
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
    pub(super) const fn allowed(reason: &'static str) -> Self {
        Self { verdict: Said::Allow, reason, rules: Vec::new(), audited: None }
    }
}

impl Record {
    /// The verdicts in the order of judgement.
    #[must_use]
    pub const fn directions(&self) -> [(&'static str, &DirectionRecord); 2] {
        [("egress", &self.egress), ("ingress", &self.ingress)]
    }

    /// The direction that drops, the first one of two.
    #[must_use]
    pub fn dropped_by(&self) -> Option<(&'static str, &DirectionRecord)> {
        self.directions().into_iter().find(|(_, direction)| direction.verdict == Said::Drop)
    }
}
