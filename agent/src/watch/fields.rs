//! The fields of an object that are kept, as JSON. All others are skipped while its text is read, so that none of them
//! is ever held: most of a Pod is about volumes, probes and who manages which field. Text is small: the same as a
//! `serde_json::Value` takes thirty times as much.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

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

/// Of a probe or a hook, whom the kubelet calls.
const CALL: Keep = Fields(&[("host", All), ("port", All)]);
const HANDLER: Keep = Fields(&[("httpGet", CALL), ("tcpSocket", CALL)]);
const LIFECYCLE: Keep = Fields(&[("postStart", HANDLER), ("preStop", HANDLER)]);

const CONTAINER: Keep = Fields(&[
    ("lifecycle", LIFECYCLE),
    ("livenessProbe", HANDLER),
    ("name", All),
    ("ports", All),
    ("readinessProbe", HANDLER),
    ("restartPolicy", All),
    ("startupProbe", HANDLER),
]);

const POD: Keep = Fields(&[
    ("metadata", METADATA),
    (
        "spec",
        Fields(&[("containers", CONTAINER), ("hostNetwork", All), ("initContainers", CONTAINER), ("nodeName", All)]),
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

/// What tells the Service of a slice.
pub(super) const BELONGING: Keep = Fields(&[("metadata", Fields(&[("labels", All)]))]);

/// What tells which pods a policy isolates.
pub(super) const ISOLATION: Keep = Fields(&[("spec", Fields(&[("podSelector", All), ("policyTypes", All)]))]);

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

/// Writes what is kept of a value as JSON while the value is read: the text is all that is held of it.
struct Writing<'w> {
    keep: Keep,
    text: &'w mut Vec<u8>,
}

impl Keep {
    /// What is kept of the value that `deserializer` reads, as JSON.
    pub(super) fn text<'de, D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<u8>, D::Error> {
        let mut text = Vec::new();
        Writing { keep: self, text: &mut text }.deserialize(deserializer)?;
        Ok(text)
    }
}

impl Writing<'_> {
    const fn of(&mut self, keep: Keep) -> Writing<'_> {
        Writing { keep, text: self.text }
    }

    fn write<E: Error>(self, value: &(impl Serialize + ?Sized)) -> Result<(), E> {
        serde_json::to_writer(self.text, value).map_err(E::custom)
    }
}

impl<'de> DeserializeSeed<'de> for Writing<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Writing<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.write(&value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.write(&value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.write(&value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.write(&value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.write(value)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.write(&())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        self.text.push(b'[');
        let keep = self.keep;
        while let Some(()) = items.next_element_seed(self.of(keep))? {
            self.text.push(b',');
        }
        self.close(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        self.text.push(b'{');
        while let Some(key) = entries.next_key::<Cow<'_, str>>()? {
            let keep = match self.keep {
                All => Some(All),
                Fields(fields) => fields.iter().find(|(name, _)| *name == key).map(|(_, keep)| *keep),
            };
            let Some(keep) = keep else {
                entries.next_value::<IgnoredAny>()?;
                continue;
            };
            self.of(keep).write(key.as_ref())?;
            self.text.push(b':');
            entries.next_value_seed(self.of(keep))?;
            self.text.push(b',');
        }
        self.close(b'}');
        Ok(())
    }
}

impl Writing<'_> {
    /// Ends a list or a mapping, without the comma behind its last item.
    fn close(self, bracket: u8) {
        if self.text.last() == Some(&b',') {
            self.text.pop();
        }
        self.text.push(bracket);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn kept(keep: Keep, text: &str) -> Value {
        let text = keep.text(&mut serde_json::Deserializer::from_str(text)).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    #[test]
    fn of_a_pod_only_what_policy_reads_is_kept() {
        let text = r#"{
            "kind": "Pod",
            "metadata": {"name": "a", "labels": {"x": "y"}, "managedFields": [{"manager": "kubelet"}]},
            "spec": {
                "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}], "env": [{"name": "e"}],
                    "livenessProbe": {"httpGet": {"host": "h", "port": 1, "path": "/"}, "periodSeconds": 1}}, null],
                "volumes": [{"name": "v"}]
            },
            "status": {"phase": "Running", "podIPs": [{"ip": "10.244.0.2"}], "conditions": [{"type": "Ready"}]}
        }"#;
        let kept = kept(POD, text);
        let expected = serde_json::json!({
            "metadata": {"name": "a", "labels": {"x": "y"}},
            "spec": {"containers": [{
                "name": "c", "ports": [{"containerPort": 80}],
                "livenessProbe": {"httpGet": {"host": "h", "port": 1}},
            }, null]},
            "status": {"phase": "Running", "podIPs": [{"ip": "10.244.0.2"}]},
        });
        assert_eq!(kept, expected);
    }

    #[test]
    fn a_policy_keeps_fields_that_nobody_knows() {
        let text = r#"{"metadata": {"name": "a"}, "spec": {"podSelector": {}, "strange": [1, -2, 0.5, true, null, [], {}, {"a\n\"\u00e4": {}}]}}"#;
        assert_eq!(kept(SPEC, text), serde_json::from_str::<Value>(text).unwrap());
    }
}
