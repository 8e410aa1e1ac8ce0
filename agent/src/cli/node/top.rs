//! `bulkhead top`: which drops happen now, the most frequent first.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::client::{Connection, Output};
use crate::cli::{print, print_json};
use crate::runtime::one_thread;
use crate::serve::CounterEntry;
use crate::terminal::mark;
use crate::text::columns;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    connection: Connection,
    /// How long is counted, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    /// Count once; otherwise on a terminal again and again until interrupted
    #[arg(long)]
    once: bool,
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Deserialize)]
struct Counters {
    items: Vec<CounterEntry>,
}

/// Drops under one set of names, a second.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rate {
    direction: String,
    source_tenant: String,
    destination_tenant: String,
    reason: String,
    audited: bool,
    packets_per_second: f64,
    bytes_per_second: f64,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    let terminal = std::io::stdout().is_terminal();
    one_thread()?.block_on(async {
        let (mut before, mut since) = (counters(args).await?, Instant::now());
        loop {
            sleep(Duration::from_secs(args.interval)).await;
            let (now, at) = (counters(args).await?, Instant::now());
            let rates = rates(&before, &now, at - since);
            match args.output {
                Output::Json => print_json(&serde_json::json!({"kind": "Top", "items": rates}))?,
                Output::Text if terminal && !args.once => {
                    print(format!("{}{}{}", mark("2J"), mark("H"), table(&rates)))?;
                }
                Output::Text => print(table(&rates))?,
            }
            if args.once || !terminal {
                return Ok(ExitCode::SUCCESS);
            }
            (before, since) = (now, at);
        }
    })
}

async fn counters(args: &Args) -> Result<Vec<CounterEntry>> {
    let json = args.connection.get("/counters", Output::Json).await?;
    let Counters { items } = serde_json::from_slice(&json).context("the agent is of another version")?;
    Ok(items)
}

/// What has grown, the most first.
fn rates(before: &[CounterEntry], now: &[CounterEntry], elapsed: Duration) -> Vec<Rate> {
    let before: HashMap<_, _> = before.iter().map(|entry| (name(entry), (entry.packets, entry.bytes))).collect();
    let rate = |entry: &CounterEntry| {
        let (packets, bytes) = before.get(&name(entry)).copied().unwrap_or_default();
        let a_second = |now: u64, before: u64| now.saturating_sub(before) as f64 / elapsed.as_secs_f64();
        Rate {
            direction: entry.direction.clone(),
            source_tenant: entry.source_tenant.clone(),
            destination_tenant: entry.destination_tenant.clone(),
            reason: entry.reason.clone(),
            audited: entry.audited,
            packets_per_second: a_second(entry.packets, packets),
            bytes_per_second: a_second(entry.bytes, bytes),
        }
    };
    let mut rates: Vec<Rate> = now.iter().map(rate).filter(|rate| rate.packets_per_second > 0.0).collect();
    rates.sort_by(|a, b| b.packets_per_second.total_cmp(&a.packets_per_second));
    rates
}

fn name(entry: &CounterEntry) -> (&str, &str, &str, &str, bool) {
    (&entry.direction, &entry.source_tenant, &entry.destination_tenant, &entry.reason, entry.audited)
}

fn table(rates: &[Rate]) -> String {
    if rates.is_empty() {
        return "nothing was dropped\n".to_owned();
    }
    let heads = ["FROM TENANT", "TO TENANT", "DIRECTION", "REASON", "PACKETS/S", "BYTES/S"].map(str::to_owned);
    let row = |rate: &Rate| {
        let audited = if rate.audited { " (audited)" } else { "" };
        [
            rate.source_tenant.clone(),
            rate.destination_tenant.clone(),
            rate.direction.clone(),
            format!("{}{audited}", rate.reason),
            format!("{:.1}", rate.packets_per_second),
            format!("{:.0}", rate.bytes_per_second),
        ]
    };
    columns(&std::iter::once(heads).chain(rates.iter().map(row)).collect::<Vec<_>>())
}
