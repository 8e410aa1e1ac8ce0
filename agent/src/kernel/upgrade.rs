//! From one version of the layouts to another, up or down, with every veth enforced all the time.
//!
//! The other version's programs stay on the veths, on their own maps, until this version's maps are filled. Then the
//! flows are copied, each link is swapped in place, and what the old programs entered meanwhile is copied, too. The
//! other version's folder goes last: as long as it is there, an upgrade has not come to its end.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use aya::maps::{Array, HashMap, MapData, MapError};
use common::abi::FlowKey;

use super::{Datapath, Maps, Pins, pinned};

impl Datapath {
    /// True where programs of another version may be on the veths.
    ///
    /// # Errors
    /// The folder of pins cannot be read.
    pub fn is_upgrade(&self) -> Result<bool> {
        Ok(!self.pins.others()?.is_empty())
    }

    /// Makes ready for another version's flows, before anything is written: each will be judged anew. False where some
    /// of them cannot be taken along.
    ///
    /// # Errors
    /// A map cannot be read or written.
    pub fn expect_flows(&mut self) -> Result<bool> {
        let mut known = true;
        // Where it is missing, the folder was never filled.
        for other in self.pins.others()?.iter().filter(|other| other.join("EPOCH").exists()) {
            let epoch: Array<MapData, u64> = open(other, "EPOCH")?;
            let theirs = epoch.get(&0, 0).context("cannot read the map EPOCH of another version")?;
            let ours = self.maps.epoch.get(&0, 0).context("cannot read the map EPOCH")?;
            self.maps.set_epoch(ours.max(theirs + 1))?;
            known &= Pins::flow_layout(other).exists();
        }
        Ok(known)
    }

    /// Swaps every link to this version's programs, whose maps are filled by now, and removes the other versions' maps.
    ///
    /// # Errors
    /// A map cannot be read or written, or the kernel refuses a swap; a second call goes on from there.
    pub fn upgrade(&mut self) -> Result<()> {
        let others = self.pins.others()?;
        let flows = others.iter().filter(|other| Pins::flow_layout(other).exists() && other.join("FLOW").exists());
        let flows: Vec<HashMap<MapData, FlowKey, [u64; 2]>> =
            flows.map(|other| open(other, "FLOW")).collect::<Result<_>>()?;
        flows.iter().try_for_each(|flows| self.maps.copy_flows(flows))?;
        self.swap_links()?;
        flows.iter().try_for_each(|flows| self.maps.copy_flows(flows))?;
        for other in others {
            fs::remove_dir_all(&other).with_context(|| format!("cannot remove {}", other.display()))?;
        }
        Ok(())
    }
}

impl Maps {
    /// Copies flows that are not there yet.
    fn copy_flows(&mut self, from: &HashMap<MapData, FlowKey, [u64; 2]>) -> Result<()> {
        const NO_OVERWRITE: u64 = 1;
        for row in from.iter() {
            // A key that the program evicts while we read ends nothing but its own flow.
            let Ok((key, value)) = row else { continue };
            match self.flow.insert(key, value, NO_OVERWRITE) {
                Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::EEXIST) => {}
                inserted => inserted.context("cannot write the map FLOW")?,
            }
        }
        Ok(())
    }
}

fn open<T>(folder: &Path, map: &str) -> Result<T>
where
    T: TryFrom<aya::maps::Map, Error = MapError>,
{
    let path = folder.join(map);
    pinned(&path)?.try_into().with_context(|| format!("{} is not what this version takes it for", path.display()))
}
