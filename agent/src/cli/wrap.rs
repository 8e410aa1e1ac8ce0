//! Lines that fit a terminal.

/// Columns that text is made for.
pub const WIDTH: usize = 100;

/// Breaks `text` at spaces but those at its start; lines after the first begin with `indent` spaces. A word that is too long stays whole.
#[must_use]
pub fn wrap(text: &str, indent: usize) -> String {
    let start = text.len() - text.trim_start_matches(' ').len();
    let mut lines = " ".repeat(start);
    let mut used = start;
    for (number, word) in text[start..].split(' ').enumerate() {
        let length = word.chars().count();
        if number == 0 {
            used += length;
        } else if used + 1 + length <= WIDTH {
            lines.push(' ');
            used += 1 + length;
        } else {
            lines.push('\n');
            lines.push_str(&" ".repeat(indent));
            used = indent + length;
        }
        lines.push_str(word);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_no_word_is_lost() {
        let text = vec!["wörd"; 60].join(" ");
        let wrapped = wrap(&text, 4);
        assert!(wrapped.lines().all(|line| line.chars().count() <= WIDTH));
        assert!(wrapped.lines().skip(1).all(|line| line.starts_with("    w")));
        assert_eq!(wrapped.split_whitespace().count(), 60);
        let long = "x".repeat(WIDTH + 1);
        assert_eq!(wrap(&long, 2), long);
    }
}
