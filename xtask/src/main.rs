//! `cargo xtask COMMAND`: every developer command. CI runs the same ones.

mod command;
mod machine;
mod step;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

struct Command {
    name: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result<()>,
}

const COMMANDS: [Command; 12] = [
    Command { name: "setup", about: "find or install what the BPF target needs", run: |_| command::setup::run() },
    Command { name: "build", about: "build target/release/bulkhead", run: |_| command::build::run() },
    Command { name: "demo", about: "set up, build, and enforce the tutorial on real packets", run: command::demo::run },
    Command { name: "test", about: "set up, lint, and run every test (as root)", run: command::test::run },
    Command {
        name: "lint",
        about: "formatting, clippy for every crate, one version of each",
        run: |_| command::lint::run(),
    },
    Command { name: "bench", about: "measure against the budgets; --help lists the options", run: command::bench::run },
    Command {
        name: "cluster",
        about: "a real Kubernetes here, and the tests on it; help says more",
        run: command::cluster::run,
    },
    Command { name: "image", about: "the image that a cluster runs, without Docker", run: command::image::run },
    Command { name: "docs", about: "write docs/reference.md", run: |_| command::docs::run() },
    Command { name: "mutants", about: "whether the tests notice mistakes in the compiler", run: command::mutants::run },
    Command { name: "fuzz", about: "arbitrary manifests or packets: fuzz TARGET --seconds N", run: command::fuzz::run },
    Command { name: "kernels", about: "load the programs on other kernels in qemu", run: command::kernels::run },
];

/// Commands with options of their own, which they list.
const EXPLAIN_THEMSELVES: [&str; 2] = ["bench", "cluster"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(name), rest) = (arguments.first(), arguments.get(1..).unwrap_or_default()) else {
        println!("{}", usage());
        return ExitCode::from(2);
    };
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        println!("{}", usage());
        return if asks_for_help(name) { ExitCode::SUCCESS } else { ExitCode::from(2) };
    };
    if rest.first().is_some_and(|first| asks_for_help(first)) && !EXPLAIN_THEMSELVES.contains(&command.name) {
        println!("cargo xtask {name}: {}", command.about);
        return ExitCode::SUCCESS;
    }
    let started = Instant::now();
    let result = (command.run)(rest);
    let elapsed = step::duration(started.elapsed());
    match result {
        Ok(()) => {
            println!("cargo xtask {name}: done in {elapsed}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("cargo xtask {name}: FAILED after {elapsed}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn asks_for_help(argument: &str) -> bool {
    ["help", "--help", "-h"].contains(&argument)
}

fn usage() -> String {
    let lines = COMMANDS.iter().map(|command| format!("  {:<9} {}\n", command.name, command.about));
    format!("cargo xtask COMMAND\n\n{}", lines.collect::<String>().trim_end())
}
