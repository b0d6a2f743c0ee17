//! Trying the channels: one test message to each, now, past outbox and allowance, waiting out what
//! a receiver asks for.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde::{Deserialize, Serialize};
use ssid_protocol::id::UnixMillis;

use super::channels::{Attempt, Http, Sender};
use super::message::{Message, Severity, Source, Topic};
use crate::config::Channel;

/// Pause between attempts where the receiver asks for none.
const PAUSE: Duration = Duration::from_secs(1);

/// What became of a test message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialView {
    /// The channel that was tried.
    pub channel: Channel,
    /// Where it leads, without secrets.
    pub place: String,
    /// Whether the receiver has it.
    pub delivered: bool,
    /// How many attempts it took.
    pub attempts: u32,
    /// How long, in seconds.
    pub seconds: f64,
    /// Why not, or why it took more than one attempt.
    pub reason: Option<String>,
}

/// Sends a test message, of this node if it is of any, to every channel, all at once, for at most
/// `wait`.
pub async fn try_out(
    senders: &[Sender],
    source: Option<Source>,
    wait: Duration,
    now: UnixMillis,
) -> Vec<TrialView> {
    let message = Message::new(
        Topic::Test,
        Severity::Info,
        format!("test:{}", now.0),
        "SSID Telemetry Test",
        now,
    )
    .line("If you can read this, notifications of this node reach you here.");
    let message = Message { source, ..message };
    let http = Http::default();
    join_all(
        senders
            .iter()
            .map(|sender| try_one(sender, &http, &message, wait)),
    )
    .await
}

async fn try_one(sender: &Sender, http: &Http, message: &Message, wait: Duration) -> TrialView {
    let begun = Instant::now();
    let mut attempts = 0;
    let mut reason = None;
    let mut recipients = Vec::new();
    let mut is_refused = false;
    // as the outbox does it, but in the time that somebody sits and waits
    let delivered = loop {
        attempts += 1;
        let after = match sender.send(http, message, &recipients).await {
            Attempt::Delivered => break !is_refused,
            Attempt::Later { after, why } => {
                // of a mail that some have and others will not get, the latter stay named
                reason = reason.filter(|_| is_refused).or(Some(why));
                after
            }
            Attempt::Partly {
                later,
                refused,
                why,
            } => {
                is_refused |= !refused.is_empty();
                reason = Some(why);
                if later.is_empty() {
                    // the others have it: only these are left, and none of them will get it
                    break false;
                }
                recipients = later;
                None
            }
            Attempt::Refused(why) | Attempt::Gone(why) => {
                reason = Some(why);
                break false;
            }
        };
        // a server that says zero must not be asked without a pause
        let pause = after.unwrap_or(PAUSE).max(Duration::from_millis(100));
        if begun.elapsed() + pause > wait {
            break false;
        }
        tokio::time::sleep(pause).await;
    };
    let seconds = begun.elapsed().as_secs_f64();
    TrialView {
        channel: sender.channel(),
        place: sender.place(),
        delivered,
        attempts,
        seconds,
        reason,
    }
}
