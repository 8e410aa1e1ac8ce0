//! `bulkhead cni`: called by container runtimes, not by people.

use std::process::ExitCode;

use anyhow::Result;

use super::output::stream;
use crate::cni;
use crate::terminal::Form;

#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_: &Args) -> Result<ExitCode> {
    match cni::run(|name| std::env::var(name).ok(), &mut std::io::stdin()) {
        Ok(answer) => {
            stream(Form::Json, |out| out.write_all(answer.as_bytes()))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            stream(Form::Json, |out| out.write_all(cni::refusal(&error).as_bytes()))?;
            Ok(ExitCode::FAILURE)
        }
    }
}
