//! What is enforced while no world is known.

use common::abi::{Endpoint, Interface};

use super::endpoints::{record, unknown};
use super::numbering::Numbering;
use super::tunnels::tunnels;
use super::{CompileError, Desired, Ids, NodeView, Tables};
use crate::model::{Config, UnknownEndpoints};

/// All that the kernel holds, and beside it the endpoints that are new, whose pods are not known yet.
///
/// # Errors
/// Where numbers do not suffice.
pub fn hold(tables: &Tables, ids: &Ids, node: &NodeView, config: &Config) -> Result<Desired, CompileError> {
    let mut numbering = Numbering::new(ids);
    let profile = unknown(config);
    let index = numbering.profile(&profile)?;
    let flags = match config.unknown_endpoints {
        UnknownEndpoints::Drop => Endpoint::PENDING,
        UnknownEndpoints::Allow => 0,
    };
    let mut tables = Tables { tunnels: tunnels(config, node), ..tables.clone() };
    tables.profiles.insert(index, profile);
    for binding in &node.endpoints {
        if tables.endpoints.get(&binding.slot).is_none_or(|held| held.id != binding.id) {
            tables.endpoints.insert(binding.slot, record(binding, index, flags));
            tables.interfaces.insert(binding.ifindex, Interface::endpoint(binding.ifindex, binding.slot));
        }
    }
    let mut ids = ids.clone();
    ids.0.extend(numbering.into_ids().0);
    Ok(Desired { tables, ids, ..Desired::default() })
}
