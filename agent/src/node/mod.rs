//! The agent on a node of a cluster: what is found and what the API server says, enforced for as long as it runs, and
//! after that.
//!
//! `open` starts, `run` is the loop, `veths` binds pods and puts the programs on their veths, `memory` is what survives the agent,
//! and `status` is all that others see of it.

mod clock;
mod memory;
mod open;
mod report;
mod rivals;
mod run;
mod status;
mod taint;
mod timings;
mod uninstall;
mod veths;

pub use memory::{folder, is_bound};
pub use run::{Cluster, Inputs, Node, Options};
pub use status::{EndpointState, EndpointStatus, Enforced, Enforcement, PolicyCount, Publication, Status};
pub use taint::remove_taint;
pub use timings::Timings;
pub use uninstall::uninstall;
