//! A cluster with an attacker and a victim on it: what an attack does, beside what must work.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::thread::{self, sleep};
use std::time::Duration;

use serde_json::{Value, json};

use super::{AGNHOST, Agent, Cluster, Place, PodNetwork, Proxy, TEAMS, eventually, manifests};

const WORLD: &str = include_str!("../../cluster/attacks/world.yaml");
/// Namespace, name and node of each pod. Its label `app` is its name.
const PODS: [(&str, &str, u32); 8] = [
    ("red", "attacker", 1),
    ("red", "plain", 1),
    ("red", "near", 1),
    ("red", "own", 2),
    ("blue", "client", 1),
    ("blue", "shut", 1),
    ("blue", "beside", 1),
    ("blue", "server", 2),
];
/// An HTTP server beside the control plane, outside of the cluster.
pub const OUTSIDE: &str = "10.89.0.1:9090";
/// Longer than an agent and kube-proxy take to follow a change.
pub const FOLLOWED: Duration = Duration::from_secs(3);
pub const TRIES: usize = 24;
/// So many ask at a time: what drops takes a second.
const ASKERS: usize = 8;

/// A pod that calls, the address, and the name that answers there.
pub type Call<'a> = (&'a str, SocketAddr, &'a str);

/// An attack as it went.
#[derive(Debug)]
struct Row {
    number: &'static str,
    what: String,
    /// What is permitted works.
    control: bool,
    /// What the attack did; `None`: nothing.
    harm: Option<String>,
}

/// Two tenants, and the attacks that one of them has made.
#[derive(Debug)]
pub struct Field {
    pub pods: BTreeMap<&'static str, PodNetwork>,
    pub cluster: Cluster,
    rows: Vec<Row>,
}

#[must_use]
pub fn at(address: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(address.into(), port)
}

/// A Service of the attacker's namespace without labels.
#[must_use]
pub fn plain(name: &str, spec: &Value) -> Value {
    service(name, &json!({}), spec)
}

/// The same with labels.
#[must_use]
pub fn service(name: &str, labels: &Value, spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": "red", "name": name, "labels": labels}, "spec": spec})
}

/// An EndpointSlice of the attacker's namespace.
#[must_use]
pub fn slice(service: &str, name: &str, address: &str, port: u16) -> Value {
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"namespace": "red", "name": name, "labels": {"kubernetes.io/service-name": service}},
        "ports": [{"port": port}], "endpoints": [{"addresses": [address]}]})
}

/// A pod on node2 with a port at its node, or where it says that its node is.
#[must_use]
pub fn host_port_pod(name: &str, host_ip: &str, port: u16) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "red", "name": name, "labels": {"app": name}},
        "spec": {"nodeName": "node2", "terminationGracePeriodSeconds": 0, "containers": [{
            "name": "main", "image": AGNHOST, "args": ["netexec", "--http-port=8080"],
            "ports": [{"containerPort": 8080, "hostPort": port, "hostIP": host_ip}]}]}})
}

impl Field {
    /// A cluster of its own, without agents.
    ///
    /// # Panics
    /// Where it does not come up.
    #[must_use]
    pub fn new() -> Self {
        let cluster = Cluster::up(Proxy::Iptables);
        cluster.apply(WORLD);
        let pod = |(namespace, name, node): &(&str, &str, u32)| {
            manifests::pod(namespace, name, *node, &format!("app: {name}"), "netexec --http-port=8080 --udp-port=8081")
        };
        cluster.apply(&PODS.iter().map(pod).collect::<String>());
        ["red", "blue"].iter().for_each(|namespace| cluster.wait_for_pods(namespace));
        let pods = PODS.map(|(namespace, name, _)| (name, PodNetwork::find(&cluster, namespace, name)));
        serve_outside(&cluster);
        // Of node2, and in no Node object.
        drop(cluster.try_run(Place::Node(2), "ip address add 10.89.0.99/24 dev eth0"));
        Self { pods: BTreeMap::from(pods), cluster, rows: Vec::new() }
    }

    /// Agents on both nodes, once they enforce.
    ///
    /// # Panics
    /// Where they do not within a minute.
    #[must_use]
    pub fn defend(&self, binary: &str) -> [Agent; 2] {
        let agents = Agent::start_everywhere(&self.cluster, binary, TEAMS);
        let (outside, shut) = (OUTSIDE.parse().expect("an address"), at(self.address("shut"), 8080));
        eventually("the agents enforce", 60, || {
            (!self.pods["attacker"].reaches(outside) && !self.pods["client"].reaches(shut)).then_some(())
        });
        println!("| # | attack | what is permitted | what the attack does |\n|---|---|---|---|");
        agents
    }

    /// # Panics
    /// Where the API server refuses one of the objects.
    pub fn apply(&self, objects: &[Value]) {
        self.cluster.apply(&objects.iter().map(|object| format!("---\n{object}\n")).collect::<String>());
    }

    /// # Panics
    /// Where one of the objects is not there.
    pub fn delete(&self, objects: &[Value]) {
        for object in objects {
            let text = |field: &str| object["metadata"][field].as_str().expect("a name").to_owned();
            let kind = object["kind"].as_str().expect("a kind");
            let line = format!("delete {kind} {} --namespace {} --wait=false", text("name"), text("namespace"));
            self.cluster.kubectl(&line);
        }
    }

    #[must_use]
    pub fn address(&self, pod: &str) -> IpAddr {
        self.pods[pod].addresses[0]
    }

    /// The names that answer a pod which asks often.
    #[must_use]
    pub fn answers(&self, from: &str, to: SocketAddr) -> BTreeSet<String> {
        let ask = || (0..TRIES / ASKERS).filter_map(|_| self.pods[from].ask(to)).collect::<Vec<_>>();
        thread::scope(|scope| {
            let askers: Vec<_> = (0..ASKERS).map(|_| scope.spawn(ask)).collect();
            askers.into_iter().flat_map(|asker| asker.join().expect("answers")).collect()
        })
    }

    /// `to` answers a pod that may call it.
    #[must_use]
    pub fn control(&self, from: &str, to: SocketAddr, answer: &str) -> bool {
        (0..3).any(|_| self.pods[from].ask(to).as_deref() == Some(answer))
    }

    /// Applies objects, asks often, and notes it where `answer` is among those that answer. `control`: what must work.
    /// What the attack before has claimed counts for ten seconds after it is gone, so the control must work first.
    ///
    /// # Panics
    /// As [`Self::apply`]; where the control does not work before the attack.
    pub fn attack(
        &mut self,
        (number, what): (&'static str, &str),
        objects: &[Value],
        (from, to, answer): Call<'_>,
        control: Call<'_>,
    ) {
        eventually(&format!("what is permitted before {number} {what}"), 30, || {
            self.control(control.0, control.1, control.2).then_some(())
        });
        self.apply(objects);
        sleep(FOLLOWED);
        let control = self.control(control.0, control.1, control.2);
        let harm = self.answers(from, to).contains(answer).then(|| format!("{answer} answers"));
        self.note(number, what, control, harm);
        self.delete(objects);
    }

    pub fn note(&mut self, number: &'static str, what: &str, control: bool, harm: Option<String>) {
        let row = Row { number, what: what.to_owned(), control, harm };
        let permitted = if row.control { "works" } else { "FAILS" };
        println!("| {number} | {what} | {permitted} | {} |", row.harm.as_deref().unwrap_or("nothing"));
        self.rows.push(row);
    }

    /// # Panics
    /// Where an attack did harm, or what is permitted did not work, with all of those.
    pub fn judge(&self) {
        let wrong: Vec<String> = self
            .rows
            .iter()
            .filter(|row| !row.control || row.harm.is_some())
            .map(|row| format!("{} {}: permitted {}, {:?}", row.number, row.what, row.control, row.harm))
            .collect();
        assert!(wrong.is_empty(), "{} of {} attacks:\n{}", wrong.len(), self.rows.len(), wrong.join("\n"));
    }
}

impl Default for Field {
    fn default() -> Self {
        Self::new()
    }
}

/// Answers everybody who connects.
fn serve_outside(cluster: &Cluster) {
    let listener = cluster.outside().run(|| TcpListener::bind(OUTSIDE).expect("a port")).expect("enter the namespace");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.set_read_timeout(Some(Duration::from_millis(500)));
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\noutside");
        }
    });
}
