//! Kubernetes Events about objects that cannot be enforced as they stand, where their owners look: `kubectl describe`.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::watch::Receiver;
use tracing::warn;

use crate::node::Status;
use crate::watch::Rejected;

/// What an Event's note may have at most, in bytes.
const NOTE: usize = 1024;

/// Tells of each problem once, until the agent ends. Every agent sees the same problems: the one on the first node, by
/// name, tells.
pub async fn notify(client: Client, mut status: Receiver<Arc<Status>>) {
    let instance = status.borrow().node.clone();
    let recorder = Recorder::new(client, Reporter { controller: "bulkhead".to_owned(), instance: Some(instance) });
    let mut told: Vec<Rejected> = Vec::new();
    while status.changed().await.is_ok() {
        let now = Arc::clone(&status.borrow_and_update());
        let Some(enforced) = now.enforced.as_ref() else { continue };
        if enforced.snapshot.world.nodes.keys().next() != Some(&now.node) {
            continue;
        }
        let rejected = &enforced.snapshot.rejected;
        told.retain(|old| rejected.contains(old));
        for new in rejected.iter().filter(|new| !told.contains(new)).cloned().collect::<Vec<_>>() {
            match recorder.publish(&event(&new), &reference(&new)).await {
                Ok(()) => told.push(new),
                // Told with the next change.
                Err(error) => warn!("no Event about {}: {error}", new.object),
            }
        }
    }
}

fn event(rejected: &Rejected) -> Event {
    let Rejected { field, problem, effect, .. } = rejected;
    let place = if field.is_empty() { String::new() } else { format!("{field}: ") };
    let mut note = format!("{place}{problem}; {effect}");
    note.truncate(note.floor_char_boundary(NOTE));
    Event {
        type_: EventType::Warning,
        reason: "NotUnderstood".to_owned(),
        note: Some(note),
        action: "Enforce".to_owned(),
        secondary: None,
    }
}

fn reference(rejected: &Rejected) -> ObjectReference {
    let Rejected { object, uid, .. } = rejected;
    ObjectReference {
        api_version: Some(object.kind.api_version().to_owned()),
        kind: Some(object.kind.name().to_owned()),
        namespace: Some(object.namespace.clone()).filter(|namespace| !namespace.is_empty()),
        name: Some(object.name.clone()),
        uid: Some(uid.clone()),
        ..ObjectReference::default()
    }
}
