//! The network of a pod, seen from inside: real sockets in the namespace that the CNI plugin made.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use agent::net::NetNs;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nix::ifaddrs::getifaddrs;
use socket2::SockRef;

use super::{Cluster, eventually};

/// How long an answer may take on a busy machine; what is dropped takes all of it.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the clusters of the tests give to pods.
const POD_RANGES: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 244, 0, 0), 16)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfd44, 0, 0, 0, 0, 0, 0, 0), 48)),
];

/// A running pod's network.
#[derive(Debug)]
pub struct PodNetwork {
    pub netns: NetNs,
    /// IPv4, then IPv6.
    pub addresses: [IpAddr; 2],
    /// The number of its node.
    pub node: u32,
}

impl PodNetwork {
    /// # Panics
    /// Where there is no such pod, or not within a minute.
    #[must_use]
    pub fn find(cluster: &Cluster, namespace: &str, name: &str) -> Self {
        let path = "-o jsonpath={.spec.nodeName},{.status.podIPs[0].ip},{.status.podIPs[1].ip}";
        eventually(&format!("the network of {namespace}/{name}"), 60, || {
            let line = cluster.kubectl(&format!("get pod {name} --namespace {namespace} {path}"));
            let mut words = line.split(',');
            let node = words.next()?.strip_prefix("node")?.parse().ok()?;
            let addresses: [IpAddr; 2] = [words.next()?.parse().ok()?, words.next()?.parse().ok()?];
            let netns = namespace_with(cluster, node, addresses)?;
            Some(Self { netns, addresses, node })
        })
    }

    /// The network of a pod that the API server does not know yet: one that was not there before.
    ///
    /// # Panics
    /// Where there is none after a minute.
    #[must_use]
    pub fn find_new(cluster: &Cluster, node: u32, before: &BTreeSet<PathBuf>) -> Self {
        eventually("the network of a new pod", 60, || {
            let path = pod_namespaces(cluster, node).into_iter().find(|path| !before.contains(path))?;
            let netns = NetNs::open(path).ok()?;
            let addresses = netns.run(own_addresses).ok()?;
            let of_pods = |ip: &IpAddr| POD_RANGES.iter().any(|range| range.contains(ip));
            // In the order of their kind: IPv4 first.
            let addresses: Vec<IpAddr> = addresses.into_iter().filter(of_pods).collect();
            // An IPv6 address cannot be used before its duplicates were looked for.
            let usable = |ip: &IpAddr| UdpSocket::bind((*ip, 0)).is_ok();
            netns.run(|| addresses.iter().all(usable)).ok()?.then_some(())?;
            Some(Self { netns, addresses: addresses.try_into().ok()?, node })
        })
    }

    /// Runs `work` in the pod's network.
    ///
    /// # Panics
    /// Where the pod is gone.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.netns.run(work).expect("enter the pod's network")
    }

    /// A TCP connection from this pod.
    ///
    /// # Errors
    /// What the pod would see: refused, unreachable, or no answer within a second.
    pub fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        self.run(|| TcpStream::connect_timeout(&to, PATIENCE))
    }

    /// Whether a TCP connection from this pod is accepted. It ends at once: one that a policy cuts meanwhile would go on
    /// saying goodbye, which is counted among other drops.
    ///
    /// # Panics
    /// Where the kernel does not take it back.
    #[must_use]
    pub fn reaches(&self, to: SocketAddr) -> bool {
        let connected = self.connect(to);
        let reset = |stream: &TcpStream| SockRef::from(stream).set_linger(Some(Duration::ZERO)).expect("a reset");
        connected.inspect(reset).is_ok()
    }

    /// The name of the pod that answers an HTTP request for `/hostname`, if one does.
    #[must_use]
    pub fn ask(&self, to: SocketAddr) -> Option<String> {
        let mut connection = self.connect(to).ok()?;
        connection.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        connection.write_all(b"GET /hostname HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).ok()?;
        Some(answer.rsplit("\r\n").next()?.to_owned())
    }

    /// A UDP socket of this pod; port 0 is any.
    ///
    /// # Panics
    /// Where the port is taken.
    #[must_use]
    pub fn udp(&self, family: usize, port: u16) -> UdpSocket {
        self.run(|| UdpSocket::bind((self.addresses[family], port)).expect("a port"))
    }
}

/// The network namespaces that the CNI plugins of a node have made.
///
/// # Panics
/// Where the node is gone.
#[must_use]
pub fn pod_namespaces(cluster: &Cluster, node: u32) -> BTreeSet<PathBuf> {
    let folder = cluster.root_of(node).join("run/netns");
    // containerd makes the folder with the first pod.
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// The namespace among those that the CNI plugins of a node made which has all of the addresses.
fn namespace_with(cluster: &Cluster, node: u32, addresses: [IpAddr; 2]) -> Option<NetNs> {
    pod_namespaces(cluster, node).into_iter().find_map(|path| {
        let netns = NetNs::open(path).ok()?;
        let own = netns.run(own_addresses).ok()?;
        addresses.iter().all(|ip| own.contains(ip)).then_some(netns)
    })
}

fn own_addresses() -> BTreeSet<IpAddr> {
    let entries = getifaddrs().into_iter().flatten();
    let ip = |address: nix::sys::socket::SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    };
    entries.filter_map(|entry| ip(entry.address?)).collect()
}
