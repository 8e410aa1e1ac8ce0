//! What the kernel programs and the agent share: the layout of the maps (`abi`), bytes to flow (`parse`)
//! and flow to verdict (`decide`).
//!
//! `parse` and `decide` are written once and compiled twice: for the kernel, where the `ebpf` crate gives
//! them socket buffers and BPF maps, and for the host, where slices and ordinary maps stand in. Nothing here
//! does I/O, allocates or panics on input.
//!
//! As the programs compile it (without `user`) the crate holds no unsafe code at all, which the compiler is told
//! to insist on: nothing in it can be undefined, whatever the bytes.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(not(feature = "user"), forbid(unsafe_code))]
#![warn(clippy::wildcard_enum_match_arm, reason = "a new variant must be thought about everywhere")]

pub mod abi;
pub mod decide;
pub mod parse;
