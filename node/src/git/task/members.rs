//! What is known of each member's branch, and what follows from it: whom to fetch, whom to speak
//! for, which mirrors are tidied.

use std::collections::BTreeMap;
use std::sync::Arc;

use ssid_protocol::id::{NodeId, Sha256Hash, UnixMillis};
use ssid_protocol::manifest::Manifest;
use ssid_storage::{RewrittenRow, Store};
use tokio::time::Instant;

use super::Task;
use crate::git::command::Git;
use crate::git::failure::GitError;
use crate::git::mirror::{Brought, REWRITTEN_KEPT};
use crate::git::plan::{Plan, PlannedMember};
use crate::git::publish::Wanted;
use crate::git::read::Segments;
use crate::git::repository::Repository;
use crate::git::schedule::Why;
use crate::git::state::{MemberSync, OwnBranch, SyncState};
use crate::git::sync::{Retry, Target};

/// Fetches that brought something, of one member, after which its mirror is looked after.
const TIDY_AFTER: u64 = 64;

/// What is known of one member's branch besides what is shown.
#[derive(Default)]
pub(super) struct Known {
    /// When it was last fetched with success.
    pub(super) fetched_at: Option<Instant>,
    /// Whether what was read in an earlier life is still to be offered, and from where on.
    pub(super) read_again: Option<Segments>,
    /// Whether the last sync left lines for the next.
    pub(super) is_part: bool,
    /// When it is tried again after a failure that may pass.
    pub(super) retry: Retry,
    /// Its latest start, as its branch says it.
    pub(super) start: Option<Sha256Hash>,
    /// The start that the own branch answers.
    pub(super) answered: Option<Sha256Hash>,
    /// Whether its branch answers this node's start.
    pub(super) has_heard: bool,
    /// Fetches that brought something since its mirror was tidied.
    pub(super) brought: u64,
    /// Histories of it that are gone, as they are stored.
    pub(super) rewritten: Vec<RewrittenRow>,
}

impl Known {
    /// Of a member whose branch was not fetched since the start.
    pub(super) fn at_start(member: &PlannedMember, store: &Store) -> Self {
        Self {
            read_again: Some(Segments::new()),
            rewritten: rewritten_before(store, &member.node),
            ..Self::default()
        }
    }
}

/// What there is of each of `members`: what there was of it, or something new, by its place.
fn carried_over<T>(
    members: &[PlannedMember],
    before: impl IntoIterator<Item = (NodeId, T)>,
    new: impl Fn(usize, &PlannedMember) -> T,
) -> Vec<T> {
    let mut before: BTreeMap<NodeId, T> = before.into_iter().collect();
    members
        .iter()
        .enumerate()
        .map(|(place, member)| {
            before
                .remove(&member.node)
                .unwrap_or_else(|| new(place, member))
        })
        .collect()
}

/// What was seen in earlier lives.
fn rewritten_before(store: &Store, node: &NodeId) -> Vec<RewrittenRow> {
    store.rewritten_of(node).unwrap_or_else(|error| {
        tracing::error!(%error, "the rewritten histories of a member cannot be read");
        Vec::new()
    })
}

/// What is shown before the first sync.
pub(super) fn first_state(plan: &Plan, known: &[Known]) -> SyncState {
    SyncState {
        uses_git: plan.uses_git(),
        own: OwnBranch {
            remote: plan.own_shown.clone(),
            branch: plan.branch.clone(),
            error: plan.own.as_ref().err().cloned(),
            ..OwnBranch::default()
        },
        members: plan
            .members
            .iter()
            .zip(known)
            .map(|(member, known)| first_of(member, known))
            .collect(),
        ..SyncState::unused()
    }
}

/// What is shown of one member before the first sync.
fn first_of(member: &PlannedMember, known: &Known) -> MemberSync {
    let (remote, error) = remote_of(member);
    MemberSync {
        node_id: member.node,
        node_name: member.name.clone(),
        remote,
        commit: None,
        last_sync: None,
        failures: 0,
        error,
        bytes: 0,
        lines: 0,
        bad_lines: 0,
        bad_example: None,
        rewritten: known.rewritten.iter().map(Into::into).collect(),
    }
}

/// Where a member's branch is, without secrets; why it is not used, if it is refused.
fn remote_of(member: &PlannedMember) -> (Option<String>, Option<String>) {
    match &member.source {
        Some(Ok(source)) => (Some(source.remote.to_string()), None),
        Some(Err(error)) => (None, Some(error.clone())),
        None => (None, None),
    }
}

impl Task {
    /// Goes by the members of another epoch. What is known of those that stay is kept.
    pub(super) fn enter(&mut self, manifest: &Manifest) {
        let nodes: Vec<_> = self.plan.members.iter().map(|member| member.node).collect();
        self.plan.enter(manifest);
        let (plan, store) = (&self.plan, &self.intake.store);
        let known = nodes.iter().copied().zip(self.members.drain(..));
        self.members = carried_over(&plan.members, known.collect::<Vec<_>>(), |_, member| {
            Known::at_start(member, store)
        });
        let shown = nodes.into_iter().zip(self.state.members.drain(..));
        let known = &self.members;
        let members = carried_over(&plan.members, shown.collect::<Vec<_>>(), |place, member| {
            first_of(member, &known[place])
        });
        self.state.members = members;
        for (member, shown) in plan.members.iter().zip(&mut self.state.members) {
            shown.node_name.clone_from(&member.name);
            let (remote, error) = remote_of(member);
            if remote != shown.remote {
                (shown.remote, shown.error, shown.failures) = (remote, error, 0);
            }
        }
        self.state.uses_git = plan.uses_git();
        self.show();
    }

    /// Whom to fetch: everybody, or those whose mirror is not new enough.
    pub(super) fn targets(&self, why: Why) -> Vec<Target> {
        let now = Instant::now();
        // after 2, 4, 8, … syncs without news: what the engine had no room for may be what it waits
        // for
        let stalled = self.quiet >= 2 && self.quiet.is_power_of_two();
        let target = |(place, member): (usize, &PlannedMember)| {
            let source = member.source.as_ref()?.as_ref().ok()?.clone();
            let known = &self.members[place];
            let is_left_out = why == Why::Retry && !known.retry.is_due(now);
            if is_left_out || why.passes_over(known.fetched_at, self.plan.fresh_for, now) {
                return None;
            }
            // what was read in an earlier life was perhaps not taken then: it is offered once more
            let again = known
                .read_again
                .clone()
                .or_else(|| stalled.then(Segments::new));
            let changes = self.intake.store.trust_of(&member.node).unwrap_or_default();
            Some(Target {
                place,
                source,
                trust: self.trust.score(&changes),
                failures: self.state.members[place].failures,
                again,
            })
        };
        self.plan
            .members
            .iter()
            .enumerate()
            .filter_map(target)
            .collect()
    }

    /// Notes histories that are gone and that were not known yet, also those that a node that was
    /// killed had no time to store; all of them, if there are such.
    pub(super) fn note_rewritten(
        &mut self,
        place: usize,
        brought: &Brought,
    ) -> Option<Vec<RewrittenRow>> {
        let member = &mut self.state.members[place];
        let known = &mut self.members[place].rewritten;
        let new: Vec<_> = brought
            .rewritten
            .iter()
            .filter(|row| !known.contains(row))
            .cloned()
            .collect();
        for RewrittenRow { was, now, .. } in &new {
            let node = member.node_id;
            tracing::error!(%node, was, now, "this member's Git history was rewritten; what was accepted stays");
            self.metrics.rewritten();
        }
        let is_new = !new.is_empty();
        known.extend(new);
        // the oldest go first: a member that rewrites daily must not fill the table
        known.drain(..known.len().saturating_sub(REWRITTEN_KEPT));
        member.rewritten = known.iter().map(Into::into).collect();
        is_new.then(|| known.clone())
    }

    /// Notes what became of a fetch; why it failed, if it did.
    pub(super) fn note(
        &mut self,
        place: usize,
        outcome: Result<Brought, GitError>,
        now: UnixMillis,
    ) -> Option<String> {
        let member = &mut self.state.members[place];
        let known = &mut self.members[place];
        self.metrics
            .fetched(outcome.as_ref().map_or_else(GitError::word, |_| "ok"));
        match outcome {
            Ok(brought) => {
                self.state.successful += 1;
                known.fetched_at = Some(Instant::now());
                known.read_again.clone_from(&brought.again);
                known.is_part = brought.is_part;
                known.brought += u64::from(brought.bytes > 0);
                note_brought(member, known, &brought, now);
                // whether the other end reads what is published here
                if let (Some(publisher), Some(head)) = (&self.publisher, &brought.head) {
                    known.has_heard = head.heard.get(&self.plan.me) == Some(&publisher.start());
                }
                let counts = &brought.counts;
                self.metrics
                    .read(brought.bytes, counts.taken, counts.settled, counts.bad);
                None
            }
            // the remote answered: a member that has not published yet is no failure
            Err(GitError::NoBranch) => {
                self.state.successful += 1;
                member.failures = 0;
                member.error = Some(GitError::NoBranch.to_string());
                None
            }
            Err(error) => {
                tracing::warn!(node = %member.node_id, name = member.node_name, %error, "a branch was not fetched");
                self.state.failed += 1;
                member.failures += 1;
                member.error = Some(error.to_string());
                Some(error.to_string())
            }
        }
    }

    /// Packs a mirror that has grown, or removes it if none are to be kept.
    pub(super) async fn tidy_mirror(&mut self, git: &Git, place: usize) {
        let Some(Ok(source)) = &self.plan.members[place].source else {
            return;
        };
        let is_due = self.members[place].brought >= TIDY_AFTER;
        // what is read in part goes on from its mirror
        let keeps = self.plan.keeps_mirrors || self.members[place].is_part;
        if keeps && !is_due {
            return;
        }
        self.members[place].brought = 0;
        let tidied = match Repository::open(git, source.dir.clone()).await {
            Ok(repository) if keeps => repository.tidy(git).await,
            Ok(repository) => repository.remove(),
            Err(error) => Err(error),
        };
        if let Err(error) = tidied {
            tracing::warn!(%error, "a Git mirror cannot be tidied or removed");
        }
    }

    /// Members who cannot publish themselves, and those who ask what they signed, are spoken for
    /// too.
    pub(super) fn wanted(&self) -> Wanted {
        let all = || {
            self.plan
                .members
                .iter()
                .zip(&self.members)
                .zip(&self.state.members)
        };
        let relayed = all().filter(|((planned, known), shown)| {
            // its remote cannot be used or fails: over Git it is not heard but through others
            let is_mute = !matches!(planned.source, Some(Ok(_))) || shown.failures > 0;
            is_mute || known.start != known.answered
        });
        let relayed = relayed.map(|((planned, _), _)| planned.node).collect();
        let heard = all()
            .filter_map(|((planned, known), _)| Some((planned.node, known.start?)))
            .collect();
        Wanted {
            relayed: Arc::new(relayed),
            heard,
        }
    }
}

fn note_brought(member: &mut MemberSync, known: &mut Known, brought: &Brought, now: UnixMillis) {
    member.failures = 0;
    member.error = None;
    member.commit = Some(brought.commit.clone());
    member.last_sync = Some(now.iso());
    member.bytes += brought.bytes;
    member.lines += brought.counts.taken;
    member.bad_lines += brought.counts.bad;
    // the first bad line is shown: later ones often follow from it
    if member.bad_example.is_none() {
        member.bad_example.clone_from(&brought.counts.example);
    }
    // a reading that did not come to the head says nothing about it
    known.start = brought.head.as_ref().map(|head| head.start).or(known.start);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_members_that_stay_is_kept_what_there_was() {
        let member = |number| PlannedMember {
            node: NodeId([number; 32]),
            name: number.to_string(),
            source: None,
        };
        let before = [1, 2, 3].map(|number| (NodeId([number; 32]), format!("of {number}")));
        let members = [member(3), member(4), member(1)];
        let kept = carried_over(&members, before, |place, member| {
            format!("new {} at {place}", member.name)
        });
        assert_eq!(kept, ["of 3", "new 4 at 1", "of 1"]);
    }
}
