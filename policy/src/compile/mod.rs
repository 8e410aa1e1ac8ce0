//! World to tables: a pure function, run whole at every change.

mod input;
mod tables;

pub use input::{Binding, Input, NodeView};
pub use tables::{Desired, Provenance, Tables};
