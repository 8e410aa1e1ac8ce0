//! Why a packet passed or not: the closed lists of CONTRACT.md §4, and the direction of a judgement.

/// The direction of a judgement, seen from the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Direction {
    /// From the pod: the tc *ingress* hook of its host veth.
    Egress = 0,
    /// To the pod: the tc *egress* hook of its host veth.
    Ingress = 1,
}

impl Direction {
    pub const ALL: [Self; 2] = [Self::Egress, Self::Ingress];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Egress => "egress",
            Self::Ingress => "ingress",
        }
    }
}

/// Declares a closed enum with the public name of each value and the way back from its number.
macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal $text:literal,)+ }) => {
        $(#[$doc])*
        #[must_use]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name { $($(#[$variant_doc])* $variant = $number,)+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name in JSON, events and metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

reasons! {
    /// Why a packet is allowed.
    AllowReason {
        /// Nothing restricts this direction of this pod.
        NoPolicy = 1 "no_policy",
        NetworkPolicy = 2 "network_policy",
        ClusterPolicy = 3 "cluster_policy",
        /// Belongs to a flow that was allowed before, in either direction.
        Established = 4 "established",
        /// From or to the pod's own node.
        OwnNode = 5 "own_node",
        SamePod = 6 "same_pod",
        /// ARP, neighbour discovery, multicast listener discovery.
        Neighbour = 7 "neighbour",
        /// Not a pod of ours.
        Unmanaged = 8 "unmanaged",
    }
}

reasons! {
    /// Why a packet is dropped: exactly one reason each.
    DropReason {
        TenantIsolation = 1 "tenant_isolation",
        Quarantine = 2 "quarantine",
        ClusterPolicy = 3 "cluster_policy",
        DefaultDeny = 4 "default_deny",
        InvalidPolicy = 5 "invalid_policy",
        /// A source (IP, MAC, ARP or ND sender, router, DHCP server) that is not the pod's to use.
        SpoofedSource = 6 "spoofed_source",
        /// A tunnel packet from a pod to a node, which would open it and carry a forged sender.
        Tunnel = 7 "tunnel",
        /// To a pod, but not for its MAC or IP address.
        WrongDestination = 8 "wrong_destination",
        /// The other end is an address in a pod range that no known pod owns.
        UnknownEndpoint = 9 "unknown_endpoint",
        /// This end's pod is not known yet.
        NotReady = 10 "not_ready",
        /// A flow that was allowed and no longer is.
        Revoked = 11 "revoked",
        Malformed = 12 "malformed",
        /// A later fragment whose first fragment is not known (out of order, or the table is full).
        Fragment = 13 "fragment",
        UnsupportedProtocol = 14 "unsupported_protocol",
        ServiceUndecided = 15 "service_undecided",
        /// A record that should be there is not.
        Capacity = 16 "capacity",
    }
}
