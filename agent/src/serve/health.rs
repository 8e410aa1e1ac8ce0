//! HTTP on the node's address: `/metrics`, `/livez`, `/readyz`. Nothing here names a pod.
//!
//! `/livez` and `/readyz` are answered from memory, and never behind a scrape.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tracing::info;

use super::address::MetricsAddress;
use super::metrics::{CONTENT_TYPE, scrape};
use super::{Sources, port};
use crate::node::{EndpointState, Enforcement, Status};

/// Serves until the process ends.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve(address: MetricsAddress, sources: Sources) -> Result<()> {
    let address = address.resolve(&mut sources.status.clone()).await?;
    let listener = bind(address).await?;
    info!("metrics and health on http://{address}/metrics, /livez, /readyz");
    let own = sources.clone();
    port::serve(listener, router(sources), move |from| is_own(&own.status(), from)).await
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot serve metrics on {address}: choose another with --metrics-address"))
}

fn router(sources: Sources) -> Router {
    Router::new()
        .route("/metrics", get(async |State(sources): State<Sources>| metrics_text(sources).await))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness))
        .with_state(sources)
}

/// True for an address of this node.
fn is_own(status: &Status, address: IpAddr) -> bool {
    status.enforced.as_ref().is_some_and(|enforced| enforced.node.addresses.contains(&address))
}

/// The metrics as a response, also for the socket.
pub(super) async fn metrics_text(sources: Sources) -> Response {
    let scrapes = sources.scrapes.clone();
    match scrapes.text(move || scrape(&sources)).await {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::warn!("no metrics: {error:#}");
            (StatusCode::INTERNAL_SERVER_ERROR, "no metrics: the agent's log says why\n").into_response()
        }
    }
}

/// Every pod of the platform's reads this, so it names nothing that a policy or a pod is called.
async fn readiness(State(sources): State<Sources>) -> (StatusCode, &'static str) {
    if missing(&sources.status()).is_empty() {
        return (StatusCode::OK, "ok\n");
    }
    (StatusCode::SERVICE_UNAVAILABLE, "not ready: `bulkhead status` on this node says what is missing\n")
}

/// What keeps the agent from enforcing what the cluster says. A stale world is enforced, so it is ready.
pub(super) fn missing(status: &Status) -> Vec<String> {
    let mut missing = match &status.enforcement {
        Enforcement::AwaitingSync { missing } => missing.clone(),
        Enforcement::Enforcing | Enforcement::Stale { .. } => Vec::new(),
    };
    match status.count(EndpointState::Failed) {
        0 => {}
        failed => missing.push(format!("{failed} veths are not enforced: `bulkhead endpoints` says why")),
    }
    missing.extend(status.error.clone());
    missing
}
