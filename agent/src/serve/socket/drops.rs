//! `/drops`: a record a line, the newest ones and then those that come for as long as the other side listens.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream, StreamExt};
use serde::Deserialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::wants_text;
use crate::events::{DropRecord, End};
use crate::serve::Sources;

/// Which drops, and how they are written.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    follow: bool,
    /// Only with a pod of this namespace at one end or both.
    namespace: Option<String>,
    /// Only for this reason.
    reason: Option<String>,
    #[serde(skip)]
    text: bool,
}

pub(super) async fn drops(
    State(sources): State<Sources>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Response {
    let wanted = Wanted { text: wants_text(&headers), ..wanted };
    // Before the recent ones are read, so that none falls between.
    let live = wanted.follow.then(|| sources.drops.follow());
    let recent: String = sources.drops.recent().iter().filter_map(|record| wanted.line(record)).collect();
    let first = stream::iter([Ok::<_, Infallible>(Bytes::from(recent))]);
    let kind = if wanted.text { "text/plain; charset=utf-8" } else { "application/x-ndjson" };
    let body = match live {
        Some(live) => Body::from_stream(first.chain(lines(live, wanted))),
        None => Body::from_stream(first),
    };
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

fn lines(live: Receiver<Arc<DropRecord>>, wanted: Wanted) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold((live, wanted), |(mut live, wanted)| async {
        let text = match live.recv().await {
            Ok(record) => wanted.line(&record).unwrap_or_default(),
            Err(RecvError::Lagged(missed)) => wanted.missed(missed),
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(Bytes::from(text)), (live, wanted)))
    })
}

impl Wanted {
    fn line(&self, record: &DropRecord) -> Option<String> {
        if !self.wants(record) {
            return None;
        }
        if self.text {
            return Some(format!("{} {record}\n", record.time));
        }
        serde_json::to_string(record).ok().map(|text| text + "\n")
    }

    fn wants(&self, record: &DropRecord) -> bool {
        let of = |end: &End, namespace: &str| {
            end.pod.as_ref().and_then(|pod| pod.split_once('/')).is_some_and(|(of, _)| of == namespace)
        };
        let namespace =
            self.namespace.as_ref().is_none_or(|name| of(&record.source, name) || of(&record.destination, name));
        namespace && self.reason.as_ref().is_none_or(|reason| reason == record.reason)
    }

    fn missed(&self, drops: u64) -> String {
        if self.text { format!("… {drops} drops are missing here\n") } else { format!("{{\"missed\":{drops}}}\n") }
    }
}
