//! Files to a world (CONTRACT.md §1), in two phases: every object is converted and every problem noted; only where
//! there is none, one world is made of them.

mod addresses;
mod change;
pub(crate) mod check;
mod convert;
mod error;
mod kind;
mod live;
mod manifests;
mod services;
mod source;
mod survey;
mod world;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use policy::model::{PodKey, World};

pub use addresses::{LAB_NODE, LAB_NODE_ADDRESSES, LAB_POD_RANGES, LAB_SERVICE_RANGES};
pub use change::remove;
pub use error::{IngestError, IngestErrors, Place};
pub use kind::Kind;
pub use live::{Live, Rejected, convert_live};
pub use manifests::{Manifest, Manifests, ObjectId};
pub use survey::{Survey, survey};

/// Addresses that pods without any in their manifest have already been given.
pub type Assigned = BTreeMap<PodKey, Vec<IpAddr>>;

/// A world, and what was noticed on the way to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    pub world: World,
    pub warnings: Vec<IngestError>,
    /// How many documents were of kinds that are not read.
    pub other_kinds: usize,
}

/// Reads files, folders (recursively `.yaml`, `.yml`, `.json`) and standard input (`-`) into one world.
///
/// # Errors
/// Every problem in every file; then there is no world.
pub fn load(paths: &[PathBuf]) -> Result<Loaded, IngestErrors> {
    let mut errors = Vec::new();
    let manifests = Manifests::collect(paths, &mut errors);
    match manifests.world(&Assigned::new()) {
        Ok(loaded) if errors.is_empty() => Ok(loaded),
        Ok(_) => Err(IngestErrors(errors)),
        Err(IngestErrors(more)) => Err(IngestErrors([errors, more].concat())),
    }
}
