//! What the kernel programs and the agent share: the layout of the maps (`abi`), bytes to flow (`parse`)
//! and flow to verdict (`decide`).
//!
//! `parse` and `decide` are written once and compiled twice: for the kernel, where the `ebpf` crate gives
//! them socket buffers and BPF maps, and for the host, where slices and ordinary maps stand in. Nothing here
//! does I/O, allocates or panics on input.
#![cfg_attr(not(test), no_std)]

pub mod abi;
pub mod decide;
pub mod parse;
