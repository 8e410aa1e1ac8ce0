//! What `--set` says, held against what the template asks for.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, anyhow, bail};
use ipnet::IpNet;
use policy::ask::FlowPort;
use policy::model::{NamespaceScope, Operator, Peer, Port, Protocol, Requirement, Selector};

use crate::ingest::check;

/// One key of `--set`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter {
    pub name: &'static str,
    /// `None`: it is required.
    pub default: Option<&'static str>,
    pub about: &'static str,
}

/// Parameters of every template.
pub(super) const COMMON: [Parameter; 3] = [
    Parameter {
        name: "namespaces",
        default: Some(""),
        about: "a NetworkPolicy for each of these namespaces, separated by commas",
    },
    Parameter {
        name: "tenant",
        default: Some(""),
        about: "without namespaces: a GlobalTenantResource, with which Capsule puts the NetworkPolicy into every \
                namespace that this Tenant has or will have",
    },
    Parameter { name: "pods", default: Some(""), about: "only the pods with these labels, as KEY=VALUE,KEY=VALUE" },
];

/// Keys and values of one rendering.
#[derive(Debug)]
pub(super) struct Given(BTreeMap<&'static str, String>);

impl Given {
    /// # Errors
    /// A key that the template has not, one that is there twice or is missing.
    pub fn parse(template: &str, own: &[Parameter], set: &[String]) -> Result<Self> {
        let common = COMMON.iter().filter(|common| own.iter().all(|own| own.name != common.name));
        let known: Vec<&Parameter> = own.iter().chain(common).collect();
        let mut values = BTreeMap::new();
        for text in set {
            let (key, value) =
                text.split_once('=').ok_or_else(|| anyhow!("--set {text}: write it as --set KEY=VALUE"))?;
            let Some(parameter) = known.iter().find(|parameter| parameter.name == key) else {
                let names: Vec<&str> = known.iter().map(|parameter| parameter.name).collect();
                bail!("--set {key}: {template} has no such parameter, use one of {}", names.join(", "));
            };
            if values.insert(parameter.name, value.to_owned()).is_some() {
                bail!("--set {key}: is there twice, keep one");
            }
        }
        for parameter in known {
            match (values.get(parameter.name), parameter.default) {
                (Some(value), None) if value.is_empty() => bail!("--set {}: must not be empty", parameter.name),
                (Some(_), _) => {}
                (None, Some(default)) => {
                    values.insert(parameter.name, default.to_owned());
                }
                (None, None) => bail!("{template}: {} is required: {}", parameter.name, parameter.about),
            }
        }
        Ok(Self(values))
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// The parts between commas, each held against a check.
    fn list<T>(&self, name: &str, part: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>> {
        let parts = self.text(name).split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(|text| part(text).map_err(|problem| anyhow!("--set {name}: {problem}"))).collect()
    }

    pub fn namespaces(&self) -> Result<Vec<String>> {
        self.list("namespaces", |text| check::dns_label(text).map(|()| text.to_owned()))
    }

    pub fn tenant(&self) -> Result<Option<String>> {
        Ok(self.list("tenant", name_of_tenant)?.into_iter().next())
    }

    pub fn required_tenant(&self, name: &str) -> Result<String> {
        name_of_tenant(self.text(name)).map_err(|problem| anyhow!("--set {name}: {problem}"))
    }

    /// The pods that the policy is for.
    pub fn subject(&self) -> Result<Selector> {
        self.labels("pods")
    }

    pub fn labels(&self, name: &str) -> Result<Selector> {
        let requirements = self.list(name, |text| {
            let (key, value) = text.split_once('=').ok_or_else(|| format!("`{text}` must be KEY=VALUE"))?;
            check::qualified_name(key)?;
            check::label_value(value)?;
            Ok(is(key, value))
        })?;
        Ok(Selector { requirements })
    }

    /// Pods by the name of their namespace and their labels.
    pub fn pods_of(&self, namespace: &str, labels: &str) -> Result<Peer> {
        let name = self.text(namespace);
        check::dns_label(name).map_err(|problem| anyhow!("--set {namespace}: {problem}"))?;
        let namespaces = Selector { requirements: vec![is("kubernetes.io/metadata.name", name)] };
        Ok(Peer::Pods { namespaces: NamespaceScope::Selected(namespaces), pods: Some(self.labels(labels)?) })
    }

    /// Every namespace of the tenant that parameter names.
    pub fn tenants_namespaces(&self, name: &str) -> Result<Peer> {
        let tenant = self.required_tenant(name)?;
        let key = self.text("label");
        check::qualified_name(key).map_err(|problem| anyhow!("--set label: {problem}"))?;
        let namespaces = Selector { requirements: vec![is(key, &tenant)] };
        Ok(Peer::Pods { namespaces: NamespaceScope::Selected(namespaces), pods: None })
    }

    /// `80`, `udp/53` or `8000-8080`; none: every port.
    pub fn ports(&self) -> Result<Vec<Port>> {
        self.list("ports", port)
    }

    pub fn ranges(&self, name: &str) -> Result<Vec<IpNet>> {
        self.list(name, |text| {
            let range = check::range(text)?;
            let whole = range.trunc();
            if whole == range {
                Ok(range)
            } else {
                Err(format!("{text} has bits set beyond its prefix, write {whole}"))
            }
        })
    }
}

fn name_of_tenant(text: &str) -> Result<String, String> {
    check::label_value(text).and_then(|()| check::dns_subdomain(text)).map(|()| text.to_owned())
}

fn port(text: &str) -> Result<Port, String> {
    let (protocol, range) = text.split_once('/').unwrap_or(("tcp", text));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |number: &str| match format!("{protocol}/{number}").parse::<FlowPort>() {
        Ok(FlowPort::Transport(protocol, number)) => Ok((protocol, number)),
        Ok(FlowPort::Icmp) | Err(_) => Err(format!("`{text}` is no port, write it like 80, udp/53 or 8000-8080")),
    };
    let ((protocol, first), (_, last)): ((Protocol, u16), (Protocol, u16)) = (number(first)?, number(last)?);
    if last < first {
        return Err(format!("`{text}` ends before it begins"));
    }
    Ok(Port::Range(protocol, first, last))
}

fn is(key: &str, value: &str) -> Requirement {
    Requirement { key: key.to_owned(), operator: Operator::In(BTreeSet::from([value.to_owned()])) }
}
