//! The program behind the node's rewriting, on packets through veths and the kernel's own conntrack, beside an empty one
//! at the same hooks. The time is the kernel's own count (`BPF_ENABLE_STATS`): it adds the same to both.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use agent::kernel::AfterDnat;
use anyhow::{Context, Result, ensure};
use aya::programs::loaded_programs;
use aya::sys::{Stats, enable_stats};

use crate::empty::{self, EMPTY_NETFILTER};
use crate::report::{Budget, Row};
use crate::sample::{Samples, Table, shuffled};
use crate::wire::load;
use crate::wire::rivals::nft;
use crate::wire::topology::{SERVER, Topology};
use crate::{kernel, worlds};

const PART: &str = "netfilter";
/// The name of the agent's program.
const PROGRAM: &str = "after_dnat";
const TIME: Duration = Duration::from_millis(250);
/// Nanoseconds that a packet of a connection that nothing rewrites may cost more than the empty program.
const BUDGET: f64 = 15.0;

/// An address of the node, whose ports lead to the server as those of [`SERVICES`] NodePorts.
const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 244, 1, 1);
const SERVICES: u16 = 100;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rival {
    Empty,
    Bulkhead,
}

/// What stays at the hooks while it lives.
enum InPlace {
    Empty(Vec<OwnedFd>),
    Bulkhead(Box<kernel::Loaded>),
}

/// # Errors
/// The kernel refuses something, or a load does not get through.
pub fn run(rounds: u32) -> Result<Vec<Row>> {
    let topology = Topology::new()?;
    nft(&topology, &services())?;
    let _counting = enable_stats(Stats::RunTime).context("the kernel does not count what programs cost")?;
    let mut samples: Table<(Ipv4Addr, Rival)> = Table::new();
    for round in 0..rounds {
        println!("── netfilter: round {} of {rounds}", round + 1);
        for which in shuffled(2, u64::from(round)) {
            let rival = [Rival::Empty, Rival::Bulkhead][which];
            let in_place = place(rival, &topology)?;
            for called in [SERVER, SERVICE] {
                samples.entry((called, rival)).or_default().add(cost(&in_place, &topology, called)?);
            }
            remove(in_place, &topology)?;
        }
    }
    Ok(rows(&samples))
}

fn place(rival: Rival, topology: &Topology) -> Result<InPlace> {
    if rival == Rival::Empty {
        return Ok(InPlace::Empty(topology.node.run(empty::at_netfilter)??));
    }
    let world = worlds::wire(10, topology.pods().map(|pod| pod.local()));
    let load = || -> Result<kernel::Loaded> {
        let mut loaded = kernel::load("bench-netfilter", &world, AfterDnat::Auto)?;
        topology.pods().into_iter().try_for_each(|pod| loaded.datapath.attach(pod.ifindex, pod.veth))?;
        Ok(loaded)
    };
    Ok(InPlace::Bulkhead(Box::new(topology.node.run(load)??)))
}

fn remove(in_place: InPlace, topology: &Topology) -> Result<()> {
    match in_place {
        InPlace::Empty(links) => drop(links),
        InPlace::Bulkhead(mut loaded) => {
            topology.pods().into_iter().try_for_each(|pod| loaded.datapath.detach(pod.ifindex))?;
        }
    }
    Ok(())
}

/// Nanoseconds of one packet: of small datagrams of one connection.
fn cost(in_place: &InPlace, topology: &Topology, called: Ipv4Addr) -> Result<f64> {
    let name = match in_place {
        InPlace::Empty(_) => EMPTY_NETFILTER,
        InPlace::Bulkhead(_) => PROGRAM,
    };
    let before = spent(name)?;
    load::datagrams(&load::Ends { called, ..topology.ends() }, TIME)
        .with_context(|| format!("to {called} with {name}"))?;
    let (mut time, mut packets) = (Duration::ZERO, 0);
    for (id, (spent, count)) in spent(name)? {
        let earlier = before.get(&id).copied().unwrap_or_default();
        (time, packets) = (time + spent - earlier.0, packets + count - earlier.1);
    }
    ensure!(packets > 0, "no packet met {name}");
    Ok(time.as_nanos() as f64 / packets as f64)
}

/// The time and the packets of each program of this name, by its number. One that was taken off stays for a while.
fn spent(name: &str) -> Result<BTreeMap<u32, (Duration, u64)>> {
    let mut spent = BTreeMap::new();
    for program in loaded_programs() {
        let program = program?;
        if program.name_as_str() == Some(name) {
            spent.insert(program.id(), (program.run_time(), program.run_count()));
        }
    }
    Ok(spent)
}

/// Rules as kube-proxy writes them, one for each Service.
fn services() -> String {
    let mut rules = String::from("table ip bench {\n chain prerouting { type nat hook prerouting priority dstnat;\n");
    for port in load::DATAGRAM - SERVICES..=load::DATAGRAM {
        let _infallible = writeln!(rules, "  ip daddr {SERVICE} udp dport {port} dnat to {SERVER}:{}", load::DATAGRAM);
    }
    rules + " }\n}\n"
}

fn rows(samples: &Table<(Ipv4Addr, Rival)>) -> Vec<Row> {
    let mut rows = Vec::new();
    for (called, name) in [(SERVER, "not rewritten"), (SERVICE, "rewritten")] {
        let of = |rival| samples.get(&(called, rival)).map_or(f64::NAN, Samples::median);
        let (empty, ours) = (of(Rival::Empty), of(Rival::Bulkhead));
        let budget = (called == SERVER).then_some(Budget::AtMost(BUDGET));
        let note = format!("{ours:.1} ns; the empty program {empty:.1} ns");
        rows.push(Row::new(PART, format!("{name}: beyond the empty program"), ours - empty, "ns", budget).note(note));
    }
    rows
}
