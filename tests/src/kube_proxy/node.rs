//! The real kube-proxy and the real portmap plugin beside a bare API server: their rules, without a kubelet and without
//! pods that run.

use std::net::IpAddr;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use policy::compile::NodeView;
use serde_json::{Value, json};

use super::cases::{Case, NODES};
use super::{Rewritten, read_iptables, read_nftables};
use crate::api_server::ApiServer;
use crate::cluster::Proxy;
use crate::daemon::Daemon;

const PORTMAP: &str = "/usr/lib/cni/portmap";

/// The node as the agent finds it.
#[must_use]
pub fn view() -> NodeView {
    let (name, addresses) = NODES[0];
    NodeView { name: name.to_owned(), addresses: addresses.map(parse).into(), ..NodeView::default() }
}

/// Makes the API server's network namespace node1's, and tells the API server of both nodes.
///
/// # Panics
/// Where one of them refuses.
pub fn prepare(server: &ApiServer) {
    ip(server, &format!("address add {}/64 dev underlay nodad", NODES[0].1[1]));
    // The way to pods: portmap looks for the interface that leads there.
    ip(server, "route add 10.244.0.0/16 dev underlay");
    ip(server, "route add fd44::/48 dev underlay");
    server.store(&NODES.map(|(name, addresses)| {
        let addresses = addresses.map(|address| json!({"type": "InternalIP", "address": address}));
        let object = json!({"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": if name == "node1" { "a" } else { "b" }}},
            "status": {"addresses": addresses}});
        (format!("minions/{name}"), object)
    }));
}

/// The rules of kube-proxy in one mode, once it has written them all. It has ended then.
///
/// # Panics
/// Where it writes none within a minute, with its last words.
#[must_use]
pub fn rewritten(server: &ApiServer, proxy: Proxy) -> Rewritten {
    let config = format!(
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: {}\n\
         clientConnection: {{kubeconfig: {}}}\nhostnameOverride: {}\n\
         clusterCIDR: 10.244.0.0/16,fd44::/48\nconntrack: {{maxPerCore: 0}}\n",
        proxy.name(),
        server.admin_config().display(),
        NODES[0].0,
    );
    let file = server.folder().join(format!("{}.yaml", proxy.name()));
    std::fs::write(&file, config).expect("write a configuration");
    // The portmap plugin writes rules of the same kind.
    let others = read(server, proxy);
    let daemon: Daemon = server.daemon("kube-proxy", &format!("kube-proxy-{}", proxy.name()), |command| {
        command.arg("--config").arg(&file);
    });
    let mut last = Rewritten::new();
    daemon.wait_for("every rule of kube-proxy", || {
        sleep(Duration::from_secs(1));
        let before = std::mem::replace(&mut last, read(server, proxy));
        // It writes the families one after the other, each at once.
        let has = |v4: bool| last.keys().any(|call| call.is_v4() == v4 && !others.contains_key(call));
        last == before && has(true) && has(false)
    });
    last
}

/// What the rules on the node rewrite now.
fn read(server: &ApiServer, proxy: Proxy) -> Rewritten {
    match proxy {
        Proxy::Iptables => {
            let [v4, v6] = NODES[0].1.map(parse);
            let mut read = read_iptables(&output(server, "iptables-save", &[], ""), true, &[v4]);
            read.extend(read_iptables(&output(server, "ip6tables-save", &[], ""), false, &[v6]));
            read
        }
        Proxy::Nftables => {
            let ruleset = output(server, "nft", &["--json", "list", "ruleset"], "");
            read_nftables(&serde_json::from_str(&ruleset).expect("JSON"))
        }
    }
}

/// Runs the portmap plugin for every pod of a case that has ports at its node, as a container runtime would, and returns
/// what it rewrites.
///
/// # Panics
/// Where it fails.
#[must_use]
pub fn mapped<'a>(server: &ApiServer, cases: impl IntoIterator<Item = &'a Case>) -> Rewritten {
    for case in cases.into_iter().filter(|case| !case.host_ports.is_empty()) {
        let [v4, v6] = case.addresses_of(5);
        let input = json!({
            "cniVersion": "0.4.0", "name": "ptp", "type": "portmap", "capabilities": {"portMappings": true},
            "runtimeConfig": {"portMappings": case.host_ports.iter().map(super::cases::HostPort::mapping).collect::<Vec<_>>()},
            "prevResult": {"cniVersion": "0.4.0", "interfaces": [{"name": "eth0", "sandbox": "/run/netns/none"}],
                "ips": [{"version": "4", "interface": 0, "address": format!("{v4}/24")},
                    {"version": "6", "interface": 0, "address": format!("{v6}/64")}]},
        });
        output(server, PORTMAP, &[&case.namespace()], &input.to_string());
    }
    read(server, Proxy::Iptables)
}

/// What a program on the node prints. Those that read the environment are CNI plugins.
fn output(server: &ApiServer, program: &str, arguments: &[&str], input: &str) -> String {
    let prepare = |command: &mut std::process::Command| {
        if program == PORTMAP {
            let container = arguments.concat();
            command.env("CNI_COMMAND", "ADD").env("CNI_CONTAINERID", container).env("CNI_IFNAME", "eth0");
            command.env("CNI_NETNS", "/run/netns/none").env("CNI_PATH", "/usr/lib/cni");
        } else {
            command.args(arguments);
        }
    };
    let output = server.output(Path::new(program), prepare, input);
    let said = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
    assert!(output.status.success(), "{program}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn ip(server: &ApiServer, line: &str) {
    let arguments: Vec<&str> = line.split_whitespace().collect();
    drop(output(server, "ip", &arguments, ""));
}

fn parse(address: &str) -> IpAddr {
    address.parse().expect("an address")
}

/// The objects of cases that only etcd takes: pods with a status.
#[must_use]
pub fn pods(cases: &[Case]) -> Vec<(String, Value)> {
    let of = |case: &Case| {
        let namespace = case.namespace();
        case.pods().into_iter().map(move |(name, pod)| (format!("pods/{namespace}/{name}"), pod)).collect::<Vec<_>>()
    };
    cases.iter().flat_map(of).collect()
}
