//! Asks once more for objects that were over their share and have room now: not many in a second.

use std::time::Duration;

use kube::Client;
use tokio::time::sleep;
use tracing::debug;

use super::Resource;
use super::live::Key;
use super::reader::{Read, Reader};

/// Between two objects.
const PAUSE: Duration = Duration::from_millis(50);
/// Behind one that could not be read.
const BACKOFF: Duration = Duration::from_secs(5);

/// The object as it is now; `None` where the API server does not give it.
pub(super) async fn fetch(client: Client, reader: Reader, resource: Resource, key: Key) -> Option<Read> {
    sleep(PAUSE).await;
    match resource.get(client, key.clone()).await {
        Ok(object) => Some(reader.read_aside(resource, object).await),
        Err(error) => {
            debug!(%resource, %key, %error, "cannot be read again");
            sleep(BACKOFF).await;
            None
        }
    }
}
