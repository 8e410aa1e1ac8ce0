//! The UDP ports at which the kernel opens tunnel packets, as its devices say.

use rtnetlink::packet_route::link::{
    InfoAmt, InfoBareUdp, InfoData, InfoGeneve, InfoGre, InfoGre6, InfoIpTunnel, InfoVxlan, LinkAttribute, LinkInfo,
    LinkMessage,
};

/// Those of one device. A tunnel in UDP (FoU, GUE) is opened at the port that its other end sends to, which is the one that
/// it sends to itself wherever both ends are alike.
pub fn tunnel_ports(link: &LinkMessage) -> impl Iterator<Item = u16> {
    let infos = link.attributes.iter().filter_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => Some(infos),
        _ => None,
    });
    let data = infos.flatten().filter_map(|info| match info {
        LinkInfo::Data(data) => Some(data),
        _ => None,
    });
    data.flat_map(ports_of).filter(|port| *port != 0)
}

fn ports_of(data: &InfoData) -> Vec<u16> {
    match data {
        InfoData::Vxlan(infos) => infos.iter().filter_map(vxlan).collect(),
        InfoData::Geneve(infos) => infos.iter().filter_map(geneve).collect(),
        InfoData::BareUdp(infos) => infos.iter().filter_map(bare_udp).collect(),
        InfoData::Amt(infos) => infos.iter().filter_map(amt).collect(),
        InfoData::IpTunnel(infos) => infos.iter().filter_map(ip_tunnel).collect(),
        InfoData::GreTun(infos) | InfoData::GreTap(infos) => infos.iter().filter_map(gre).collect(),
        InfoData::GreTun6(infos) | InfoData::GreTap6(infos) => infos.iter().filter_map(gre6).collect(),
        _ => Vec::new(),
    }
}

const fn vxlan(info: &InfoVxlan) -> Option<u16> {
    if let InfoVxlan::Port(port) = info { Some(*port) } else { None }
}

const fn geneve(info: &InfoGeneve) -> Option<u16> {
    if let InfoGeneve::Port(port) = info { Some(*port) } else { None }
}

const fn bare_udp(info: &InfoBareUdp) -> Option<u16> {
    if let InfoBareUdp::Port(port) = info { Some(*port) } else { None }
}

const fn amt(info: &InfoAmt) -> Option<u16> {
    if let InfoAmt::RelayPort(port) | InfoAmt::GatewayPort(port) = info { Some(*port) } else { None }
}

const fn ip_tunnel(info: &InfoIpTunnel) -> Option<u16> {
    if let InfoIpTunnel::EncapDPort(port) | InfoIpTunnel::EncapSPort(port) = info { Some(*port) } else { None }
}

const fn gre(info: &InfoGre) -> Option<u16> {
    if let InfoGre::DestinationPort(port) | InfoGre::SourcePort(port) = info { Some(*port) } else { None }
}

const fn gre6(info: &InfoGre6) -> Option<u16> {
    if let InfoGre6::DestinationPort(port) | InfoGre6::SourcePort(port) = info { Some(*port) } else { None }
}
