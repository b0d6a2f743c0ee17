//! The flags that every command understands.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};

/// Flags of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// The node's data directory [default: $XDG_DATA_HOME/ssid]
    #[arg(
        long,
        global = true,
        env = "SSID_DATA",
        hide_env_values = true,
        value_name = "DIR"
    )]
    pub(crate) data: Option<PathBuf>,
    /// The governance repository, when the node serves one
    #[arg(
        long,
        global = true,
        env = "SSID_REPO",
        hide_env_values = true,
        value_name = "DIR"
    )]
    pub(crate) repo: Option<PathBuf>,
    /// One JSON document on standard output, or JSON Lines for streams, and nothing else there
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say more on standard error (twice: everything)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say errors only: the exit code tells the rest; documents and --json are written all the same
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Colour on standard output
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(crate) color: Color,
    /// Form of log lines on standard error
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORM")]
    pub(crate) log_format: LogFormat,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    Auto,
    /// Always, also into a file or a pipe.
    Always,
    /// Never, whatever it is written to.
    Never,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// One line for people.
    Text,
    /// One JSON object a line.
    Json,
}
