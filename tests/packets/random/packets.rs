//! Random packets: mostly well-formed ones between known ends, some of them damaged, some of them noise.

use std::net::{IpAddr, Ipv4Addr};

use common::abi::Direction;
use tests::frames::{self, Ends, ICMP, ICMPV6, Ipv4, SCTP, TCP, UDP};
use tests::host::HostFrame;
use tests::random::Random;

use crate::DIRECTIONS;
use crate::world::World;

/// The shortest frame that the kernel runs whatever is in it.
const SHORTEST: usize = 54;

pub fn random(random: &mut Random, world: &World) -> (Direction, HostFrame) {
    let direction = *random.pick(&DIRECTIONS);
    let place = if random.chance(2) { 2 } else { random.below(2) };
    let ifindex = world.interfaces[usize::try_from(place).unwrap()];
    let ingress = if random.chance(20) { 0 } else { *random.pick(&world.interfaces) };
    let ends = ends(random, world, direction, usize::try_from(place.min(1)).unwrap());
    let mut bytes = match random.below(40) {
        0 => arp(random, world, &ends),
        1 => noise(random),
        2 => ends.ethernet(*random.pick(&[0x8100, 0x88a8, 0x0800, 0x86dd, 0x0806, 0x1234]), &[7; 60]),
        3 | 4 => neighbour(random, world, &ends),
        _ => packet(random, world, &ends),
    };
    if random.chance(5) {
        damage(random, &mut bytes);
    }
    if bytes.len() < SHORTEST {
        bytes.resize(SHORTEST, 0);
    }
    (direction, HostFrame::new(bytes, ifindex, ingress))
}

/// The ends of a packet that the pod at `place` may send or get, one of them wrong now and then.
fn ends(random: &mut Random, world: &World, direction: Direction, place: usize) -> Ends {
    let v4 = random.chance(60);
    let any = |random: &mut Random| -> IpAddr {
        if v4 { (*random.pick(&world.v4)).into() } else { (*random.pick(&world.v6)).into() }
    };
    let own: IpAddr = if v4 { world.v4[place + 1].into() } else { world.v6[place + 1].into() };
    let own = match random.below(20) {
        0 => any(random),
        1 if !v4 => world.v6[12 + place].into(),
        _ => own,
    };
    let own_mac = if random.chance(4) { *random.pick(&world.macs) } else { world.macs[place] };
    let (other, other_mac) = (any(random), *random.pick(&world.macs));
    match direction {
        Direction::Egress => Ends { source_mac: own_mac, destination_mac: other_mac, source: own, destination: other },
        Direction::Ingress => Ends { source_mac: other_mac, destination_mac: own_mac, source: other, destination: own },
    }
}

fn packet(random: &mut Random, world: &World, ends: &Ends) -> Vec<u8> {
    let (protocol, transport) = transport(random, world, ends);
    match (ends.source, ends.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let (more_fragments, fragment_offset) = fragment(random);
            let options = if random.chance(10) { vec![1; 4 * usize::from(1 + random.byte() % 10)] } else { Vec::new() };
            let id = u16::from(random.byte() % 4);
            let header = Ipv4 { source, destination, protocol, options, id, more_fragments, fragment_offset };
            ends.ethernet(0x0800, &frames::ipv4(&header, &transport))
        }
        _ => ends.ip6(random, protocol, transport),
    }
}

/// More fragments, and the offset.
fn fragment(random: &mut Random) -> (bool, u16) {
    match random.below(20) {
        0 => (true, 0),
        1 => (random.chance(50), u16::from(random.byte() % 6)),
        _ => (false, 0),
    }
}

trait Extended {
    fn ip6(&self, random: &mut Random, protocol: u8, transport: Vec<u8>) -> Vec<u8>;
}

impl Extended for Ends {
    fn ip6(&self, random: &mut Random, protocol: u8, transport: Vec<u8>) -> Vec<u8> {
        let (mut next, mut payload) = (protocol, transport);
        let (more, offset) = fragment(random);
        if more || offset != 0 {
            payload = frames::fragment_header(next, offset, more, u32::from(random.byte() % 4), &payload);
            next = 44;
        }
        if random.chance(10) {
            for _ in 0..random.below(10) {
                payload = frames::extension(next, &payload);
                next = *random.pick(&[0, 43, 60, 135]);
            }
        }
        self.ip(next, &payload)
    }
}

fn transport(random: &mut Random, world: &World, ends: &Ends) -> (u8, Vec<u8>) {
    let (source, destination) = (*random.pick(&world.ports), *random.pick(&world.ports));
    let flags =
        *random.pick(&[frames::SYN, frames::SYN | frames::ACK, frames::ACK, frames::ACK | frames::FIN, frames::RST, 0]);
    match random.below(12) {
        0..=4 => (TCP, frames::tcp(source, destination, flags)),
        5..=7 => (UDP, frames::udp(source, destination, b"0123456789")),
        8 => (SCTP, frames::sctp(source, destination, random.byte() % 4)),
        9 | 10 => icmp(random, world, ends),
        _ => (*random.pick(&[0, 2, 4, 41, 47, 50, 59, 103, 115, 137, 253]), vec![random.byte(); 24]),
    }
}

fn icmp(random: &mut Random, world: &World, ends: &Ends) -> (u8, Vec<u8>) {
    let v4 = ends.source.is_ipv4();
    let kinds = if v4 { [8, 0, 3, 3, 11, 5, 13] } else { [128, 129, 1, 2, 3, 134, 200] };
    let mut body = vec![*random.pick(&kinds), 0, 0, 0, 0, random.byte() % 4, 0, 0];
    // The quoted packet went the other way, or did not.
    let quoted = if random.chance(80) { ends.back() } else { *ends };
    let (protocol, inner) = match random.below(4) {
        0 => (if v4 { ICMP } else { ICMPV6 }, vec![kinds[0], 0, 0, 0, 0, random.byte() % 4, 0, 0]),
        1 => (UDP, frames::udp(*random.pick(&world.ports), *random.pick(&world.ports), b"q")),
        _ => (TCP, frames::tcp(*random.pick(&world.ports), *random.pick(&world.ports), frames::ACK)),
    };
    body.extend(&quoted.ip(protocol, &inner)[14..]);
    (if v4 { ICMP } else { ICMPV6 }, body)
}

fn arp(random: &mut Random, world: &World, ends: &Ends) -> Vec<u8> {
    let sender = match ends.source {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    };
    let mut frame = frames::arp(1 + random.byte() % 2, ends.source_mac, sender, *random.pick(&world.v4));
    frame.resize(SHORTEST, 0);
    frame
}

fn neighbour(random: &mut Random, world: &World, ends: &Ends) -> Vec<u8> {
    let (IpAddr::V6(source), IpAddr::V6(_)) = (ends.source, ends.destination) else {
        return arp(random, world, ends);
    };
    let target = if random.chance(70) { source } else { *random.pick(&world.v6) };
    let mac = if random.chance(70) { ends.source_mac } else { *random.pick(&world.macs) };
    let mut frame = frames::neighbour(ends, 135 + random.byte() % 2, target, mac);
    if random.chance(30) {
        frame[54] = *random.pick(&[130, 131, 132, 133, 134, 137, 143]);
        frame[21] = *random.pick(&[1, 255]);
    }
    frame
}

fn noise(random: &mut Random) -> Vec<u8> {
    (0..SHORTEST + usize::from(random.byte())).map(|_| random.byte()).collect()
}

fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(3) {
        let place = usize::try_from(random.below(u32::try_from(bytes.len()).unwrap())).unwrap();
        bytes[place] = random.byte();
    }
    if random.chance(20) {
        let length = SHORTEST + usize::from(random.byte() % 40);
        bytes.truncate(length);
    }
}
