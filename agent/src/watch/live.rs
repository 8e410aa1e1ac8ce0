//! Objects as they come: the fields that are kept, in a type that kube can ask for and that reads every object.

use std::borrow::Cow;

use kube::core::DynamicResourceScope;
use kube::core::metadata::ObjectMeta;
use serde::de::{Deserialize, DeserializeSeed, Deserializer};
use serde_json::Value;

use super::Resource;

/// An object of the resource at place `R` of [`Resource::ALL`]. Reading one never fails on valid JSON, since an object
/// that is not read would be missing from the world unseen: what is wrong with it is found when it is converted.
#[derive(Clone, Debug)]
pub(super) struct Live<const R: usize> {
    /// Name, namespace, uid and resource version only.
    metadata: ObjectMeta,
    pub value: Value,
}

impl<const R: usize> Live<R> {
    pub const RESOURCE: Resource = Resource::ALL[R];
}

impl<'de, const R: usize> Deserialize<'de> for Live<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Self::RESOURCE.fields().deserialize(deserializer)?;
        let text = |field: &str| value["metadata"][field].as_str().map(str::to_owned);
        let metadata = ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            uid: text("uid"),
            resource_version: text("resourceVersion"),
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, value })
    }
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
