//! `ssid compat registry-event-trigger`.

use anyhow::Result;
use clap::Args;
use serde_json::json;
use ssid_node::clock;
use ssid_node::registry::file::RegistryFile;
use ssid_node::view::{EmitView, EventDraft};
use ssid_protocol::event::Event;
use ssid_protocol::id::{Epoch, Sha256Hash};

use super::facts::Facts;
use super::paper::Paper;
use crate::context::Context;
use crate::error::{Code, OrCode as _};
use crate::output::{Output, Tone, clean, seconds};

/// registry_event_trigger.sh: write an event to the registry log
///
/// A running node is offered the event, signs and announces it. Without one it is appended to the
/// repository's log, one line with its hash; a node finds it there when it starts. Unlike the
/// script, an event that nobody could vote for is refused (exit 2), and the compliance score is not
/// claimed to be 100/100: set SSID_COMPLIANCE_SCORE to state one.
///
/// Example:
///   ssid compat registry-event-trigger --event blueprint_tagged --version v4.4.0 --hash 3dd05d9
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, disable_version_flag = true)]
pub(crate) struct TriggerArgs {
    /// The event type
    #[arg(long, value_name = "E")]
    event: String,
    /// The version that the event is about
    #[arg(long, value_name = "V")]
    version: String,
    /// The Git commit, 7 to 64 hex digits
    #[arg(long, value_name = "H")]
    hash: String,
    /// The registry's compliance score
    #[arg(
        long,
        value_name = "TEXT",
        env = "SSID_COMPLIANCE_SCORE",
        hide_env_values = true
    )]
    compliance_score: Option<String>,
}

pub(crate) async fn run(args: TriggerArgs, context: &Context) -> Result<()> {
    let facts = Facts::gather(context).await?;
    let path = facts.deployment.paths.registry_log.clone();
    let emitted_by = Some("registry_event_trigger.sh".to_owned());
    let event = match &facts.node {
        // the node fills in time and defaults, as it does for everyone, and announces it
        Some((client, _)) => {
            let draft = EventDraft {
                timestamp: None,
                event: args.event,
                version: args.version,
                commit_hash: args.hash,
                blueprint: None,
                root_24_lock: None,
                compliance_score: args.compliance_score,
                emitted_by,
                event_hash: None,
            };
            client
                .post_json::<EmitView>(&["v1", "events"], &[], &draft)
                .await?
                .event
        }
        // without a node it is a line in the file, as the script wrote it
        None => append(args, &path)?,
    };
    // what the script calls so: the hash of the object as it was written
    let anchor = serde_json::to_string_pretty(&event)
        .map(|text| Sha256Hash::of(&[text.as_bytes()]).to_string())?;
    let answer = json!({
        "event": event, "event_hash": event.event_hash().to_string(), "proof_anchor": anchor, "registry_log": path.display().to_string(),
        "announced": facts.node.is_some(),
    });
    let place = path.display().to_string();
    context
        .out
        .show(&answer, |_| text(&event, &anchor, &place, context.out))?;
    Ok(())
}

fn append(args: TriggerArgs, path: &std::path::Path) -> Result<Event> {
    let defaults = ssid_node::api::EventDefaults::default();
    let event = Event {
        timestamp: seconds(&clock::now().iso()),
        event: args.event,
        version: args.version,
        commit_hash: args.hash,
        blueprint: defaults.blueprint,
        root_24_lock: defaults.root_24_lock,
        compliance_score: args.compliance_score.unwrap_or(defaults.compliance_score),
        emitted_by: "registry_event_trigger.sh".to_owned(),
    };
    event.check_admissible(Epoch::ZERO).or_usage()?;
    let mut file = RegistryFile::open(path).or_code(Code::Failed)?;
    file.append(std::slice::from_ref(&event))
        .or_code(Code::Failed)?;
    Ok(event)
}

fn text(event: &Event, anchor: &str, place: &str, out: Output) -> String {
    let mut paper = Paper::new(out);
    paper.heading("SSID Registry Event Trigger");
    paper.painted(Tone::Good, "OK Event successfully emitted to registry");
    paper.line("");
    paper.line("Event Details:");
    paper.line(&format!("  Event Type:      {}", clean(&event.event)));
    paper.line(&format!("  Version:         {}", clean(&event.version)));
    paper.line(&format!("  Commit Hash:     {}", clean(&event.commit_hash)));
    paper.line(&format!("  Timestamp:       {}", clean(&event.timestamp)));
    paper.line(&format!("  Registry Log:    {place}"));
    paper.line("");
    paper.line("Proof-Anchor:");
    paper.line(&format!("  SHA256: {anchor}"));
    paper.line("");
    paper.heading("Proof-Anchor Emission Complete");
    paper.finish()
}
