//! `endpoints.routers`: which pods forward for others. Only the configuration names them, which is an administrator's
//! alone: whatever stands on a pod or its namespace may be written by their owner.

use policy::model::{Labels, RouterPods};
use serde::Deserialize;

use crate::ingest::check;

/// One entry, checked.
#[derive(Clone, Deserialize)]
#[serde(try_from = "Fields")]
pub(super) struct Routers(RouterPods);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Fields {
    namespace: String,
    #[serde(default)]
    pod_labels: Labels,
}

impl TryFrom<Fields> for Routers {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let Fields { namespace, pod_labels: labels } = fields;
        check::dns_label(&namespace).map_err(|problem| format!("namespace: {problem}"))?;
        for (key, value) in &labels {
            let checked = check::qualified_name(key).and_then(|()| check::label_value(value));
            checked.map_err(|problem| format!("podLabels: {problem}"))?;
        }
        Ok(Self(RouterPods { namespace, labels }))
    }
}

impl From<Routers> for RouterPods {
    fn from(Routers(routers): Routers) -> Self {
        routers
    }
}
