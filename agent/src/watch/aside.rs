//! One object that is being read beside the loop.

use std::future::pending;

use futures_util::future::BoxFuture;
use kube::runtime::watcher::Event;

use super::Resource;
use super::live::{Key, Object};
use super::reader::Read;

/// The object, if any.
#[derive(Default)]
pub(super) struct Aside {
    reading: Option<Reading>,
}

struct Reading {
    resource: Resource,
    key: Key,
    /// An event that was followed meanwhile knows better.
    overtaken: bool,
    /// `None` where it cannot be read.
    answer: BoxFuture<'static, Option<Read>>,
}

impl Aside {
    pub const fn is_idle(&self) -> bool {
        self.reading.is_none()
    }

    /// Begins to read an object, in the place of the one before.
    pub fn start(&mut self, resource: Resource, key: Key, answer: BoxFuture<'static, Option<Read>>) {
        self.reading = Some(Reading { resource, key, overtaken: false, answer });
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
    pub async fn next(&mut self) -> (Resource, Option<Read>) {
        let Some(Reading { answer, .. }) = &mut self.reading else { return pending().await };
        let read = answer.await;
        let Some(Reading { resource, overtaken, .. }) = self.reading.take() else { return pending().await };
        (resource, read.filter(|_| !overtaken))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use policy::model::Config;

    use super::*;
    use crate::watch::reader::Reader;

    fn object(name: &str) -> Object {
        let key = Key { namespace: "x".to_owned(), name: name.to_owned() };
        Object { key, uid: String::new(), text: b"{}".into() }
    }

    fn reading(name: &str) -> Aside {
        let mut aside = Aside::default();
        let (reader, object) = (Reader::new(&Config::default()), object(name));
        let key = object.key.clone();
        let answer = async move { Some(reader.read(Resource::Pods, object)) };
        aside.start(Resource::Pods, key, answer.boxed());
        aside
    }

    #[test]
    fn what_was_overtaken_is_not_used() {
        let tells = [
            (Resource::Pods, Event::Apply(object("a")), false),
            (Resource::Pods, Event::Delete(object("a")), false),
            (Resource::Pods, Event::InitDone, false),
            (Resource::Pods, Event::Apply(object("b")), true),
            (Resource::Services, Event::Delete(object("a")), true),
            (Resource::Services, Event::InitDone, true),
        ];
        for (resource, event, used) in tells {
            let mut aside = reading("a");
            assert!(!aside.is_idle());
            aside.overtake(resource, &event);
            let (_, read) = aside.next().now_or_never().unwrap();
            assert_eq!(read.is_some(), used, "{resource:?} {event:?}");
            assert!(aside.is_idle() && aside.next().now_or_never().is_none());
        }
    }
}
