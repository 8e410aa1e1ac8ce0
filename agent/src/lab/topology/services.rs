//! Services in the lab's node, as kube-proxy would have them there: its own table of nftables, in its own namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use policy::model::{Pod, Protocol, Service, ServicePort, World};

use super::Node;

/// Marks what is to leave under the node's address: what came by an address that outsiders may use, too.
const MASQUERADE: &str = "meta mark set meta mark or 0x4000";
const BRIDGE_FILTER: &str = "/proc/sys/net/bridge";

/// What is called: at an address, or at any of the node's own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Door {
    /// `None`: every address of the node.
    address: Option<IpAddr>,
    v4: bool,
    protocol: Protocol,
    port: u16,
    /// Callers show up under the node's address.
    masquerade: bool,
}

type Doors = BTreeMap<Door, BTreeSet<(IpAddr, u16)>>;

/// True where a world has something that the node must rewrite.
pub fn has_services(world: &World) -> bool {
    !world.services.is_empty() || world.pods.values().flat_map(|pod| &pod.ports).any(|port| port.host_port.is_some())
}

impl Node {
    /// Makes the node lead to Services and host ports as a world has them, and to no others.
    ///
    /// # Errors
    /// `nft` is missing or refuses, or a bridge cannot be made to rewrite what stays on it.
    pub fn publish_services(&self, world: &World) -> Result<()> {
        let rules = rules(&doors(world));
        self.namespace.run(|| {
            if self.bridge.is_some() {
                rewrite_on_bridge()?;
            }
            nft(&rules)
        })?
    }
}

/// Without it answers stay on the bridge and are not rewritten back.
fn rewrite_on_bridge() -> Result<()> {
    ensure!(
        Path::new(BRIDGE_FILTER).exists(),
        "Services on a bridge need the kernel's br_netfilter: `modprobe br_netfilter` loads it, or use --cni ptp"
    );
    for name in ["bridge-nf-call-iptables", "bridge-nf-call-ip6tables"] {
        let path = Path::new(BRIDGE_FILTER).join(name);
        std::fs::write(&path, "1").with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn nft(rules: &str) -> Result<()> {
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run nft, which rewrites what Services are called at: install nftables")?;
    if let Some(mut stdin) = nft.stdin.take() {
        stdin.write_all(rules.as_bytes()).context("cannot write to nft")?;
    }
    let output = nft.wait_with_output().context("nft does not end")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "nft refuses the rules of the lab's Services: {}", said.trim());
    Ok(())
}

fn doors(world: &World) -> Doors {
    let mut doors = Doors::new();
    for service in world.services.values().filter(|service| !service.is_passed_over) {
        for port in &service.ports {
            service_doors(&mut doors, world, service, port);
        }
    }
    for pod in world.pods.values().filter(|pod| !pod.host_network) {
        host_doors(&mut doors, pod);
    }
    doors
}

fn service_doors(doors: &mut Doors, world: &World, service: &Service, port: &ServicePort) {
    let slices = world.endpoint_slices.values();
    let own = slices.filter(|it| it.namespace == service.namespace && it.service == service.name);
    let ready = own.flat_map(|slice| slice.ends(port)).filter(|end| end.ready);
    let ends: Vec<(IpAddr, u16)> = ready.map(|end| (end.address, end.port)).collect();
    let inside = service.cluster_ips.iter().map(|ip| (Some(*ip), ip.is_ipv4(), port.port, false));
    let outside = service.outside_addresses().map(|ip| (Some(ip), ip.is_ipv4(), port.port, true));
    let of_node = port.node_port.into_iter();
    let of_node =
        of_node.flat_map(|number| service.cluster_ips.iter().map(move |ip| (None, ip.is_ipv4(), number, true)));
    for (address, v4, number, masquerade) in inside.chain(outside).chain(of_node) {
        lead(doors, Door { address, v4, protocol: port.protocol, port: number, masquerade }, &ends);
    }
}

fn host_doors(doors: &mut Doors, pod: &Pod) {
    for (port, host) in pod.ports.iter().filter_map(|port| Some((port, port.host_port?))) {
        let ends: Vec<_> = pod.addresses.iter().map(|address| (*address, port.port)).collect();
        for v4 in [true, false] {
            if host.address.is_none_or(|address| address.is_ipv4() == v4) {
                let door =
                    Door { address: host.address, v4, protocol: port.protocol, port: host.port, masquerade: false };
                lead(doors, door, &ends);
            }
        }
    }
}

/// To those ends that are of the door's family.
fn lead(doors: &mut Doors, door: Door, ends: &[(IpAddr, u16)]) {
    let ends = ends.iter().filter(|(address, _)| address.is_ipv4() == door.v4);
    doors.entry(door).or_default().extend(ends);
}

/// The whole table, in the place of the one before.
fn rules(doors: &Doors) -> String {
    let mut lines = String::new();
    for (door, ends) in doors {
        // Each with the same chance, one after the other.
        for (taken, (address, port)) in ends.iter().enumerate() {
            let chance = match ends.len() - taken {
                1 => String::new(),
                left => format!(" numgen random mod {left} 0"),
            };
            let masquerade = if door.masquerade { format!(" {MASQUERADE}") } else { String::new() };
            let family = if door.v4 { "ip" } else { "ip6" };
            let target = SocketAddr::new(*address, *port);
            let _ = writeln!(lines, "    {}{chance}{masquerade} dnat {family} to {target}", matching(door));
        }
    }
    let own: BTreeSet<IpAddr> = doors.values().flatten().map(|(address, _)| *address).collect();
    let hairpins: String = own.iter().fold(String::new(), |mut text, address| {
        let family = if address.is_ipv4() { "ip" } else { "ip6" };
        let _ = writeln!(text, "    {family} saddr {address} {family} daddr {address} masquerade");
        text
    });
    format!(
        "table inet bulkhead\ndelete table inet bulkhead\ntable inet bulkhead {{\n  chain services {{\n{lines}  }}\n  \
         chain from_pods {{ type nat hook prerouting priority dstnat; jump services; }}\n  \
         chain from_node {{ type nat hook output priority -100; jump services; }}\n  \
         chain leaving {{\n    type nat hook postrouting priority srcnat;\n    \
         meta mark and 0x4000 == 0x4000 masquerade\n{hairpins}  }}\n}}\n"
    )
}

fn matching(door: &Door) -> String {
    let Door { address, v4, protocol, port, .. } = door;
    let family = if *v4 { "ip" } else { "ip6" };
    let address = match address {
        Some(address) => format!("{family} daddr {address}"),
        None => format!("meta nfproto {} fib daddr type local", if *v4 { "ipv4" } else { "ipv6" }),
    };
    format!("{address} {} dport {port}", protocol.name().to_lowercase())
}
