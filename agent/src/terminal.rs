//! Text on its way to whoever reads it, who may sit at a terminal: what a tenant wrote does not command it.
//!
//! Everything that this program prints goes through here. Colour is marked by [`mark`], with a word that changes with
//! each process, so that nothing that is printed can pass for one.

use std::fmt::Write as _;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::sync::LazyLock;

use policy::model::is_printable;

/// What a character that is not shown becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `\u{1b}`. Lines and tabs stay.
    Text,
    /// `\u{1b}`, and a line is one line.
    Line,
    /// `\u001b`, which a parser reads as the character itself.
    Json,
}

/// Opens and closes a mark: noncharacters, which no text has a use for.
const EDGE: char = '\u{fdd0}';
static WORD: LazyLock<String> = LazyLock::new(|| {
    let number = RandomState::new().build_hasher().finish();
    (0..12).filter_map(|at| char::from_u32(0xfde0 + (number >> (4 * at) & 0xf) as u32)).collect()
});

/// The terminal's own code (`32` is green), as text that only [`Guarded`] turns into an escape sequence.
#[must_use]
pub fn mark(code: &str) -> String {
    format!("{EDGE}{}{code}{EDGE}", *WORD)
}

/// A writer that lets nothing through that a terminal obeys, but for marks.
#[derive(Debug)]
pub struct Guarded<W> {
    to: W,
    form: Form,
    /// The first bytes of a character whose others are still to come.
    begun: Vec<u8>,
}

impl<W: Write> Guarded<W> {
    pub const fn new(to: W, form: Form) -> Self {
        Self { to, form, begun: Vec::new() }
    }

    fn pass(&mut self, text: &str) -> io::Result<()> {
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')) && self.form != Form::Line {
            return self.to.write_all(text.as_bytes());
        }
        self.to.write_all(guarded(text, self.form).as_bytes())
    }
}

impl<W: Write> Write for Guarded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let whole = if self.begun.is_empty() { bytes.to_vec() } else { [&self.begun, bytes].concat() };
        self.begun.clear();
        let mut rest = whole.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(text) => return self.pass(text).map(|()| bytes.len()),
                Err(error) => {
                    let (good, bad) = rest.split_at(error.valid_up_to());
                    self.pass(&String::from_utf8_lossy(good))?;
                    let Some(length) = error.error_len() else {
                        self.begun = bad.to_vec();
                        return Ok(bytes.len());
                    };
                    self.pass("\u{fffd}")?;
                    rest = &bad[length..];
                }
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// The text as it may be written.
#[must_use]
pub fn guarded(text: &str, form: Form) -> String {
    let mut shown = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if character == EDGE
            && form != Form::Json
            && let Some((code, after)) = marked(rest)
        {
            let _ = write!(shown, "\x1b[{code}");
            rest = after;
            continue;
        }
        rest = &rest[character.len_utf8()..];
        let stays = match character {
            '\n' => form != Form::Line || rest.is_empty(),
            '\t' => form != Form::Line,
            _ => is_printable(character),
        };
        if stays {
            shown.push(character);
        } else if form == Form::Json {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a string does not fail.
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            let _ = write!(shown, "{}", character.escape_unicode());
        }
    }
    shown
}

/// The code of the mark that a text begins with, and what is behind it.
fn marked(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix(EDGE)?.strip_prefix(WORD.as_str())?.split_once(EDGE)
}

/// A line for standard error.
pub fn say(line: &str) {
    // Where standard error is gone there is nobody to tell.
    let _gone = writeln!(Guarded::new(io::stderr().lock(), Form::Text), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a terminal, or a person who reads, must not get.
    const HOSTILE: [&str; 14] = [
        "\x1b[2J",
        "\x1b]0;title\x07",
        "\x1b]8;;http://x\x1b\\link",
        "\u{9b}31m",
        "\u{90}q\u{9c}",
        "\x7f\x08\x08",
        "\r100% enforced",
        "\u{202e}gnihton",
        "\u{2066}x\u{2069}",
        "a\u{200b}b",
        "\u{feff}",
        "\u{e0041}",
        "\u{fdd0}\u{fde0}31m\u{fdd0}",
        "\x0e\x0f\0",
    ];

    fn is_harmless(text: &str) -> bool {
        text.chars().all(|character| is_printable(character) || character == '\n')
    }

    #[test]
    fn nothing_hostile_is_written_in_whatever_pieces_it_comes() {
        for form in [Form::Text, Form::Line, Form::Json] {
            for hostile in HOSTILE {
                let bytes = format!("<{hostile}>");
                for cut in 0..=bytes.len() {
                    let mut out = Vec::new();
                    let mut writer = Guarded::new(&mut out, form);
                    writer.write_all(&bytes.as_bytes()[..cut]).unwrap();
                    writer.write_all(&bytes.as_bytes()[cut..]).unwrap();
                    let text = String::from_utf8(out).unwrap();
                    assert!(is_harmless(&text), "{form:?} {hostile:?} cut at {cut}: {text:?}");
                    assert_eq!(text, guarded(&bytes, form));
                }
            }
        }
    }

    #[test]
    fn json_is_read_as_what_it_was() {
        let value = HOSTILE.map(str::to_owned).to_vec();
        let text = guarded(&serde_json::to_string(&value).unwrap(), Form::Json);
        assert!(is_harmless(&text));
        assert_eq!(serde_json::from_str::<Vec<String>>(&text).unwrap(), value);
    }

    #[test]
    fn a_mark_is_a_colour_and_a_line_is_one_line() {
        let text = format!("{}allowed{}\nnext\t.\n", mark("32m"), mark("0m"));
        assert_eq!(guarded(&text, Form::Text), "\x1b[32mallowed\x1b[0m\nnext\t.\n");
        assert_eq!(guarded("one\nforged\n", Form::Line), "one\\u{a}forged\n");
        let mut out = Vec::new();
        Guarded::new(&mut out, Form::Text).write_all(b"\xff\xfex").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "\u{fffd}\u{fffd}x");
    }
}
