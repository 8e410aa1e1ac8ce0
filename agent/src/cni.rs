//! The chained CNI plugin: a pod's start waits until its veth is enforced, so that no packet goes before.
//!
//! It writes the plugins' answer where the agent looks for it, because libcni does so only afterwards, and then waits for
//! what the agent leaves behind: both programs pinned, and the pod's name in the bindings. It asks nobody, so it needs no
//! permission at the API server, and an agent that is just being restarted costs nothing but time.

mod chain;
mod keep;
mod protocol;
mod wait;

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::files::{RUN, remove, replace};
pub use chain::{Folders, unchain};
pub use keep::keep;
use protocol::{Command, Request};

/// The plugin's `type` in a network configuration list, and the name of its file among the plugins: a link to this binary.
pub const PLUGIN: &str = "bulkhead-cni";

/// What this plugin announces, in libcni's own format, a file an interface.
#[must_use]
pub fn announcements() -> PathBuf {
    Path::new(RUN).join("cni")
}

/// Does what the runtime asks for by `CNI_COMMAND`; the answer is for standard output.
///
/// # Errors
/// The request cannot be understood, or the pod is not enforced in time. The runtime tries again then.
pub fn run(variable: impl Fn(&str) -> Option<String>, input: &mut impl Read) -> Result<String> {
    let mut text = String::new();
    input.read_to_string(&mut text).context("cannot read the network configuration from standard input")?;
    let request = Request::new(variable, &text)?;
    let announcement = announcements().join(request.file());
    match request.command {
        Command::Version => return Ok(protocol::VERSIONS.to_owned()),
        Command::Add => {
            replace(&announcement, request.cached()?.as_bytes())?;
            wait::until_enforced(&request.veths()?)?;
            return request.answer();
        }
        Command::Del => remove(&announcement)?,
        Command::Check => wait::until_enforced(&request.veths()?)?,
        Command::Other => {}
    }
    Ok(String::new())
}

/// The error in the form that the runtime reads.
#[must_use]
pub fn refusal(error: &anyhow::Error) -> String {
    // Codes from 100 on are a plugin's own; 11: try again later.
    serde_json::json!({"cniVersion": protocol::NEWEST, "code": 11, "msg": format!("{error:#}")}).to_string()
}
