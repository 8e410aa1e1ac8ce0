//! Waiting for the agent, by what it leaves on the node.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::net::if_::if_nametoindex;

use super::PLUGIN;
use crate::files::RUN;
use crate::kernel::Pins;
use crate::lock::{NODE_LOCK, is_held};
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
                bail!("{}", way_out(veth, is_held(&Path::new(RUN).join(NODE_LOCK))));
            }
            thread::sleep(PAUSE);
        }
    }
    Ok(())
}

/// Why the pod does not start, and what to do. Without an agent it never does: it may be one that has not started yet
/// after a boot, and nothing on the node tells the two apart.
fn way_out(veth: &str, agent_runs: bool) -> String {
    if agent_runs {
        return format!("{veth} is not enforced: `bulkhead status` on this node says what its agent waits for");
    }
    format!(
        "{veth} is not enforced, because no agent of Bulkhead runs on this node: `kubectl get pods -A -o wide -l \
         app.kubernetes.io/name=bulkhead` says why. If Bulkhead is gone from the cluster, take the plugin {PLUGIN} out \
         of the lists in /etc/cni/net.d on this node (`bulkhead uninstall --cni-conf-dir /etc/cni/net.d --cni-bin-dir \
         /opt/cni/bin` does so), and pods start again"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::Lock;

    #[test]
    fn without_an_agent_the_error_names_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NODE_LOCK);
        assert!(!is_held(&path), "no agent was ever here");
        let lock = Lock::take(path.clone(), "nobody").unwrap();
        assert!(is_held(&path));
        assert!(way_out("veth7", is_held(&path)).contains("bulkhead status"));
        drop(lock);
        let said = way_out("veth7", is_held(&path));
        for part in ["no agent", "kubectl get pods", PLUGIN, "/etc/cni/net.d", "bulkhead uninstall"] {
            assert!(said.contains(part), "{said}");
        }
    }
}
