//! Text that a tenant wrote, as it may be shown: it moves no cursor, hides nothing and begins no line.

use std::borrow::Cow;
use std::fmt::Write;

/// True for a character that shows as what it is. Control characters do not, nor do those that reorder text (bidirectional
/// controls), that take no room, or that break lines.
#[must_use]
pub const fn is_printable(character: char) -> bool {
    !matches!(
        character,
        '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fdd0}'..='\u{fdef}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// The text on one line, with everything else as `\u{1b}`.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_printable) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_printable(character) {
            shown.push(character);
        } else {
            let _ = write!(shown, "{}", character.escape_unicode());
        }
    }
    Cow::Owned(shown)
}

/// The text on one line, of no more than `most` bytes: of what is longer both ends are kept, because the remedy is at the
/// end of a sentence and the name at its start.
#[must_use]
pub fn told(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        let shown = printable(text);
        return if shown.len() <= most { shown } else { Cow::Owned(without_middle(&shown, most)) };
    }
    // A megabyte is not escaped before it is cut.
    let shortened = without_middle(text, most);
    Cow::Owned(told(&shortened, most).into_owned())
}

fn without_middle(text: &str, most: usize) -> String {
    const GAP: char = '…';
    let room = most.saturating_sub(GAP.len_utf8());
    let head = text.floor_char_boundary(room * 2 / 3);
    let tail = text.ceil_char_boundary(text.len() - (room - room * 2 / 3));
    format!("{}{GAP}{}", &text[..head], &text[tail..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_one_line_of_both_ends_and_never_longer() {
        assert_eq!(told("a\nb", 10), "a\\u{a}b");
        assert_eq!(told("0123456789", 10), "0123456789");
        for text in
            ["x".repeat(1 << 20), "ö\x1b".repeat(1 << 10), format!("`{}` is no port, write 80", "\n".repeat(90))]
        {
            for most in [16, 17, 18, 64, 100] {
                let told = told(&text, most);
                assert!(told.len() <= most && told.chars().all(is_printable), "{told}");
                assert!(told.ends_with("80") == text.ends_with("80") && told.contains('…'), "{told}");
            }
        }
    }
}
