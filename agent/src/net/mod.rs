//! The machine's network: namespaces.

mod netns;

pub use netns::NetNs;
