//! Errors as people and scripts meet them: what went wrong on what, what to do next, and an exit
//! code.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::error::ErrorKind;
use ssid_node::text;

/// Why the command ends other than well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// It was tried and failed.
    Failed = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// No node answers.
    Unreachable = 3,
    /// No consensus, or a conflict.
    NoConsensus = 4,
    /// Something did not verify.
    Verification = 5,
}

/// An error with its exit code and, if there is one, the next step.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct CliError {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl CliError {
    /// An error; lines of `message` after the first are its hint.
    pub(crate) fn new(code: Code, message: impl Display) -> Self {
        let text = message.to_string();
        let (first, rest) = text
            .split_once("\n  ")
            .map_or((text.as_str(), None), |(a, b)| (a, Some(b)));
        Self {
            code,
            message: first.to_owned(),
            hint: rest.map(|r| r.replace("\n  ", "\n")),
        }
    }

    /// The same with a next step.
    pub(crate) fn hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// Wrong usage or configuration.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self::new(Code::Usage, message)
    }
}

/// Gives the errors of libraries their exit code.
pub(crate) trait OrCode<T> {
    /// The error ends the command with this code.
    fn or_code(self, code: Code) -> Result<T, CliError>;

    /// The error is one of usage or configuration.
    fn or_usage(self) -> Result<T, CliError>
    where
        Self: Sized,
    {
        self.or_code(Code::Usage)
    }
}

impl<T, E: Display> OrCode<T> for Result<T, E> {
    fn or_code(self, code: Code) -> Result<T, CliError> {
        self.map_err(|e| CliError::new(code, e))
    }
}

/// Writes the error to standard error; a pipe nobody reads any more is no error.
pub(crate) fn report(failure: &anyhow::Error, json: bool) -> ExitCode {
    let is_pipe = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
    if failure
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(is_pipe))
    {
        return ExitCode::SUCCESS;
    }
    let known = failure.downcast_ref::<CliError>();
    let code = known.map_or(Code::Failed, |e| e.code);
    // the chain of causes in one line; the CliError in it says its own message
    write_error(
        &format!("{failure:#}"),
        known.and_then(|e| e.hint.as_deref()),
        code as u8,
        json,
    );
    ExitCode::from(code as u8)
}

/// Writes what clap refused; help and version are no errors.
pub(crate) fn report_usage(refusal: &clap::Error) -> ExitCode {
    let is_answer = matches!(
        refusal.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    // by hand: what clap refused it did not parse
    let wants_json = std::env::args_os()
        .take_while(|arg| arg != "--")
        .any(|arg| arg == "--json");
    if is_answer || !wants_json {
        // standard output or error closed early: nobody reads it, nothing to say
        let _ = refusal.print();
        return if is_answer {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(Code::Usage as u8)
        };
    }
    let text = refusal.to_string();
    // its first line says what is wrong; the rest is how to do better
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let message = lines
        .next()
        .unwrap_or("wrong usage")
        .trim_start_matches("error: ")
        .to_owned();
    let hint = lines.collect::<Vec<_>>().join("\n");
    write_error(
        &message,
        Some(&hint).filter(|h| !h.is_empty()).map(String::as_str),
        Code::Usage as u8,
        true,
    );
    ExitCode::from(Code::Usage as u8)
}

fn write_error(message: &str, hint: Option<&str>, code: u8, json: bool) {
    crate::progress::hide_command();
    let mut err = io::stderr().lock();
    // standard error closed: there is nobody left to tell
    let _ = if json {
        let document = serde_json::json!({ "error": message, "hint": hint, "code": code });
        writeln!(err, "{}", text::printable_json(&document.to_string()))
    } else {
        let hint = hint
            .map(|h| format!("\n  {}", h.replace('\n', "\n  ")))
            .unwrap_or_default();
        // names, keys and words of others may stand in it
        writeln!(
            err,
            "{}",
            text::printable(&format!("error: {message}{hint}"), false)
        )
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_after_the_first_are_the_hint() {
        let error =
            CliError::usage("no data directory\n  name one with --data DIR\n  or set SSID_DATA");
        assert_eq!(error.message, "no data directory");
        assert_eq!(
            error.hint.as_deref(),
            Some("name one with --data DIR\nor set SSID_DATA")
        );
    }
}
