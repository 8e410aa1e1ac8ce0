//! Writing to standard output: nothing that a terminal obeys but colour.

use std::io::{BufWriter, ErrorKind, Result, Write};

use anyhow::Context;

use crate::terminal::{Form, Guarded};

/// Writes all of `text` to standard output. A reader that went away (`bulkhead … | head`) is no error.
///
/// # Errors
/// Standard output cannot be written to.
pub fn print(text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    stream(Form::Text, |out| out.write_all(text.as_ref()))
}

/// Writes a value as JSON, on one line.
///
/// # Errors
/// Standard output cannot be written to.
pub fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string(value).context("cannot write JSON")?;
    stream(Form::Json, |out| writeln!(out, "{text}"))
}

/// Writes to standard output what `write` writes, as it comes.
///
/// # Errors
/// Standard output cannot be written to.
pub fn stream(form: Form, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> anyhow::Result<()> {
    let guarded = Guarded::new(std::io::stdout().lock(), form);
    let mut out = BufWriter::with_capacity(1 << 16, guarded);
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot write to standard output"),
        _ => Ok(()),
    }
}
