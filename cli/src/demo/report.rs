//! What the demo says: a line for each step as it happens, or one JSON document at the end.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use crate::output::{Output, Tone};

/// Columns by which what belongs below a step's line is indented.
pub(super) const INDENT: usize = 4;

/// The steps so far.
#[derive(Debug)]
pub(super) struct Report {
    out: Output,
    begun: Instant,
    steps: Vec<Value>,
}

/// What a step has shown: facts for programs, one line for people and what belongs below it.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) facts: Value,
    pub(super) line: String,
    pub(super) below: String,
}

impl Shown {
    pub(super) fn new(facts: Value, line: String) -> Self {
        Self {
            facts,
            line,
            below: String::new(),
        }
    }

    /// The same with a table or lines below it.
    pub(super) fn below(mut self, text: impl Into<String>) -> Self {
        self.below = text.into();
        self
    }
}

impl Report {
    pub(super) fn new(out: Output) -> Self {
        Self {
            out,
            begun: Instant::now(),
            steps: Vec::new(),
        }
    }

    /// What is said before the first step.
    pub(super) fn begin(&self, nodes: usize) -> Result<()> {
        if !self.out.is_json() {
            self.out.line(&format!(
                "A federation of {nodes} organisations, on this machine, from a registry log.\n"
            ))?;
        }
        Ok(())
    }

    /// Does a step, with a spinner meanwhile, and tells what it has shown. Its name is part of the
    /// error if it did not hold.
    pub(super) async fn step(
        &mut self,
        name: &'static str,
        doing: &str,
        step: impl Future<Output = Result<Shown>>,
    ) -> Result<()> {
        let begun = Instant::now();
        let bar = self.out.progress(None, doing);
        let done = step.await;
        bar.finish_and_clear();
        let seconds = rounded(begun.elapsed());
        match done {
            Ok(shown) => {
                self.tell(&shown, seconds)?;
                self.steps.push(
                    json!({ "step": name, "held": true, "seconds": seconds, "facts": shown.facts }),
                );
                Ok(())
            }
            Err(e) => {
                let reason = format!("{e:#}");
                self.steps.push(
                    json!({ "step": name, "held": false, "seconds": seconds, "reason": reason }),
                );
                Err(e.context(format!("step {} ({name}) did not hold", self.steps.len())))
            }
        }
    }

    fn tell(&self, shown: &Shown, seconds: f64) -> Result<()> {
        if self.out.is_json() {
            return Ok(());
        }
        let mark = self.out.paint(Tone::Good, "✓");
        let time = self.out.paint(Tone::Dim, &format!("({seconds:.1} s)"));
        // the colours of mark and time take no room
        let line = self.out.indented(INDENT + 8).paragraph(&shown.line, INDENT);
        self.out
            .line(&format!("{} {mark} {line} {time}", self.steps.len() + 1))?;
        if !shown.below.is_empty() {
            let indented: Vec<_> = shown
                .below
                .trim_end()
                .lines()
                .map(|line| format!("    {}", line.trim_end()))
                .collect();
            self.out.line(&format!("\n{}\n", indented.join("\n")))?;
        }
        Ok(())
    }

    /// The end: everything in one document, or a closing line.
    pub(super) fn end(
        self,
        nodes: usize,
        held: bool,
        kept: Option<&std::path::Path>,
    ) -> Result<()> {
        let seconds = rounded(self.begun.elapsed());
        if self.out.is_json() {
            let kept = kept.map(|path| path.display().to_string());
            let document = json!({ "held": held, "nodes": nodes, "seconds": seconds, "directory": kept, "steps": self.steps });
            return Ok(self.out.show(&document, |_| String::new())?);
        }
        if held {
            let steps = self.steps.len();
            self.out.line(&format!(
                "All {steps} steps held, in {seconds:.1} s.{}",
                next(kept)
            ))?;
        }
        Ok(())
    }
}

/// Where to go on.
fn next(kept: Option<&std::path::Path>) -> String {
    match kept {
        Some(dir) => {
            let dir = dir.display();
            format!(
                " Kept in {dir}\nLook around:  ssid cluster up --dir {dir}    ssid --data {dir}/node-0 status"
            )
        }
        None => {
            " Nothing is left behind.\nPlay on:  ssid cluster up --nodes 4 --dir ~/fed".to_owned()
        }
    }
}

fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 100.0).round() / 100.0
}
