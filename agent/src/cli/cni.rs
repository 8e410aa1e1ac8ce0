//! `bulkhead cni`: called by container runtimes, not by people.

use std::process::ExitCode;

use anyhow::Result;

use super::print;
use crate::cni;

#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_: &Args) -> Result<ExitCode> {
    match cni::run(|name| std::env::var(name).ok(), &mut std::io::stdin()) {
        Ok(answer) => {
            print(answer.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            print(cni::refusal(&error).as_bytes())?;
            Ok(ExitCode::FAILURE)
        }
    }
}
