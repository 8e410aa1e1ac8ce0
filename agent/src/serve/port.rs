//! The agents' port, which others than the platform may reach: bounded connections, bytes and time.
//!
//! A connection carries one request. So no request waits behind another of the same connection, and what one client
//! asks at once is what it has connections for. The bounds of a request are hyper's own.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Connections at once from all that is not this node.
pub const CONNECTIONS: usize = 64;
/// Connections at once from one address that is not this node's.
pub const CONNECTIONS_A_SOURCE: usize = 8;
/// Connections at once from this node's own addresses, beside the others: the kubelet's probes always get in.
pub const CONNECTIONS_OF_NODE: usize = 32;
/// Bytes of a request, line and headers. The least that hyper takes.
pub const REQUEST_BYTES: usize = 8192;
/// Headers of a request.
pub const REQUEST_HEADERS: usize = 64;
/// From a connection to the end of its request's headers.
pub const REQUEST_TIME: Duration = Duration::from_secs(5);
/// From a connection to the last byte of its answer. Prometheus waits for 10 s unless it is told otherwise.
pub const CONNECTION_TIME: Duration = Duration::from_secs(15);
/// What the kernel holds of an answer for a reader that does not read.
const SEND_BUFFER: usize = 64 << 10;
/// What it holds of requests that are not read.
const RECEIVE_BUFFER: usize = 16 << 10;
/// Between two tries to accept, where the kernel has no room for a connection.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers requests until the listener fails. `is_own`: true for an address of this node.
///
/// # Errors
/// The listener's buffers cannot be bounded.
pub(super) async fn serve(listener: TcpListener, router: Router, is_own: impl Fn(IpAddr) -> bool) -> Result<()> {
    SockRef::from(&listener).set_recv_buffer_size(RECEIVE_BUFFER).context("cannot bound a socket's buffer")?;
    let doors = Doors::default();
    let local = listener.local_addr().context("a listener without an address")?.ip();
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let from = from.ip().to_canonical();
        let source = if from == local || is_own(from) { Source::Node } else { Source::Other(from) };
        // What has no place is closed at once: a client that waits would take one.
        if let Some(place) = doors.enter(source) {
            let answered = answer(stream, router.clone());
            tokio::spawn(async move {
                answered.await;
                drop(place);
            });
        }
    }
}

async fn answer(stream: TcpStream, router: Router) {
    if SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER).is_err() {
        return;
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIME)
        .max_buf_size(REQUEST_BYTES)
        .max_headers(REQUEST_HEADERS)
        .keep_alive(false)
        .half_close(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // What goes wrong on a connection is its client's affair.
    let _ended = timeout(CONNECTION_TIME, connection).await;
}

/// Who is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Node,
    Other(IpAddr),
}

/// The connections that there are, by their source.
#[derive(Clone, Debug, Default)]
struct Doors {
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    node: usize,
    others: usize,
    by_source: HashMap<IpAddr, usize>,
}

/// A place, until it is dropped.
#[derive(Debug)]
struct Place {
    doors: Doors,
    source: Source,
}

impl Doors {
    /// `None` where the source, or all of them together, has as many as it may.
    fn enter(&self, source: Source) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match source {
            Source::Node if taken.node < CONNECTIONS_OF_NODE => taken.node += 1,
            Source::Other(address) if taken.others < CONNECTIONS => {
                let own = taken.by_source.entry(address).or_default();
                if *own >= CONNECTIONS_A_SOURCE {
                    return None;
                }
                *own += 1;
                taken.others += 1;
            }
            Source::Node | Source::Other(_) => return None,
        }
        Some(Place { doors: self.clone(), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.doors.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match self.source {
            Source::Node => taken.node -= 1,
            Source::Other(address) => {
                taken.others -= 1;
                if let Some(own) = taken.by_source.get_mut(&address) {
                    *own -= 1;
                    if *own == 0 {
                        taken.by_source.remove(&address);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "port/tests.rs"]
mod tests;
