//! A verdict, in the words of CONTRACT.md §4.

/// A verdict with its reason, and what may be named for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub allowed: bool,
    pub reason: &'static str,
    pub rules: Rules,
    /// Why tenancy would have dropped it under `audit`.
    pub audited: Option<&'static str>,
}

/// What decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rules {
    /// No rule.
    None,
    /// One of these: rules that allow have no order.
    OneOf(Vec<String>),
    /// All of these, in any order.
    All(Vec<String>),
}

impl Said {
    pub(super) const fn allow(reason: &'static str) -> Self {
        Self { allowed: true, reason, rules: Rules::None, audited: None }
    }

    pub(super) const fn drop(reason: &'static str) -> Self {
        Self { allowed: false, reason, rules: Rules::None, audited: None }
    }

    /// Who is named for it is the judged pod's tenant.
    pub(super) const fn by_tenancy(reason: &'static str) -> Self {
        Self::drop(reason)
    }

    pub(super) fn by(self, rules: Rules) -> Self {
        Self { rules, ..self }
    }

    /// Whether a verdict, its reason, the rules named for it and its mark are what was said. Tenants are not compared.
    #[must_use]
    pub fn is(&self, allowed: bool, reason: &str, rules: &[String], audited: Option<&str>) -> bool {
        let mut named: Vec<&String> = rules.iter().filter(|rule| !rule.starts_with("tenancy/")).collect();
        named.sort();
        let agreed = match &self.rules {
            Rules::None => named.is_empty(),
            Rules::OneOf(all) => matches!(named.as_slice(), [one] if all.contains(one)),
            Rules::All(all) => {
                let mut all: Vec<&String> = all.iter().collect();
                all.sort();
                all == named
            }
        };
        (self.allowed, self.reason, self.audited) == (allowed, reason, audited) && agreed
    }
}
