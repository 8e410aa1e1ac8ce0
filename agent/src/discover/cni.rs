//! What the CNI plugins answered, as libcni keeps it on the node: the one source that has a pod's name at once.
//!
//! Only root writes there, so what it says about a veth is believed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use policy::model::PodKey;
use serde::Deserialize;

/// Where libcni keeps results.
pub const RESULTS: &str = "/var/lib/cni/results";

/// The answer to one ADD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CniResult {
    pub pod: PodKey,
    /// Interfaces that it made on the node's side, by name.
    pub veths: Vec<String>,
    /// Of the pod's interface.
    pub mac: Option<[u8; 6]>,
    pub addresses: Vec<IpAddr>,
}

/// A folder of results; each file is read once.
#[derive(Debug)]
pub struct Results {
    folder: PathBuf,
    read: BTreeMap<OsString, Option<CniResult>>,
}

impl Results {
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), read: BTreeMap::new() }
    }

    /// Reads what is new, forgets what is gone, and returns all that is there. A file that does not parse is still
    /// being written, or of no use: it is looked at again the next time.
    pub fn refresh(&mut self) -> Vec<CniResult> {
        // No folder: no plugin has answered yet, or the runtime keeps no results.
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut read = BTreeMap::new();
        for entry in entries {
            let name = entry.file_name();
            let known = self.read.remove(&name);
            let parsed = known.or_else(|| fs::read(entry.path()).ok().and_then(|text| parse(&text)));
            read.extend(parsed.map(|result| (name, result)));
        }
        self.read = read;
        self.read.values().flatten().cloned().collect()
    }
}

/// libcni's `cachedInfo`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cached {
    #[serde(default)]
    cni_args: Vec<[String; 2]>,
    result: Answer,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    interfaces: Vec<Interface>,
    #[serde(default)]
    ips: Vec<Ip>,
}

#[derive(Deserialize)]
struct Interface {
    name: String,
    #[serde(default)]
    mac: String,
    /// Empty for an interface on the node's side.
    #[serde(default)]
    sandbox: String,
}

#[derive(Deserialize)]
struct Ip {
    address: IpNet,
}

/// `None` where it cannot be read, `Some(None)` where it is about no pod's interface.
#[allow(clippy::option_option, reason = "a file that is half written is not one that says nothing")]
fn parse(text: &[u8]) -> Option<Option<CniResult>> {
    let Cached { cni_args, result } = serde_json::from_slice(text).ok()?;
    let argument = |key: &str| cni_args.iter().find(|[name, _]| name == key).map(|[_, value]| value.clone());
    let (Some(namespace), Some(name)) = (argument("K8S_POD_NAMESPACE"), argument("K8S_POD_NAME")) else {
        return Some(None);
    };
    let (inside, outside): (Vec<_>, Vec<_>) = result.interfaces.into_iter().partition(|it| !it.sandbox.is_empty());
    Some(Some(CniResult {
        pod: PodKey { namespace, name },
        veths: outside.into_iter().map(|interface| interface.name).collect(),
        mac: inside.first().and_then(|interface| parse_mac(&interface.mac)),
        addresses: result.ips.into_iter().map(|ip| ip.address.addr()).collect(),
    }))
}

fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CACHED: &str = r#"{"kind":"cniCacheV1","containerId":"5b1e","config":"e30=","ifName":"eth0",
        "networkName":"pods","cniArgs":[["IgnoreUnknown","1"],["K8S_POD_NAMESPACE","shop"],["K8S_POD_NAME","web-0"]],
        "capabilityArgs":{},"result":{"cniVersion":"1.0.0","dns":{},"interfaces":[
        {"mac":"36:12:9b:55:a4:01","name":"vethb2f1a9c3"},
        {"mac":"0a:58:0a:f4:01:07","name":"eth0","sandbox":"/var/run/netns/cni-77"}],
        "ips":[{"address":"10.244.1.7/24","gateway":"10.244.1.1","interface":1},
        {"address":"fd44:0:0:1::7/64","gateway":"fd44:0:0:1::1","interface":1}]}}"#;

    fn web() -> CniResult {
        CniResult {
            pod: PodKey { namespace: "shop".into(), name: "web-0".into() },
            veths: vec!["vethb2f1a9c3".into()],
            mac: Some([0x0a, 0x58, 0x0a, 0xf4, 1, 7]),
            addresses: vec!["10.244.1.7".parse().unwrap(), "fd44:0:0:1::7".parse().unwrap()],
        }
    }

    #[test]
    fn a_result_names_the_pod_its_veth_and_its_addresses() {
        assert_eq!(parse(CACHED.as_bytes()), Some(Some(web())));
        assert_eq!(parse(&CACHED.as_bytes()[..CACHED.len() / 2]), None, "half written");
        assert_eq!(parse(br#"{"result":{"ips":[{"address":"127.0.0.1/8"}]}}"#), Some(None), "about no pod");
    }

    #[test]
    fn a_file_is_read_when_it_is_whole_and_forgotten_when_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let mut results = Results::new(folder.path());
        assert_eq!(results.refresh(), []);
        let file = folder.path().join("pods-5b1e-eth0");
        fs::write(&file, &CACHED[..40]).unwrap();
        assert_eq!(results.refresh(), []);
        fs::write(&file, CACHED).unwrap();
        assert_eq!(results.refresh(), [web()]);
        fs::remove_file(&file).unwrap();
        assert_eq!(results.refresh(), []);
        assert_eq!(Results::new("/nowhere/at/all").refresh(), []);
    }
}
