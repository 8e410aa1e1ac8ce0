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

/// Declares a closed enum with the public name of each value, what it means, and the way back from its number.
macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[doc = $about:literal])+ $variant:ident = $number:literal $text:literal,)+ }) => {
        $(#[$doc])*
        #[must_use]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name { $($(#[doc = $about])+ $variant = $number,)+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name in JSON, events and metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// What it means, in a sentence or two, for the reference.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self { $(Self::$variant => concat!($($about),+).trim_ascii(),)+ }
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
        /// A rule of a NetworkPolicy allows it.
        NetworkPolicy = 2 "network_policy",
        /// A rule of a ClusterNetworkPolicy accepts it.
        ClusterPolicy = 3 "cluster_policy",
        /// Belongs to a flow that was allowed before, in either direction.
        Established = 4 "established",
        /// From or to the pod's own node.
        OwnNode = 5 "own_node",
        /// From a pod to itself.
        SamePod = 6 "same_pod",
        /// ARP, neighbour discovery, multicast listener discovery.
        Neighbour = 7 "neighbour",
        /// Not a pod of ours.
        Unmanaged = 8 "unmanaged",
        /// To an address that the node rewrites: it is judged once that is done.
        AfterDnat = 9 "after_dnat",
    }
}

reasons! {
    /// Why a packet is dropped: exactly one reason each.
    DropReason {
        /// The other end is a pod of another tenant, and the isolation mode holds the two apart.
        TenantIsolation = 1 "tenant_isolation",
        /// The same, where either end is in a namespace whose tenant is in doubt.
        Quarantine = 2 "quarantine",
        /// A rule of a ClusterNetworkPolicy denies it.
        ClusterPolicy = 3 "cluster_policy",
        /// NetworkPolicies isolate the pod in this direction, and no rule of theirs allows it.
        DefaultDeny = 4 "default_deny",
        /// A policy of the pod says what cannot be enforced, so nothing is allowed in its place.
        InvalidPolicy = 5 "invalid_policy",
        /// A source (IP, MAC, ARP or ND sender, router, DHCP server) that is not the pod's to use.
        SpoofedSource = 6 "spoofed_source",
        /// A tunnel packet from a pod to what is no known pod: a node would open it and carry a forged sender.
        Tunnel = 7 "tunnel",
        /// To a pod, but not for its MAC or IP address.
        WrongDestination = 8 "wrong_destination",
        /// The other end is an address in a pod range that no known pod owns.
        UnknownEndpoint = 9 "unknown_endpoint",
        /// This end's pod is not known yet.
        NotReady = 10 "not_ready",
        /// A flow that was allowed and no longer is.
        Revoked = 11 "revoked",
        /// Headers that contradict themselves or end too early, addresses that no packet between hosts has, and ARP or
        /// neighbour discovery that carries more than it takes.
        Malformed = 12 "malformed",
        /// A later fragment whose first fragment is not known (out of order, or the table is full).
        Fragment = 13 "fragment",
        /// Neither IP nor ARP, or wrapped in more headers than are read.
        UnsupportedProtocol = 14 "unsupported_protocol",
        /// To an address of a Service, whose backends are not judged alike or not known.
        ServiceUndecided = 15 "service_undecided",
        /// The NetworkPolicies of the pod's namespace ask for more than this node has room for, so none of their rules is
        /// there and nothing is allowed; or a record that should be there is not.
        Capacity = 16 "capacity",
    }
}
