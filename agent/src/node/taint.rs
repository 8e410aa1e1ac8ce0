//! The start-up taint: a node that comes up with it gets no pods before its agent enforces.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Error};
use serde_json::json;
use tokio::sync::watch::Receiver;
use tracing::{info, warn};

use super::Status;

/// Its key; value and effect are whoever's who registers the node (`kubelet --register-with-taints`).
pub const TAINT: &str = "bulkhead.dev/agent-not-ready";

const RETRY: Duration = Duration::from_secs(2);

/// Takes the taint off this node once the node enforces. It needs to patch Nodes, which an agent may not otherwise.
pub async fn remove_taint(client: Client, mut status: Receiver<Arc<Status>>) {
    let Ok(node) = status.wait_for(|status| status.enforced.is_some()).await.map(|status| status.node.clone()) else {
        return;
    };
    let nodes = Api::all(client);
    while let Err(error) = remove(&nodes, &node).await {
        warn!("the taint {TAINT} is still on this node: {error:#}");
        tokio::time::sleep(RETRY).await;
    }
}

async fn remove(nodes: &Api<Node>, name: &str) -> Result<()> {
    let node = nodes.get(name).await.context("cannot read the Node")?;
    let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
    let kept: Vec<_> = taints.iter().filter(|taint| taint.key != TAINT).collect();
    if kept.len() == taints.len() {
        return Ok(());
    }
    // Whoever changes the taints meanwhile makes this fail, and it is tried again.
    let patch = json!([
        {"op": "test", "path": "/spec/taints", "value": taints},
        {"op": "replace", "path": "/spec/taints", "value": kept},
    ]);
    let patch = serde_json::from_value(patch).context("cannot write the patch")?;
    match nodes.patch(name, &PatchParams::default(), &Patch::Json::<()>(patch)).await {
        Ok(_) => info!("this node enforces: the taint {TAINT} is gone"),
        Err(Error::Api(refusal)) if refusal.code == 403 => {
            anyhow::bail!("it may not be taken off: let the agent patch nodes (chart: startupTaint.remove)")
        }
        Err(error) => return Err(error).context("cannot write the Node"),
    }
    Ok(())
}
