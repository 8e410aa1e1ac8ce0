//! HTTP on the node's address: `/metrics`, `/livez`, `/readyz`. Nothing here names a pod.

use std::future::IntoFuture;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use tracing::info;

use super::Sources;
use super::address::MetricsAddress;
use super::metrics::{CONTENT_TYPE, scrape};
use crate::node::{EndpointState, Enforcement, Status};

/// Serves until the process ends.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve(address: MetricsAddress, sources: Sources) -> Result<()> {
    let address = address.resolve(&mut sources.status.clone()).await?;
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot serve metrics on {address}: choose another with --metrics-address"))?;
    info!("metrics and health on http://{address}/metrics, /livez, /readyz");
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness))
        .with_state(sources);
    axum::serve(listener, router).into_future().await.context("metrics are not served any more")
}

async fn metrics(State(sources): State<Sources>) -> Response {
    metrics_text(sources).await
}

/// The metrics as a response, also for the socket.
pub(super) async fn metrics_text(sources: Sources) -> Response {
    match spawn_blocking(move || scrape(&sources)).await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn readiness(State(sources): State<Sources>) -> (StatusCode, String) {
    let missing = missing(&sources.status());
    if missing.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, missing.iter().map(|what| format!("{what}\n")).collect())
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
