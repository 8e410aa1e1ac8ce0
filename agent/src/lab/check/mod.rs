//! Real packets for every pair and port, held against the model: whether they arrive, and for what reason not.

mod drops;
mod report;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use policy::ask::{End, Engine, FlowPort, MatrixQuery, Record, Said};
use policy::compile::{Input, NodeView, compile_within};
use policy::model::World;

use super::Lab;
use super::enforce::view;
use super::probe::{PATIENCE, Probe, Range, Transport};
use super::ps::tenants;
use super::roster::the_node;
use super::topology::Node;
use crate::events::{Directory, EventReader};
use crate::kernel::Maps;
use drops::Drops;
pub use report::{Checked, Report};

/// A flow to try out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    pub from: End,
    pub to: End,
    pub port: FlowPort,
}

impl Lab {
    /// Sends a packet for every record of the matrix. Without `ports` those that the matrix asks about by itself.
    /// `interrupted` is asked every few milliseconds whether to go on.
    ///
    /// # Errors
    /// Something keeps packets from being sent. A difference is no error.
    pub fn check(&self, ports: &[FlowPort], interrupted: impl Fn() -> Result<()>) -> Result<Report> {
        let world = self.world()?;
        let query = MatrixQuery { ports: ports.to_vec(), externals: self.state.external.clone(), namespace: None };
        let records = self.engine(&world)?.matrix(&query)?.records().collect();
        self.try_out(&world, records, &interrupted)
    }

    /// The same for chosen flows, in every address family that their ends share.
    ///
    /// # Errors
    /// As [`Lab::check`], or an end is not in the lab.
    pub fn check_flows(&self, flows: &[Flow], interrupted: impl Fn() -> Result<()>) -> Result<Report> {
        let world = self.world()?;
        let engine = self.engine(&world)?;
        let mut records = Vec::new();
        for Flow { from, to, port } in flows {
            let receivers = engine.parties(to)?;
            for from in engine.parties(from)? {
                let reached = receivers.iter().filter(|to| to.address.is_ipv4() == from.address.is_ipv4());
                records.extend(reached.map(|to| engine.ask(&from, to, *port)));
            }
        }
        self.try_out(&world, records, &interrupted)
    }

    /// The model, of a node with the lab's maps.
    fn engine<'w>(&self, world: &'w World) -> Result<Engine<'w>> {
        Ok(Engine::within(world, &self.settings.policy, &self.maps()?.capacities()?.budget())?)
    }

    fn maps(&self) -> Result<Maps> {
        Maps::open(&self.name.pins()?, &self.settings.maps)
    }

    /// Sends a packet for each record.
    fn try_out(&self, world: &World, records: Vec<Record>, interrupted: &impl Fn() -> Result<()>) -> Result<Report> {
        let config = &self.settings.policy;
        let probes = self.probes(world, &records)?;

        let pins = self.name.pins()?;
        let node = self.view(world)?;
        let maps = self.maps()?;
        let input = Input { world, config, node: &node };
        let compiled = compile_within(&input, &maps.observe()?.ids, None, &maps.capacities()?.budget())?;
        let directory = Directory::new(world, &node, &compiled.desired)?;
        let mut drops = Drops::new(EventReader::open(&pins)?, directory)?;

        let arrived = send(&records, &probes, &mut drops, interrupted)?;
        let verdicts = records.into_iter().zip(&probes).zip(arrived).map(|((record, probe), arrived)| {
            let drop = if arrived { None } else { drops.of(probe) };
            Checked::new(record, arrived, drop)
        });
        let tenants = tenants(world, config).into_iter().map(|(key, tenant)| (key.to_string(), tenant)).collect();
        Ok(Report::new(verdicts.collect(), tenants))
    }

    /// The lab's node as the compiler sees it.
    fn view(&self, world: &World) -> Result<NodeView> {
        self.runtime.block_on(async {
            let node = Node::open(&self.name.node(), self.state.cni).await?;
            view(&the_node(world)?, &node, &self.state).await
        })
    }

    fn probes(&self, world: &World, records: &[Record]) -> Result<Vec<Probe>> {
        let pods = world.pods.keys().map(|key| Ok((key.to_string(), self.namespace_in(world, key)?)));
        let mut inside: BTreeMap<String, String> = pods.collect::<Result<_>>()?;
        inside.insert(End::Node(the_node(world)?).to_string(), self.name.node());
        let place = |end: &str, address: IpAddr| {
            let outside = || self.state.external.contains(&address).then(|| self.name.world());
            let found = inside.get(end).cloned().or_else(outside);
            found.with_context(|| format!("the lab has no {end} at {address}"))
        };
        let probe = |record: &Record| {
            Ok(Probe {
                from: place(&record.from, record.from_ip)?,
                from_ip: record.from_ip,
                to: place(&record.to, record.to_ip)?,
                to_ip: record.to_ip,
                transport: transport(record.protocol)?,
                port: record.port,
            })
        };
        records.iter().map(probe).collect()
    }
}

/// How often a probe that does not say what is expected is sent again, each time with twice the patience.
const CHANCES: u32 = 4;

/// Which probes arrived. A busy machine loses time, not packets: what did not arrive in time, or whose event did not,
/// has more chances.
fn send(
    records: &[Record],
    probes: &[Probe],
    drops: &mut Drops<'_>,
    interrupted: &impl Fn() -> Result<()>,
) -> Result<Vec<bool>> {
    let range = Range::open(probes)?;
    let mut arrived = round(&range, probes, PATIENCE, drops, interrupted)?;
    for chance in 1..=CHANCES {
        let late = |index: &usize| {
            !arrived[*index] && (records[*index].verdict == Said::Allow || drops.of(&probes[*index]).is_none())
        };
        let late: Vec<usize> = (0..probes.len()).filter(late).collect();
        if late.is_empty() {
            break;
        }
        let again: Vec<Probe> = late.iter().map(|index| probes[*index].clone()).collect();
        let come = round(&range, &again, PATIENCE * 2u32.pow(chance), drops, interrupted)?;
        late.into_iter().zip(come).for_each(|(index, come)| arrived[index] = come);
    }
    Ok(arrived)
}

/// Sends each probe once, and takes in what the kernel says meanwhile.
fn round(
    range: &Range,
    probes: &[Probe],
    patience: Duration,
    drops: &mut Drops<'_>,
    interrupted: &impl Fn() -> Result<()>,
) -> Result<Vec<bool>> {
    let arrived = range.send(probes, patience, || {
        interrupted()?;
        drops.read()
    })?;
    drops.read()?;
    Ok(arrived)
}

fn transport(protocol: &str) -> Result<Transport> {
    let found = Transport::ALL.into_iter().find(|transport| transport.name() == protocol);
    found.with_context(|| format!("the lab cannot send {protocol}"))
}
