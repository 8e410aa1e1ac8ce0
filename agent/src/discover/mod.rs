//! Which veth is which pod's (DESIGN.md §7), without asking a container runtime and without looking at names.
//!
//! `listing` asks the kernel what is behind each veth, `cni` reads what the CNI plugins wrote down, `watch` does both
//! again whenever something changes, and `bind` decides: a function of what was found and of what was bound before.

mod bind;
mod cni;
mod finding;
mod listing;
mod watch;

pub use bind::{Bindings, Bound, Surroundings, bind};
pub use cni::{CniResult, Results};
pub use finding::Finding;
pub use listing::{Behind, Lister, Listing, Veth};
pub use watch::{Sighting, watch};
