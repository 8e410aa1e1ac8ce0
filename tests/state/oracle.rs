//! Cases of the cyclonus oracle on real packets: what arrives in a lab is what the oracle says, at the end that it says.
//!
//! `BULKHEAD_ORACLE=all` plays all 230 cases one after the other in one lab, which takes a quarter of an hour; otherwise
//! it is every [`SAMPLED`]th.

use std::collections::BTreeMap;
use std::time::Instant;

use agent::lab::{Checked, Cni, Lab};
use anyhow::{Context, Result, ensure};
use policy::ask::{FlowPort, Said};
use tests::lab::Tried;
use tests::oracle::{Case, Probe, Step, oracle};

/// Cases, counted from 0, by what is special about them. Each has ingress and egress rules.
const EVERYWHERE: [(usize, &str); 4] = [
    (21, "ingress from an ipBlock with except"),
    (138, "egress to a named port"),
    (173, "ingress on an SCTP endPort"),
    (199, "several policies, default deny at egress"),
];
const ROUTED: [(usize, &str); 7] = [
    (0, "another namespace only"),
    (31, "egress to an ipBlock with except"),
    (142, "egress to a TCP endPort"),
    (148, "a named port of another protocol"),
    (163, "ingress on a named port"),
    (194, "a policy that changes"),
    (210, "denied by pod, allowed by address"),
];

/// One case in so many, where not all are asked for.
const SAMPLED: usize = 23;

/// The lab keeps its pods, and a case's policies take the place of those of the case before.
#[test]
fn packets_agree_with_case_after_case_in_one_lab() -> Result<()> {
    let cases = oracle()?;
    let all = std::env::var("BULKHEAD_ORACLE").is_ok_and(|asked| asked == "all");
    let chosen: Vec<(usize, &Case)> = cases.iter().enumerate().step_by(if all { 1 } else { SAMPLED }).collect();
    let (tried, started) = (Tried::new("cases"), Instant::now());
    let first = chosen.first().and_then(|(_, case)| case.steps.first()).context("a case with a step")?;
    let mut lab = tried.up(first.manifests()?, &Tried::options(Cni::Ptp));
    let mut packets = 0;
    for (number, case) in &chosen {
        for (step, state) in case.steps.iter().enumerate() {
            lab.replace(state.manifests()?)?;
            packets += compare(&lab, state).with_context(|| format!("case {number}, step {step}"))?;
        }
    }
    lab.remove()?;
    let played = chosen.len();
    println!("{played} of {} cases agree, {packets} packets in {:.0?}", cases.len(), started.elapsed());
    Ok(())
}

#[test]
fn packets_on_links_of_their_own_agree_with_the_oracle() -> Result<()> {
    agree(Cni::Ptp, &ROUTED)
}

#[test]
fn packets_on_links_of_their_own_agree_with_the_special_cases() -> Result<()> {
    agree(Cni::Ptp, &EVERYWHERE)
}

#[test]
fn packets_on_a_bridge_agree_with_the_special_cases() -> Result<()> {
    agree(Cni::Bridge, &EVERYWHERE)
}

fn agree(cni: Cni, chosen: &[(usize, &str)]) -> Result<()> {
    let cases = oracle()?;
    let mut packets = 0;
    for (number, special) in chosen {
        let case = cases.get(*number).context("the oracle has 230 cases")?;
        let agreed = play(case, cni, *number).with_context(|| format!("case {number}, {special}, {cni}"))?;
        println!("{cni}: case {number} ({special}): {agreed} packets agree");
        packets += agreed;
    }
    println!("{cni}: {packets} packets agree with the oracle in {} cases", chosen.len());
    Ok(())
}

/// Later steps are applied to the lab of the first.
fn play(case: &Case, cni: Cni, number: usize) -> Result<usize> {
    let (first, later) = case.steps.split_first().context("a case without steps")?;
    let tried = Tried::new(&format!("case{number}-{cni}"));
    let mut lab = tried.up(first.manifests()?, &Tried::options(cni));
    let mut agreed = compare(&lab, first)?;
    for step in later {
        lab.apply(step.manifests()?)?;
        agreed += compare(&lab, step)?;
    }
    lab.remove()?;
    Ok(agreed)
}

/// How many packets went as the oracle says.
fn compare(lab: &Lab, step: &Step) -> Result<usize> {
    let probes: Vec<Probe<'_>> = step.probes().collect();
    let mut ports: Vec<&str> = probes.iter().map(|probe| probe.port).collect();
    ports.sort_unstable();
    ports.dedup();
    let ports: Vec<FlowPort> =
        ports.into_iter().map(|port| port.parse().map_err(anyhow::Error::msg)).collect::<Result<_>>()?;
    let report = lab.check(&ports, || Ok(()))?;
    let sent: BTreeMap<(&str, &str, String), &Checked> = report.verdicts.iter().map(flow).collect();
    for Probe { from, to, port, said: [ingress, egress, _] } in &probes {
        let checked = sent.get(&(*from, *to, (*port).to_owned()));
        let checked = checked.with_context(|| format!("{from} to {to} on {port} was not sent"))?;
        // The sender's veth comes first: only what leaves can be dropped by the receiver's.
        let expected = match (egress.as_str(), ingress.as_str()) {
            ("blocked", _) => (Said::Drop, Some("egress")),
            (_, "blocked") => (Said::Drop, Some("ingress")),
            _ => (Said::Allow, None),
        };
        let seen = (checked.observed, checked.observed_direction);
        ensure!(seen == expected, "{from} to {to} on {port}: {seen:?}, cyclonus says {expected:?}\n{checked:#?}");
    }
    Ok(probes.len())
}

fn flow(checked: &Checked) -> ((&str, &str, String), &Checked) {
    let record = &checked.record;
    ((&record.from, &record.to, format!("{}/{}", record.protocol, record.port)), checked)
}
