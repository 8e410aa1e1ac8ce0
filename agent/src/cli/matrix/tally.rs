//! How many flows pass, and what drops the others.

use std::collections::BTreeMap;
use std::fmt;

use policy::ask::Record;

#[derive(Debug, Default)]
pub(super) struct Tally {
    flows: usize,
    audited: usize,
    reasons: BTreeMap<&'static str, usize>,
}

impl Tally {
    pub fn count(&mut self, record: &Record) {
        self.flows += 1;
        self.audited += usize::from(record.audited.is_some());
        if let Some((_, direction)) = record.dropped_by() {
            *self.reasons.entry(direction.reason).or_default() += 1;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dropped: usize = self.reasons.values().sum();
        write!(f, "{} flows: {} allowed, {dropped} dropped", self.flows, self.flows - dropped)?;
        if dropped > 0 {
            let reasons: Vec<String> = self.reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
            write!(f, " ({})", reasons.join(", "))?;
        }
        if self.audited > 0 {
            write!(f, "; tenancy in audit mode would drop {}", self.audited)?;
        }
        Ok(())
    }
}
