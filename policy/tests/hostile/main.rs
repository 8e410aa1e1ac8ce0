//! One tenant that asks for more than a node has costs the others nothing: its own policies fail closed, and what
//! administrators and tenancy say is enforced whatever it does.
#![allow(clippy::unwrap_used, reason = "a test ends where its world does not hold")]

mod blocks;
mod policies;
mod scene;
mod services;
#[path = "../world/mod.rs"]
mod world;
