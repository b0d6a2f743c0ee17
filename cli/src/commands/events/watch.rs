//! `ssid events watch`: what happens at the node, a line each.

use anyhow::Result;
use futures::StreamExt as _;
use ssid_engine::NodeEvent;
use ssid_protocol::record::Transport;

use crate::client::StreamItem;
use crate::context::Context;
use crate::output::{Output, Tone, clean, short};
use crate::process::Interruption;
use crate::progress;

/// Shows what happens until the node or the user ends it.
pub(super) async fn run(context: &Context) -> Result<()> {
    let mut stream = Box::pin(context.client()?.stream().await?);
    // whether anything happens is not up to this command
    progress::hide_command();
    let mut interruption = Interruption::listen()?;
    loop {
        let item = tokio::select! {
            item = stream.next() => item,
            () = interruption.comes() => None,
        };
        let Some(item) = item else { return Ok(()) };
        context
            .out
            .item(&item?, |item| sentence(item, context.out))?;
    }
}

/// An item of the stream in one line.
fn sentence(item: &StreamItem, out: Output) -> String {
    match item {
        StreamItem::Lagged { missed } => out.paint(
            Tone::Warn,
            &format!("{missed} events missed: too slow to read them"),
        ),
        StreamItem::Event(event) => happening(event, out),
    }
}

/// What happened: a word of its own, in a column, then to what.
fn happening(event: &NodeEvent, out: Output) -> String {
    let warn = |words: String| out.paint(Tone::Warn, &words);
    let bad = |words: String| out.paint(Tone::Bad, &words);
    match event {
        NodeEvent::Opened { event, version, .. } => format!("opened      {}", of(event, version)),
        NodeEvent::Certified {
            sequence,
            choice,
            event,
            version,
            at,
            ..
        } => format!(
            "{}   {}  {}  entry {sequence}  {}",
            out.paint(Tone::Good, "certified"),
            of(event, version),
            short(&choice.event_hash),
            at.iso()
        ),
        NodeEvent::Conflict {
            subject_id,
            event,
            version,
        } => format!(
            "{}    {}  subject {}",
            out.paint(Tone::Bad, "conflict"),
            of(event, version),
            short(subject_id)
        ),
        NodeEvent::Decided {
            subject_id,
            decision,
            choice,
        } => format!(
            "operator    {} event {}  subject {}",
            decision.word(),
            short(&choice.event_hash),
            short(subject_id)
        ),
        NodeEvent::Connected { node } => format!("connected   {}", short(node)),
        NodeEvent::Disconnected { node } => warn(format!("disconnected {}", short(node))),
        NodeEvent::Divergence {
            event,
            version,
            own,
            certified,
            ..
        } => warn(format!(
            "divergence  {}: the registry file has {}, certified is {}",
            of(event, version),
            short(own),
            short(certified)
        )),
        NodeEvent::Drift { what } => warn(format!("drift       {}", clean(what))),
        NodeEvent::Abstaining { reason } => bad(format!("abstaining  {}", clean(reason))),
        NodeEvent::EpochDecided { epoch, manifest } => format!(
            "members     change with epoch {epoch}, manifest {}",
            short(manifest)
        ),
        NodeEvent::EpochEntered { epoch, manifest } => format!(
            "{}       {epoch} is in force, manifest {}",
            out.paint(Tone::Good, "epoch"),
            short(manifest)
        ),
        NodeEvent::Evidence {
            id, member, what, ..
        } => {
            // two certificates are nobody's alone
            let who = member
                .as_ref()
                .map_or_else(|| "the federation".to_owned(), short);
            bad(format!(
                "evidence    {} against {who}: {}",
                short(id),
                clean(what)
            ))
        }
        NodeEvent::LowTrust { member, score } => {
            warn(format!("low trust   {} fell to {score}", short(member)))
        }
        NodeEvent::ReadOnly { reason } => bad(format!("read-only   {}", clean(reason))),
        NodeEvent::Transport { transport } => warn(format!("transport   {}", way(*transport))),
        NodeEvent::HistoryRewritten { node, was, now } => bad(format!(
            "rewritten   the Git branch of {}: {} is gone, there is {}",
            short(node),
            clean(was),
            clean(now)
        )),
    }
}

fn of(event: &str, version: &str) -> String {
    format!("{} {}", clean(event), clean(version))
}

fn way(transport: Transport) -> &'static str {
    if transport == Transport::Git {
        "git"
    } else {
        "live"
    }
}

#[cfg(test)]
mod tests {
    use ssid_engine::NoteKind;
    use ssid_protocol::id::{
        Choice, ContentDigest, EventHash, EvidenceId, NodeId, Round, SubjectId, UnixMillis,
    };

    use super::*;

    const SUBJECT: SubjectId = SubjectId([1; 32]);
    const NODE: NodeId = NodeId([4; 32]);
    const CHOICE: Choice = Choice {
        event_hash: EventHash([2; 32]),
        content_digest: ContentDigest([3; 32]),
    };

    fn told(event: NodeEvent) -> String {
        sentence(&StreamItem::Event(event), Output::of_width(80))
    }

    #[test]
    fn each_happening_is_a_line_that_says_what_and_about_whom() {
        let certified = NodeEvent::Certified {
            sequence: 7,
            subject_id: SUBJECT,
            choice: CHOICE,
            event: "release".into(),
            version: "v1".into(),
            round: Round::ZERO,
            at: UnixMillis(0),
        };
        assert_eq!(
            told(certified),
            "certified   release v1  020202020202  entry 7  1970-01-01T00:00:00Z"
        );
        let decided = NodeEvent::Decided {
            subject_id: SUBJECT,
            decision: NoteKind::Refuse,
            choice: CHOICE,
        };
        assert_eq!(
            told(decided),
            "operator    refused event 020202020202  subject 010101010101"
        );
        let divergence = NodeEvent::Divergence {
            subject_id: SUBJECT,
            event: "release".into(),
            version: "v1".into(),
            own: EventHash([5; 32]),
            certified: CHOICE.event_hash,
        };
        assert_eq!(
            told(divergence),
            "divergence  release v1: the registry file has 050505050505, certified is 020202020202"
        );
        let evidence = |member| NodeEvent::Evidence {
            id: EvidenceId([6; 32]),
            member,
            kind: "vote".into(),
            what: "two prevotes".into(),
        };
        assert_eq!(
            told(evidence(Some(NODE))),
            "evidence    060606060606 against 040404040404: two prevotes"
        );
        // two certificates of one subject accuse nobody in particular
        assert!(told(evidence(None)).contains("against the federation:"));
        let low = NodeEvent::LowTrust {
            member: NODE,
            score: 24,
        };
        assert_eq!(told(low), "low trust   040404040404 fell to 24");
        for (transport, word) in [(Transport::Git, "git"), (Transport::Live, "live")] {
            let line = told(NodeEvent::Transport { transport });
            assert_eq!(line, format!("transport   {word}"));
        }
        let lagged = sentence(&StreamItem::Lagged { missed: 9 }, Output::of_width(80));
        assert!(lagged.starts_with("9 events missed"), "{lagged}");
    }

    #[test]
    fn text_of_others_stays_one_line_and_steers_no_terminal() {
        let hostile = || "a\u{1b}[31m\nb\r\u{202e}c".to_owned();
        for event in [
            NodeEvent::Opened {
                subject_id: SUBJECT,
                event: hostile(),
                version: hostile(),
            },
            NodeEvent::Conflict {
                subject_id: SUBJECT,
                event: hostile(),
                version: hostile(),
            },
            NodeEvent::Drift { what: hostile() },
            NodeEvent::Abstaining { reason: hostile() },
            NodeEvent::ReadOnly { reason: hostile() },
            NodeEvent::HistoryRewritten {
                node: NODE,
                was: hostile(),
                now: hostile(),
            },
        ] {
            let line = told(event);
            assert!(
                !line.contains(|c: char| c.is_control() || c == '\u{202e}'),
                "{line:?}"
            );
        }
    }
}
