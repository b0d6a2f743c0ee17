//! `ssid telemetry outbox`.

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};
use ssid_node::clock;
use ssid_node::telemetry::view::EntryView;
use ssid_node::view::Page;

use super::setting::service;
use crate::context::Context;
use crate::error::{CliError, Code};
use crate::output::{Output, Tone, clean, seconds};
use crate::table::{named, prose, whole};

/// What waits to be delivered, and what was given up
#[derive(Debug, Subcommand)]
pub(crate) enum OutboxCommand {
    /// List it, oldest first
    ///
    /// Example:
    ///   ssid telemetry outbox list --json
    #[command(verbatim_doc_comment)]
    List,
    /// Send one again at once
    ///
    /// Example:
    ///   ssid telemetry outbox retry 17
    #[command(verbatim_doc_comment)]
    Retry {
        /// Its number, as the list shows it
        id: u64,
    },
    /// Forget one
    ///
    /// Example:
    ///   ssid telemetry outbox drop 17
    #[command(verbatim_doc_comment)]
    Drop {
        /// Its number, as the list shows it
        id: u64,
    },
}

pub(super) async fn run(command: OutboxCommand, context: &Context) -> Result<()> {
    let client = context.client()?;
    // without a node the rows are in a file of this command's own
    let mut here = if client.ready().await.is_none() {
        Some(service(context)?)
    } else {
        None
    };
    let (id, verb) = match command {
        OutboxCommand::List => {
            let rows = match &mut here {
                Some(service) => Page::whole(EntryView::all(service.delivery().queue())),
                None => client.get(&["v1", "telemetry", "outbox"], &[]).await?,
            };
            context
                .out
                .show(&rows, |rows| table(&rows.items, context.out))?;
            return Ok(());
        }
        OutboxCommand::Retry { id } => (id, "retry"),
        OutboxCommand::Drop { id } => (id, "drop"),
    };
    // the node owns its rows: a file beside it would change nothing
    match here {
        None => {
            let _: Value = client
                .post(
                    &["v1", "telemetry", "outbox", &id.to_string(), verb],
                    &[],
                    Vec::new(),
                )
                .await?;
        }
        Some(mut service) => {
            let delivery = service.delivery();
            let found = if verb == "retry" {
                delivery.retry(id, clock::now()).await
            } else {
                delivery.forget(id).await
            };
            if !found {
                return Err(CliError::new(
                    Code::Failed,
                    format!("there is no notification {id} in the outbox"),
                )
                .into());
            }
        }
    }
    context
        .out
        .show(&json!({"id": id, "done": verb}), |_| match verb {
            "retry" => format!(
                "notification {id} is sent again: by the running node, or with the next check"
            ),
            _ => format!("notification {id} is forgotten"),
        })?;
    Ok(())
}

fn table(rows: &[EntryView], out: Output) -> String {
    if rows.is_empty() {
        return "Nothing waits.".to_owned();
    }
    let rows = rows.iter().map(|row| {
        vec![
            out.plain(row.id),
            out.plain(row.channel.as_str()),
            out.cell(
                if row.state == "dead" {
                    Tone::Bad
                } else {
                    Tone::Warn
                },
                &row.state,
            ),
            out.plain(row.attempts),
            out.plain(row.next_at.as_deref().map_or_else(String::new, seconds)),
            out.plain(clean(&row.title)),
            out.plain(clean(row.last_error.as_deref().unwrap_or_default())),
        ]
    });
    out.table(
        &[
            whole("ID"),
            whole("CHANNEL"),
            whole("STATE"),
            whole("FAILED"),
            whole("NEXT").goes(1),
            named("TITLE", 12),
            prose("LAST ERROR"),
        ],
        rows,
    )
}
