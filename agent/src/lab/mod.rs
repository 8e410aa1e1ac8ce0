//! `bulkhead lab` (CONTRACT.md §5): pods as network namespaces on this machine, enforced by the same compiler,
//! programs and maps as on a node.

pub mod topology;
