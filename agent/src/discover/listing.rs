//! The veths of this network namespace, and what is at their other ends.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use rtnetlink::Handle;
use rtnetlink::packet_core::DefaultNla;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};

use crate::net::{address_of, tunnel_ports};

/// `IFLA_TARGET_NETNSID`: ask about the links of another namespace, by the number that this one has for it.
const TARGET_NETNS: u16 = 46;
/// Where IPVS keeps the addresses of Services: they are not the node's.
const IPVS_DEVICE: &str = "kube-ipvs0";

/// What the kernel said about this namespace at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// By interface index, in this namespace.
    pub veths: BTreeMap<u32, Veth>,
    /// Every address of this namespace's own interfaces, but for those of Services.
    pub addresses: BTreeSet<IpAddr>,
    /// UDP ports of this namespace's own tunnel devices.
    pub tunnel_ports: BTreeSet<u16>,
}

/// The near end of a veth pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Veth {
    pub name: String,
    /// Index of the bridge whose port it is.
    pub bridge: Option<u32>,
    /// `None` where the far end is in this namespace, too, or its namespace is just going away.
    pub behind: Option<Behind>,
}

impl Listing {
    /// What is known to be behind a veth, if its far end is still where it was.
    fn behind(&self, ifindex: u32, far: (i32, u32)) -> Option<&Behind> {
        let veth = self.veths.get(&ifindex).filter(|veth| !veth.addresses().is_empty())?;
        veth.behind.as_ref().filter(|behind| (behind.netns, behind.ifindex) == far)
    }
}

impl Veth {
    /// The addresses behind it that are no link-local ones.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        let is_local = |address: &IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        let behind = self.behind.iter().flat_map(|behind| &behind.addresses);
        behind.filter(|address| !is_local(address)).copied().collect()
    }
}

/// The far end of a veth pair, in another namespace. The pod may choose all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// The number that this namespace has for the other one.
    pub netns: i32,
    /// Index there.
    pub ifindex: u32,
    pub mac: [u8; 6],
    /// In the kernel's order, link-local ones too.
    pub addresses: Vec<IpAddr>,
}

/// An rtnetlink socket that lists the namespace that it was made in.
#[derive(Clone, Debug)]
pub struct Lister {
    handle: Handle,
}

impl Lister {
    /// Needs a tokio runtime, which drives the socket.
    ///
    /// # Errors
    /// The kernel refuses the socket.
    pub fn open() -> Result<Self> {
        // Without strict checks the kernel ignores which namespace it is asked about.
        let opened = rtnetlink::new_connection_with_strict_check();
        let (connection, handle, _) = opened.context("cannot open an rtnetlink socket")?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// Lists every veth, and what is behind those whose other end is elsewhere. What `known` tells of a veth is not asked
    /// again: on a node with many pods that is nearly all.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub async fn list(&self, known: &Listing) -> Result<Listing> {
        let links = self.links(None).await.context("cannot list the interfaces")?;
        let bridges: BTreeSet<u32> = links.iter().filter(|link| is(link, &InfoKind::Bridge)).map(index).collect();
        let services = links.iter().find(|link| name(link) == IPVS_DEVICE).map(index);
        let addresses = self.addresses(None).await.context("cannot list the addresses")?;
        let own = addresses.iter().filter(|message| Some(message.header.index) != services);
        let mut listing = Listing {
            addresses: own.filter_map(address_of).collect(),
            tunnel_ports: links.iter().flat_map(tunnel_ports).collect(),
            ..Listing::default()
        };
        let mut elsewhere = BTreeMap::new();
        for link in links.iter().filter(|link| is(link, &InfoKind::Veth)) {
            let behind = match far_end(link) {
                Some(far) => match known.behind(index(link), far) {
                    Some(behind) => Some(behind.clone()),
                    None => self.netns(&mut elsewhere, far.0).await.get(&far.1).cloned(),
                },
                None => None,
            };
            let bridge = controller(link).filter(|bridge| bridges.contains(bridge));
            listing.veths.insert(index(link), Veth { name: name(link).to_owned(), bridge, behind });
        }
        Ok(listing)
    }

    /// The links of another namespace, which is asked once a listing. One that goes away meanwhile has none.
    async fn netns<'a>(
        &self,
        known: &'a mut BTreeMap<i32, BTreeMap<u32, Behind>>,
        netns: i32,
    ) -> &'a BTreeMap<u32, Behind> {
        match known.entry(netns) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(self.look_into(netns).await.unwrap_or_default()),
        }
    }

    async fn look_into(&self, netns: i32) -> Result<BTreeMap<u32, Behind>, rtnetlink::Error> {
        let addresses = self.addresses(Some(netns)).await?;
        let links = self.links(Some(netns)).await?;
        let behind = |link: &LinkMessage| {
            let here = addresses.iter().filter(|message| message.header.index == index(link));
            let addresses = here.filter_map(address_of).collect();
            Some((index(link), Behind { netns, ifindex: index(link), mac: mac(link)?, addresses }))
        };
        Ok(links.iter().filter_map(behind).collect())
    }

    async fn links(&self, netns: Option<i32>) -> Result<Vec<LinkMessage>, rtnetlink::Error> {
        let mut request = self.handle.link().get();
        if let Some(netns) = netns {
            let target = DefaultNla::new(TARGET_NETNS, netns.to_ne_bytes().to_vec());
            request.message_mut().attributes.push(LinkAttribute::Other(target));
        }
        request.execute().try_collect().await
    }

    async fn addresses(&self, netns: Option<i32>) -> Result<Vec<AddressMessage>, rtnetlink::Error> {
        let mut request = self.handle.address().get();
        request.message_mut().attributes.extend(netns.map(AddressAttribute::TargetNetNsId));
        request.execute().try_collect().await
    }
}

const fn index(link: &LinkMessage) -> u32 {
    link.header.index
}

fn name(link: &LinkMessage) -> &str {
    let name = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.as_str()),
        _ => None,
    });
    name.unwrap_or_default()
}

fn is(link: &LinkMessage, kind: &InfoKind) -> bool {
    let infos = link.attributes.iter().filter_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => Some(infos),
        _ => None,
    });
    infos.flatten().any(|info| matches!(info, LinkInfo::Kind(found) if found == kind))
}

fn controller(link: &LinkMessage) -> Option<u32> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Controller(index) => Some(*index),
        _ => None,
    })
}

/// The namespace that the other end is in, and its index there.
fn far_end(link: &LinkMessage) -> Option<(i32, u32)> {
    let mut far = (None, None);
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::LinkNetNsId(netns) => far.0 = Some(*netns),
            LinkAttribute::Link(index) => far.1 = Some(*index),
            _ => {}
        }
    }
    Some((far.0?, far.1?))
}

fn mac(link: &LinkMessage) -> Option<[u8; 6]> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Address(bytes) => <[u8; 6]>::try_from(bytes.as_slice()).ok(),
        _ => None,
    })
}
