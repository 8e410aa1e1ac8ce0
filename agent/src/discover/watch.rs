//! A fresh look whenever something may have changed.
//!
//! Events are hints and nothing more: an address that a pod's namespace had before this one had a number for it raises
//! none, and a full socket loses some. So each is answered by a look at everything, and there is one from time to time
//! even without.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::StreamExt;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::NetlinkMessage;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::AsyncSocket;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tracing::warn;

use super::cni::{CniResult, RESULTS, Results};
use super::listing::{Lister, Listing};
use crate::cni::announcements;

const GROUPS: [MulticastGroup; 4] =
    [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr, MulticastGroup::Nsid];
/// A veth comes with a handful of events.
const DEBOUNCE: Duration = Duration::from_millis(2);
const PERIOD: Duration = Duration::from_secs(30);
/// No CNI plugin takes so long to set addresses.
const SETTLED: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(1);

/// What was found at one moment.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// When the first event came that led to this look.
    pub at: Instant,
    /// The same for the look that first found an address behind a veth.
    pub seen: BTreeMap<u32, Instant>,
    pub listing: Listing,
    pub results: Vec<CniResult>,
}

/// Looks now, and again after each change, for as long as somebody holds the receiver. Call it in the node's network
/// namespace; needs a tokio runtime.
///
/// # Errors
/// The kernel refuses a socket, or does not answer.
pub async fn watch() -> Result<watch::Receiver<Arc<Sighting>>> {
    let mut eyes = Eyes::open()?;
    let first = eyes.look(Instant::now()).await?;
    let (sender, receiver) = watch::channel(Arc::new(first));
    tokio::spawn(async move {
        while !sender.is_closed() {
            let at = eyes.wait().await;
            match eyes.look(at).await {
                Ok(sighting) => drop(sender.send(Arc::new(sighting))),
                Err(error) => {
                    warn!("cannot look for pods: {error:#}");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    });
    Ok(receiver)
}

struct Eyes {
    lister: Lister,
    events: futures_util::stream::BoxStream<'static, NetlinkMessage<RouteNetlinkMessage>>,
    /// libcni's, and those that our own plugin announces before.
    results: [Results; 2],
    written: Option<AsyncFd<ResultsWritten>>,
    seen: BTreeMap<u32, Instant>,
    listing: Listing,
    /// When everything is asked again.
    whole: Instant,
}

impl Eyes {
    fn open() -> Result<Self> {
        let connected = rtnetlink::new_multicast_connection(&GROUPS).context("cannot listen for interfaces")?;
        let (mut connection, _, events) = connected;
        // Addresses are set inside the pods' namespaces.
        let socket = connection.socket_mut().socket_mut();
        socket
            .set_listen_all_namespaces(true)
            .context("cannot listen to other network namespaces, which takes the capability NET_BROADCAST")?;
        tokio::spawn(connection);
        let events = events.map(|(message, _)| message).boxed();
        Ok(Self {
            lister: Lister::open()?,
            events,
            results: folders().map(Results::new),
            written: None,
            seen: BTreeMap::new(),
            listing: Listing::default(),
            whole: Instant::now(),
        })
    }

    async fn look(&mut self, at: Instant) -> Result<Sighting> {
        if self.written.as_ref().is_none_or(|written| !written.get_ref().is_whole()) {
            self.written = ResultsWritten::watch();
        }
        let known = self.settled();
        let listing = self.lister.list(&known).await?;
        self.listing = listing.clone();
        self.seen.retain(|ifindex, _| listing.veths.contains_key(ifindex));
        for (&ifindex, _) in listing.veths.iter().filter(|(_, veth)| !veth.addresses().is_empty()) {
            self.seen.entry(ifindex).or_insert(at);
        }
        let results = self.results.iter_mut().flat_map(Results::refresh).collect();
        Ok(Sighting { at, seen: self.seen.clone(), listing, results })
    }

    /// What need not be asked again: a binding is for life, so the addresses behind a veth matter while its pod starts.
    fn settled(&mut self) -> Listing {
        if self.whole <= Instant::now() {
            self.whole = Instant::now() + PERIOD;
            return Listing::default();
        }
        let mut known = std::mem::take(&mut self.listing);
        known.veths.retain(|ifindex, _| self.seen.get(ifindex).is_some_and(|seen| seen.elapsed() > SETTLED));
        known
    }

    /// Returns when there is a reason to look, and when that came.
    async fn wait(&mut self) -> Instant {
        let Self { events, written, whole, .. } = self;
        tokio::select! {
            event = events.next() => {
                // The stream ends with its socket, which nobody closes.
                if event.is_none() {
                    tokio::time::sleep(RETRY).await;
                }
            }
            () = next_result(written) => {}
            () = tokio::time::sleep_until((*whole).into()) => {}
        }
        let at = Instant::now();
        tokio::time::sleep(DEBOUNCE).await;
        // What has come meanwhile is answered by the same look.
        while let Some(Some(_)) = futures_util::FutureExt::now_or_never(events.next()) {}
        at
    }
}

/// Where results are written.
fn folders() -> [PathBuf; 2] {
    [PathBuf::from(RESULTS), announcements()]
}

/// The folders of results that are there, watched for files that were written.
struct ResultsWritten {
    inotify: Inotify,
    folders: usize,
}

impl ResultsWritten {
    /// `None` where there is no such folder yet.
    #[allow(unsafe_code, reason = "tokio cannot see that a type keeps its descriptor open")]
    fn watch() -> Option<AsyncFd<Self>> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).ok()?;
        let written = AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO;
        let folders = folders().iter().filter(|folder| inotify.add_watch(*folder, written).is_ok()).count();
        if folders == 0 {
            return None;
        }
        // SAFETY: the descriptor is the same one for as long as this value lives, and closed with it.
        unsafe { AsyncFd::register(Self { inotify, folders }) }.ok()
    }

    fn is_whole(&self) -> bool {
        self.folders == folders().len()
    }
}

impl AsRawFd for ResultsWritten {
    fn as_raw_fd(&self) -> RawFd {
        self.inotify.as_fd().as_raw_fd()
    }
}

/// Waits for a result to be written; for ever where there is no folder.
async fn next_result(written: &Option<AsyncFd<ResultsWritten>>) {
    let Some(written) = written else { return std::future::pending().await };
    let Ok(mut ready) = written.readable().await else { return };
    while written.get_ref().inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
    ready.clear_ready();
}
