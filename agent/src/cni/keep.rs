//! Keeps the plugin chained for as long as the agent runs: a CNI that is updated writes its configuration anew.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::Receiver;
use tokio::task::spawn_blocking;
use tracing::{error, info};

use super::chain::{Folders, chain};
use crate::node::Status;

const PERIOD: Duration = Duration::from_secs(30);

/// Looks every half a minute, from the moment that this node enforces: before that no pod could start.
pub async fn keep(folders: Folders, mut status: Receiver<Arc<Status>>) {
    if status.wait_for(|status| status.enforced.is_some()).await.is_err() {
        return;
    }
    let (mut failure, mut is_put) = (String::new(), false);
    loop {
        let of_task = folders.clone();
        let chained = spawn_blocking(move || chain(&of_task, is_put)).await.unwrap_or_else(|dead| Err(dead.into()));
        is_put |= chained.is_ok();
        match chained {
            Ok(Some(path)) => {
                info!("{} names {} now: pods start when they are enforced", path.display(), super::PLUGIN);
            }
            Ok(None) => {}
            // Once, not every half a minute.
            Err(error) if format!("{error:#}") != failure => {
                failure = format!("{error:#}");
                error!("pods start without waiting for this agent: {failure}");
            }
            Err(_) => {}
        }
        tokio::time::sleep(PERIOD).await;
    }
}
