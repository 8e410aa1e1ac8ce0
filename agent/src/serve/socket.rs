//! The unix socket: HTTP for whoever may open it, which is root on the node. Answers are JSON, or text for people where
//! the request accepts `text/plain`.

mod drops;

use std::fs::{self, Permissions};
use std::future::IntoFuture;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use tokio::net::UnixListener;
use tokio::task::spawn_blocking;

use super::answers::{Answer, counters, dump};
use super::health::{metrics_text, missing};
use super::tenants::tenants;
use super::{Sources, text};
use crate::files::remove;
use crate::node::Status;

/// Its name in the folder of the agent's state.
pub const SOCKET: &str = "agent.sock";

/// Serves until the process ends. A socket that an earlier agent left is replaced.
///
/// # Errors
/// The socket cannot be made.
pub async fn serve(path: &Path, sources: Sources) -> Result<()> {
    let at = || format!("cannot serve the socket {}", path.display());
    // At the first start on a node nobody has made the folder yet.
    path.parent().map_or(Ok(()), fs::create_dir_all).with_context(at)?;
    remove(path).with_context(at)?;
    let listener = UnixListener::bind(path).with_context(at)?;
    fs::set_permissions(path, Permissions::from_mode(0o600)).with_context(at)?;
    let router = Router::new()
        .route("/status", get(status))
        .route("/endpoints", get(endpoints))
        .route("/tenants", get(async |state, headers| list(state, headers, "Tenants", tenants, text::tenants).await))
        .route(
            "/counters",
            get(async |state, headers| list(state, headers, "Counters", counters, text::counters).await),
        )
        .route(
            "/dump",
            get(async |state, headers| list(state, headers, "Dump", dump, |ops| ops.join("\n") + "\n").await),
        )
        .route("/drops", get(drops::drops))
        .route("/metrics", get(async |State(sources): State<Sources>| metrics_text(sources).await))
        .with_state(sources);
    axum::serve(listener, router).into_future().await.with_context(at)
}

/// True for a request of somebody who wants to read, not to parse.
fn wants_text(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).is_some_and(|accepted| accepted == "text/plain")
}

async fn status(State(sources): State<Sources>, headers: HeaderMap) -> Response {
    let status = sources.status();
    if wants_text(&headers) {
        return text::status(&status).into_response();
    }
    Json(StatusAnswer { kind: "Status", missing: missing(&status), status: &status }).into_response()
}

#[derive(Serialize)]
struct StatusAnswer<'a> {
    kind: &'static str,
    /// What keeps the agent from enforcing what the cluster says.
    missing: Vec<String>,
    #[serde(flatten)]
    status: &'a Status,
}

async fn endpoints(State(sources): State<Sources>, headers: HeaderMap) -> Response {
    let items = sources.status().endpoints.clone();
    answer(&headers, "Endpoints", items, text::endpoints)
}

/// A list that is read from the kernel's maps, which blocks.
async fn list<T: Serialize + Send + 'static>(
    State(sources): State<Sources>,
    headers: HeaderMap,
    kind: &'static str,
    read: fn(&Sources) -> Result<Vec<T>>,
    table: fn(&[T]) -> String,
) -> Response {
    match spawn_blocking(move || read(&sources)).await {
        Ok(Ok(items)) => answer(&headers, kind, items, table),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn answer<T: Serialize>(headers: &HeaderMap, kind: &'static str, items: Vec<T>, table: fn(&[T]) -> String) -> Response {
    if wants_text(headers) { table(&items).into_response() } else { Json(Answer { kind, items }).into_response() }
}
