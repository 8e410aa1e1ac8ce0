//! The tutorial, step by step: `explain` gives for each packet that a lab drops the reason and the rules that the
//! kernel gave.

use std::path::{Path, PathBuf};

use agent::ingest::Manifests;
use agent::lab::{Checked, Cni, Lab};
use anyhow::{Context, Result, ensure};
use policy::ask::{End, Engine, FlowPort, Record, Said};
use policy::model::Config;
use tests::lab::Tried;

#[test]
fn explain_and_the_kernel_agree_on_links_of_their_own() -> Result<()> {
    walk(Cni::Ptp)
}

#[test]
fn explain_and_the_kernel_agree_on_a_bridge() -> Result<()> {
    walk(Cni::Bridge)
}

fn walk(cni: Cni) -> Result<()> {
    let folders = folders()?;
    let (first, later) = folders.split_first().context("a tutorial without steps")?;
    let tried = Tried::new(&format!("tutorial-{cni}"));
    let mut lab = tried.up(Manifests::read(std::slice::from_ref(first))?, &Tried::options(cni));
    let mut drops = explained(&lab)?;
    for step in later {
        lab.apply(Manifests::read(std::slice::from_ref(step))?)?;
        drops += explained(&lab).with_context(|| step.display().to_string())?;
    }
    println!("{cni}: {drops} drops explained in {} steps", folders.len());
    lab.remove()
}

fn folders() -> Result<Vec<PathBuf>> {
    let tutorial = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/tutorial");
    let entries = tutorial.read_dir()?.map(|entry| Ok(entry?.path()));
    let mut folders: Vec<PathBuf> = entries.collect::<Result<_>>()?;
    folders.retain(|path| path.is_dir());
    folders.sort();
    Ok(folders)
}

/// How many packets were dropped, all of them explained.
fn explained(lab: &Lab) -> Result<usize> {
    let world = lab.world()?;
    let config = Config::default();
    let engine = Engine::new(&world, &config)?;
    let report = lab.check(&[], || Ok(()))?;
    ensure!(report.differences() == 0, "the kernel and the model differ");
    let dropped = report.verdicts.iter().filter(|checked| checked.observed == Said::Drop);
    let dropped: Vec<&Checked> = dropped.collect();
    for checked in &dropped {
        let explanation = ask(&engine, &checked.record)?;
        let (direction, because) = explanation.dropped_by().context("explain says that it passes")?;
        ensure!(
            checked.observed_direction == Some(direction)
                && checked.observed_reason == Some(because.reason)
                && checked.observed_rules.as_ref() == Some(&because.rules),
            "the kernel dropped {checked:#?}\nexplain says {explanation:#?}"
        );
    }
    ensure!(!dropped.is_empty(), "tenants are held apart in every step");
    Ok(dropped.len())
}

/// As `bulkhead explain FROM TO --port PORT` does. A name stands for the first address, so IPv6 is asked by address.
fn ask(engine: &Engine<'_>, record: &Record) -> Result<Record> {
    let end = |name: &str, ip: std::net::IpAddr| -> Result<End> {
        let text = if ip.is_ipv4() { name.to_owned() } else { ip.to_string() };
        text.parse().map_err(anyhow::Error::msg)
    };
    let port = format!("{}/{}", record.protocol, record.port);
    let port: FlowPort = port.parse().map_err(anyhow::Error::msg)?;
    Ok(engine.explain(&end(&record.from, record.from_ip)?, &end(&record.to, record.to_ip)?, port)?.record)
}
