//! `bulkhead agent`: enforces on this node until it is told to end, and leaves everything enforced.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::ValueEnum;
use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::sync::watch::channel;
use tracing::info;
use tracing_subscriber::EnvFilter;

use super::SettingsArgs;
use crate::config::Settings;
use crate::files::RUN;
use crate::kernel::{Attachment, Pins};
use crate::lock::Lock;
use crate::node::{Inputs, Node, Options, Status, Timings, uninstall};
use crate::watch::{Access, Cluster};
use crate::{discover, watch};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of this machine's Node object
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    node_name: String,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Kubeconfig [default: KUBECONFIG, ~/.kube/config or the service account of the pod]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// How log lines are written; RUST_LOG says which
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, clap::Args)]
pub struct UninstallArgs {}

pub fn run(args: Args) -> Result<ExitCode> {
    start_logging(args.log_format)?;
    let settings = args.settings.load()?;
    let _lock = lock()?;
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.context("cannot start the async runtime")?.block_on(work(args, settings))?;
    Ok(ExitCode::SUCCESS)
}

pub fn remove(_: &UninstallArgs) -> Result<ExitCode> {
    let lock = lock()?;
    uninstall(&Pins::agent(), &state())?;
    lock.remove()?;
    Ok(ExitCode::SUCCESS)
}

async fn work(args: Args, settings: Settings) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot catch signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot catch signals")?;
    let cluster = Cluster::new(&Access { kubeconfig: args.kubeconfig, context: None }).await?;
    let watch = Arc::new(watch::start(&cluster, &settings.policy, Some(state().join("served.json"))));
    let inputs =
        Inputs { snapshots: watch.snapshots(), sightings: discover::watch().await?, cluster: Arc::clone(&watch) };
    let (status, _) = channel(Arc::new(Status::new(&args.node_name)));
    let options =
        Options { node: args.node_name, settings, attachment: Attachment::Auto, pins: Pins::agent(), state: state() };
    let timings = Timings::default();
    let (stop, stopped) = oneshot::channel::<()>();
    // On a thread of its own: it waits for the kernel, and nothing else should wait for it.
    let mut enforcing = tokio::task::spawn_blocking(move || {
        let node = Node::open(options, status, timings)?;
        info!("started");
        Handle::current().block_on(node.run(inputs, async { drop(stopped.await) }))
    });
    tokio::select! {
        ended = &mut enforcing => return ended.context("the loop has died")?,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    info!("ending; everything stays enforced");
    drop(stop);
    enforcing.await.context("the loop has died")?
}

fn start_logging(format: LogFormat) -> Result<()> {
    let filter = EnvFilter::builder().with_default_directive(tracing::Level::INFO.into()).from_env();
    let builder = tracing_subscriber::fmt().with_env_filter(filter.context("RUST_LOG cannot be used")?);
    let builder = builder.with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}

fn state() -> PathBuf {
    Path::new(RUN).join("node")
}

fn lock() -> Result<Lock> {
    Lock::take(Path::new(RUN).join("node.lock"), "another agent is at work on this node")
}
