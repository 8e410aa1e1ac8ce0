//! Objects as they come: the text of the fields that are kept, in a type that kube can ask for and that reads every
//! object.

use std::borrow::Cow;

use kube::core::DynamicResourceScope;
use kube::core::metadata::ObjectMeta;
use policy::model::PodKey;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::Value;

use super::Resource;

/// Namespace (empty for what has none) and name.
pub(super) type Key = PodKey;

/// An object, not yet understood. It is kept as text until then: as a tree of values it is thirty times as large.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub key: Key,
    pub uid: String,
    /// JSON of the fields that are kept.
    pub text: Vec<u8>,
}

/// An object of the resource at place `R` of [`Resource::ALL`]. Reading one never fails on valid JSON, since an object
/// that is not read would be missing from the world unseen: what is wrong with it is found when it is converted.
#[derive(Clone, Debug)]
pub(super) struct Live<const R: usize> {
    /// Name, namespace, uid and resource version only.
    metadata: ObjectMeta,
    text: Vec<u8>,
}

impl<const R: usize> Live<R> {
    pub const RESOURCE: Resource = Resource::ALL[R];
}

impl<const R: usize> From<Live<R>> for Object {
    fn from(live: Live<R>) -> Self {
        let ObjectMeta { name, namespace, uid, .. } = live.metadata;
        let key = Key { namespace: namespace.unwrap_or_default(), name: name.unwrap_or_default() };
        Self { key, uid: uid.unwrap_or_default(), text: live.text }
    }
}

/// The parts of an object that tell which one it is.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Head {
    metadata: Identity,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Identity {
    name: Text,
    namespace: Text,
    uid: Text,
    resource_version: Text,
}

/// A text, or nothing where something else stands in its place.
#[derive(Default, Deserialize)]
#[serde(from = "Value")]
struct Text(Option<String>);

impl From<Value> for Text {
    fn from(value: Value) -> Self {
        Self(if let Value::String(text) = value { Some(text) } else { None })
    }
}

impl<'de, const R: usize> Deserialize<'de> for Live<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Self::RESOURCE.fields().text(deserializer)?;
        let Identity { name, namespace, uid, resource_version } = parsed::<Head>(&text).metadata;
        let metadata = ObjectMeta {
            name: name.0,
            namespace: namespace.0,
            uid: uid.0,
            resource_version: resource_version.0,
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, text })
    }
}

fn parsed<T: DeserializeOwned + Default>(text: &[u8]) -> T {
    serde_json::from_slice(text).unwrap_or_default()
}

impl<const R: usize> kube::Resource for Live<R> {
    type DynamicType = ();
    type Scope = DynamicResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        Self::RESOURCE.kind().name().into()
    }

    fn group((): &()) -> Cow<'_, str> {
        Self::RESOURCE.group().into()
    }

    fn version((): &()) -> Cow<'_, str> {
        Self::RESOURCE.version().into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        Self::RESOURCE.plural().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
