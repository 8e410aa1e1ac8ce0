//! What a case says of a flow, in a line: `FROM -> TO PORT… [ipv4|ipv6]: VERDICT`.

use std::fmt;
use std::str::FromStr;

use agent::lab::Flow;
use anyhow::{Context, Result, bail, ensure};
use policy::ask::{DirectionRecord, End, FlowPort, Record, Said};

/// Flows from one end to another.
#[derive(Clone, Debug)]
pub struct Flows {
    pub from: End,
    pub to: End,
    pub ports: Vec<FlowPort>,
    family: Family,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Both,
    V4,
    V6,
}

/// `allow [EGRESS-REASON INGRESS-REASON] [audited REASON]`, or `drop DIRECTION REASON [by RULE, RULE…]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allow { reasons: Option<[String; 2]>, audited: Option<String> },
    Drop { direction: String, reason: String, rules: Option<Vec<String>> },
}

impl FromStr for Flows {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (from, rest) = text.split_once(" -> ").with_context(|| format!("`{text}` is not FROM -> TO PORT"))?;
        let mut words: Vec<&str> = rest.split_whitespace().collect();
        let family = match words.last() {
            Some(&"ipv4") => Family::V4,
            Some(&"ipv6") => Family::V6,
            _ => Family::Both,
        };
        if family != Family::Both {
            words.pop();
        }
        let [to, ports @ ..] = words.as_slice() else { bail!("`{text}` names no destination") };
        ensure!(!ports.is_empty(), "`{text}` names no port");
        let end = |text: &str| text.parse::<End>().map_err(anyhow::Error::msg);
        let ports = ports.iter().map(|port| port.parse().map_err(anyhow::Error::msg)).collect::<Result<_>>()?;
        Ok(Self { from: end(from)?, to: end(to)?, ports, family })
    }
}

impl Flows {
    /// One for each port, of both families.
    pub fn each(&self) -> impl Iterator<Item = Flow> + '_ {
        self.ports.iter().map(|port| Flow { from: self.from.clone(), to: self.to.clone(), port: *port })
    }

    /// True for the record of one of these flows' packets.
    pub fn includes(&self, record: &Record) -> bool {
        let family = match self.family {
            Family::Both => true,
            Family::V4 => record.from_ip.is_ipv4(),
            Family::V6 => record.from_ip.is_ipv6(),
        };
        let ports = self.ports.iter().any(|it| (it.protocol(), it.port()) == (record.protocol, record.port));
        family && ports && self.from.to_string() == *record.from && self.to.to_string() == *record.to
    }
}

impl fmt::Display for Flows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.from, self.to)?;
        self.ports.iter().try_for_each(|port| write!(f, " {port}"))?;
        f.write_str(match self.family {
            Family::Both => "",
            Family::V4 => " ipv4",
            Family::V6 => " ipv6",
        })
    }
}

impl FromStr for Verdict {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (text, rules) = match text.split_once(" by ") {
            Some((text, rules)) => (text, Some(rules.split(", ").map(str::to_owned).collect())),
            None => (text, None),
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let owned = |word: &&str| (*word).to_owned();
        Ok(match (words.as_slice(), rules) {
            (["allow"], None) => Self::Allow { reasons: None, audited: None },
            (["allow", "audited", reason], None) => Self::Allow { reasons: None, audited: Some(owned(reason)) },
            (["allow", egress, ingress], None) => {
                Self::Allow { reasons: Some([owned(egress), owned(ingress)]), audited: None }
            }
            (["drop", direction, reason], rules) => {
                Self::Drop { direction: owned(direction), reason: owned(reason), rules }
            }
            _ => bail!("`{text}` is no verdict"),
        })
    }
}

impl Verdict {
    /// How a record differs from it; `None` where it does not.
    pub fn difference(&self, record: &Record) -> Option<String> {
        let said = match self {
            Self::Allow { reasons, .. } => Self::Allow {
                reasons: reasons.as_ref().map(|_| [record.egress.reason, record.ingress.reason].map(str::to_owned)),
                audited: record.audited.map(str::to_owned),
            },
            Self::Drop { rules, .. } => match record.dropped_by() {
                Some((direction, at)) => Self::dropped(direction, at, rules.is_some()),
                None => Self::Allow { reasons: None, audited: None },
            },
        };
        let agrees = said == *self && (record.verdict == Said::Allow) == matches!(self, Self::Allow { .. });
        (!agrees).then(|| match record.dropped_by() {
            Some((direction, at)) => Self::dropped(direction, at, true).to_string(),
            None => said.to_string(),
        })
    }

    fn dropped(direction: &str, at: &DirectionRecord, with_rules: bool) -> Self {
        let rules = with_rules.then(|| at.rules.clone());
        Self::Drop { direction: direction.to_owned(), reason: at.reason.to_owned(), rules }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow { reasons, audited } => {
                f.write_str("allow")?;
                reasons.as_ref().map_or(Ok(()), |[egress, ingress]| write!(f, " {egress} {ingress}"))?;
                audited.as_ref().map_or(Ok(()), |reason| write!(f, " audited {reason}"))
            }
            Self::Drop { direction, reason, rules } => {
                write!(f, "drop {direction} {reason}")?;
                rules.as_ref().map_or(Ok(()), |rules| write!(f, " by {}", rules.join(", ")))
            }
        }
    }
}
