//! Writing to standard output.

use std::io::{BufWriter, ErrorKind, Result, Write};

use anyhow::Context;

/// Writes all of `text` to standard output. A reader that went away (`bulkhead … | head`) is no error.
///
/// # Errors
/// Standard output cannot be written to.
pub fn print(text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    stream(|out| out.write_all(text.as_ref()))
}

/// Writes a value as JSON, on one line.
///
/// # Errors
/// Standard output cannot be written to.
pub fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string(value).context("cannot write JSON")?;
    print(text + "\n")
}

/// Writes to standard output whatever `write` does, as it comes.
///
/// # Errors
/// Standard output cannot be written to.
pub fn stream(write: impl FnOnce(&mut dyn Write) -> Result<()>) -> anyhow::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot write to standard output"),
        _ => Ok(()),
    }
}
