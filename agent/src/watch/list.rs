//! The world of one moment, for questions: every resource listed once.

use anyhow::{Result, anyhow};
use futures_util::future::try_join_all;
use futures_util::stream::StreamExt;
use kube::runtime::watcher::Event;
use policy::model::{Config, World};

use super::live::Object;
use super::problem::{is_not_served, problem};
use super::store::Store;
use super::{Cluster, Rejected, Resource};

/// Lists everything once. A kind that the cluster does not serve has no objects.
///
/// # Errors
/// The API server cannot be reached, or does not let the caller list a resource.
pub async fn list(cluster: &Cluster, config: &Config) -> Result<(World, Vec<Rejected>)> {
    let mut store = Store::new(config);
    for (resource, events) in try_join_all(Resource::ALL.map(|resource| list_one(cluster, resource))).await? {
        for event in events {
            store.take(resource, event, 0);
        }
    }
    store.settle(0);
    Ok((store.world(), store.rejected()))
}

async fn list_one(cluster: &Cluster, resource: Resource) -> Result<(Resource, Vec<Event<Object>>)> {
    let mut stream = resource.list(cluster.client());
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => {
                let done = matches!(event, Event::InitDone);
                events.push(event);
                if done {
                    break;
                }
            }
            Err(error) if is_not_served(&error) => break,
            Err(error) => return Err(anyhow!("cannot list {resource}: {}", problem(&error))),
        }
    }
    Ok((resource, events))
}
