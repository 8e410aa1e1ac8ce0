//! The configuration file (CONTRACT.md §2): the same for the agent on a node, the lab and the questions.

mod fields;
mod routers;

use std::num::{NonZeroU16, NonZeroU32};
use std::path::Path;

use anyhow::{Context, anyhow};
use ipnet::IpNet;
use policy::model::{AGENT_PORT, Config, Isolation, TenantSource, UnknownEndpoints, Untenanted};
use serde::{Deserialize, Deserializer, de};

use crate::kernel::{AfterDnat, MapCapacities};

pub use fields::{FIELDS, Field};
use routers::Routers;

/// A whole configuration; the defaults where there is no file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What judgement depends on.
    pub policy: Config,
    /// Where calls are judged that the node rewrites.
    pub after_dnat: AfterDnat,
    /// Sizes of the kernel's maps.
    pub maps: MapCapacities,
    /// A pod's further veths that no CNI result names drop.
    pub bar_further: bool,
}

impl Default for Settings {
    fn default() -> Self {
        File::default().into()
    }
}

/// Reads and checks a configuration file.
///
/// # Errors
/// The file cannot be read, is no YAML, or has a field or value that is not known: the message names the file,
/// the field and what it may be.
pub fn read(path: &Path) -> anyhow::Result<Settings> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the configuration file {}", path.display()))?;
    parse(&text).with_context(|| format!("configuration file {}", path.display()))
}

fn parse(text: &str) -> anyhow::Result<Settings> {
    let value: serde_yaml_ng::Value =
        serde_yaml_ng::from_str(text).map_err(|error| anyhow!("not valid YAML: {error}"))?;
    if value.is_null() {
        return Ok(Settings::default());
    }
    let file: File =
        serde_path_to_error::deserialize(value).map_err(|error| match error.path().to_string().as_str() {
            "." => anyhow!("{}", error.inner()),
            field => anyhow!("{field}: {}", error.inner()),
        })?;
    Ok(file.into())
}

#[derive(Deserialize, Default)]
#[serde(
    default,
    deny_unknown_fields,
    rename_all = "camelCase",
    expecting = "a mapping of tenancy, endpoints, cluster, datapath, maps"
)]
struct File {
    tenancy: Tenancy,
    endpoints: Endpoints,
    cluster: Cluster,
    datapath: Datapath,
    maps: Maps,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Datapath {
    after_dnat: Stage,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Stage {
    #[default]
    Auto,
    Off,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Tenancy {
    #[serde(deserialize_with = "mode")]
    mode: Isolation,
    untenanted: UntenantedName,
    sources: Vec<Source>,
}

impl Default for Tenancy {
    fn default() -> Self {
        Self { mode: Isolation::Baseline, untenanted: UntenantedName::Platform, sources: vec![Source::capsule()] }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
enum UntenantedName {
    Platform,
    Isolated,
}

/// One entry of `sources`: exactly one of its fields.
#[derive(Deserialize)]
#[serde(try_from = "SourceFields")]
struct Source(TenantSource);

impl Source {
    const fn capsule() -> Self {
        Self(TenantSource::Capsule)
    }
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct SourceFields {
    capsule: Option<Capsule>,
    namespace_label: Option<String>,
    namespace_annotation: Option<String>,
    pod_label: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Capsule {}

impl TryFrom<SourceFields> for Source {
    type Error = &'static str;

    fn try_from(fields: SourceFields) -> Result<Self, Self::Error> {
        match fields {
            SourceFields {
                capsule: Some(Capsule {}),
                namespace_label: None,
                namespace_annotation: None,
                pod_label: None,
            } => Ok(Self(TenantSource::Capsule)),
            SourceFields { capsule: None, namespace_label: Some(key), namespace_annotation: None, pod_label: None } => {
                Ok(Self(TenantSource::NamespaceLabel(key)))
            }
            SourceFields { capsule: None, namespace_label: None, namespace_annotation: Some(key), pod_label: None } => {
                Ok(Self(TenantSource::NamespaceAnnotation(key)))
            }
            SourceFields { capsule: None, namespace_label: None, namespace_annotation: None, pod_label: Some(key) } => {
                Ok(Self(TenantSource::PodLabel(key)))
            }
            _ => Err("a source is exactly one of `capsule: {}`, `namespaceLabel: KEY`, `namespaceAnnotation: KEY`, \
                      `podLabel: KEY`"),
        }
    }
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Endpoints {
    unknown: Fate,
    tunnels: Fate,
    tunnel_ports: Vec<NonZeroU16>,
    further: Fate,
    routers: Vec<Routers>,
}

impl Default for Endpoints {
    fn default() -> Self {
        let (unknown, tunnels, further) = (Fate::Drop, Fate::Drop, Fate::Drop);
        Self { unknown, tunnels, further, tunnel_ports: Vec::new(), routers: Vec::new() }
    }
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
enum Fate {
    Drop,
    Allow,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Cluster {
    #[serde(rename = "podCIDRs", deserialize_with = "ranges")]
    pod_cidrs: Vec<IpNet>,
    #[serde(rename = "serviceCIDRs", deserialize_with = "ranges")]
    service_cidrs: Vec<IpNet>,
    #[serde(rename = "agentPort")]
    agent_port: u16,
}

impl Default for Cluster {
    fn default() -> Self {
        Self { pod_cidrs: Vec::new(), service_cidrs: Vec::new(), agent_port: AGENT_PORT }
    }
}

/// Entries of the maps that grow with a cluster; left out, they are as the programs have them.
#[derive(Clone, Copy, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Maps {
    endpoints: Option<NonZeroU32>,
    profiles: Option<NonZeroU32>,
    peers: Option<NonZeroU32>,
    ranges: Option<NonZeroU32>,
    services: Option<NonZeroU32>,
    rules: Option<NonZeroU32>,
    ports: Option<NonZeroU32>,
    flows: Option<NonZeroU32>,
    ids: Option<NonZeroU32>,
    drops: Option<NonZeroU32>,
}

impl From<Maps> for MapCapacities {
    fn from(maps: Maps) -> Self {
        let Maps { endpoints, profiles, peers, ranges, services, rules, ports, flows, ids, drops } = maps;
        let entries = |size: Option<NonZeroU32>| size.map(NonZeroU32::get);
        Self {
            endpoints: entries(endpoints),
            profiles: entries(profiles),
            peers: entries(peers),
            ranges: entries(ranges),
            services: entries(services),
            rules: entries(rules),
            ports: entries(ports),
            flows: entries(flows),
            ids: entries(ids),
            drops: entries(drops),
        }
    }
}

fn mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Isolation, D::Error> {
    let text = String::deserialize(deserializer)?;
    Isolation::named(&text)
        .ok_or_else(|| de::Error::custom(format!("unknown mode `{text}`, use one of off, audit, baseline, strict")))
}

fn ranges<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| range(text).map_err(de::Error::custom)).collect()
}

fn range(text: &str) -> Result<IpNet, String> {
    let net: IpNet = text.parse().map_err(|_| format!("`{text}` is no range, write it like 10.244.0.0/16"))?;
    if net != net.trunc() {
        return Err(format!("`{text}` has bits set beyond its prefix, write {}", net.trunc()));
    }
    Ok(net)
}

impl From<File> for Settings {
    fn from(file: File) -> Self {
        let File { tenancy, endpoints, cluster, datapath, maps } = file;
        Self {
            policy: Config {
                mode: tenancy.mode,
                untenanted: match tenancy.untenanted {
                    UntenantedName::Platform => Untenanted::Platform,
                    UntenantedName::Isolated => Untenanted::Isolated,
                },
                sources: tenancy.sources.into_iter().map(|Source(source)| source).collect(),
                unknown_endpoints: match endpoints.unknown {
                    Fate::Drop => UnknownEndpoints::Drop,
                    Fate::Allow => UnknownEndpoints::Allow,
                },
                allow_tunnels: endpoints.tunnels == Fate::Allow,
                tunnel_ports: endpoints.tunnel_ports.into_iter().map(NonZeroU16::get).collect(),
                routers: endpoints.routers.into_iter().map(Into::into).collect(),
                pod_cidrs: cluster.pod_cidrs,
                service_cidrs: cluster.service_cidrs,
                agent_port: cluster.agent_port,
            },
            after_dnat: match datapath.after_dnat {
                Stage::Auto => AfterDnat::Auto,
                Stage::Off => AfterDnat::Off,
            },
            maps: maps.into(),
            bar_further: endpoints.further == Fate::Drop,
        }
    }
}

#[cfg(test)]
mod tests {
    use policy::model::RouterPods;

    use super::*;

    #[test]
    fn an_empty_file_is_the_defaults() {
        for text in ["", "# nothing\n", "{}", "tenancy: {}"] {
            assert_eq!(parse(text).unwrap(), Settings::default(), "{text:?}");
        }
    }

    fn router(namespace: &str, labels: &[(&str, &str)]) -> RouterPods {
        let labels = labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        RouterPods { namespace: namespace.to_owned(), labels }
    }

    #[test]
    fn every_field_is_read() {
        let settings = parse(
            "tenancy:
  mode: off
  untenanted: isolated
  sources:
    - capsule: {}
    - namespaceLabel: example.com/team
    - namespaceAnnotation: field.cattle.io/projectId
    - podLabel: vcluster.loft.sh/managed-by
endpoints:
  unknown: allow
  tunnels: allow
  tunnelPorts: [5555, 8286]
  further: allow
  routers: [{namespace: vpn, podLabels: {app: gateway}}, {namespace: lb}]
cluster:
  podCIDRs: [10.0.0.0/8]
  serviceCIDRs: ['fd00::/108']
  agentPort: 9999
datapath: {afterDnat: auto}
maps: {rules: 100000, flows: 65536}
",
        )
        .unwrap();
        let maps = MapCapacities { rules: Some(100_000), flows: Some(65536), ..MapCapacities::default() };
        assert_eq!(settings.maps, maps);
        assert!(!settings.bar_further);
        assert_eq!(settings.after_dnat, AfterDnat::Auto);
        assert_eq!(
            settings.policy,
            Config {
                mode: Isolation::Off,
                untenanted: Untenanted::Isolated,
                sources: vec![
                    TenantSource::Capsule,
                    TenantSource::NamespaceLabel("example.com/team".to_owned()),
                    TenantSource::NamespaceAnnotation("field.cattle.io/projectId".to_owned()),
                    TenantSource::PodLabel("vcluster.loft.sh/managed-by".to_owned()),
                ],
                unknown_endpoints: UnknownEndpoints::Allow,
                allow_tunnels: true,
                tunnel_ports: vec![5555, 8286],
                routers: vec![router("vpn", &[("app", "gateway")]), router("lb", &[])],
                pod_cidrs: vec!["10.0.0.0/8".parse().unwrap()],
                service_cidrs: vec!["fd00::/108".parse().unwrap()],
                agent_port: 9999,
            }
        );
    }

    #[test]
    fn errors_name_the_field_and_the_remedy() {
        for (text, error) in [
            (
                "tenancy: {mod: off}",
                "tenancy.mod: unknown field `mod`, expected one of `mode`, `untenanted`, `sources`",
            ),
            ("tenancy: {mode: hard}", "tenancy.mode: unknown mode `hard`, use one of off, audit, baseline, strict"),
            ("tenancy: {sources: [{}]}", "tenancy.sources[0]: a source is exactly one of"),
            ("cluster: {podCIDRs: [10.0.0.1/8]}", "cluster.podCIDRs: `10.0.0.1/8` has bits set beyond its prefix"),
            ("endpoints: {unknown: keep}", "endpoints.unknown: unknown variant `keep`, expected `drop` or `allow`"),
            (
                "endpoints: {tunnelPorts: [0]}",
                "endpoints.tunnelPorts[0]: invalid value: integer `0`, expected a nonzero u16",
            ),
            ("endpoints: {routers: [{podLabels: {}}]}", "endpoints.routers[0]: missing field `namespace`"),
            ("endpoints: {routers: [{namespace: A}]}", "endpoints.routers[0]: namespace: `A` must be"),
            (
                "endpoints: {routers: [{namespace: a, podLabels: {-: b}}]}",
                "endpoints.routers[0]: podLabels: `-` is no key",
            ),
            ("tenancy: {}\ntenancy: {}", "not valid YAML: duplicate entry with key \"tenancy\""),
            ("maps: {rules: 0}", "maps.rules: invalid value: integer `0`, expected a nonzero u32"),
            ("[]", "a mapping of tenancy, endpoints, cluster, datapath, maps"),
        ] {
            let got = parse(text).unwrap_err().to_string();
            assert!(got.contains(error), "{text}: {got}");
        }
    }
}
