//! Colour, where somebody looks.

use crate::terminal::mark;

/// Colour, where it is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    colour: bool,
}

impl Paint {
    /// `terminal`: somebody looks at it; `NO_COLOR` still turns colour off.
    #[must_use]
    pub fn new(terminal: bool) -> Self {
        Self { colour: terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    /// For standard output.
    #[must_use]
    pub fn for_stdout() -> Self {
        Self::new(std::io::IsTerminal::is_terminal(&std::io::stdout()))
    }

    #[must_use]
    pub fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    #[must_use]
    pub fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }

    #[must_use]
    pub fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    #[must_use]
    pub fn faint(self, text: &str) -> String {
        self.wrap("2", text)
    }

    #[must_use]
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.colour { format!("{}{text}{}", mark(&format!("{code}m")), mark("0m")) } else { text.to_owned() }
    }
}
