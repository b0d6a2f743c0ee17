//! `ssid ci`: writes workflows into a governance repository.

use std::io;
use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use serde::Serialize;
use similar::TextDiff;
use ssid_node::place::{Place, Root};
use ssid_node::view::Page;

use crate::context::Context;
use crate::error::{CliError, Code};
use crate::output::{Output, Tone, clean};

/// The workflows, by their names in `.github/workflows/`.
const WORKFLOWS: [(&str, &str); 2] = [
    ("federated_sync.yml", include_str!("ci/federated_sync.yml")),
    (
        "quarterly_release.yml",
        include_str!("ci/quarterly_release.yml"),
    ),
];

/// Bytes of the largest workflow that is compared with what would be written.
const FILE_BYTES: u64 = 1 << 20;

/// Write workflows that run ssid in a governance repository
#[derive(Debug, Subcommand)]
pub(crate) enum CiCommand {
    /// Write .github/workflows/federated_sync.yml and quarterly_release.yml
    ///
    /// A file that is there and says something else is shown as a diff and left alone, unless
    /// --force is given: then it is replaced. Exit 1 if one was left alone.
    ///
    /// They install ssid from a GitHub repository's releases: set the repository variables
    /// SSID_RELEASES (OWNER/REPO) and SSID_VERSION (a tag; without one the latest is taken).
    /// Actions must be allowed to create pull requests.
    ///
    /// Examples:
    ///   ssid ci init --repo /srv/governance
    ///   ssid ci init --repo /srv/governance --force
    #[command(verbatim_doc_comment)]
    Init {
        /// Replace files that say something else
        #[arg(long)]
        force: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Done {
    Written,
    Replaced,
    Unchanged,
    LeftAlone,
}

#[derive(Debug, Serialize)]
struct Workflow {
    file: PathBuf,
    done: Done,
    /// From what is there to what `ssid` would write; empty if that is the same, or nothing was
    /// there.
    diff: String,
}

pub(crate) fn run(command: &CiCommand, context: &Context) -> Result<()> {
    let CiCommand::Init { force } = command;
    let Some(repo) = &context.repo else {
        return Err(CliError::usage("which repository are the workflows for?")
            .hint("name it with --repo DIR")
            .into());
    };
    if !repo.is_dir() {
        return Err(CliError::usage(format!("{} is not a directory", repo.display())).into());
    }
    // whoever can change the repository can put a link in the place of any file of it
    let directory = Root::new(repo, None).place(".github/workflows");
    let written = WORKFLOWS
        .iter()
        .map(|(name, text)| write(&directory, name, text, *force));
    let workflows = written.collect::<Result<Vec<_>, CliError>>()?;
    let workflows = Page::whole(workflows);
    context
        .out
        .show(&workflows, |workflows| text(&workflows.items, context.out))?;
    if workflows
        .items
        .iter()
        .any(|workflow| workflow.done == Done::LeftAlone)
    {
        let error = CliError::new(
            Code::Failed,
            "a workflow that is there says something else, and was left alone",
        );
        return Err(error
            .hint("see the diff above; replace it with: ssid ci init --force")
            .into());
    }
    Ok(())
}

fn write(directory: &Place, name: &str, text: &str, force: bool) -> Result<Workflow, CliError> {
    let file = directory.join(name);
    let failed = |e: io::Error| {
        CliError::new(
            Code::Failed,
            format!("cannot write {}: {e}", file.display()),
        )
    };
    // through links and devices of a repository nothing is read or written
    let before = match file.read(FILE_BYTES) {
        Ok(before) => Some(String::from_utf8_lossy(&before).into_owned()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(failed(e)),
    };
    let diff = before
        .as_deref()
        .filter(|before| *before != text)
        .map(|before| {
            TextDiff::from_lines(before, text)
                .unified_diff()
                .header(name, "what ssid writes")
                .to_string()
        });
    // people change workflows: without their word none is replaced
    let done = match (&before, &diff) {
        (None, _) => Done::Written,
        (Some(_), None) => Done::Unchanged,
        (Some(_), Some(_)) if force => Done::Replaced,
        (Some(_), Some(_)) => Done::LeftAlone,
    };
    if matches!(done, Done::Written | Done::Replaced) {
        directory
            .make()
            .and_then(|()| file.replace(text.as_bytes()))
            .map_err(failed)?;
    }
    Ok(Workflow {
        file: file.to_path_buf(),
        done,
        diff: diff.unwrap_or_default(),
    })
}

fn text(workflows: &[Workflow], out: Output) -> String {
    let one = |workflow: &Workflow| {
        let (tone, word) = match workflow.done {
            Done::Written => (Tone::Good, "written"),
            Done::Replaced => (Tone::Good, "replaced"),
            Done::Unchanged => (Tone::Dim, "as it should be"),
            Done::LeftAlone => (Tone::Warn, "left alone"),
        };
        let lines = workflow.diff.lines().map(|line| {
            let line = clean(line);
            match line.chars().next() {
                Some('+') => out.paint(Tone::Good, &line),
                Some('-') => out.paint(Tone::Bad, &line),
                _ => line,
            }
        });
        let diff = lines.fold(String::new(), |diff, line| diff + "\n  " + &line);
        format!(
            "{}  {}{diff}",
            out.paint(tone, word),
            workflow.file.display()
        )
    };
    let told = workflows.iter().map(one).collect::<Vec<_>>().join("\n");
    if workflows
        .iter()
        .all(|workflow| workflow.done == Done::Unchanged)
    {
        return told;
    }
    let next = "Set the repository variables SSID_RELEASES (OWNER/REPO of the releases of ssid) and SSID_VERSION (a tag).";
    format!("{told}\n{next}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_workflow_that_somebody_changed_is_left_alone_unless_forced() {
        let directory = tempfile::tempdir().unwrap();
        let place = Root::new(directory.path(), None).place(".github/workflows");
        let file = directory.path().join(".github/workflows/a.yml");
        let write = |force| write(&place, "a.yml", "ours\n", force).unwrap();
        assert_eq!(write(false).done, Done::Written);
        assert_eq!(write(true).done, Done::Unchanged);
        std::fs::write(&file, "theirs\n").unwrap();
        let left = write(false);
        assert_eq!(left.done, Done::LeftAlone);
        assert!(left.diff.contains("-theirs") && left.diff.contains("+ours"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "theirs\n");
        assert_eq!(write(true).done, Done::Replaced);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "ours\n");
    }
}
