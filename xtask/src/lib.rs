//! What the build itself needs of the developer commands: the BPF tool chain.
//!
//! `agent/build.rs` uses this library, so it depends on next to nothing. The commands are in the binary.

pub mod bpf;
