//! Writing to standard output.

use std::io::{ErrorKind, Write};

use anyhow::Context;

/// Writes all of `text` to standard output. A reader that went away (`bulkhead … | head`) is no error.
///
/// # Errors
/// Standard output cannot be written to.
pub fn print(text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot write to standard output"),
        _ => Ok(()),
    }
}
