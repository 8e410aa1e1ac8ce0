//! A file a command.

pub mod bench;
pub mod build;
pub mod cluster;
pub mod demo;
pub mod docs;
pub mod fuzz;
pub mod image;
pub mod kernels;
pub mod lint;
pub mod mutants;
pub mod setup;
pub mod test;
