//! A list in pages and a watch behind it, for servers without streaming lists: one object is held at a time, whatever a
//! page has.

use std::collections::VecDeque;
use std::pin::Pin;

use futures_util::io::AsyncBufReadExt;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::Request;
use kube::runtime::watcher::{Error, Event};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Deserialize;

use super::items::Splitter;
use super::live::Live;

/// How many objects a page of a list has: what the API server holds of it at once.
const PAGE: u32 = 500;
/// The version that a watch should begin at is older than what the server remembers.
const GONE: u16 = 410;

type Watching<const R: usize> = BoxStream<'static, kube::Result<WatchEvent<Live<R>>>>;
type Text = Pin<Box<dyn futures_util::AsyncBufRead + Send>>;

/// How far it is.
enum State<const R: usize> {
    Empty,
    /// The next page is to be asked for.
    Asking(Option<String>),
    Reading {
        text: Text,
        splitter: Splitter,
        items: VecDeque<Vec<u8>>,
    },
    Listed(String),
    Watching(String, Watching<R>),
}

/// The metadata of a list.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Envelope {
    metadata: ListMeta,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ListMeta {
    #[serde(rename = "continue")]
    more: String,
    resource_version: String,
}

/// What happens to the objects of a resource, from a list of all of them on. An error is told, and the next item tries
/// again: a list from its beginning, a watch from where it was.
pub(super) fn events<const R: usize>(client: Client) -> impl Stream<Item = Result<Event<Live<R>>, Error>> + Send {
    let api = Api::<Live<R>>::all(client.clone());
    stream::unfold((client, api, State::Empty), |(client, api, mut state)| async move {
        loop {
            let (event, next) = step(&client, &api, state).await;
            state = next;
            if let Some(event) = event {
                return Some((event, (client, api, state)));
            }
        }
    })
}

type Step<const R: usize> = (Option<Result<Event<Live<R>>, Error>>, State<R>);

async fn step<const R: usize>(client: &Client, api: &Api<Live<R>>, state: State<R>) -> Step<R> {
    match state {
        State::Empty => (Some(Ok(Event::Init)), State::Asking(None)),
        State::Asking(more) => match ask::<R>(client, more).await {
            Ok(text) => (None, State::Reading { text, splitter: Splitter::default(), items: VecDeque::new() }),
            Err(error) => (Some(Err(Error::InitialListFailed(error))), State::Empty),
        },
        State::Reading { text, splitter, mut items } => match items.pop_front() {
            Some(item) => match serde_json::from_slice(&item) {
                Ok(object) => (Some(Ok(Event::InitApply(object))), State::Reading { text, splitter, items }),
                Err(error) => fail(kube::Error::SerdeError(error)),
            },
            None => read(text, splitter).await,
        },
        State::Listed(version) => match api.watch(&WatchParams::default(), &version).await {
            Ok(events) => (None, State::Watching(version, events.boxed())),
            Err(error) => {
                let is_gone = matches!(&error, kube::Error::Api(status) if status.code == GONE);
                let state = if is_gone { State::Empty } else { State::Listed(version) };
                (Some(Err(Error::WatchStartFailed(error))), state)
            }
        },
        State::Watching(version, events) => watch(version, events).await,
    }
}

const fn fail<const R: usize>(error: kube::Error) -> Step<R> {
    (Some(Err(Error::InitialListFailed(error))), State::Empty)
}

async fn ask<const R: usize>(client: &Client, more: Option<String>) -> kube::Result<Text> {
    let parameters = ListParams { limit: Some(PAGE), continue_token: more, ..ListParams::default() };
    let request = Request::new(Live::<R>::url_path(&(), None)).list(&parameters).map_err(kube::Error::BuildRequest)?;
    Ok(Box::pin(client.request_stream(request).await?))
}

/// Reads a piece of a page.
async fn read<const R: usize>(mut text: Text, mut splitter: Splitter) -> Step<R> {
    let mut items = VecDeque::new();
    let piece = match text.fill_buf().await {
        Ok(piece) => piece,
        Err(error) => return fail(kube::Error::ReadEvents(error)),
    };
    if piece.is_empty() {
        return end(splitter);
    }
    let length = piece.len();
    if let Err(error) = splitter.read(piece, |item| items.push_back(item)) {
        return fail(kube::Error::ReadEvents(error));
    }
    text.consume_unpin(length);
    (None, State::Reading { text, splitter, items })
}

/// What comes behind a page.
fn end<const R: usize>(splitter: Splitter) -> Step<R> {
    match serde_json::from_slice(&splitter.into_rest()) {
        Ok(Envelope { metadata: ListMeta { more, .. } }) if !more.is_empty() => (None, State::Asking(Some(more))),
        Ok(Envelope { metadata: ListMeta { resource_version, .. } }) if !resource_version.is_empty() => {
            (Some(Ok(Event::InitDone)), State::Listed(resource_version))
        }
        Ok(_) => (Some(Err(Error::NoResourceVersion)), State::Empty),
        // It was cut short, too.
        Err(error) => fail(kube::Error::SerdeError(error)),
    }
}

async fn watch<const R: usize>(version: String, mut events: Watching<R>) -> Step<R> {
    let event = match events.next().await {
        None => return (None, State::Listed(version)),
        Some(Err(error)) => return (Some(Err(Error::WatchFailed(error))), State::Listed(version)),
        Some(Ok(event)) => event,
    };
    let (object, event): (_, fn(_) -> _) = match event {
        WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, Event::Apply),
        WatchEvent::Deleted(object) => (object, Event::Delete),
        WatchEvent::Bookmark(mark) => return (None, State::Watching(mark.metadata.resource_version, events)),
        WatchEvent::Error(status) => {
            let state = if status.code == GONE { State::Empty } else { State::Watching(version, events) };
            return (Some(Err(Error::WatchError(status.boxed()))), state);
        }
    };
    match object.resource_version().filter(|version| !version.is_empty()) {
        Some(version) => (Some(Ok(event(object))), State::Watching(version, events)),
        None => (Some(Err(Error::NoResourceVersion)), State::Empty),
    }
}
