//! The pure part of Bulkhead: what a cluster says (`model`), what the kernel should hold because of it
//! (`compile`), the operations that lead there (`plan`), and questions about it (`ask`).
//!
//! No I/O: this crate may not depend on kube, aya or tokio.

#![warn(clippy::wildcard_enum_match_arm, reason = "a new variant must be thought about everywhere")]

pub mod ask;
pub mod compile;
pub mod model;
pub mod plan;
