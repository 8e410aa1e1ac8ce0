//! What the agent answers (CONTRACT.md §6): metrics and health over HTTP on the node's address, which every pod
//! reaches, and everything that names flows on a unix socket alone.

mod address;
mod answers;
mod drops;
mod health;
mod metrics;
mod notices;
mod port;
mod recent;
mod scrapes;
mod socket;
mod tenants;
mod text;

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use policy::model::Config;
use tokio::runtime::Builder;
use tokio::sync::watch::Receiver;

pub use address::MetricsAddress;
pub use answers::{Answer, CounterEntry};
pub use drops::Drops;
pub use metrics::{METRICS, Metric, MetricKind};
pub use notices::notify;
pub use scrapes::Scrapes;
pub use socket::SOCKET;
pub use tenants::TenantEntry;

use crate::kernel::{MapCapacities, Maps, Pins};
use crate::node::{Status, Timings};
use crate::watch::Watch;

/// Where the answers come from.
#[derive(Clone, Debug)]
pub struct Sources {
    pub status: Receiver<Arc<Status>>,
    pub watch: Arc<Watch>,
    pub timings: Timings,
    pub drops: Drops,
    pub config: Arc<Config>,
    pub pins: Pins,
    pub capacities: MapCapacities,
    pub scrapes: Scrapes,
}

impl Sources {
    fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status.borrow())
    }

    /// Handles of their own: a reader never waits for the loop, nor the loop for a reader.
    fn maps(&self) -> Result<Maps> {
        Maps::open(&self.pins, &self.capacities)
    }
}

/// How long to wait before what failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Serves both until the process ends: the socket on the current runtime, the port on a thread of its own, so that a
/// flood of requests takes one core and delays nothing else. What cannot be served is logged and tried again:
/// enforcement does not depend on being looked at.
///
/// # Errors
/// There is no thread for the port.
pub fn start(address: MetricsAddress, socket: &Path, sources: Sources) -> Result<()> {
    let (socket, of_socket) = (socket.to_owned(), sources.clone());
    tokio::spawn(persist(move || {
        let (socket, sources) = (socket.clone(), of_socket.clone());
        async move { socket::serve(&socket, sources).await }
    }));
    let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(1).build();
    let runtime = runtime.context("cannot start the async runtime")?;
    let serve = move || runtime.block_on(persist(move || health::serve(address, sources.clone())));
    thread::Builder::new().name("metrics".to_owned()).spawn(serve).context("cannot start a thread")?;
    Ok(())
}

async fn persist<F: Future<Output = Result<()>>>(serve: impl Fn() -> F) {
    while let Err(error) = serve().await {
        tracing::error!("{error:#}");
        tokio::time::sleep(RETRY).await;
    }
}
