//! Services and EndpointSlices as tests/cluster/proxy/cases.yaml lists them.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use policy::model::Protocol;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{At, Call, protocol};

const CASES: &str = include_str!("../../cluster/proxy/cases.yaml");
/// The number of the first case.
const FIRST: usize = 10;

/// The nodes, IPv4 and IPv6. kube-proxy runs on the first.
pub const NODES: [(&str, [&str; 2]); 2] = [("node1", ["10.89.0.1", "fd89::1"]), ("node2", ["10.89.0.12", "fd89::12"])];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Beside {
    /// Every call has the same ends.
    #[default]
    Equal,
    /// kube-proxy uses fewer at this moment, on this node.
    Covers,
    /// The agent drops what it cannot tell.
    Undecided,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    #[serde(default)]
    pub ours: Beside,
    #[serde(default)]
    pub objects: Vec<Value>,
    #[serde(default)]
    pub refused: Vec<Value>,
    /// Ports of pods on node1, as the CRI names them.
    #[serde(default)]
    pub host_ports: Vec<HostPort>,
    /// Ports of the slice `web-2`.
    #[serde(default)]
    many_ports: usize,
    #[serde(skip)]
    pub number: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HostPort {
    /// The pod's.
    pub name: String,
    #[serde(rename = "hostIP")]
    pub host_ip: Option<String>,
    pub host_port: Value,
    pub container_port: u16,
    #[serde(default = "tcp")]
    pub protocol: String,
}

fn tcp() -> String {
    "TCP".to_owned()
}

/// Every case, its objects as the API server takes them.
///
/// # Panics
/// Where the file is not as it says at its head.
#[must_use]
pub fn cases() -> Vec<Case> {
    let cases: Vec<Case> = serde_yaml_ng::from_str(CASES).expect("cases");
    assert!(cases.len() + FIRST < 100, "a case's number has two digits");
    (FIRST..).zip(cases).map(|(number, case)| case.numbered(number)).collect()
}

impl Case {
    fn numbered(mut self, number: usize) -> Self {
        self.number = number;
        for object in self.objects.iter_mut().chain(&mut self.refused) {
            fill_in(object, number);
            complete(object, number);
        }
        if let Some(slice) = self.objects.iter_mut().find(|it| self.many_ports > 0 && it["metadata"]["name"] == "web-2")
        {
            let ports = slice["ports"].as_array_mut().expect("ports");
            ports.extend((1..self.many_ports).map(|port| json!({"name": format!("p{port}"), "port": port})));
        }
        for port in &mut self.host_ports {
            fill_in(&mut port.host_port, number);
            port.host_ip = port.host_ip.take().map(|text| text.replace("$n", &number.to_string()));
        }
        self
    }

    /// The namespace of its pods.
    #[must_use]
    pub fn namespace(&self) -> String {
        format!("c{}", self.number)
    }

    /// Its pods as a kubelet leaves them, by name: p1 to p4, and those with ports at their node.
    #[must_use]
    pub fn pods(&self) -> Vec<(String, Value)> {
        let plain = (1..=4).map(|pod| self.pod(pod, NODES[usize::from(pod > 2)].0, &[]));
        let with_ports = self.host_ports.iter().map(|port| self.pod(5, NODES[0].0, &[port.container()]));
        plain.chain(with_ports).collect()
    }

    fn pod(&self, pod: u8, node: &str, ports: &[Value]) -> (String, Value) {
        let name = format!("p{pod}");
        let addresses = self.addresses_of(pod);
        let object = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": self.namespace(), "name": name, "labels": {"app": name},
                "uid": format!("00000000-0000-4000-8000-0000{:04}{pod:04}", self.number)},
            "spec": {"nodeName": node, "containers": [{"name": "app", "image": "app", "ports": ports}]},
            "status": {"phase": "Running", "podIP": addresses[0],
                "podIPs": addresses.map(|address| json!({"ip": address}))},
        });
        (name, object)
    }

    /// The addresses of a pod.
    #[must_use]
    pub fn addresses_of(&self, pod: u8) -> [IpAddr; 2] {
        let number = self.number;
        [format!("10.244.{number}.{pod}"), format!("fd44::{number}{pod:02}")].map(|it| it.parse().expect("an address"))
    }

    /// Whatever its objects name as called, rewritten or not.
    #[must_use]
    pub fn calls(&self) -> BTreeSet<Call> {
        let services = self.objects.iter().filter(|object| object["kind"] == "Service").flat_map(calls_of_service);
        services.chain(self.host_ports.iter().flat_map(HostPort::calls)).collect()
    }

    /// Whatever its objects name as an end.
    #[must_use]
    pub fn ends(&self) -> BTreeSet<(SocketAddr, Protocol)> {
        let slices = self.objects.iter().filter(|object| object["kind"] == "EndpointSlice").flat_map(ends_of_slice);
        let pods = self.host_ports.iter().flat_map(|port| {
            self.addresses_of(5).map(|address| {
                (SocketAddr::new(address, port.container_port), protocol(&port.protocol).expect("a protocol"))
            })
        });
        slices.chain(pods).collect()
    }
}

impl HostPort {
    fn number(&self) -> u16 {
        self.host_port.as_u64().and_then(|port| port.try_into().ok()).expect("a port")
    }

    fn container(&self) -> Value {
        let mut port =
            json!({"containerPort": self.container_port, "hostPort": self.number(), "protocol": self.protocol});
        if let Some(address) = &self.host_ip {
            port["hostIP"] = json!(address);
        }
        port
    }

    /// As the container runtime hands it to the portmap plugin.
    #[must_use]
    pub fn mapping(&self) -> Value {
        json!({"hostPort": self.number(), "containerPort": self.container_port,
            "protocol": self.protocol.to_lowercase(), "hostIP": self.host_ip.clone().unwrap_or_default()})
    }

    fn calls(&self) -> Vec<Call> {
        let protocol = protocol(&self.protocol).expect("a protocol");
        let at = match &self.host_ip {
            Some(address) => vec![At::Address(lenient(address).expect("an address"))],
            None => vec![At::Node { v4: true }, At::Node { v4: false }],
        };
        at.into_iter().map(|at| Call { at, protocol, port: self.number() }).collect()
    }
}

fn calls_of_service(service: &Value) -> Vec<Call> {
    let spec = &service["spec"];
    let texts = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(|it| it.as_str().map(str::to_owned)).collect()
    };
    let ingress = service["status"]["loadBalancer"]["ingress"].as_array().into_iter().flatten();
    let written = [texts(&json!([spec["clusterIP"]])), texts(&spec["clusterIPs"]), texts(&spec["externalIPs"])];
    let written = written.into_iter().flatten().chain(ingress.filter_map(|it| it["ip"].as_str().map(str::to_owned)));
    let addresses: BTreeSet<IpAddr> = written.filter_map(|text| lenient(&text)).collect();
    let mut calls = Vec::new();
    for port in spec["ports"].as_array().into_iter().flatten() {
        let protocol = protocol(port["protocol"].as_str().unwrap_or("TCP")).expect("a protocol");
        let number = |field: &str| port[field].as_u64().and_then(|port| u16::try_from(port).ok());
        let own = number("port").expect("a port");
        calls.extend(addresses.iter().map(|address| Call { at: At::Address(*address), protocol, port: own }));
        let nodes = number("nodePort").into_iter().flat_map(|port| [(port, true), (port, false)]);
        calls.extend(nodes.map(|(port, v4)| Call { at: At::Node { v4 }, protocol, port }));
    }
    calls
}

fn ends_of_slice(slice: &Value) -> Vec<(SocketAddr, Protocol)> {
    let ports: Vec<(u16, Protocol)> = slice["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|port| {
            let number = u16::try_from(port["port"].as_u64()?).ok()?;
            Some((number, protocol(port["protocol"].as_str().unwrap_or("TCP"))?))
        })
        .collect();
    // The 100 further ports of a large slice belong to no Service's port.
    let ports = &ports[..ports.len().min(4)];
    let addresses = slice["endpoints"].as_array().into_iter().flatten().flat_map(|endpoint| {
        let written = endpoint["addresses"].as_array().into_iter().flatten();
        written.filter_map(|address| lenient(address.as_str()?)).collect::<Vec<_>>()
    });
    addresses.flat_map(|ip| ports.iter().map(move |(port, protocol)| (SocketAddr::new(ip, *port), *protocol))).collect()
}

/// The case's number in each text; a text that is a number then becomes one.
fn fill_in(value: &mut Value, number: usize) {
    match value {
        Value::String(text) if text.contains("$n") => {
            let filled = text.replace("$n", &number.to_string());
            *value = filled.parse::<u16>().map_or_else(|_| json!(filled), |port| json!(port));
        }
        Value::Array(list) => list.iter_mut().for_each(|it| fill_in(it, number)),
        Value::Object(fields) => fields.values_mut().for_each(|it| fill_in(it, number)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Adds what every object has.
fn complete(object: &mut Value, number: usize) {
    object["apiVersion"] = json!(if object["kind"] == "Service" { "v1" } else { "discovery.k8s.io/v1" });
    if object["metadata"]["namespace"].is_null() {
        object["metadata"]["namespace"] = json!(format!("c{number}"));
    }
}

/// An address as kube-proxy reads it (`ParseIPSloppy`): leading zeros count for nothing, and an IPv4-mapped one is IPv4.
fn lenient(text: &str) -> Option<IpAddr> {
    let parts: Vec<&str> = text.split('.').map(|part| part.trim_start_matches('0')).collect();
    let parts: Vec<&str> = parts.into_iter().map(|part| if part.is_empty() { "0" } else { part }).collect();
    let plain = if text.contains(':') { text.to_owned() } else { parts.join(".") };
    plain.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}
