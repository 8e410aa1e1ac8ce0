//! The parts of the `bulkhead` binary: all of its I/O.

pub mod net;
