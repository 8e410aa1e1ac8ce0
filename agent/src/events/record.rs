//! A dropped packet in names: what scripts read as JSON and people as one line.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use policy::model::printable;
use serde::Serialize;

/// Why one packet was dropped, or would have been.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DropRecord {
    pub time: Timestamp,
    /// `drop`, or `allow` where tenancy is in audit mode.
    pub verdict: &'static str,
    /// Whose rules decided: `egress` the source pod's, `ingress` the destination pod's.
    pub direction: &'static str,
    /// A reason of CONTRACT.md §4.
    pub reason: &'static str,
    pub source: End,
    pub destination: End,
    /// `TCP`, `UDP`, …, or a number; for what is not IP its EtherType.
    pub protocol: String,
    /// What decided, as `explain` says it. Empty where no rule did.
    pub rules: Vec<String>,
    /// The reason again, where the packet passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audited: Option<&'static str>,
}

/// One end of a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// What the packet says; none in what is not IP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    /// None for what has no ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// `NAMESPACE/POD`: behind the veth, or by its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Of the sender, where the address alone does not tell who it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}

/// What, from whom to whom, why, by which policy.
impl fmt::Display for DropRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.audited.is_some() { "would drop" } else { "drop" };
        write!(f, "{what} {} {} -> {}: {}", self.protocol, self.source, self.destination, self.reason)?;
        write!(f, " ({})", self.direction)?;
        if !self.rules.is_empty() {
            write!(f, " by {}", printable(&self.rules.join(", ")))?;
        }
        Ok(())
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address();
        // A record is one line, whatever a name holds.
        match (self.pod.as_deref().map(printable), &address) {
            (Some(pod), None) => write!(f, "{pod}")?,
            (Some(pod), Some(address)) => write!(f, "{pod} {address}")?,
            (None, Some(address)) => write!(f, "{address}")?,
            (None, None) => write!(f, "somebody")?,
        }
        if let Some(mac) = &self.mac {
            write!(f, " {mac}")?;
        }
        if let Some(tenant) = &self.tenant {
            write!(f, " [{}]", printable(tenant))?;
        }
        Ok(())
    }
}

impl End {
    fn address(&self) -> Option<String> {
        match (self.ip?, self.port) {
            (IpAddr::V6(ip), Some(port)) => Some(format!("[{ip}]:{port}")),
            (ip, Some(port)) => Some(format!("{ip}:{port}")),
            (ip, None) => Some(ip.to_string()),
        }
    }
}
