//! All of Bulkhead that does I/O, a module for each concern.

pub mod cli;
mod cni;
pub mod config;
pub mod discover;
mod endpoint_ids;
pub mod events;
mod files;
pub mod ingest;
pub mod kernel;
pub mod lab;
mod lock;
mod malloc;
pub mod net;
pub mod node;
mod publish;
mod runtime;
pub mod serve;
pub mod terminal;
mod text;
pub mod watch;
