//! `bulkhead explain`: why a flow passes or not, step by step, before it has happened.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::ValueEnum;
use policy::ask::{DirectionRecord, End, Explanation, FlowPort, Outcome, Record, Said, Step};

use super::wrap::wrap;
use super::{Paint, WorldArgs, print, print_json};

/// Exit code for a flow that drops.
const DROPPED: u8 = 1;

/// Exits with 0 where the flow is allowed, 1 where it is dropped, 2 where that cannot be said.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Who opens the flow: NAMESPACE/POD, an IP address or node/NAME
    from: End,
    /// Who it is opened to: as above, or svc/NAMESPACE/NAME, each of whose ports is explained
    to: End,
    /// Port: tcp/80, udp/53, sctp/7777, icmp [default: the first that the destination declares, or else tcp/80]
    #[arg(long, value_name = "PORT")]
    port: Option<FlowPort>,
    #[command(flatten)]
    world: WorldArgs,
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Output {
    #[default]
    Text,
    Json,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let subject = args.world.load()?;
    let engine = subject.engine()?;
    let explanations = match &args.to {
        End::Service { namespace, name } => engine.explain_call(&args.from, namespace, name, args.port)?,
        End::Pod(_) | End::Address(_) | End::Node(_) => {
            let port = args.port.unwrap_or_else(|| engine.usual_port(&args.to));
            vec![engine.explain(&args.from, &args.to, port)?]
        }
    };
    let texts = || explanations.iter().map(|it| text(it, Paint::for_stdout())).collect::<anyhow::Result<Vec<_>>>();
    match (args.output, &explanations[..]) {
        (Output::Text, _) => print(texts()?.join("\n")),
        (Output::Json, [explanation]) => print_json(explanation),
        (Output::Json, several) => print_json(&several),
    }?;
    let drops = explanations.iter().any(|explanation| explanation.record.verdict == Said::Drop);
    Ok(if drops { ExitCode::from(DROPPED) } else { ExitCode::SUCCESS })
}

/// An explanation as people read it, in lines that fit a terminal; objects to apply stand as they are to be written.
fn text(explanation: &Explanation, paint: Paint) -> anyhow::Result<String> {
    let Explanation { record, steps, change } = explanation;
    let Record { from, from_ip, to, to_ip, protocol, port, egress, ingress, .. } = record;
    let verdict = match record.verdict {
        Said::Allow => paint.green("allowed"),
        Said::Drop => paint.red("dropped"),
    };
    let port = if *port == 0 { String::new() } else { format!(" {port}") };
    let head = wrap(&format!("{from} ({from_ip}) to {to} ({to_ip}), {protocol}{port}:"), 2);
    let mut text = format!("{head} {}\n", paint.bold(&verdict));
    for (name, end, direction, steps) in
        [("egress at", from, egress, &steps.egress), ("ingress at", to, ingress, &steps.ingress)]
    {
        let _ = writeln!(text, "\n{} {end}: {}", paint.bold(name), said(direction, paint));
        for (number, step) in steps.iter().enumerate() {
            let _ = writeln!(text, "{}", line(number + 1, step, paint));
        }
    }
    if !change.is_empty() {
        let _ = writeln!(text, "\n{}", paint.bold("What would let it pass"));
        for change in change {
            let _ = writeln!(text, "{}", wrap(&format!("  - {}", change.says), 4));
            if let Some(object) = &change.apply {
                let yaml = serde_yaml_ng::to_string(object).context("cannot write the change as YAML")?;
                yaml.lines().for_each(|line| text += &format!("      {line}\n"));
            }
        }
    }
    Ok(text)
}

fn said(direction: &DirectionRecord, paint: Paint) -> String {
    let audited = direction.audited.map(|reason| format!(", audited: {reason}")).unwrap_or_default();
    let text = format!("{} ({}{audited})", direction.verdict.name(), direction.reason);
    match direction.verdict {
        Said::Allow => paint.green(&text),
        Said::Drop => paint.red(&text),
    }
}

fn line(number: usize, step: &Step, paint: Paint) -> String {
    let mut line = format!("  {number}. {:<14} {}", step.step.replace('_', " "), step.says);
    if !step.rules.is_empty() {
        let _ = write!(line, ": {}", step.rules.join(", "));
    }
    let line = wrap(&line, 20);
    match step.outcome {
        Outcome::Next => paint.faint(&line),
        Outcome::Allow => paint.green(&line),
        Outcome::Drop => paint.red(&line),
    }
}
