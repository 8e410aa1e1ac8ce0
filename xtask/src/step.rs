//! Running programs one after the other, each with a line that says which.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// Runs `command` in the workspace, without input, and shows what it prints.
///
/// # Errors
/// It cannot be run, or it ends with another code than 0.
pub fn run(title: &str, command: &mut Command) -> Result<()> {
    println!("── {title}: {}", line(command));
    let started = Instant::now();
    let status = command.current_dir(xtask::bpf::workspace()).stdin(Stdio::null()).status();
    let status = status.with_context(|| format!("cannot run {:?}", command.get_program()))?;
    ensure!(status.success(), "{title}: `{}` ended with {status}", line(command));
    println!("── {title}: {}", duration(started.elapsed()));
    Ok(())
}

/// Cargo as it was called: the pinned tool chain.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments);
    cargo
}

/// As people say it: `4.2 s`, `3 min 07 s`.
#[must_use]
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}

fn line(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let words = std::iter::once(program.file_name().unwrap_or(program.as_os_str())).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
