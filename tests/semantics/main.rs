//! Every corner case of semantics.md as a test of its own: one case, several engines.
//!
//! `cases/TOPIC/NUMBER-NAME.yaml` is a small world and what becomes of packets in it; `model/TOPIC/NUMBER-NAME` judges
//! it by the compiled rules, `ptp/…` and `bridge/…` by real packets in a lab of that form. Cases that share a
//! configuration share a lab: they only speak of namespaces of their own.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test says what it expects by failing")]

mod catalogue;
mod flow;
mod model;
mod packets;
mod scenario;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use agent::lab::Cni;
use libtest_mimic::{Arguments, Failed, Trial};

use packets::Problems;
use scenario::Scenario;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let scenarios = match scenario::all() {
        Ok(scenarios) => Arc::new(scenarios),
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    let mut trials = catalogue::trials(&scenarios);
    for index in (0..scenarios.len()).filter(|index| !scenarios[*index].stages.is_empty()) {
        let cases = Arc::clone(&scenarios);
        trials.push(Trial::test(format!("model/{}", scenarios[index].name), move || {
            none(&model::problems(&cases[index]).map_err(|error| format!("{error:#}"))?)
        }));
    }
    for cni in [Cni::Ptp, Cni::Bridge] {
        let sends = |it: &Scenario| it.head.model_only.is_none() && !it.stages.is_empty();
        let asked = |it: &Scenario| sends(it) && is_asked_for(&arguments, &format!("{cni}/{}", it.name));
        let chosen: Vec<usize> = (0..scenarios.len()).filter(|index| asked(&scenarios[*index])).collect();
        trials.extend(on_packets(&scenarios, cni, &Arc::new(chosen)));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The first of these tests plays all of them.
fn on_packets(scenarios: &Arc<Vec<Scenario>>, cni: Cni, chosen: &Arc<Vec<usize>>) -> Vec<Trial> {
    let played: Arc<OnceLock<Result<Problems, String>>> = Arc::default();
    let trial = |index: &usize| {
        let (cases, chosen, played) = (Arc::clone(scenarios), Arc::clone(chosen), Arc::clone(&played));
        let name = scenarios[*index].name.clone();
        Trial::test(format!("{cni}/{name}"), move || {
            let play = || packets::play(&chosen.iter().map(|index| &cases[*index]).collect::<Vec<_>>(), cni);
            match played.get_or_init(|| play().map_err(|error| format!("{error:#}"))) {
                Ok(problems) => none(problems.get(&name).map_or(&[], Vec::as_slice)),
                Err(error) => Err(Failed::from(error)),
            }
        })
    };
    chosen.iter().map(trial).collect()
}

/// Whether the filters of the command line leave a test in.
fn is_asked_for(arguments: &Arguments, name: &str) -> bool {
    let says = |filter: &String| if arguments.exact { name == filter } else { name.contains(filter.as_str()) };
    arguments.filter.as_ref().is_none_or(says) && !arguments.skip.iter().any(says)
}

fn none(problems: &[String]) -> Result<(), Failed> {
    if problems.is_empty() { Ok(()) } else { Err(Failed::from(problems.join("\n"))) }
}
