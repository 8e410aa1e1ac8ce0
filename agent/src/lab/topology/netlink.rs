//! rtnetlink, bound to one network namespace: the few requests that the lab makes, with errors that name the
//! interface.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage};
use rtnetlink::packet_route::link::{InfoBridge, InfoBridgePort, InfoData, InfoPortData, InfoPortKind, InfoVeth};
use rtnetlink::packet_route::route::RouteScope;
use rtnetlink::{Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};

use crate::net::{NetNs, address_of, tunnel_ports};

/// Six bytes, as on the wire.
pub type Mac = [u8; 6];

/// One end of a veth pair.
#[derive(Debug)]
pub struct End<'a> {
    pub name: &'a str,
    pub mac: Mac,
}

/// A route: to `to`, out of `device`, by way of `via` (taken to be on the link) or directly.
#[derive(Debug)]
pub struct Route {
    pub to: IpNet,
    pub device: u32,
    pub via: Option<IpAddr>,
    /// The source address of what the namespace itself sends.
    pub source: Option<IpAddr>,
}

/// An open rtnetlink socket. Needs a tokio runtime; the socket stays in its namespace whichever thread uses it.
#[derive(Debug)]
pub struct Netlink {
    handle: Handle,
}

impl Netlink {
    /// # Errors
    /// The namespace cannot be entered, or the kernel refuses the socket.
    pub fn open(namespace: &NetNs) -> Result<Self> {
        let runtime = tokio::runtime::Handle::current();
        let (connection, handle, _) = namespace.run(|| {
            let _context = runtime.enter();
            rtnetlink::new_connection()
        })??;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// The index of an interface of this namespace.
    pub async fn index_of(&self, name: &str) -> Result<u32> {
        let mut found = self.handle.link().get().match_name(name).execute();
        let link = found.try_next().await.with_context(|| format!("cannot find the interface {name}"))?;
        Ok(link.with_context(|| format!("there is no interface {name}"))?.header.index)
    }

    /// Creates a veth pair, down at both ends: `near` here, `far` in another namespace.
    pub async fn add_veth(&self, near: &End<'_>, far: &End<'_>, there: &NetNs) -> Result<()> {
        let peer = LinkMessageBuilder::<LinkUnspec>::new()
            .name(far.name)
            .address(far.mac.to_vec())
            .setns_by_fd(there.as_fd().as_raw_fd())
            .build();
        let pair = LinkVeth::new(near.name, far.name)
            .address(near.mac.to_vec())
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .build();
        let added = self.handle.link().add(pair).execute().await;
        added.with_context(|| format!("cannot create the veth {}", near.name))
    }

    /// Creates a bridge, down, that forwards every multicast (it has no querier that would tell it where to).
    pub async fn add_bridge(&self, bridge: &End<'_>) -> Result<u32> {
        let message = LinkMessageBuilder::<LinkBridge>::new(bridge.name)
            .address(bridge.mac.to_vec())
            .append_info_data(InfoBridge::MulticastSnooping(false))
            .build();
        let added = self.handle.link().add(message).execute().await;
        added.with_context(|| format!("cannot create the bridge {}", bridge.name))?;
        self.index_of(bridge.name).await
    }

    /// Makes an interface a port of a bridge, in hairpin mode: a pod may reach itself through a Service.
    pub async fn join_bridge(&self, port: u32, bridge: u32) -> Result<()> {
        let join = LinkUnspec::new_with_index(port).controller(bridge).build();
        self.handle.link().change(join).execute().await.context("cannot make a veth a port of the bridge")?;
        let hairpin = LinkUnspec::new_with_index(port)
            .set_port_kind(InfoPortKind::Bridge)
            .set_port_data(InfoPortData::BridgePort(vec![InfoBridgePort::HairpinMode(true)]))
            .build();
        self.handle.link().change(hairpin).execute().await.context("cannot set a bridge port's hairpin mode")
    }

    pub async fn set_up(&self, index: u32) -> Result<()> {
        let message = LinkUnspec::new_with_index(index).up().build();
        self.handle.link().change(message).execute().await.with_context(|| format!("cannot set interface {index} up"))
    }

    /// Removes an interface, and a veth's other end with it. One that is gone already is no error.
    pub async fn remove_link(&self, index: u32) -> Result<()> {
        match self.handle.link().del(index).execute().await {
            Err(rtnetlink::Error::NetlinkError(error)) if is(&error, libc::ENODEV) => Ok(()),
            other => other.with_context(|| format!("cannot remove interface {index}")),
        }
    }

    /// Adds an address, usable at once (no duplicate address detection). One that is there already is no error.
    pub async fn add_address(&self, index: u32, address: IpNet) -> Result<()> {
        let mut request = self.handle.address().add(index, address.addr(), address.prefix_len()).replace();
        let message = request.message_mut();
        message.header.flags |= AddressHeaderFlags::Nodad;
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        request.execute().await.with_context(|| format!("cannot add the address {address} to interface {index}"))
    }

    /// Removes an address from an interface. One that is gone already is no error.
    pub async fn remove_address(&self, index: u32, address: IpAddr) -> Result<()> {
        for message in self.address_messages().await? {
            if message.header.index == index && address_of(&message) == Some(address) {
                let removed = self.handle.address().del(message).execute().await;
                return removed.with_context(|| format!("cannot remove {address} from interface {index}"));
            }
        }
        Ok(())
    }

    /// Every address of every interface of the namespace, loopback and link-local ones too.
    pub async fn addresses(&self) -> Result<BTreeSet<IpAddr>> {
        Ok(self.address_messages().await?.iter().filter_map(address_of).collect())
    }

    /// UDP ports of the namespace's tunnel devices.
    pub async fn tunnel_ports(&self) -> Result<BTreeSet<u16>> {
        let links: Vec<_> =
            self.handle.link().get().execute().try_collect().await.context("cannot list the interfaces")?;
        Ok(links.iter().flat_map(tunnel_ports).collect())
    }

    async fn address_messages(&self) -> Result<Vec<AddressMessage>> {
        self.handle.address().get().execute().try_collect().await.context("cannot list the addresses")
    }

    /// Adds a route, or replaces the one with the same destination.
    pub async fn add_route(&self, route: &Route) -> Result<()> {
        let mut builder = RouteMessageBuilder::<IpAddr>::new()
            .output_interface(route.device)
            .destination_prefix(route.to.addr(), route.to.prefix_len())?;
        match route.via {
            Some(gateway) => builder = builder.gateway(gateway)?.onlink(),
            None => builder = builder.scope(RouteScope::Link),
        }
        if let Some(source) = route.source {
            builder = builder.pref_source(source)?;
        }
        let added = self.handle.route().add(builder.build()).replace().execute().await;
        added.with_context(|| format!("cannot add the route to {}", route.to))
    }

    /// Removes the route to `to` out of `device`. None there is no error.
    pub async fn remove_route(&self, to: IpNet, device: u32) -> Result<()> {
        let route = RouteMessageBuilder::<IpAddr>::new()
            .output_interface(device)
            .destination_prefix(to.addr(), to.prefix_len())?
            .build();
        match self.handle.route().del(route).execute().await {
            Err(rtnetlink::Error::NetlinkError(error)) if is(&error, libc::ESRCH) => Ok(()),
            other => other.with_context(|| format!("cannot remove the route to {to}")),
        }
    }

    /// Forgets which MAC address belongs to an IP address. Nothing known of it is no error.
    pub async fn forget_neighbour(&self, index: u32, address: IpAddr) -> Result<()> {
        let message = self.handle.neighbours().add(index, address).message_mut().clone();
        match self.handle.neighbours().del(message).execute().await {
            Err(rtnetlink::Error::NetlinkError(error)) if is(&error, libc::ENOENT) => Ok(()),
            other => other.with_context(|| format!("cannot forget the neighbour {address}")),
        }
    }
}

fn is(error: &rtnetlink::packet_core::ErrorMessage, number: i32) -> bool {
    error.raw_code() == -number
}
