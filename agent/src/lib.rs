//! All of Bulkhead that does I/O, a module for each concern.

pub mod cli;
pub mod config;
pub mod events;
pub mod ingest;
pub mod kernel;
pub mod lab;
pub mod net;
pub mod watch;
