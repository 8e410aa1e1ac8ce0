//! Requests and answers, as the CNI specification has them.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

pub(super) const NEWEST: &str = "1.1.0";
/// The answer to VERSION.
pub(super) const VERSIONS: &str =
    r#"{"cniVersion":"1.1.0","supportedVersions":["0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Add,
    Del,
    Check,
    Version,
    /// STATUS and GC: there is nothing to say and nothing to collect.
    Other,
}

#[derive(Debug)]
pub(super) struct Request {
    pub(super) command: Command,
    container: String,
    interface: String,
    /// `K=V;K=V`.
    arguments: String,
    configuration: Value,
}

impl Request {
    pub(super) fn new(variable: impl Fn(&str) -> Option<String>, configuration: &str) -> Result<Self> {
        let need = |name: &str| variable(name).with_context(|| format!("{name} is not set: only a runtime calls this"));
        let command = match need("CNI_COMMAND")?.as_str() {
            "ADD" => Command::Add,
            "DEL" => Command::Del,
            "CHECK" => Command::Check,
            "VERSION" => Command::Version,
            "STATUS" | "GC" => Command::Other,
            other => bail!("CNI_COMMAND {other} is not known"),
        };
        let about_pod = matches!(command, Command::Add | Command::Del | Command::Check);
        let of_pod = |name: &str| if about_pod { need(name) } else { Ok(String::new()) };
        let (container, interface) = (of_pod("CNI_CONTAINERID")?, of_pod("CNI_IFNAME")?);
        // The runtime makes them; they become part of a file's name.
        if [&container, &interface].into_iter().any(|name| name.contains('/')) {
            bail!("CNI_CONTAINERID and CNI_IFNAME cannot have slashes");
        }
        let configuration = serde_json::from_str(configuration).context("the network configuration is no JSON")?;
        let arguments = variable("CNI_ARGS").unwrap_or_default();
        Ok(Self { command, container, interface, arguments, configuration })
    }

    pub(super) fn file(&self) -> String {
        format!("{}-{}", self.container, self.interface)
    }

    /// What the plugins before this one have answered.
    fn result(&self) -> Result<&Value> {
        let result = self.configuration.get("prevResult");
        result.context("no prevResult: name this plugin in a list, behind the one that makes the interface")
    }

    /// Names of the interfaces on the node's side.
    pub(super) fn veths(&self) -> Result<Vec<String>> {
        let interfaces = self.result()?.get("interfaces").and_then(Value::as_array).cloned().unwrap_or_default();
        let outside = interfaces.iter().filter(|it| it["sandbox"].as_str().unwrap_or_default().is_empty());
        let names: Vec<String> = outside.filter_map(|it| Some(it["name"].as_str()?.to_owned())).collect();
        if names.is_empty() {
            bail!("the plugins before this one made no interface on the node's side: there is nothing to enforce on");
        }
        Ok(names)
    }

    /// As libcni keeps a result.
    pub(super) fn cached(&self) -> Result<String> {
        let arguments: Vec<_> = self.arguments.split(';').filter_map(|pair| pair.split_once('=')).collect();
        Ok(json!({
            "kind": "cniCacheV1",
            "containerId": self.container,
            "ifName": self.interface,
            "cniArgs": arguments,
            "result": self.result()?,
        })
        .to_string())
    }

    /// The answer to ADD: what the plugins before this one have answered.
    pub(super) fn answer(&self) -> Result<String> {
        let mut result = self.result()?.clone();
        if let (Some(answer), Some(version)) = (result.as_object_mut(), self.configuration.get("cniVersion")) {
            answer.insert("cniVersion".to_owned(), version.clone());
        }
        Ok(result.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIGURATION: &str = r#"{"cniVersion": "1.0.0", "name": "pods", "type": "bulkhead", "prevResult": {
        "cniVersion": "1.0.0", "interfaces": [{"name": "veth7", "mac": "02:00:00:00:00:01"},
        {"name": "eth0", "mac": "02:00:00:00:00:02", "sandbox": "/run/netns/cni-1"}],
        "ips": [{"address": "10.244.1.7/24", "interface": 1}]}}"#;

    fn request(command: &str, configuration: &str) -> Result<Request> {
        let variable = |name: &str| {
            let value = match name {
                "CNI_COMMAND" => command,
                "CNI_CONTAINERID" => "c0ffee",
                "CNI_IFNAME" => "eth0",
                "CNI_ARGS" => "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0",
                _ => return None,
            };
            Some(value.to_owned())
        };
        Request::new(variable, configuration)
    }

    #[test]
    fn what_is_announced_is_read_as_a_result_of_libcni() {
        let request = request("ADD", CONFIGURATION).unwrap();
        assert_eq!(request.veths().unwrap(), ["veth7"]);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(request.file()), request.cached().unwrap()).unwrap();
        let results = crate::discover::Results::new(folder.path()).refresh();
        assert_eq!((results.len(), results[0].pod.to_string()), (1, "shop/web-0".to_owned()));
        assert_eq!(results[0].veths, ["veth7"]);
    }

    #[test]
    fn the_answer_is_that_of_the_plugins_before() {
        let answer: Value = serde_json::from_str(&request("ADD", CONFIGURATION).unwrap().answer().unwrap()).unwrap();
        let configuration: Value = serde_json::from_str(CONFIGURATION).unwrap();
        assert_eq!(answer, configuration["prevResult"]);
    }

    #[test]
    fn alone_in_a_list_it_says_where_it_belongs() {
        let alone = request("ADD", r#"{"cniVersion": "1.0.0", "name": "pods"}"#).unwrap();
        assert!(alone.answer().unwrap_err().to_string().contains("behind the one that makes the interface"));
        request("DANCE", CONFIGURATION).expect_err("no such command");
        assert_eq!(request("VERSION", "{}").unwrap().command, Command::Version);
    }
}
