//! The scripts' page layout: a heading between two rules, then lines. Plain ASCII where there is no
//! terminal.

use std::io::{self, IsTerminal as _};

use crate::output::{Output, Tone};

/// Characters of a rule.
const WIDTH: usize = 60;

/// Lines of output, collected until they are printed.
#[derive(Debug)]
pub(super) struct Paper {
    out: Output,
    text: String,
    is_terminal: bool,
}

impl Paper {
    pub(super) fn new(out: Output) -> Self {
        Self {
            out,
            text: String::new(),
            is_terminal: io::stdout().is_terminal(),
        }
    }

    /// A heading, and an empty line.
    pub(super) fn heading(&mut self, title: &str) {
        let rule = if self.is_terminal { "═" } else { "=" }.repeat(WIDTH);
        self.line(&rule);
        self.line(&format!("  {title}"));
        self.line(&rule);
        self.line("");
    }

    /// A thin rule.
    pub(super) fn rule(&mut self) {
        let rule = if self.is_terminal { "─" } else { "-" }.repeat(WIDTH);
        self.line(&rule);
    }

    pub(super) fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    pub(super) fn painted(&mut self, tone: Tone, text: &str) {
        let text = self.out.paint(tone, text);
        self.line(&text);
    }

    pub(super) fn paint(&self, tone: Tone, text: &str) -> String {
        self.out.paint(tone, text)
    }

    /// What it says.
    pub(super) fn finish(self) -> String {
        self.text
    }
}
