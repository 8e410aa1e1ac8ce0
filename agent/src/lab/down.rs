//! Taking a lab away, whatever is left of it.

use anyhow::Result;

use super::name::LabName;
use super::{residents, state};
use crate::kernel;
use crate::lock::Lock;
use crate::net::NetNs;

/// Removes every namespace, pin and file of a lab. Nothing there is no error. The processes inside end.
///
/// # Errors
/// Something cannot be removed; a second call goes on from there.
pub fn down(lab: &LabName, lock: Lock) -> Result<()> {
    let namespaces = lab.namespaces()?;
    for name in &namespaces {
        // Half of a namespace, a name that nothing is mounted on, has nobody inside.
        residents::end(&NetNs::named(name)?)?;
    }
    for name in &namespaces {
        NetNs::delete_named(name)?;
    }
    // Last, so that whatever still lives inside stays enforced until its veth is gone.
    kernel::destroy(&lab.pins()?)?;
    state::forget(lab)?;
    lock.remove()
}
