//! `bulkhead status`: whether this node is enforced, and what is missing.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::client::{Connection, Output};
use crate::cli::output::stream;
use crate::runtime::one_thread;

const PULSE: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    connection: Connection,
    /// Wait until nothing is missing, no longer than so many seconds
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Of the status what the exit code depends on.
#[derive(Deserialize)]
struct Glance {
    missing: Vec<String>,
}

/// Exit code 0 where nothing is missing, 1 where something is.
pub fn run(args: &Args) -> Result<ExitCode> {
    one_thread()?.block_on(async {
        let end = Instant::now() + Duration::from_secs(args.wait.unwrap_or_default());
        let mut ready = is_ready(args).await;
        while Instant::now() < end && !matches!(ready, Ok(true)) {
            sleep(PULSE).await;
            ready = is_ready(args).await;
        }
        let answer = args.connection.get("/status", args.output).await?;
        stream(args.output.form(), |out| out.write_all(&answer))?;
        Ok(if ready? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

async fn is_ready(args: &Args) -> Result<bool> {
    let json = args.connection.get("/status", Output::Json).await?;
    let glance: Glance = serde_json::from_slice(&json).context("the agent is of another version")?;
    Ok(glance.missing.is_empty())
}
