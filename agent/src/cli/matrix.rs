//! `bulkhead matrix`: who reaches whom.

use std::fmt::Write;
use std::io::IsTerminal;
use std::net::IpAddr;
use std::process::ExitCode;

use anyhow::Context;
use clap::ValueEnum;
use policy::ask::{FlowPort, Matrix, MatrixQuery, Record};

use super::table::{Paint, table, wide};
use super::{WorldArgs, print};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    world: WorldArgs,
    /// Port to ask about: tcp/80, udp/53, sctp/7777, icmp; may be repeated [default: every port that a container
    /// declares or a policy names, and one that none does]
    #[arg(long = "port", value_name = "PORT")]
    ports: Vec<FlowPort>,
    /// Address outside the cluster to ask about, as source and as destination; may be repeated
    #[arg(long = "external", value_name = "IP")]
    externals: Vec<IpAddr>,
    /// Only flows with a pod of this namespace at one end or both
    #[arg(short, long, value_name = "NS")]
    namespace: Option<String>,
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Output {
    /// Sources down, destinations across, a mark for each verdict
    #[default]
    Table,
    /// A line for each verdict, with the reason and the rules that decided
    Wide,
    Json,
    Csv,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let subject = args.world.load()?;
    let engine = subject.engine()?;
    if let Some(namespace) = &args.namespace
        && !subject.loaded.world.namespaces.contains_key(namespace)
    {
        anyhow::bail!("there is no namespace {namespace}, name one of those in the manifests");
    }
    let matrix = engine.matrix(&MatrixQuery {
        ports: args.ports.clone(),
        externals: args.externals.clone(),
        namespace: args.namespace.clone(),
    })?;
    let paint = Paint::new(std::io::stdout().is_terminal());
    match args.output {
        Output::Table => print(table(&matrix.verdicts, paint)),
        Output::Wide => print(wide(&matrix.verdicts, paint)),
        Output::Json => print(json(&matrix)?),
        Output::Csv => print(csv(&matrix.verdicts)),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn json(matrix: &Matrix) -> anyhow::Result<String> {
    let text = serde_json::to_string_pretty(matrix).context("cannot write the matrix as JSON")?;
    Ok(text + "\n")
}

fn csv(verdicts: &[Record]) -> String {
    let mut text = String::from(
        "from,fromIP,to,toIP,protocol,port,verdict,audited,egress,egressReason,egressRules,ingress,ingressReason,\
         ingressRules\n",
    );
    for record in verdicts {
        let Record { from, from_ip, to, to_ip, protocol, port, verdict, audited, egress, ingress } = record;
        let (verdict, audited) = (verdict.name(), audited.unwrap_or_default());
        let _ = write!(text, "{from},{from_ip},{to},{to_ip},{protocol},{port},{verdict},{audited}");
        for direction in [egress, ingress] {
            let rules = direction.rules.join("; ");
            let _ = write!(text, ",{},{},{}", direction.verdict.name(), direction.reason, field(&rules));
        }
        text.push('\n');
    }
    text
}

/// Tenants' names can hold anything.
fn field(text: &str) -> String {
    if text.contains(['"', ',', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
