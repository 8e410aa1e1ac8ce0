//! Packets that leave their checksum to the kernel (`PACKET_VNET_HDR`), and have it written over what was judged.
#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expects by failing")]

use std::net::IpAddr;

use agent::lab::{Cni, Lab};
use common::abi::Direction::Egress;
use common::abi::DropReason::Malformed;
use tests::counters::{Counted, Counters};
use tests::frames::{self, Ends, Ipv4};
use tests::inside::{self, EXTERNAL, Inside, RED_AND_BLUE, outside};
use tests::wire::Wire;

const TIMES: u64 = 3;
const FROM: u16 = 47_011;
const TO: u16 = 47_012;
const SYN: u8 = 2;
const ACK: u8 = 16;
/// Bytes of the Ethernet header.
const ETHERNET: u16 = 14;

/// A pod, the world behind an uplink that makes no checksums, and the counters.
struct Field {
    cni: Cni,
    pod: Inside,
    sender: Wire,
    world: Wire,
    node: IpAddr,
    counters: Counters,
}

impl Field {
    fn new(lab: &Lab, cni: Cni) -> Self {
        let pod = Inside::new(lab, cni, "a", "one");
        let [sender, world] = [pod.wire(), Wire::open(&outside(lab), "uplink")];
        let node_ip = inside::listing(lab)["node"]["ips"][0].as_str().expect("an address").parse().expect("an address");
        Self { cni, pod, sender, world, node: node_ip, counters: Counters::open(lab.name()) }
    }

    /// The checksum of each packet is made and written, and it arrives so.
    fn arrives(&mut self, what: &str, (start, offset): (u16, u16), frame: &[u8]) {
        self.counters.restart();
        let _ = self.world.came(|_| false);
        (0..TIMES).for_each(|_| self.sender.send_unsummed(start, offset, frame));
        let ports = &frame[usize::from(start)..usize::from(start) + 4];
        self.world.expect(TIMES as usize, |bytes| bytes.windows(4).any(|window| window == ports));
        assert!(self.counters.since().is_empty(), "{what} ({})", self.cni);
    }

    fn drops(&mut self, what: &str, (start, offset): (u16, u16), frame: &[u8]) {
        self.counters.restart();
        let _ = self.world.came(|_| false);
        (0..TIMES).for_each(|_| self.sender.send_unsummed(start, offset, frame));
        let counted = self.counters.wait_for(TIMES);
        assert_eq!(counted, Counted::from([((Egress, Malformed), TIMES)]), "{what} ({})", self.cni);
        let end = &frame[frame.len() - 8..];
        assert_eq!(self.world.came(|bytes| bytes.ends_with(end)), 0, "{what} reached the world ({})", self.cni);
    }
}

/// The offset of the transport header in the frame, in bytes.
fn transport(ends: &Ends) -> u16 {
    ETHERNET + if ends.destination.is_ipv6() { 40 } else { 20 }
}

#[test]
fn a_checksum_is_written_into_its_own_place_or_behind_the_headers() {
    inside::both_forms("unsummed", RED_AND_BLUE, |lab, cni| {
        let mut field = Field::new(&lab, cni);
        for external in EXTERNAL {
            let ends = field.pod.out(external.parse().expect("an address"));
            let at = transport(&ends);
            for (number, name) in ["a new flow", "a flow that holds"].into_iter().enumerate() {
                let udp = ends.udp(FROM, TO);
                if number == 1 {
                    field.arrives("a datagram", (at, 6), &udp);
                }
                field.drops(&format!("{name}: over the destination port"), (at, 2), &udp);
                field.drops(&format!("{name}: over the source port"), (at, 0), &udp);
                field.drops(&format!("{name}: over the length"), (at, 4), &udp);
                // The checksum is to begin behind as many bytes as the IP header has at least (`virtio_net_hdr_to_skb`).
                let least = at - ETHERNET;
                field.drops(&format!("{name}: over the destination address"), (least, ETHERNET - 2), &udp);
                field.drops(&format!("{name}: half over the checksum"), (at, 5), &udp);
            }
            field.arrives("of what the datagram carries", (at, 8), &ends.udp(FROM, TO));
            let syn = ends.tcp(FROM, TO, SYN);
            field.drops("a SYN: over the destination port", (at, 2), &syn);
            field.drops("a SYN: over the flags", (at, 12), &syn);
            field.arrives("a SYN", (at, 16), &syn);
            field.arrives("of a connection", (at, 16), &ends.tcp(FROM, TO, ACK));
            field.drops("SCTP: over the ports", (at, 2), &ends.sctp(FROM, TO, 1));
            field.drops("an echo: over the identifier", (at, 4), &ends.echo(true, 7));
        }
        options(&mut field);
        fragments(&mut field);
        arp(&mut field);
    });
}

/// Packets that are read at length: an IPv6 header with options in front of UDP.
fn options(field: &mut Field) {
    let ends = field.pod.out(EXTERNAL[1].parse().expect("an address"));
    let (IpAddr::V6(source), IpAddr::V6(destination)) = (ends.source, ends.destination) else { panic!("IPv6") };
    let behind = frames::extension(17, &frames::udp(FROM, TO, b"data"));
    let frame = ends.ethernet(0x86dd, &frames::ipv6(source, destination, 64, 60, &behind));
    let at = transport(&ends) + 8;
    field.arrives("behind options", (at, 6), &frame);
    field.drops("behind options, over the port", (at, 2), &frame);
    field.drops("behind options, over the options", (at - 8, 0), &frame);
}

/// A first fragment shows its ports; a later one has only addresses to write over.
fn fragments(field: &mut Field) {
    for external in EXTERNAL {
        let ends = field.pod.out(external.parse().expect("an address"));
        let data = frames::udp(FROM, TO, b"the data");
        for (id, (offset, name)) in [(0, "a first fragment"), (2, "a later fragment")].into_iter().enumerate() {
            let id = 70 + id as u16;
            let (frame, at) = match (ends.source, ends.destination) {
                (IpAddr::V4(source), IpAddr::V4(destination)) => {
                    let mut header = Ipv4 { protocol: 17, id, ..Ipv4::new(source, destination) };
                    (header.more_fragments, header.fragment_offset) = (true, offset);
                    (ends.ethernet(0x0800, &frames::ipv4(&header, &data)), transport(&ends))
                }
                (IpAddr::V6(source), IpAddr::V6(destination)) => {
                    let behind = frames::fragment_header(17, offset, true, id.into(), &data);
                    let packet = frames::ipv6(source, destination, 64, 44, &behind);
                    (ends.ethernet(0x86dd, &packet), transport(&ends) + 8)
                }
                _ => panic!("both ends are of one family"),
            };
            let least = transport(&ends) - ETHERNET;
            field.drops(&format!("{name}: over the destination address"), (least, ETHERNET - 2), &frame);
            if offset == 0 {
                field.drops(&format!("{name}: over the destination port"), (at, 2), &frame);
            }
        }
    }
}

/// On a bridge it reaches who believes it.
fn arp(field: &mut Field) {
    let (IpAddr::V4(own), IpAddr::V4(node)) = (field.pod.addresses[0], field.node) else { panic!("IPv4") };
    let asks = frames::arp(1, field.pod.mac, own, node);
    let frame = frames::ethernet(field.pod.mac, [0xff; 6], 0x0806, &asks);
    field.drops("ARP, over the sender's address", (20, 8), &frame);
}
