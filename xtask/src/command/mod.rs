//! A file a command.

pub mod bench;
pub mod build;
pub mod demo;
pub mod docs;
pub mod kernels;
pub mod lint;
pub mod setup;
pub mod test;
