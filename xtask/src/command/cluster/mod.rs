//! `cargo xtask cluster`: a real Kubernetes on this machine, without Docker and without a registry, by the scripts in
//! tests/cluster/env; and the tests that need one.

mod options;

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use xtask::bpf::{path_of, workspace};

use crate::command::{image, setup};
use crate::{machine, step};
use options::Options;

pub const USAGE: &str = "cargo xtask cluster COMMAND

  up [--name NAME] [--nodes N] [--cni ptp|bridge] [--proxy iptables|nftables] [--capsule]
                           start a cluster; the first one builds Kubernetes, about 7 minutes on two cores
  exec [--name NAME] cp|nodeN COMMAND…
                           run COMMAND beside the control plane (outside of the nodes), or inside a node
  status                   every cluster of this machine
  down [--name NAME]       end a cluster, also one that crashed
  build                    only install and build what a cluster needs
  test [--release] [NAME…]
                           run the tests on clusters of their own; NAME is a file of tests/cluster
                           --release: optimised, for those that measure (changes, scale, shares, starts)
                           BULKHEAD_CLUSTER=NAME uses one that is up";

/// The programs that the scripts call, and Debian's packages that have them.
const NEEDED: [(&str, &str); 19] = [
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("/usr/lib/cni/ptp", "containernetworking-plugins"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("nft", "nftables"),
    ("conntrack", "conntrack"),
    ("openssl", "openssl"),
    ("jq", "jq"),
    ("curl", "curl"),
    ("pgrep", "procps"),
    ("busybox", "busybox-static"),
    ("nc", "netcat-openbsd"),
    ("dig", "bind9-dnsutils"),
    ("iperf3", "iperf3"),
    ("nsenter", "util-linux"),
    ("bash", "bash"),
    ("bpftool", "bpftool"),
    ("prometheus", "prometheus"),
];

pub fn run(arguments: &[String]) -> Result<()> {
    let (command, rest) = arguments.split_first().map_or(("help", [].as_slice()), |(c, rest)| (c.as_str(), rest));
    let options = Options::parse(rest)?;
    match command {
        "up" => up(&options),
        "exec" => exec(&options),
        "status" => script("status", &options),
        "down" => script("down", &options),
        "build" => build(&options),
        "test" => test(&options.rest, options.release),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bail!("there is no command {command}\n\n{USAGE}"),
    }
}

fn up(options: &Options) -> Result<()> {
    build(options)?;
    script("up", options)?;
    if options.capsule { script("capsule", options) } else { Ok(()) }
}

/// Idempotent, like everything here: on a machine that has all of it this only looks.
fn build(options: &Options) -> Result<()> {
    machine::require_root("a cluster is made of namespaces")?;
    machine::need(&NEEDED).context("a cluster needs Debian packages")?;
    ensure!(
        path_of("go").is_some(),
        "Kubernetes is built by Go 1.24 or newer, which is missing: see https://go.dev/dl"
    );
    script("build", options)
}

/// The files of tests/cluster that are named, or all. One that fails does not hide another.
pub fn test(names: &[String], release: bool) -> Result<()> {
    let mut tests = files()?;
    if let Some(unknown) = names.iter().find(|name| !tests.contains(name)) {
        bail!("there is no tests/cluster/{unknown}.rs; there are: {}", tests.join(" "));
    }
    tests.retain(|test| names.is_empty() || names.contains(test));
    setup::run()?;
    build(&Options::default())?;
    if tests.iter().any(|test| ["image", "install"].contains(&test.as_str())) {
        image::run(&[])?;
    }
    // The packages of `cargo xtask test`: with the same features, nothing is compiled a second time.
    let mut cargo = step::cargo(&["test", "--locked", "--workspace", "--exclude", "ebpf", "--no-fail-fast"]);
    cargo.args(release.then_some("--release"));
    for name in tests {
        cargo.args(["--test", &format!("cluster_{name}")]);
    }
    // One cluster at a time; what tests print is the evidence.
    step::run("cluster tests", cargo.args(["--", "--test-threads=1", "--nocapture"]))
}

/// Each file of tests/cluster is a test of its own.
fn files() -> Result<Vec<String>> {
    let folder = workspace().join("tests/cluster");
    let entries = folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))?;
    let name = |entry: std::fs::DirEntry| Some(entry.file_name().to_str()?.strip_suffix(".rs")?.to_owned());
    let mut names: Vec<_> = entries.flatten().filter_map(name).collect();
    names.sort();
    Ok(names)
}

/// Becomes the command: its input, output and exit code are ours.
fn exec(options: &Options) -> Result<()> {
    Err(prepare("exec", options).exec()).context("cannot run exec.sh")
}

fn script(name: &str, options: &Options) -> Result<()> {
    let status = prepare(name, options).status().with_context(|| format!("cannot run {name}.sh"))?;
    ensure!(status.success(), "{name}.sh ended with {status}");
    Ok(())
}

fn prepare(name: &str, options: &Options) -> Command {
    let mut command = Command::new(workspace().join("tests/cluster/env").join(name).with_extension("sh"));
    command.envs(options.variables.iter().map(|(variable, value)| (variable, value))).args(&options.rest);
    command
}
