//! `cargo xtask kernels`: runs the tests of the datapath on Debian's kernels in qemu, the very files that
//! `cargo xtask test` runs here. Needs no virtualisation of the processor.

mod image;
mod initramfs;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use xtask::bpf::{path_of, workspace};

use crate::command::setup;
use crate::{machine, step};
use initramfs::Initramfs;

/// A line of kernels, by the start of Debian's version.
struct Kernel {
    series: &'static str,
    hook: Hook,
}

/// Where the programs are attached there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hook {
    Clsact,
    Tcx,
}

/// The oldest that is supported, and one with TCX. The machine's own is tested by `cargo xtask test`.
const KERNELS: [Kernel; 2] = [Kernel { series: "6.1", hook: Hook::Clsact }, Kernel { series: "6.12", hook: Hook::Tcx }];

/// A test of the crate `tests`, and which of its cases are run on the kernels of a hook: all where none is named, and none
/// where there is no list.
struct Suite {
    test: &'static str,
    on_tcx: &'static [&'static str],
    on_clsact: Option<&'static [&'static str]>,
}

const SUITES: [Suite; 3] = [
    Suite { test: "state_open", on_tcx: &[], on_clsact: Some(&[]) },
    Suite { test: "state_links", on_tcx: &[], on_clsact: Some(&["filter", "destroying"]) },
    // Judgement after DNAT: what has TCX (Linux 6.6) has BPF at netfilter's hooks, too (6.4).
    Suite { test: "state_services", on_tcx: &["what_no_object_describes"], on_clsact: None },
];

impl Suite {
    const fn cases(&self, hook: Hook) -> Option<&'static [&'static str]> {
        match hook {
            Hook::Tcx => Some(self.on_tcx),
            Hook::Clsact => self.on_clsact,
        }
    }
}

/// What the tests call, where this machine has it.
const TOOLS: [&str; 4] = ["ip", "tc", "bpftool", "nft"];

const MODULES: [&str; 15] = [
    "veth",
    "dummy",
    "bridge",
    "sch_ingress",
    "cls_bpf",
    "br_netfilter",
    "nf_tables",
    "nft_chain_nat",
    "nft_nat",
    "nft_masq",
    "nft_numgen",
    "nft_ct",
    "nft_fib_inet",
    "nft_fib_ipv4",
    "nft_fib_ipv6",
];

/// Kernels whose series is named, or all.
pub fn run(arguments: &[String]) -> Result<()> {
    prepare()?;
    let tests = build_tests()?;
    let mut failed = Vec::new();
    for kernel in KERNELS.iter().filter(|kernel| arguments.is_empty() || arguments.iter().any(|a| a == kernel.series)) {
        let started = Instant::now();
        let outcome = test_on(kernel, &tests).with_context(|| format!("Linux {}", kernel.series));
        let (word, what) = match &outcome {
            Ok(what) => ("PASS", what.clone()),
            Err(error) => ("FAIL", format!("{error:#}")),
        };
        println!("── {word} Linux {:<5} {what} ({})", kernel.series, step::duration(started.elapsed()));
        if outcome.is_err() {
            failed.push(kernel.series);
        }
    }
    ensure!(failed.is_empty(), "the programs do not hold on Linux {}", failed.join(" and "));
    Ok(())
}

fn prepare() -> Result<()> {
    setup::run()?;
    let needed = [("qemu-system-x86_64", "qemu-system-x86"), ("busybox", "busybox-static"), ("xz", "xz-utils")];
    machine::need(&needed)
}

/// Builds the tests and returns their files by name.
fn build_tests() -> Result<BTreeMap<&'static str, PathBuf>> {
    println!("── building the tests");
    // The packages of `cargo xtask test`: with the same features, nothing is compiled a second time.
    let mut cargo = step::cargo(&["test", "--locked", "--workspace", "--exclude", "ebpf", "--no-run"]);
    for suite in &SUITES {
        cargo.args(["--test", suite.test]);
    }
    let output = cargo.current_dir(workspace()).stdin(Stdio::null()).output().context("cannot run cargo")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "the tests do not build:\n{said}");
    // Lines like `  Executable state/open.rs (target/debug/deps/state_open-0123456789abcdef)`.
    let files = said.lines().filter_map(|line| line.split_once('(')?.1.strip_suffix(')'));
    let files: Vec<PathBuf> = files.map(|file| workspace().join(file)).collect();
    let file_of = |suite: &Suite| {
        let start = format!("{}-", suite.test);
        let is_it = |file: &&PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&start));
        let file = files.iter().find(is_it).with_context(|| format!("cargo did not say where {} is", suite.test))?;
        Ok((suite.test, file.clone()))
    };
    SUITES.iter().map(file_of).collect()
}

/// What passed there, in a few words.
fn test_on(kernel: &Kernel, tests: &BTreeMap<&'static str, PathBuf>) -> Result<String> {
    let folder = workspace().join("target/kernels").join(kernel.series);
    let image = image::fetch(kernel.series, &folder)?;
    println!("── Linux {}: {}", kernel.series, image.package);
    let mut initramfs = Initramfs::new();
    initramfs.program("busybox", &path_of("busybox").context("no busybox")?)?;
    for tool in TOOLS {
        if let Some(path) = path_of(tool) {
            initramfs.program(tool, &path)?;
        }
    }
    for (name, path) in tests {
        initramfs.program(name, path)?;
    }
    let modules = image.modules(&MODULES)?;
    for (name, content) in &modules {
        initramfs.file(&format!("modules/{name}.ko"), 0o644, content);
    }
    initramfs.file("init", 0o755, script(kernel, modules.iter().map(|(name, _)| name.as_str())).as_bytes());
    let archive = folder.join("initramfs.cpio");
    fs::write(&archive, initramfs.finish()).with_context(|| format!("cannot write {}", archive.display()))?;
    judge(kernel.hook, &boot(&image.vmlinuz, &archive, &folder.join("console.log"))?)
}

/// The first process there: sets the machine up, runs the tests, says how each ended, and turns it off.
fn script<'a>(kernel: &Kernel, modules: impl Iterator<Item = &'a str>) -> String {
    let mut script = String::from(
        "#!/bin/busybox sh\n/bin/busybox mkdir -p /proc /sys /dev /run /tmp /busybox\n\
         /bin/busybox --install -s /busybox\nexport PATH=/bin:/busybox RUST_TEST_THREADS=1\n\
         mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev\n\
         mount -t tmpfs run /run; mount -t tmpfs tmp /tmp; mount -t bpf bpf /sys/fs/bpf\n",
    );
    for module in modules {
        script += &format!("insmod /modules/{module}.ko\n");
    }
    for suite in &SUITES {
        if let Some(cases) = suite.cases(kernel.hook) {
            script += &format!("{0} {1}; echo \"ENDED {0} $?\"\n", suite.test, cases.join(" "));
        }
    }
    script + "poweroff -f\n"
}

/// Starts the kernel and returns what it and the tests printed.
fn boot(kernel: &Path, initramfs: &Path, log: &Path) -> Result<String> {
    let mut qemu = Command::new("timeout");
    // Haswell: with `-cpu max` some of these kernels panic now and then. TCG: this must run where KVM does not.
    qemu.args(["900", "qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "Haswell-v4"]);
    qemu.args(["-smp", "2", "-m", "2048", "-nographic", "-no-reboot", "-nic", "none"]);
    qemu.arg("-kernel").arg(kernel).arg("-initrd").arg(initramfs);
    // The kernel's tests of its own ciphers find an emulated processor's mistakes, or never end.
    qemu.args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable cryptomgr.notests"]);
    let output = qemu.stdin(Stdio::null()).output().context("cannot run qemu-system-x86_64")?;
    fs::write(log, &output.stdout).with_context(|| format!("cannot write {}", log.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "qemu ended with {}: {said}; see {}", output.status, log.display());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Every test must have said that it passed.
fn judge(hook: Hook, console: &str) -> Result<String> {
    let mut run = SUITES.iter().filter(|suite| suite.cases(hook).is_some());
    let ended = |suite: &Suite| console.lines().any(|line| line.trim() == format!("ENDED {} 0", suite.test));
    if let Some(suite) = run.find(|suite| !ended(suite)) {
        let failures: Vec<_> = console.lines().filter(|line| line.contains("panicked at")).take(3).collect();
        anyhow::bail!("{} failed: {}; see console.log in target/kernels", suite.test, failures.join("; "));
    }
    let passed = console.lines().filter_map(|line| line.trim().strip_prefix("test result: ok. ")?.split(' ').next());
    let passed: u32 = passed.filter_map(|count| count.parse::<u32>().ok()).sum();
    Ok(format!("{passed} tests passed"))
}
