//! `ssid log`: the certified log's head and proofs.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;
use ssid_node::view::{ConsistencyView, LogHeadView, ProofView, SignedHeadView};
use ssid_protocol::merkle;

use super::log_verify::{self, proves_inclusion};
use crate::context::Context;
use crate::error::{CliError, Code};
use crate::output::{Output, Tone};

/// Show the certified log of this node and prove what is in it (RFC 9162)
#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Show its size and root
    ///
    /// Example:
    ///   ssid log head --json
    ///   ssid log head --signed > head.json      as this node signed it, for somebody else
    #[command(verbatim_doc_comment)]
    Head {
        /// The document that this node signed about it last, at most some seconds ago
        #[arg(long)]
        signed: bool,
    },
    /// Prove that an event is in it; the proof is checked before it is shown
    ///
    /// Example:
    ///   ssid log proof 17973e79
    ///   ssid log proof 17973e79 --head head.json --json > proof.json
    #[command(verbatim_doc_comment)]
    Proof {
        /// The beginning of its event hash
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        hash: String,
        /// Prove it in the log of this signed head [default: the log as it is]
        #[arg(long, value_name = "HEAD")]
        head: Option<PathBuf>,
    },
    /// Verify somebody's proof, offline: exit 5 with the reason if it does not hold
    ///
    /// Needs the proof (ssid log proof --json), the head that a member signed (ssid log head
    /// --signed) and the genesis file. What holds then: that member said so of its log, and the
    /// event is in it, at this place.
    ///
    /// Example:
    ///   ssid log verify proof.json --head head.json --genesis genesis.json
    #[command(verbatim_doc_comment)]
    Verify(log_verify::VerifyArgs),
    /// Prove that it extends its own first N events; the proof is checked before it is shown
    ///
    /// Example:
    ///   ssid log consistency --from 100
    #[command(verbatim_doc_comment)]
    Consistency {
        /// The number of first entries that it has to extend
        #[arg(long, value_name = "N")]
        from: u64,
    },
}

pub(crate) async fn run(command: LogCommand, context: &Context) -> Result<()> {
    let out = context.out;
    // needs no node: it is for whoever trusts none
    if let LogCommand::Verify(args) = command {
        return log_verify::run(&args, out);
    }
    let client = context.client()?;
    match command {
        LogCommand::Verify(_) => {}
        LogCommand::Head { signed: true } => {
            let head: SignedHeadView = client.get(&["v1", "log", "signed-head"], &[]).await?;
            // a document to be kept and handed on, in one form whatever was asked for
            out.document(&serde_json::to_string_pretty(&head)?)?;
        }
        LogCommand::Head { signed: false } => {
            let head: LogHeadView = client.get(&["v1", "log", "head"], &[]).await?;
            out.show(&head, |head| lines(head, out))?;
        }
        LogCommand::Proof { hash, head } => {
            let mut query = vec![("hash", hash)];
            // of the log as it was when that head was signed: else the proof would be of another
            // root
            if let Some(path) = head {
                query.push((
                    "size",
                    log_verify::read_head(&path)?.heartbeat.log_size.to_string(),
                ));
            }
            let proof: ProofView = client.get(&["v1", "log", "proof"], &query).await?;
            // checked here as well: the answer may come through anybody's proxy
            check(
                proves_inclusion(&proof),
                "the node's inclusion proof does not hold",
            )?;
            out.show(&proof, |proof| {
                let held = out.paint(Tone::Good, "in the log");
                format!(
                    "event {} is {held}, entry {}\n{}",
                    proof.event_hash,
                    proof.sequence,
                    with_path(&proof.head, &proof.path, out)
                )
            })?;
        }
        LogCommand::Consistency { from } => {
            let proof: ConsistencyView = client
                .get(&["v1", "log", "consistency"], &[("from", from.to_string())])
                .await?;
            check(
                proves_consistency(&proof),
                "the node's consistency proof does not hold",
            )?;
            out.show(&proof, |proof| {
                let held = out.paint(Tone::Good, "extends");
                format!(
                    "the log {held} its first {} events (root {})\n{}",
                    proof.from,
                    proof.from_root,
                    with_path(&proof.head, &proof.path, out)
                )
            })?;
        }
    }
    Ok(())
}

fn check(holds: bool, message: &str) -> Result<()> {
    if holds {
        Ok(())
    } else {
        Err(CliError::new(Code::Verification, message)
            .hint("check the node with: ssid consensus verify")
            .into())
    }
}

fn proves_consistency(proof: &ConsistencyView) -> bool {
    merkle::verify_consistency(
        proof.from,
        &proof.from_root,
        proof.head.size,
        &proof.head.root,
        &proof.path,
    )
}

fn lines(head: &LogHeadView, out: Output) -> String {
    let lines = [
        ("Size", head.size.to_string()),
        ("Root", head.root.to_string()),
        ("Log", head.log_id.to_string()),
    ];
    out.fields(&lines)
}

fn with_path(head: &LogHeadView, path: &[ssid_protocol::id::MerkleHash], out: Output) -> String {
    let path: Vec<_> = path.iter().map(|hash| format!("  {hash}")).collect();
    format!("{}Path\n{}", lines(head, out), path.join("\n"))
}
