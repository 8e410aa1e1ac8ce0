//! Errors of lists and watches.

use kube::runtime::watcher;

/// True where the API server does not know the kind.
pub(super) fn is_not_served(error: &watcher::Error) -> bool {
    status(error).is_some_and(|code| code == 404)
}

/// What the API server answered to a list or a watch.
fn status(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => Some(status.code),
        watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}

/// What is wrong and what to do about it.
pub(super) fn problem(error: &watcher::Error) -> String {
    let remedy = match status(error) {
        Some(401) => "the API server does not know who is asking: renew the credentials",
        Some(403) => "grant what the ClusterRole of the chart grants",
        Some(_) => "see the log of the API server",
        None => "see that the API server can be reached from here",
    };
    format!("{error}: {remedy}")
}
