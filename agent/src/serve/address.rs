//! Where metrics and health are served.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::sync::watch::Receiver;

use crate::node::Status;

/// `IP:PORT`, or `:PORT` for the node's own address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricsAddress {
    ip: Option<IpAddr>,
    port: u16,
}

impl FromStr for MetricsAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(port) = text.strip_prefix(':').and_then(|port| port.parse().ok()) {
            return Ok(Self { ip: None, port });
        }
        let address: SocketAddr =
            text.parse().map_err(|_| "write it like 10.0.0.7:9469, [fd00::7]:9469 or :9469".to_owned())?;
        if address.ip().is_unspecified() {
            // At a gateway of pods it would be open to whoever the datapath does not know for a node.
            return Err(format!(
                "{} is every address of the node: name one, or write :{}",
                address.ip(),
                address.port()
            ));
        }
        Ok(Self { ip: Some(address.ip()), port: address.port() })
    }
}

impl MetricsAddress {
    /// The node's own address, at this port.
    #[must_use]
    pub const fn at_port(port: u16) -> Self {
        Self { ip: None, port }
    }

    #[must_use]
    pub const fn port(self) -> u16 {
        self.port
    }

    /// With this IP, unless it has one already.
    #[must_use]
    pub fn or(self, ip: Option<IpAddr>) -> Self {
        Self { ip: self.ip.or(ip), ..self }
    }

    /// The address to listen on. Without one the first of the Node object's, as soon as that is known.
    ///
    /// # Errors
    /// The agent has ended.
    pub(super) async fn resolve(self, status: &mut Receiver<Arc<Status>>) -> Result<SocketAddr> {
        let ip = match self.ip {
            Some(ip) => ip,
            None => {
                let known = status.wait_for(|status| address_of(status).is_some()).await;
                let known = known.context("the agent has ended")?;
                address_of(&known).context("the node has no address")?
            }
        };
        Ok(SocketAddr::new(ip, self.port))
    }
}

fn address_of(status: &Status) -> Option<IpAddr> {
    let world = &status.enforced.as_ref()?.snapshot.world;
    world.nodes.get(&status.node)?.addresses.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_with_its_port() {
        let parse = |text: &str| text.parse::<MetricsAddress>();
        assert_eq!(parse(":9469"), Ok(MetricsAddress { ip: None, port: 9469 }));
        assert_eq!(parse("10.0.0.7:1"), Ok(MetricsAddress { ip: Some([10, 0, 0, 7].into()), port: 1 }));
        assert_eq!(parse("[fd00::7]:9469").map(|address| address.port), Ok(9469));
        for wrong in ["", "9469", "10.0.0.7", "fd00::7", ":70000", "0.0.0.0:9469", "[::]:9469"] {
            parse(wrong).expect_err(wrong);
        }
    }
}
