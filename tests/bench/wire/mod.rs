//! Traffic through veths, with each rival in its turn: ratios to nothing at all, in one run.

pub mod load;
pub mod rivals;
pub mod topology;

use std::time::Duration;

use agent::kernel::AfterDnat;
use anyhow::{Context, Result};
use rivals::Rival;
use topology::Topology;

use crate::empty::Empty;
use crate::report::{Budget, Row};
use crate::sample::{Table, shuffled};
use crate::{kernel, worlds};

const PART: &str = "wire";

/// The names of the two pods in the world of the policies.
pub const CLIENT: &str = "client";
pub const SERVER: &str = "server";

/// A load, how long it runs, and what the budget of Bulkhead's ratio is.
struct Load {
    name: &'static str,
    unit: &'static str,
    run: fn(&load::Ends<'_>, Duration) -> Result<f64>,
    time: Duration,
    budget: f64,
}

const fn loads() -> [Load; 4] {
    const LONG: Duration = Duration::from_millis(300);
    const SHORT: Duration = Duration::from_millis(200);
    [
        Load { name: "TCP stream", unit: "B/s", run: load::stream, time: LONG, budget: 0.98 },
        Load { name: "TCP request/response", unit: "/s", run: load::requests, time: SHORT, budget: 0.98 },
        Load { name: "TCP connect+request", unit: "/s", run: load::connections, time: SHORT, budget: 0.96 },
        Load { name: "UDP small packets", unit: "/s", run: load::datagrams, time: SHORT, budget: 0.95 },
    ]
}

/// Rounds here for one of the other parts: many short ones, because these machines are slow for seconds at a time.
const ROUNDS: u32 = 5;

/// Measures, [`ROUNDS`] times as often as the other parts.
///
/// # Errors
/// The kernel refuses something, or a load does not get through: which, and behind what.
pub fn run(rounds: u32) -> Result<Vec<Row>> {
    let topology = Topology::new()?;
    let mut rivals = rivals(&topology)?;
    let loads = loads();
    let mut samples: Table<(usize, usize)> = Table::new();
    let rounds = rounds * ROUNDS;
    for round in 0..rounds {
        if round % ROUNDS == 0 {
            println!("── wire: round {} of {rounds}", round + 1);
        }
        for which in shuffled(rivals.len(), u64::from(round)) {
            let (name, rival) = &mut rivals[which];
            let in_place = rival.place(&topology).with_context(|| format!("cannot set up {name}"))?;
            for (number, load) in loads.iter().enumerate() {
                let rate = (load.run)(&topology.ends(), load.time)
                    .with_context(|| format!("{} does not get through with {name}", load.name))?;
                samples.entry((number, which)).or_default().add(rate);
            }
            rival.remove(in_place, &topology)?;
        }
    }
    Ok(rows(&loads, &rivals, &samples))
}

/// The first one is what the others are compared with.
fn rivals(topology: &Topology) -> Result<Vec<(String, Rival)>> {
    let mut rivals =
        vec![("no program".to_owned(), Rival::None), ("empty TCX".to_owned(), Rival::EmptyTcx(Empty::load()?))];
    for policies in [10, 10_000] {
        let world = worlds::wire(policies, topology.pods().map(topology::Pod::local));
        let loaded = topology.node.run(|| kernel::load(&format!("bench-{policies}"), &world, AfterDnat::Off))??;
        rivals.push((format!("Bulkhead, {policies} policies"), Rival::Bulkhead(Box::new(loaded))));
    }
    rivals.push(("nftables, 1,000 rules in a list".to_owned(), Rival::NftLinear));
    rivals.push(("nftables, verdict map".to_owned(), Rival::NftMap));
    Ok(rivals)
}

fn rows(loads: &[Load], rivals: &[(String, Rival)], samples: &Table<(usize, usize)>) -> Vec<Row> {
    let mut rows = Vec::new();
    for (number, load) in loads.iter().enumerate() {
        let Some(base) = samples.get(&(number, 0)) else { continue };
        for (which, (rival, kind)) in rivals.iter().enumerate() {
            let Some(values) = samples.get(&(number, which)) else { continue };
            let budget = matches!(kind, Rival::Bulkhead(_)).then_some(Budget::AtLeast(load.budget));
            let note = format!("{:.4e} {}, spread {:.0} %", values.median(), load.unit, values.spread());
            let name = format!("{}: {rival}", load.name);
            rows.push(Row::new(PART, name, values.over(base).median(), "ratio", budget).note(note));
        }
    }
    rows
}
