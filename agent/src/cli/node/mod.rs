//! `bulkhead status`, `endpoints`, `tenants`, `drops`, `top`, `dump`, `metrics`: what the agent of this node says.

mod client;
mod status;
mod top;

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;

use super::output::{print, stream};
use crate::runtime::one_thread;
use client::{Connection, Output};

pub use status::Args as StatusArgs;
pub use status::run as status;
pub use top::Args as TopArgs;
pub use top::run as top;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    connection: Connection,
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Debug, clap::Args)]
pub struct MetricsArgs {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, clap::Args)]
pub struct DropsArgs {
    #[command(flatten)]
    connection: Connection,
    /// Go on with those that come, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// Only with a pod of this namespace at one end or both
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    /// Only for this reason
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// As JSON, a record a line
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Prints an answer as it is.
pub fn show(path: &str, args: &Args) -> Result<ExitCode> {
    let answer = one_thread()?.block_on(args.connection.get(path, args.output))?;
    stream(args.output.form(), |out| out.write_all(&answer))?;
    Ok(ExitCode::SUCCESS)
}

pub fn metrics(args: &MetricsArgs) -> Result<ExitCode> {
    print(one_thread()?.block_on(args.connection.get("/metrics", Output::Text))?)?;
    Ok(ExitCode::SUCCESS)
}

pub fn drops(args: &DropsArgs) -> Result<ExitCode> {
    let mut path = format!("/drops?follow={}", args.follow);
    for (name, value) in [("namespace", &args.namespace), ("reason", &args.reason)] {
        if let Some(value) = value {
            anyhow::ensure!(value.bytes().all(is_plain), "--{name} {value}: letters, digits, - and _ only");
            let _ = write!(path, "&{name}={value}");
        }
    }
    let each = |piece: &[u8]| stream(args.output.form(), |out| out.write_all(piece));
    one_thread()?.block_on(args.connection.stream(&path, args.output, each))?;
    Ok(ExitCode::SUCCESS)
}

/// What needs no escape in a URL.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}
