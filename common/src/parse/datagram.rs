//! What policy needs to know of an IP packet.

use crate::abi::Address;

/// What a packet says about who opened its flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// Does not tell: UDP, and protocols without ports.
    #[default]
    Datagram = 0,
    /// Answers an opening: TCP SYN with ACK, SCTP INIT ACK, ICMP echo reply.
    Answers = 1,
    /// Belongs to a flow that somebody opened before: any other TCP or SCTP packet.
    Continues = 2,
    /// Opens a flow: TCP SYN without ACK, SCTP INIT, ICMP echo request.
    Opens = 3,
    /// An ICMP error, which quotes a packet of the flow that it belongs to.
    Error = 4,
    /// ICMP that belongs to no flow.
    Stateless = 5,
    /// Neighbour discovery and multicast listener discovery.
    Neighbour = 6,
}

/// The place of a packet in a fragmented datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Fragment {
    #[default]
    Whole,
    /// Has the transport header. The identification is in [`Datagram::fragment_id`].
    First,
    /// Has none: its ports are those of the first one.
    Later,
}

/// An IP packet, reduced to what policy judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Datagram {
    pub source: Address,
    pub destination: Address,
    /// Host byte order. For ICMP echo the identifier; 0 without ports.
    pub source_port: u16,
    /// Host byte order. 0 without ports; for ICMP echo 1 in a request, so that fragments keep it.
    pub destination_port: u16,
    pub protocol: u8,
    pub role: Role,
    pub fragment: Fragment,
    /// A TCP FIN, a TCP RST.
    pub fin: bool,
    pub rst: bool,
    /// Of ICMP, ICMPv6 and IGMP.
    pub icmp_type: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
    pub fragment_id: u32,
    /// Offset of the transport header from the start of the frame, and of the end of the IP packet.
    pub transport: u32,
    pub end: u32,
}

impl Datagram {
    pub const EMPTY: Self = Self {
        source: Address { words: [0; 4] },
        destination: Address { words: [0; 4] },
        source_port: 0,
        destination_port: 0,
        protocol: 0,
        role: Role::Datagram,
        fragment: Fragment::Whole,
        fin: false,
        rst: false,
        icmp_type: 0,
        hop_limit: 0,
        fragment_id: 0,
        transport: 0,
        end: 0,
    };

    /// True for the protocols whose ports a policy can name.
    #[must_use]
    #[inline(always)]
    pub const fn has_ports(&self) -> bool {
        matches!(self.protocol, protocol::TCP | protocol::UDP | protocol::SCTP)
    }

    #[must_use]
    #[inline(always)]
    pub const fn is_icmp(&self) -> bool {
        matches!(self.protocol, protocol::ICMP | protocol::ICMPV6)
    }
}

/// IANA protocol numbers.
pub mod protocol {
    pub const ICMP: u8 = 1;
    pub const IGMP: u8 = 2;
    pub const IPIP: u8 = 4;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const IPV6: u8 = 41;
    pub const GRE: u8 = 47;
    pub const ICMPV6: u8 = 58;
    pub const PIM: u8 = 103;
    /// L2TP version 3.
    pub const L2TP: u8 = 115;
    pub const SCTP: u8 = 132;
    pub const MPLS: u8 = 137;
}
