//! `bulkhead agent`: enforces on this node until it is told to end, and leaves everything enforced.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::ValueEnum;
use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::sync::watch::channel;
use tokio::task::spawn_blocking;
use tracing::info;
use tracing_subscriber::EnvFilter;

use super::SettingsArgs;
use crate::cni::{self, Folders, announcements};
use crate::config::Settings;
use crate::files::RUN;
use crate::kernel::{Attachment, Pins};
use crate::lock::{Lock, NODE_LOCK};
use crate::node::{Inputs, Node, Options, Status, Timings, folder, remove_taint, uninstall};
use crate::serve::{self, Drops, MetricsAddress, SOCKET, Scrapes, Sources};
use crate::terminal::{Form, Guarded, say};
use crate::watch::{Access, Cluster};
use crate::{discover, malloc, watch};

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
    /// This node's address [default: the first of the Node object's, once that is known]
    #[arg(long, value_name = "IP", env = "NODE_ADDRESS")]
    node_address: Option<IpAddr>,
    /// Where metrics and health are served; without an IP on the node's address [default: the configuration's cluster.agentPort]
    #[arg(long, value_name = "[IP]:PORT")]
    metrics_address: Option<MetricsAddress>,
    /// How log lines are written; RUST_LOG says which
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
    #[command(flatten)]
    chain: Option<Folders>,
    /// Take the taint bulkhead.dev/agent-not-ready off this node once it enforces; needs to patch Nodes
    #[arg(long)]
    remove_startup_taint: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, clap::Args)]
pub struct UninstallArgs {
    /// Stay when it is done, until told to end: as the pod of a DaemonSet must
    #[arg(long)]
    stay: bool,
    #[command(flatten)]
    chain: Option<Folders>,
}

pub fn run(args: Args) -> Result<ExitCode> {
    malloc::give_back();
    start_logging(args.log_format)?;
    let mut settings = args.settings.load()?;
    let address = args.metrics_address.unwrap_or(MetricsAddress::at_port(settings.policy.agent_port));
    // What is served there is what tenants' pods are kept from.
    settings.policy.agent_port = address.port();
    let address = address.or(args.node_address);
    let _lock = lock()?;
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.context("cannot start the async runtime")?.block_on(work(args, settings, address))?;
    Ok(ExitCode::SUCCESS)
}

pub fn remove(args: &UninstallArgs) -> Result<ExitCode> {
    let lock = lock()?;
    // First: from now on no pod waits for an agent.
    args.chain.as_ref().map_or(Ok(()), cni::unchain)?;
    uninstall(&Pins::agent(), &[&folder(), &announcements()])?;
    lock.remove()?;
    say("nothing of Bulkhead is left on this node");
    if args.stay {
        crate::runtime::one_thread()?.block_on(async {
            Ending::new()?.wait().await;
            anyhow::Ok(())
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The signals that ask a process to end.
struct Ending {
    terminate: Signal,
    interrupt: Signal,
}

impl Ending {
    fn new() -> Result<Self> {
        let catch = |kind| signal(kind).context("cannot catch signals");
        Ok(Self { terminate: catch(SignalKind::terminate())?, interrupt: catch(SignalKind::interrupt())? })
    }

    async fn wait(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn work(args: Args, settings: Settings, address: MetricsAddress) -> Result<()> {
    let ending = Ending::new()?;
    let cluster = Cluster::new(&Access { kubeconfig: args.kubeconfig, context: None }).await?;
    let watch = Arc::new(watch::start(&cluster, &settings.policy, Some(folder().join("served.json"))));
    let inputs =
        Inputs { snapshots: watch.snapshots(), sightings: discover::watch().await?, cluster: Arc::clone(&watch) };
    let (status, seen) = channel(Arc::new(Status::new(&args.node_name)));
    let options =
        Options { node: args.node_name, settings, attachment: Attachment::Auto, pins: Pins::agent(), state: folder() };
    let timings = Timings::default();
    let (config, capacities) = (Arc::new(options.settings.policy.clone()), options.settings.maps.clone());
    let pins = options.pins.clone();
    // The kernel is waited for on threads of its own: nothing else should wait for it.
    let open = {
        let timings = timings.clone();
        move || Node::open(options, status, timings)
    };
    let node = spawn_blocking(open).await.context("the start has died")??;
    let drops = Drops::read(&pins, seen.clone())?;
    tokio::spawn(serve::notify(cluster.client(), seen.clone()));
    if let Some(folders) = args.chain {
        tokio::spawn(cni::keep(folders, seen.clone()));
    }
    if args.remove_startup_taint {
        tokio::spawn(remove_taint(cluster.client(), seen.clone()));
    }
    serve::start(
        address,
        &folder().join(SOCKET),
        Sources { status: seen, watch, timings, drops, config, pins, capacities, scrapes: Scrapes::default() },
    )?;
    info!("started");
    let (stop, stopped) = oneshot::channel::<()>();
    let run = move || Handle::current().block_on(node.run(inputs, async { drop(stopped.await) }));
    let mut enforcing = spawn_blocking(run);
    tokio::select! {
        ended = &mut enforcing => return ended.context("the loop has died")?,
        () = ending.wait() => {}
    }
    info!("ending; everything stays enforced");
    drop(stop);
    enforcing.await.context("the loop has died")?
}

fn start_logging(format: LogFormat) -> Result<()> {
    let filter = EnvFilter::builder().with_default_directive(tracing::Level::INFO.into()).from_env();
    let form = match format {
        LogFormat::Text => Form::Line,
        LogFormat::Json => Form::Json,
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter.context("RUST_LOG cannot be used")?);
    let builder = builder.with_writer(move || Guarded::new(std::io::stderr(), form)).with_ansi(false);
    let started = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}

fn lock() -> Result<Lock> {
    Lock::take(Path::new(RUN).join(NODE_LOCK), "another agent is at work on this node")
}
