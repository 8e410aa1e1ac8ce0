//! Waiting for the agent, by what it leaves on the node.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::net::if_::if_nametoindex;

use crate::kernel::Pins;
use crate::node::is_bound;

/// Runtimes give a plugin some minutes; the kubelet tries again after an error.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(2);

/// Returns when both programs are on each of the veths, and their pods are known.
///
/// # Errors
/// That takes too long: no agent is at work on the node, or it does not know the pod.
pub(super) fn until_enforced(veths: &[String]) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let pins = Pins::agent();
    for veth in veths {
        let ifindex = if_nametoindex(veth.as_str()).with_context(|| format!("{veth} is gone"))?;
        while !(pins.has_both_programs(ifindex)? && is_bound(ifindex)?) {
            if Instant::now() > deadline {
                bail!("{veth} is not enforced: `bulkhead status` on this node says what its agent waits for");
            }
            thread::sleep(PAUSE);
        }
    }
    Ok(())
}
