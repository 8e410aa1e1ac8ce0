//! The fields of an object that are kept. All others are skipped while its text is read, so that none of them is ever
//! held: most of a Pod is about volumes, probes and who manages which field.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::Resource;

/// What to keep of a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Keep {
    All,
    /// Of a mapping, these fields; of a list, the same of each item.
    Fields(&'static [(&'static str, Self)]),
}

use Keep::{All, Fields};

const METADATA: Keep = Fields(&[
    ("annotations", All),
    ("creationTimestamp", All),
    ("deletionTimestamp", All),
    ("labels", All),
    ("name", All),
    ("namespace", All),
    ("ownerReferences", All),
    ("resourceVersion", All),
    ("uid", All),
]);

const POD: Keep = Fields(&[
    ("metadata", METADATA),
    (
        "spec",
        Fields(&[
            ("containers", Fields(&[("name", All), ("ports", All)])),
            ("hostNetwork", All),
            ("initContainers", Fields(&[("name", All), ("ports", All), ("restartPolicy", All)])),
            ("nodeName", All),
        ]),
    ),
    ("status", Fields(&[("phase", All), ("podIP", All), ("podIPs", All)])),
]);

const NODE: Keep = Fields(&[
    ("metadata", METADATA),
    ("spec", Fields(&[("podCIDR", All), ("podCIDRs", All)])),
    ("status", Fields(&[("addresses", All)])),
]);

/// A policy's spec is kept whole: a field that is not known may be the one that restricts.
const SPEC: Keep = Fields(&[("metadata", METADATA), ("spec", All)]);

impl Resource {
    pub(super) const fn fields(self) -> Keep {
        match self {
            Self::Pods => POD,
            Self::Nodes => NODE,
            Self::Namespaces | Self::Tenants => Fields(&[("metadata", METADATA)]),
            Self::EndpointSlices => {
                Fields(&[("addressType", All), ("endpoints", All), ("metadata", METADATA), ("ports", All)])
            }
            Self::Services => Fields(&[("metadata", METADATA), ("spec", All), ("status", All)]),
            Self::ServiceCidrs | Self::NetworkPolicies | Self::ClusterNetworkPolicies => SPEC,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Keep {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Keep {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let keep = match self {
                All => Some(All),
                Fields(fields) => fields.iter().find(|(name, _)| *name == key).map(|(_, keep)| *keep),
            };
            match keep {
                Some(keep) => {
                    let value = entries.next_value_seed(keep)?;
                    object.insert(key, value);
                }
                None => {
                    entries.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_pod_only_what_policy_reads_is_kept() {
        let text = r#"{
            "kind": "Pod",
            "metadata": {"name": "a", "labels": {"x": "y"}, "managedFields": [{"manager": "kubelet"}]},
            "spec": {
                "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}], "env": [{"name": "e"}]}, null],
                "volumes": [{"name": "v"}]
            },
            "status": {"phase": "Running", "podIPs": [{"ip": "10.244.0.2"}], "conditions": [{"type": "Ready"}]}
        }"#;
        let kept = POD.deserialize(&mut serde_json::Deserializer::from_str(text)).unwrap();
        let expected = serde_json::json!({
            "metadata": {"name": "a", "labels": {"x": "y"}},
            "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80}]}, null]},
            "status": {"phase": "Running", "podIPs": [{"ip": "10.244.0.2"}]},
        });
        assert_eq!(kept, expected);
    }

    #[test]
    fn a_policy_keeps_fields_that_nobody_knows() {
        let text = r#"{"metadata": {"name": "a"}, "spec": {"podSelector": {}, "strange": [1, -2, 0.5, true, null]}}"#;
        let kept = SPEC.deserialize(&mut serde_json::Deserializer::from_str(text)).unwrap();
        assert_eq!(kept, serde_json::from_str::<Value>(text).unwrap());
    }
}
