//! The machine's network: namespaces, and reading netlink messages.

mod address;
mod netns;

pub use address::address_of;
pub use netns::NetNs;
