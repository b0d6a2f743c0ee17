//! `ssid todo`: what waits for this node's operator.

mod entry;
mod membership;

use anyhow::Result;
use clap::Args;
use ssid_node::view::{ConflictView, EventView, MembershipView, Page, StatusView};
use ssid_protocol::event::FEDERATION_EPOCH;

use self::entry::Todo;
use self::membership::{MEMBERSHIP, of_proposal, of_undecided_change};
use crate::context::Context;
use crate::output::{Output, Tone, clean, counted, seconds, short, when};

/// How many of a kind are listed.
const LISTED: usize = 100;

/// Show what waits for you, until when, and what happens if you do nothing
///
/// You are the operator of this node. Each entry has the command for every answer. Exit 0 also if there is something.
///
/// Examples:
///   ssid todo
///   ssid todo --json | jq '.items[].commands'
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct TodoArgs {}

pub(crate) async fn run(_: &TodoArgs, context: &Context) -> Result<()> {
    let client = context.client()?;
    let status: StatusView = client.get(&["v1", "status"], &[]).await?;
    let conflicts: Page<ConflictView> = client.list(&["v1", "conflicts"], &[], LISTED).await?;
    let reviews: Page<EventView> = client
        .list(&["v1", "events"], &[("review", "true".to_owned())], LISTED)
        .await?;
    let members: MembershipView = client.get(&["v1", "membership"], &[]).await?;
    let mut todo: Vec<Todo> = of_the_node(&status);
    let proposals = members.proposals.iter();
    todo.extend(proposals.filter_map(|proposal| of_proposal(proposal, &status.node.node_id)));
    let is_told = todo.iter().any(|todo| todo.kind == MEMBERSHIP);
    let undecided = conflicts.items.iter().find_map(of_undecided_change);
    todo.extend(undecided.filter(|_| !is_told));
    // a change of members is decided with other commands: above
    let is_event = |event: &str| event != FEDERATION_EPOCH;
    let conflicts = conflicts.items.iter().filter(|conflict| {
        let subject = conflict.subject.as_ref();
        subject.is_none_or(|subject| is_event(&subject.event))
    });
    todo.extend(conflicts.filter_map(of_conflict));
    let reviews = reviews.items.iter();
    for event in reviews.filter(|event| is_event(&event.event.event)) {
        // since when it is open here; it may be decided meanwhile
        let id = event.subject_id.to_string();
        let open = client
            .get::<ConflictView>(&["v1", "conflicts", &id], &[])
            .await
            .ok();
        todo.push(of_review(event, open.map(|open| open.since)));
    }
    let todo = Page {
        items: todo,
        next: None,
    };
    context
        .out
        .show(&todo, |todo| page(&todo.items, context.out))?;
    Ok(())
}

/// A conflict in which this node's operator has not chosen yet.
fn of_conflict(conflict: &ConflictView) -> Option<Todo> {
    // once chosen it is the others' turn
    if conflict.standing.is_some() || !conflict.in_conflict {
        return None;
    }
    let subject = conflict.subject.as_ref();
    let what = subject.map_or_else(
        || short(&conflict.subject_id),
        |s| format!("{} {}", clean(&s.event), clean(&s.version)),
    );
    let id = short(&conflict.subject_id);
    // ready to be typed: one command for each side, and the reason is asked for
    let choose = conflict.candidates.iter().map(|candidate| {
        format!(
            "ssid conflicts resolve {id} --choose {} --reason TEXT",
            short(&candidate.event_hash)
        )
    });
    let versions = conflict.candidates.iter().map(|candidate| {
        let commit = candidate
            .event
            .as_ref()
            .map_or_else(|| "?".to_owned(), |e| short(&clean(&e.commit_hash)));
        format!("{} of commit {commit}", short(&candidate.event_hash))
    });
    let versions: Vec<_> = versions.collect();
    let commands = std::iter::once(format!("ssid conflicts show {id}"))
        .chain(choose)
        .collect();
    Some(Todo {
        kind: "conflict",
        what: format!(
            "{what}: the registries differ, and {} have to be for the same: {}",
            counted(conflict.quorum, "vote", "votes"),
            versions.join(", ")
        ),
        since: Some(conflict.since.clone()),
        until: None,
        // that nothing happens by itself is what people do not expect
        otherwise: "nothing is certified for it, for good, until enough operators choose the same"
            .to_owned(),
        commands,
    })
}

fn of_review(event: &EventView, since: Option<String>) -> Todo {
    let hash = short(&event.event_hash);
    let review = event.review.as_ref();
    Todo {
        kind: "review",
        what: format!(
            "{} {}: {}",
            clean(&event.event.event),
            clean(&event.event.version),
            review.map_or_else(
                || "it waits for your word".to_owned(),
                |review| clean(&review.explanation)
            )
        ),
        since,
        until: review.and_then(|review| review.until.clone()),
        otherwise:
            "this node votes for none of the versions then; the others may still decide without it"
                .to_owned(),
        commands: vec![
            format!("ssid events show {hash}"),
            format!("ssid events endorse {hash} --reason TEXT"),
            format!("ssid events refuse {hash} --reason TEXT"),
        ],
    }
}

/// What keeps this node from its work, or should be looked at.
fn of_the_node(status: &StatusView) -> Vec<Todo> {
    let mut todo = Vec::new();
    let mut add = |kind, what: String, otherwise: &str, commands: &[&str]| {
        let commands = commands
            .iter()
            .map(|command| (*command).to_owned())
            .collect();
        todo.push(Todo {
            kind,
            what,
            since: None,
            until: None,
            otherwise: otherwise.to_owned(),
            commands,
        });
    };
    // what stops the whole node comes before what it merely waits for
    let voting = &status.voting;
    if let Some(why) = &voting.read_only {
        let otherwise = "this node votes for nothing, and is missing to the others";
        add(
            "node",
            format!("this node is read-only: {}", clean(why)),
            otherwise,
            &["ssid status"],
        );
    }
    if let Some(why) = &voting.abstaining {
        let otherwise = "this node votes for nothing, and is missing to the others";
        add(
            "node",
            format!("this node abstains: {}", clean(why)),
            otherwise,
            &["ssid status"],
        );
    }
    // of several reasons the first: `status` has all of them
    if !voting.has_quorum {
        let why = voting
            .waiting_for
            .first()
            .map_or_else(|| "too few members can vote".to_owned(), |why| clean(why));
        let what = format!("nothing can be decided now: it waits for {why}");
        let otherwise = "nothing is certified until they are back; nothing is lost";
        add("node", what, otherwise, &["ssid quorum", "ssid nodes list"]);
    }
    // it keeps its vote, so people have to act
    let evidence = status.members.evidence;
    if evidence > 0 {
        let what = format!(
            "{} that a member contradicted itself",
            counted(evidence, "proof", "proofs")
        );
        let otherwise =
            "its trust is 0 on this node; it keeps its vote until the members are changed";
        add("evidence", what, otherwise, &["ssid evidence list"]);
    }
    if status.outbox.notifications > 0 {
        let what = format!(
            "{} not delivered",
            counted(status.outbox.notifications, "notification", "notifications")
        );
        add(
            "notifications",
            what,
            "they are tried again, and given up in the end",
            &["ssid telemetry outbox list"],
        );
    }
    todo
}

fn page(todo: &[Todo], out: Output) -> String {
    if todo.is_empty() {
        return out.paint(Tone::Good, "Nothing waits for you.");
    }
    let one = |todo: &Todo| {
        let what = out.paint(Tone::Warn, &out.paragraph(&todo.what, 2));
        let since = todo
            .since
            .as_deref()
            .map(|at| format!("  since      {}\n", when(at)))
            .unwrap_or_default();
        let until = todo
            .until
            .as_deref()
            .map(|at| format!("  until      {}\n", seconds(at)))
            .unwrap_or_default();
        let otherwise = out.paragraph(&todo.otherwise, 13);
        let commands: Vec<_> = todo
            .commands
            .iter()
            .map(|command| format!("    {command}\n"))
            .collect();
        format!(
            "{what}\n{since}{until}  otherwise  {otherwise}\n{}",
            commands.concat()
        )
    };
    todo.iter().map(one).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_nothing_is_told_what_happens() {
        let out = Output::new(false, false, crate::args::Color::Never);
        assert_eq!(page(&[], out), "Nothing waits for you.");
        let todo = Todo {
            kind: "review",
            what: "audit v1: the policy for audit is operator".to_owned(),
            since: None,
            until: Some("2026-12-01T00:00:00Z".to_owned()),
            otherwise: "this node votes for none of the versions".to_owned(),
            commands: vec!["ssid events endorse 17973e79".to_owned()],
        };
        let text = page(&[todo], out);
        for words in [
            "until      2026-12-01T00:00:00Z",
            "otherwise  this node votes for none",
            "    ssid events endorse",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
}
