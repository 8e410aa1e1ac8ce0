//! Random tables: few enough addresses, identities and ports that most packets meet a rule.

use std::net::{Ipv4Addr, Ipv6Addr};

use common::abi::{
    Address, AdminVerdict, Backend, Backends, DelegateKey, DirectionRules, Endpoint, Interface, Lead, LowerVerdict,
    Mac, Peer, PeerKind, PortKey, PortRow, Profile, ProgramRef, Ranked, RuleKey, ServiceKey, TenantId, tunnel_bit,
};
use common::parse::protocol;
use policy::compile::Tables;

use crate::random::Random;

/// The tables, and what packets are made of.
pub struct World {
    pub tables: Tables,
    /// Interfaces of the endpoints, then others.
    pub interfaces: Vec<u32>,
    pub v4: Vec<Ipv4Addr>,
    pub v6: Vec<Ipv6Addr>,
    pub macs: Vec<[u8; 6]>,
    pub ports: Vec<u16>,
}

const PROGRAMS: u32 = 24;
const SETS: u32 = 4;
const IDENTITIES: u32 = 5;
const CLASSES: u32 = 4;
const GROUPS: u32 = 12;
/// The profile after the last one was never written.
pub const PROFILES: u32 = 40;

pub fn random(random: &mut Random, [first, second]: [u32; 2]) -> World {
    let macs = vec![[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 9], [0xff; 6], [0x33, 0x33, 0, 0, 0, 1]];
    let mut world = World {
        tables: Tables::default(),
        interfaces: vec![first, second, 1],
        v4: (0..12).map(|last| Ipv4Addr::new(10, 244, 0, last)).collect(),
        v6: (0..12).map(|last| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last)).collect(),
        macs,
        ports: vec![67, 80, 81, 443, 547, 4789, 8080, 32768, 40000, 60999, 61000],
    };
    world.v4.extend([Ipv4Addr::new(192, 168, 1, 7), Ipv4Addr::new(224, 0, 0, 251), Ipv4Addr::BROADCAST]);
    world.v4.push(Ipv4Addr::UNSPECIFIED);
    world.v6.extend(world.macs[..3].iter().map(link_local));
    world.v6.extend([Ipv6Addr::UNSPECIFIED, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)]);
    world.v6.push(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
    endpoints(random, &mut world, [first, second]);
    peers(random, &mut world);
    services(random, &mut world);
    rules(random, &mut world.tables);
    let (word, bit) = tunnel_bit(4789);
    world.tables.tunnels.insert(word, bit);
    world
}

fn link_local(mac: &[u8; 6]) -> Ipv6Addr {
    let endpoint = Endpoint {
        profile: 0,
        id: 0,
        ifindex: 0,
        v4: [0; 4],
        mac: Mac::new(*mac),
        flags: 0,
        adopt_until: 0,
        v6: [0; 16],
    };
    endpoint.link_local().octets().into()
}

fn endpoints(random: &mut Random, world: &mut World, veths: [u32; 2]) {
    for (slot, ifindex) in (0..).zip(veths) {
        let index = usize::try_from(slot).unwrap();
        let flags = match random.below(8) {
            0 => Endpoint::PENDING,
            1 => Endpoint::ROUTER,
            2 => Endpoint::PENDING | Endpoint::HELD,
            _ => 0,
        };
        let endpoint = Endpoint {
            profile: u64::from(random.below(PROFILES + 1)),
            id: slot + 1,
            ifindex,
            v4: world.v4[index + 1].octets(),
            mac: Mac::new(world.macs[index]),
            flags,
            adopt_until: if random.chance(30) { u32::MAX >> 2 } else { 0 },
            v6: world.v6[index + 1].octets(),
        };
        world.tables.endpoints.insert(slot, endpoint);
        world.tables.interfaces.insert(ifindex, Interface::endpoint(ifindex, slot));
    }
    if random.chance(50) {
        world.tables.interfaces.insert(1, Interface::bridge(1));
    }
}

fn peers(random: &mut Random, world: &mut World) {
    let kinds = [
        PeerKind::External,
        PeerKind::Pod,
        PeerKind::OwnNode,
        PeerKind::OtherNode,
        PeerKind::UnknownPod,
        PeerKind::LocalPod,
    ];
    let tenants = [0, 0, 1, 2, TenantId::QUARANTINE | 3];
    let v4 = world.v4.iter().map(|address| Address::v4(address.octets()));
    let addresses = v4.chain(world.v6.iter().map(|address| Address::v6(address.octets())));
    for address in addresses {
        if random.chance(70) {
            let tenant = TenantId(*random.pick(&tenants));
            let peer = Peer::new(*random.pick(&kinds), random.below(IDENTITIES), random.below(CLASSES), tenant);
            let peer = if random.chance(30) { peer.closed() } else { peer };
            let peer = if random.chance(30) { peer.claimed() } else { peer };
            world.tables.peers.insert(address, peer);
        }
    }
    for range in ["10.244.0.0/16", "10.244.0.8/29", "192.168.0.0/16", "0.0.0.0/0", "fd00::/64", "2001:db8::/32"] {
        if random.chance(50) {
            let kind = *random.pick(&[PeerKind::UnknownPod, PeerKind::Service, PeerKind::External, PeerKind::External]);
            let peer = Peer::new(kind, 0, random.below(CLASSES), TenantId::PLATFORM);
            world.tables.ranges.insert(range.parse().unwrap(), peer);
        }
    }
}

fn services(random: &mut Random, world: &mut World) {
    let own = world.tables.endpoints.values().map(|endpoint| Address::v4(endpoint.v4)).collect::<Vec<_>>();
    let peers: Vec<Peer> = world.tables.peers.values().copied().collect();
    for number in 1..=GROUPS {
        let kind = |random: &mut Random| Backend::new(*random.pick(&peers), *random.pick(&world.ports));
        let mut backends = Backends { kinds: u64::from(random.below(4)), only: kind(random), ..Backends::UNKNOWN };
        if random.chance(20) {
            backends.alone = *random.pick(&own);
        }
        world.tables.backends.insert(number, backends);
        for profile in world.tables.profiles.values() {
            let delegate = if random.chance(30) { kind(random).differ() } else { kind(random) };
            if random.chance(80) {
                world.tables.delegates.insert(DelegateKey::new(number, profile), delegate);
            }
        }
    }
    let v4 = world.v4.iter().map(|address| Address::v4(address.octets()));
    let addresses: Vec<Address> = v4.chain(world.v6.iter().map(|address| Address::v6(address.octets()))).collect();
    for address in addresses {
        for (protocol, port) in [protocol::TCP, protocol::UDP, protocol::SCTP]
            .iter()
            .flat_map(|protocol| world.ports.iter().map(move |it| (protocol, it)))
        {
            if random.chance(20) {
                let key = ServiceKey { address, port: PortKey::new(*protocol, *port) };
                // 0 was never written.
                let lead = Lead::new(random.below(GROUPS + 1));
                world.tables.services.insert(key, if random.chance(30) { lead.chosen() } else { lead });
            }
        }
    }
}

fn rules(random: &mut Random, tables: &mut Tables) {
    let programs: Vec<_> = (0..PROGRAMS).map(|_| program(random, tables)).collect();
    for set in 1..=SETS {
        for identity in 1..IDENTITIES {
            if random.chance(50) {
                tables.rules.insert(RuleKey::identity(set, identity), *random.pick(&programs));
            }
        }
        for class in 1..CLASSES {
            if random.chance(50) {
                tables.rules.insert(RuleKey::class(set, class), *random.pick(&programs));
            }
        }
    }
    for index in 0..PROFILES {
        let profile = Profile {
            rules: [direction(random, &programs), direction(random, &programs)],
            tenant: TenantId(*random.pick(&[0, 1, 1, 2, TenantId::QUARANTINE | 3])),
            mode: random.below(4) as u16,
            agent_port: *random.pick(&[0, 0, 80, 8080]),
            written: 1,
        };
        tables.profiles.insert(index, profile);
    }
}

fn direction(random: &mut Random, programs: &[ProgramRef]) -> DirectionRules {
    if random.chance(20) {
        return DirectionRules::default();
    }
    let none = if random.chance(20) { ProgramRef::default() } else { *random.pick(programs) };
    DirectionRules { none, set: 1 + random.below(SETS), flags: random.below(4) }
}

/// A program of 1 to 40 rows; now and then one that points to rows that were never written.
fn program(random: &mut Random, tables: &mut Tables) -> ProgramRef {
    if random.chance(3) {
        return ProgramRef::new(u32::MAX >> 1, 3);
    }
    let rows = if random.chance(50) { 1 } else { 1 + random.below(40) };
    let mut ends: Vec<_> = (1..rows).map(|_| last(random)).collect();
    ends.push(PortKey::LAST.0);
    ends.sort_unstable();
    ends.dedup();
    let first = tables.ports.last_key_value().map_or(0, |(row, _)| row + 1);
    for (row, last) in (first..).zip(&ends) {
        tables.ports.insert(row, port_row(random, *last));
    }
    ProgramRef::new(first, u32::try_from(ends.len()).unwrap())
}

fn last(random: &mut Random) -> u32 {
    let protocol = *random.pick(&[0, 1, 5, 6, 6, 16, 17, 58, 132]);
    let port = *random.pick(&[0, 66, 67, 79, 80, 443, 8080, 40000, 65535]);
    PortKey::new(protocol, port).0
}

fn port_row(random: &mut Random, last: u32) -> PortRow {
    let admin = match random.below(8) {
        0 => Ranked::admin(random.below(9), AdminVerdict::Accept),
        1 => Ranked::admin(random.below(9), AdminVerdict::Deny),
        2 => Ranked::admin(random.below(9), AdminVerdict::Pass),
        _ => Ranked::NONE,
    };
    let lower = match random.below(9) {
        0 => Ranked::lower(0, LowerVerdict::AllowNamed),
        1 | 2 => Ranked::lower(1, LowerVerdict::Allow),
        3 => Ranked::lower(2, LowerVerdict::Invalid),
        4 => Ranked::lower(3, LowerVerdict::DefaultDeny),
        5 => Ranked::lower(LowerVerdict::BASELINE_RANK + random.below(5), LowerVerdict::BaselineAccept),
        6 => Ranked::lower(LowerVerdict::BASELINE_RANK + random.below(5), LowerVerdict::BaselineDeny),
        7 => Ranked::lower(LowerVerdict::BASELINE_RANK + random.below(5), LowerVerdict::Pass),
        _ => Ranked::NONE,
    };
    PortRow { last, admin, lower, admin_rule: random.below(100), lower_rule: 100 + random.below(100), _zero: 0 }
}
