//! The events of each resource, for as long as somebody asks for them.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, InitialListStrategy};
use kube::{Api, Client};

use super::live::{Key, Live, Object};
use super::{Resource, paged};

/// What happens to the objects of one resource. An error is told and tried again, with back-off, by the stream itself.
pub(super) type Events = BoxStream<'static, Result<Event<Object>, watcher::Error>>;

impl Resource {
    /// A streaming list and a watch where the server has them, paged lists and a watch elsewhere.
    pub(super) fn events(self, client: Client) -> Events {
        self.typed().events(client)
    }

    /// One list, in pages, and a watch behind it. Ends after the first error.
    pub(super) fn list(self, client: Client) -> Events {
        self.typed().list(client)
    }

    /// One object, as it is now.
    pub(super) async fn get(self, client: Client, key: Key) -> kube::Result<Object> {
        self.typed().get(client, key).await
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
    fn get(&self, client: Client, key: Key) -> BoxFuture<'static, kube::Result<Object>>;
}

/// The resource at place `R` of [`Resource::ALL`].
struct Of<const R: usize>;

impl<const R: usize> Typed for Of<R> {
    fn events(&self, client: Client) -> Events {
        let config = watcher::Config {
            initial_list_strategy: InitialListStrategy::StreamingList,
            page_size: None,
            ..watcher::Config::default()
        };
        let streaming = watcher::watcher(Api::<Live<R>>::all(client.clone()), config).default_backoff().boxed();
        let events = stream::unfold((streaming, client), |(mut events, client)| async move {
            let mut event = events.next().await?;
            if event.as_ref().is_err_and(lacks_streaming_lists) {
                events = paged::events(client.clone()).default_backoff().boxed();
                event = events.next().await?;
            }
            Some((event, (events, client)))
        });
        events.map(|event| event.map(untyped)).boxed()
    }

    fn list(&self, client: Client) -> Events {
        paged::events::<R>(client).map(|event| event.map(untyped)).boxed()
    }

    fn get(&self, client: Client, key: Key) -> BoxFuture<'static, kube::Result<Object>> {
        let api = Api::<Live<R>>::namespaced_with(client, &key.namespace, &());
        async move { Ok(api.get(&key.name).await?.into()) }.boxed()
    }
}

/// True where the server refuses the request itself: its feature gate `WatchList` is off.
fn lacks_streaming_lists(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if matches!(status.code, 400 | 422))
}

fn untyped<const R: usize>(event: Event<Live<R>>) -> Event<Object> {
    match event {
        Event::Apply(object) => Event::Apply(object.into()),
        Event::Delete(object) => Event::Delete(object.into()),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(object.into()),
        Event::InitDone => Event::InitDone,
    }
}
