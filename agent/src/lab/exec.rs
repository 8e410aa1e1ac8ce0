//! A process in a pod's network.

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};
use policy::model::PodKey;

use super::Lab;
use crate::net::NetNs;

/// Becomes the command: its exit code and the signals to it need no passing on, and user, files and environment stay
/// the caller's. Returns only where that fails.
///
/// # Errors
/// The lab has no such pod, or the command cannot be started (as an [`std::io::Error`]).
pub fn exec(lab: &Lab, pod: &PodKey, command: &[OsString]) -> Result<Infallible> {
    let Some((program, arguments)) = command.split_first() else {
        bail!("exec needs a command: bulkhead lab exec {pod} -- COMMAND")
    };
    let namespace = NetNs::named(&lab.namespace_of(pod)?)?;
    let error = namespace.run(|| Command::new(program).args(arguments).exec())?;
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}
