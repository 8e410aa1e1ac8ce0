//! What was observed beside what was expected.

use std::collections::BTreeMap;

use policy::ask::{Record, Said};
use serde::Serialize;

use crate::events::DropRecord;

/// A record of the matrix, and what became of a real packet.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    #[serde(flatten)]
    pub record: Record,
    pub observed: Said,
    /// For a drop, what the kernel gave as its reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_rules: Option<Vec<String>>,
    /// Whose rules decided, the source pod's or the destination pod's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_direction: Option<&'static str>,
}

/// Everything that was sent.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename = "Check")]
pub struct Report {
    pub verdicts: Vec<Checked>,
    /// By `NAMESPACE/POD`.
    #[serde(skip)]
    pub tenants: BTreeMap<String, String>,
}

impl Checked {
    /// `drop`: what the kernel said about the packet, if that did not arrive.
    #[must_use]
    pub fn new(record: Record, arrived: bool, drop: Option<&DropRecord>) -> Self {
        Self {
            record,
            observed: if arrived { Said::Allow } else { Said::Drop },
            observed_reason: drop.map(|drop| drop.reason),
            observed_rules: drop.map(|drop| drop.rules.clone()),
            observed_direction: drop.map(|drop| drop.direction),
        }
    }

    /// What the kernel said about a packet that did not arrive.
    #[must_use]
    pub fn observed_because(&self) -> String {
        match (self.observed_reason, self.observed_direction) {
            (Some(reason), Some(direction)) => {
                because(reason, direction, self.observed_rules.as_deref().unwrap_or_default())
            }
            _ => "the kernel gave no reason".to_owned(),
        }
    }

    /// How the kernel and the model differ: in the verdict, or in the reason of a drop. `None` where they agree.
    #[must_use]
    pub fn difference(&self) -> Option<String> {
        let Self { record, observed, observed_reason, observed_rules, observed_direction } = self;
        let expected = record.dropped_by();
        match (expected, observed) {
            (None, Said::Allow) => None,
            (Some((direction, expected)), Said::Allow) => {
                let why = because(expected.reason, direction, &expected.rules);
                Some(format!("the packet arrived; expected: drop, {why}"))
            }
            (expected, Said::Drop) => {
                let seen = observed_reason
                    .zip(*observed_direction)
                    .map(|(reason, direction)| (direction, reason, observed_rules.as_deref().unwrap_or_default()));
                let wanted = expected.map(|(direction, at)| (direction, at.reason, at.rules.as_slice()));
                if seen.is_some() && seen == wanted {
                    return None;
                }
                let say = |known: Option<(&str, &str, &[String])>, unknown: &str| match known {
                    Some((direction, reason, rules)) => format!("drop, {}", because(reason, direction, rules)),
                    None => unknown.to_owned(),
                };
                let seen = say(seen, "the packet did not arrive, and the kernel gave no reason");
                Some(format!("{seen}; expected: {}", say(wanted, "allow")))
            }
        }
    }
}

impl Report {
    #[must_use]
    pub const fn new(verdicts: Vec<Checked>, tenants: BTreeMap<String, String>) -> Self {
        Self { verdicts, tenants }
    }

    /// How many records differ from the model.
    #[must_use]
    pub fn differences(&self) -> usize {
        self.verdicts.iter().filter(|checked| checked.difference().is_some()).count()
    }
}

/// `default_deny at ingress, by networkpolicy/y/deny-all`
fn because(reason: &str, direction: &str, rules: &[String]) -> String {
    match rules {
        [] => format!("{reason} at {direction}"),
        rules => format!("{reason} at {direction}, by {}", rules.join(", ")),
    }
}
