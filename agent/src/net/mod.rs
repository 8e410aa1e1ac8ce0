//! The machine's network: namespaces, and reading netlink messages.

mod address;
mod netns;
mod tunnel;

pub use address::address_of;
pub use netns::NetNs;
pub use tunnel::tunnel_ports;
