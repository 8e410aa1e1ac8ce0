//! Reads objects once more that were over their share and have room now: one at a time, and not many in a second.

use std::future::pending;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kube::Client;
use kube::runtime::watcher::Event;
use tokio::time::sleep;
use tracing::debug;

use super::Resource;
use super::live::{Key, Object};

/// Between two objects.
const PAUSE: Duration = Duration::from_millis(50);
/// Behind one that could not be read.
const BACKOFF: Duration = Duration::from_secs(5);

/// The object that is being read, if any.
pub(super) struct Fetch {
    reading: Option<Reading>,
}

struct Reading {
    resource: Resource,
    key: Key,
    /// Its watch has told of it meanwhile, and knows better.
    overtaken: bool,
    answer: BoxFuture<'static, Option<Object>>,
}

impl Fetch {
    pub const fn new() -> Self {
        Self { reading: None }
    }

    /// Begins to read an object, where none is being read.
    pub fn start(&mut self, client: &Client, wanted: impl FnOnce() -> Option<(Resource, Key)>) {
        if self.reading.is_some() {
            return;
        }
        self.reading = wanted().map(|(resource, key)| {
            let answer = read(client.clone(), resource, key.clone()).boxed();
            Reading { resource, key, overtaken: false, answer }
        });
    }

    /// Notes that an event tells of the object that is being read.
    pub fn overtake(&mut self, resource: Resource, event: &Event<Object>) {
        if let Some(reading) = self.reading.as_mut().filter(|reading| reading.resource == resource) {
            reading.overtaken |= match event {
                Event::Apply(object) | Event::Delete(object) => object.key == reading.key,
                Event::Init | Event::InitApply(_) | Event::InitDone => true,
            };
        }
    }

    /// The object, once it is read; none where it could not be or is not to be used. Waits where nothing is being read.
    pub async fn next(&mut self) -> (Resource, Option<Object>) {
        let Some(Reading { answer, .. }) = &mut self.reading else { return pending().await };
        let object = answer.await;
        let Some(Reading { resource, overtaken, .. }) = self.reading.take() else { return pending().await };
        (resource, object.filter(|_| !overtaken))
    }
}

async fn read(client: Client, resource: Resource, key: Key) -> Option<Object> {
    sleep(PAUSE).await;
    match resource.get(client, key.clone()).await {
        Ok(object) => Some(object),
        Err(error) => {
            debug!(%resource, %key, %error, "cannot be read again");
            sleep(BACKOFF).await;
            None
        }
    }
}
