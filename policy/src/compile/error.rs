//! Why a world cannot be compiled: some number does not suffice. Nothing is ever left out instead.

use std::fmt;

use crate::model::ObjectRef;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompileError {
    /// More things of a kind than there are numbers for.
    Full { what: &'static str, limit: u32, remedy: &'static str },
    /// The ports that rules of ClusterNetworkPolicies name together split into more intervals than a program can hold.
    ProgramTooLong { rows: usize, limit: u32, rules: Vec<ObjectRef> },
    /// Two bindings share what only one may have.
    SharedBinding { what: &'static str, number: u32 },
    /// Two different things have one digest.
    Collision { what: &'static str },
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { what, limit, remedy } => {
                write!(f, "more than {limit} {what} are needed on this node: {remedy}")
            }
            Self::ProgramTooLong { rows, limit, rules } => {
                write!(f, "the ports of ")?;
                for (position, rule) in rules.iter().enumerate() {
                    write!(f, "{}{rule}", if position == 0 { "" } else { ", " })?;
                }
                write!(f, " split into {rows} intervals, {limit} are possible: name ranges (endPort) instead of ports")
            }
            Self::SharedBinding { what, number } => {
                write!(f, "two endpoints have the {what} {number}: unbind one of them")
            }
            Self::Collision { what } => {
                write!(f, "two different {what} have one digest: rename one of the labels or policies involved")
            }
        }
    }
}

impl std::error::Error for CompileError {}
