//! The events of each resource, for as long as somebody asks for them.

use futures_util::stream::{self, BoxStream, StreamExt};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, InitialListStrategy};
use kube::{Api, Client};
use serde_json::Value;

use super::Resource;
use super::live::Live;

/// What happens to the objects of one resource. An error is told and tried again, with back-off, by the stream itself.
pub(super) type Events = BoxStream<'static, Result<Event<Value>, watcher::Error>>;

/// How many objects a page of a list has.
const PAGE: u32 = 500;

impl Resource {
    /// A streaming list and a watch where the server has them, paged lists and a watch elsewhere.
    pub(super) fn events(self, client: Client) -> Events {
        self.typed().events(client)
    }

    /// One list, in pages, and a watch behind it. Ends after the first error.
    pub(super) fn list(self, client: Client) -> Events {
        self.typed().list(client)
    }

    const fn typed(self) -> &'static dyn Typed {
        match self {
            Self::Namespaces => &Of::<{ Self::Namespaces as usize }>,
            Self::Nodes => &Of::<{ Self::Nodes as usize }>,
            Self::Pods => &Of::<{ Self::Pods as usize }>,
            Self::Services => &Of::<{ Self::Services as usize }>,
            Self::EndpointSlices => &Of::<{ Self::EndpointSlices as usize }>,
            Self::ServiceCidrs => &Of::<{ Self::ServiceCidrs as usize }>,
            Self::NetworkPolicies => &Of::<{ Self::NetworkPolicies as usize }>,
            Self::ClusterNetworkPolicies => &Of::<{ Self::ClusterNetworkPolicies as usize }>,
            Self::Tenants => &Of::<{ Self::Tenants as usize }>,
        }
    }
}

/// kube knows what to ask for by the type that it reads.
trait Typed {
    fn events(&self, client: Client) -> Events;
    fn list(&self, client: Client) -> Events;
}

/// The resource at place `R` of [`Resource::ALL`].
struct Of<const R: usize>;

impl<const R: usize> Typed for Of<R> {
    fn events(&self, client: Client) -> Events {
        let api = Api::<Live<R>>::all(client);
        let open = move |strategy| watcher::watcher(api.clone(), config(strategy)).default_backoff().boxed();
        let streaming = open(InitialListStrategy::StreamingList);
        let events = stream::unfold((streaming, open), |(mut events, open)| async move {
            let mut event = events.next().await?;
            if event.as_ref().is_err_and(lacks_streaming_lists) {
                events = open(InitialListStrategy::ListWatch);
                event = events.next().await?;
            }
            Some((event, (events, open)))
        });
        events.map(|event| event.map(untyped)).boxed()
    }

    fn list(&self, client: Client) -> Events {
        let events = watcher::watcher(Api::<Live<R>>::all(client), config(InitialListStrategy::ListWatch));
        events.map(|event| event.map(untyped)).boxed()
    }
}

fn config(initial_list_strategy: InitialListStrategy) -> watcher::Config {
    watcher::Config { initial_list_strategy, page_size: Some(PAGE), ..watcher::Config::default() }
}

/// True where the server refuses the request itself: its feature gate `WatchList` is off.
fn lacks_streaming_lists(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if matches!(status.code, 400 | 422))
}

fn untyped<const R: usize>(event: Event<Live<R>>) -> Event<Value> {
    match event {
        Event::Apply(object) => Event::Apply(object.value),
        Event::Delete(object) => Event::Delete(object.value),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(object.value),
        Event::InitDone => Event::InitDone,
    }
}
