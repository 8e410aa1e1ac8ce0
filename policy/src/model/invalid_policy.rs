//! A NetworkPolicy that a cluster holds and that nobody understands or has room for: a value that fails closed, never an absence.

use super::Selector;

/// Isolates what it selects and allows nothing. What other policies allow stays allowed; the rest drops as
/// `invalid_policy` or `capacity`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InvalidPolicy {
    pub namespace: String,
    pub name: String,
    /// Which pods of its namespace it isolates: all of them where its podSelector is what cannot be understood.
    pub subject: Selector,
    /// Both, where its policyTypes are what cannot be understood.
    pub isolates_ingress: bool,
    pub isolates_egress: bool,
    /// It can be understood, but it is more than its owner may have: the rest drops as `capacity`.
    pub over_share: bool,
}
