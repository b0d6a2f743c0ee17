//! `ssid consensus export`: certificates that verify offline, one or all of them, or what they say
//! as a table of commas.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::json;
use ssid_node::config::write_atomic;
use ssid_node::view::{EventView, Page, StatusView};

use super::offline::with_chain;
use crate::client::Client;
use crate::context::Context;
use crate::error::{CliError, Code};
use crate::output::{clean, counted, is_standard_output};

/// Events asked for at once.
const PAGE: usize = 500;
/// The columns of `--csv`.
const HEADINGS: &str = "sequence,event_type,event_version,timestamp,commit_hash,blueprint,root_24_lock,compliance_score,\
                        emitted_by,event_hash,content_digest,subject_id";

/// Write certificates, which verify offline: of one event, or of all; or what is certified as CSV
///
/// With --all a directory gets one file a certificate, named by its place in the log; files that
/// are there stay. --since takes the events that happened then or later. --with-chain puts the
/// links of the chain of epochs before a certificate, up to its own epoch, which then verifies with
/// the genesis file alone.
///
/// Examples:
///   ssid consensus export 17973e79 -o c.json
///   ssid consensus export 17973e79 --with-chain --epochs epochs.jsonl -o c.jsonl
///   ssid consensus export --all --since 2026-10-01 -o certificates
///   ssid consensus export --csv -o certified.csv
///   ssid certificate verify certificates --genesis genesis.json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ExportArgs {
    /// The beginning of its event hash
    #[arg(value_parser = NonEmptyStringValueParser::new(), required_unless_present_any = ["all", "csv", "since"])]
    hash: Option<String>,
    /// Every certificate of this node's log
    #[arg(long, conflicts_with = "hash")]
    all: bool,
    /// Those of events that happened then or later: 2026-10-01, or with a time
    #[arg(long, value_name = "TIME", conflicts_with = "hash")]
    since: Option<String>,
    /// One line an event instead of certificates, oldest first
    #[arg(long, conflicts_with = "hash")]
    csv: bool,
    /// With its chain: a line for each epoch up to its own, and a line of the certificate
    #[arg(long, conflicts_with_all = ["all", "since", "csv"])]
    with_chain: bool,
    /// The chain file to take the links from; a certificate of epoch 0 needs none
    #[arg(long, value_name = "FILE", requires = "with_chain")]
    epochs: Option<PathBuf>,
    /// Where to write it: a file, with --all a directory [default: standard output]
    #[arg(short, long, value_name = "F")]
    output: Option<PathBuf>,
}

pub(crate) async fn run(args: ExportArgs, context: &Context) -> Result<()> {
    let client = context.client()?;
    if let Some(hash) = &args.hash {
        return one(&client, hash, &args, context).await;
    }
    if args.csv {
        return csv(
            &client,
            args.since.as_deref(),
            args.output.as_deref(),
            context,
        )
        .await;
    }
    let Some(directory) = &args.output else {
        let error = CliError::usage("--all writes a file for each certificate: where to?");
        return Err(error.hint("name a directory with -o DIR").into());
    };
    all(&client, args.since.as_deref(), directory, context).await
}

async fn one(client: &Client, hash: &str, args: &ExportArgs, context: &Context) -> Result<()> {
    let out = context.out;
    let mut certificate = client.get_text(&["v1", "certificates", hash]).await?;
    if args.with_chain {
        certificate = with_chain(&certificate, args.epochs.as_deref())?;
    }
    let Some(path) = args
        .output
        .as_deref()
        .filter(|path| !is_standard_output(path))
    else {
        return Ok(out.document(certificate.trim_end())?);
    };
    write(path, certificate.as_bytes())?;
    out.show(&json!({ "file": path.display().to_string() }), |_| {
        format!("certificate written to {}", path.display())
    })?;
    Ok(())
}

async fn all(
    client: &Client,
    since: Option<&str>,
    directory: &Path,
    context: &Context,
) -> Result<()> {
    fs::create_dir_all(directory).map_err(|e| {
        CliError::new(
            Code::Failed,
            format!("cannot make {}: {e}", directory.display()),
        )
    })?;
    let bar = context
        .out
        .progress(Some(certified(client).await?), "exporting");
    let mut written = 0_u64;
    let mut present = 0_u64;
    // page by page, latest first: a log of any length takes no more memory than one
    let mut pages = Pages::new(client, since);
    while let Some(events) = pages.next().await? {
        for event in events {
            bar.inc(1);
            let sequence = event.sequence.unwrap_or_default();
            // a name that sorts by entry and cannot clash: an export can be gone on with
            let short: String = event.event_hash.to_string().chars().take(12).collect();
            let path = directory.join(format!("{sequence:08}-{short}.json"));
            // certificates never change: what is there is not asked for again
            if path.exists() {
                present += 1;
                continue;
            }
            // with the digest: an event hash may fit two choices
            let name = format!("{}:{}", event.event_hash, event.content_digest);
            let certificate = client.get_text(&["v1", "certificates", &name]).await?;
            write(&path, certificate.as_bytes())?;
            written += 1;
        }
    }
    bar.finish_and_clear();
    let answer = json!({ "directory": directory.display().to_string(), "written": written, "present": present });
    context.out.show(&answer, |_| {
        let there = if present > 0 {
            format!(", {present} were there already")
        } else {
            String::new()
        };
        let written = counted(written, "certificate", "certificates");
        format!("{written} written to {}{there}", directory.display())
    })?;
    Ok(())
}

async fn csv(
    client: &Client,
    since: Option<&str>,
    output: Option<&Path>,
    context: &Context,
) -> Result<()> {
    let bar = context
        .out
        .progress(Some(certified(client).await?), "reading");
    let mut lines = Vec::new();
    let mut pages = Pages::new(client, since);
    while let Some(events) = pages.next().await? {
        bar.inc(events.len() as u64);
        lines.extend(events.iter().map(line));
    }
    bar.finish_and_clear();
    // pages come latest first, and readers want it in order of the log
    lines.push(HEADINGS.to_owned());
    lines.reverse();
    let text = lines.join("\n") + "\n";
    let Some(path) = output.filter(|path| !is_standard_output(path)) else {
        // a bar on the terminal would stand in the middle of the table
        crate::progress::hide_command();
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        return Ok(out.flush()?);
    };
    write(path, text.as_bytes())?;
    let count = lines.len() as u64 - 1;
    let answer = json!({ "file": path.display().to_string(), "written": count });
    context.out.show(&answer, |_| {
        format!(
            "{} written to {}",
            counted(count, "event", "events"),
            path.display()
        )
    })?;
    Ok(())
}

/// Certified events page by page, the latest first.
struct Pages<'a> {
    client: &'a Client,
    query: Vec<(&'static str, String)>,
    before: Option<String>,
    is_over: bool,
}

impl<'a> Pages<'a> {
    fn new(client: &'a Client, since: Option<&str>) -> Self {
        let mut query = vec![
            ("state", "certified".to_owned()),
            ("limit", PAGE.to_string()),
        ];
        query.extend(since.map(|since| ("since", since.to_owned())));
        Self {
            client,
            query,
            before: None,
            is_over: false,
        }
    }

    async fn next(&mut self) -> Result<Option<Vec<EventView>>> {
        if self.is_over {
            return Ok(None);
        }
        let mut query = self.query.clone();
        query.extend(self.before.take().map(|cursor| ("before", cursor)));
        let page: Page<EventView> = self.client.get(&["v1", "events"], &query).await?;
        self.is_over = page.next.is_none();
        self.before = page.next;
        Ok(Some(page.items))
    }
}

async fn certified(client: &Client) -> Result<u64> {
    let status: StatusView = client.get(&["v1", "status"], &[]).await?;
    Ok(status.log.size)
}

fn line(view: &EventView) -> String {
    let event = &view.event;
    let sequence = view.sequence.map_or_else(String::new, |n| n.to_string());
    let texts = [
        &event.event,
        &event.version,
        &event.timestamp,
        &event.commit_hash,
        &event.blueprint,
        &event.root_24_lock,
        &event.compliance_score,
        &event.emitted_by,
    ];
    let texts = texts.map(|text| cell(text)).join(",");
    format!(
        "{sequence},{texts},{},{},{}",
        view.event_hash, view.content_digest, view.subject_id
    )
}

/// Text of others in a table of commas (RFC 4180): no formula, for a spreadsheet would run it.
fn cell(text: &str) -> String {
    let text = clean(text);
    let is_formula = text.starts_with(['=', '+', '-', '@']);
    let text = if is_formula { format!("'{text}") } else { text };
    if text.contains([',', '"', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    write_atomic(path, bytes).map_err(|e| {
        CliError::new(
            Code::Failed,
            format!("cannot write {}: {e}", path.display()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_no_formulas() {
        assert_eq!(
            (cell("v4.4.0"), cell("a,b")),
            ("v4.4.0".to_owned(), "\"a,b\"".to_owned())
        );
        assert_eq!(cell("say \"x\""), "\"say \"\"x\"\"\"");
        assert_eq!(cell("=HYPERLINK(1)"), "'=HYPERLINK(1)");
    }
}
