//! What the API server sends: bytes of each resource, and when the last one came. Seen at the connection, because the
//! bookmarks that show a quiet watch to be alive go no further than kube.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tower::{BoxError, Layer, Service};

use super::Resource;

/// What has come from the API server so far.
#[derive(Debug)]
pub(super) struct Traffic {
    start: Instant,
    lines: [Line; Resource::ALL.len()],
}

#[derive(Debug, Default)]
struct Line {
    bytes: AtomicU64,
    /// Milliseconds from `start` to the last byte.
    heard: AtomicU64,
}

impl Traffic {
    pub fn new() -> Self {
        Self { start: Instant::now(), lines: Default::default() }
    }

    /// Since the API server last said something about the resource; since the start where it never did.
    pub fn age(&self, resource: Resource) -> Duration {
        let heard = Duration::from_millis(self.line(resource).heard.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(heard)
    }

    /// Bytes of lists and watches.
    pub fn bytes(&self, resource: Resource) -> u64 {
        self.line(resource).bytes.load(Ordering::Relaxed)
    }

    /// The API server has just said something about the resource.
    pub fn heard(&self, resource: Resource, bytes: usize) {
        let line = self.line(resource);
        let elapsed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        line.heard.store(elapsed, Ordering::Relaxed);
        line.bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    const fn line(&self, resource: Resource) -> &Line {
        &self.lines[resource as usize]
    }
}

impl Resource {
    /// True for the path of all its objects.
    fn is_at(self, path: &str) -> bool {
        let all = path.strip_suffix(self.plural()).and_then(|path| path.strip_suffix('/'));
        let root = all.and_then(|path| path.strip_suffix(self.kind().api_version()));
        root == Some(if self.group().is_empty() { "/api/" } else { "/apis/" })
    }
}

/// Measures the answers of an HTTP client.
#[derive(Clone, Debug)]
pub(super) struct Meter(pub Arc<Traffic>);

impl<S> Layer<S> for Meter {
    type Service = Metered<S>;

    fn layer(&self, inner: S) -> Metered<S> {
        Metered { inner, traffic: Arc::clone(&self.0) }
    }
}

#[derive(Debug)]
pub(super) struct Metered<S> {
    inner: S,
    traffic: Arc<Traffic>,
}

impl<S, Q, B> Service<Request<Q>> for Metered<S>
where
    S: Service<Request<Q>, Response = Response<B>, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<MeteredBody<B>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let path = request.uri().path();
        let resource = Resource::ALL.into_iter().find(|resource| resource.is_at(path));
        let traffic = Arc::clone(&self.traffic);
        let answer = self.inner.call(request);
        async move {
            let answer = answer.await?;
            // An error says nothing about the resource.
            let resource = resource.filter(|_| answer.status().is_success());
            Ok(answer.map(|inner| MeteredBody { inner, resource, traffic }))
        }
        .boxed()
    }
}

#[derive(Debug)]
pub(super) struct MeteredBody<B> {
    inner: B,
    resource: Option<Resource>,
    traffic: Arc<Traffic>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for MeteredBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        if let (Some(resource), Poll::Ready(Some(Ok(frame)))) = (self.resource, &frame)
            && let Some(data) = frame.data_ref()
        {
            self.traffic.heard(resource, data.len());
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
