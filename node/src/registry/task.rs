//! Keeps the registry file and the federation together: lines that others append become this node's observations,
//! certified events are appended to it (SPEC §11). One task owns the file; it polls, because the file may lie on any
//! file system and is written by tools that tell nobody.

use std::time::Duration;

use ssid_protocol::event::Event;
use ssid_storage::{Cursor, Store};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::file::{Change, FileError, RegistryFile};
use super::parse::ParsedLog;
use crate::api::ApplyRequest;
use crate::api::view::AppliedView;
use crate::config::{EventFilters, Settings};
use crate::engine::{EngineStatus, Inbound};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Events handed to the engine at once.
const OBSERVED_AT_ONCE: usize = 512;
/// While this many instances are open, no more lines are handed over: the engine's limits are for bursts.
const OPEN_AT_MOST: u64 = 4096;
/// Log entries appended to the file at once.
const APPENDED_AT_ONCE: u64 = 512;
/// Lines named in one warning.
const NAMED_LINES: usize = 5;

/// What the task is told of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Projection {
    /// `federation.auto_consensus`: whether the file's events are announced without being asked.
    pub announce: bool,
    /// `conflict_resolution.auto_apply_consensus`: whether certified events are appended at once, or after
    /// `ssid events apply`.
    pub apply: bool,
}

impl Projection {
    /// As configured; `apply` may differ for a node without a repository.
    pub(crate) fn of(settings: &Settings, apply: bool) -> Self {
        Self { announce: settings.federation.auto_consensus, apply }
    }
}

/// What the task lives among.
#[derive(Debug)]
pub struct Surroundings {
    /// The certified log.
    pub store: Store,
    /// The way into the engine.
    pub inputs: mpsc::Sender<Inbound>,
    /// How busy the engine is.
    pub status: watch::Receiver<std::sync::Arc<EngineStatus>>,
    /// Which event types are federated.
    pub filters: EventFilters,
    /// Requests to append now.
    pub apply: mpsc::Receiver<ApplyRequest>,
    /// The end.
    pub shutdown: CancellationToken,
}

/// Follows the file until the end.
pub async fn follow(file: RegistryFile, projection: Projection, mut around: Surroundings) {
    let mut follower = Follower { file, reported: String::new() };
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let request = tokio::select! {
            () = around.shutdown.cancelled() => return,
            request = around.apply.recv() => request,
            _ = look.tick() => None,
        };
        if let Err(stopped) = follower.read(projection, &mut around).await {
            tracing::debug!(stopped, "the registry file is no longer followed");
            return;
        }
        if projection.apply || request.is_some() {
            let applied = follower.append(&around).await;
            if let Some(request) = request {
                request.reply.send(applied).ok();
            } else if let Err(error) = applied {
                follower.report(&error);
            }
        }
    }
}

struct Follower {
    file: RegistryFile,
    /// The last problem that was reported, so that it is reported once.
    reported: String,
}

impl Follower {
    fn report(&mut self, problem: &str) {
        if self.reported != problem {
            tracing::warn!(file = %self.file.path().display(), "{problem}");
            problem.clone_into(&mut self.reported);
        }
    }

    /// Hands new lines to the engine, in parts, as fast as it decides them.
    async fn read(&mut self, projection: Projection, around: &mut Surroundings) -> Result<(), &'static str> {
        loop {
            let change = tokio::task::block_in_place(|| self.file.read_new());
            match change {
                Ok(Change::Unchanged) => return Ok(()),
                Ok(Change::Appended(log)) => {
                    self.report_skipped(&log);
                    let events: Vec<Event> = log.entries.into_iter().map(|entry| entry.event).collect();
                    let events = events.into_iter().filter(|e| projection.announce && around.filters.admits(&e.event));
                    hand_over(events.collect(), around).await?;
                }
                Ok(Change::Drift { from_line, what }) => {
                    self.report(&format!(
                        "drift at line {from_line}: {what}; nothing is read or changed until it is as it was"
                    ));
                    return Ok(());
                }
                Err(error) => {
                    self.report(&error.to_string());
                    return Ok(());
                }
            }
        }
    }

    fn report_skipped(&mut self, log: &ParsedLog) {
        let lines: Vec<String> = log
            .quarantined()
            .take(NAMED_LINES)
            .map(|skipped| format!("lines {}-{}: {}", skipped.first_line, skipped.last_line, skipped.reason))
            .collect();
        if !lines.is_empty() {
            let count = log.quarantined().count();
            tracing::warn!(file = %self.file.path().display(), count, "skipped in the registry file: {}", lines.join("; "));
        }
    }

    /// Appends what is certified and not in the file yet; the cursor moves only once the lines are on disk.
    async fn append(&mut self, around: &Surroundings) -> Result<AppliedView, String> {
        let store = &around.store;
        let mut view = AppliedView { file: self.file.path().display().to_string(), ..AppliedView::default() };
        let head = store.log_head();
        let cursor = Cursor { peer: store.owner().node, log_id: head.log_id };
        let mut next = store.cursor(&cursor).map_err(|error| error.to_string())?;
        while next < head.size {
            if tokio::task::block_in_place(|| self.file.is_being_written()).map_err(|error| error.to_string())? {
                return Err(format!("{} is being written by another program; trying again", view.file));
            }
            let until = head.size.min(next + APPENDED_AT_ONCE);
            let written = tokio::task::block_in_place(|| self.append_part(store, next, until))?;
            view.applied += written as u64;
            view.present += (until - next) - written as u64;
            next = until;
            around.inputs.send(Inbound::Projected(next)).await.map_err(|_| "the engine has stopped".to_owned())?;
        }
        Ok(view)
    }

    fn append_part(&mut self, store: &Store, from: u64, until: u64) -> Result<usize, String> {
        let mut events = Vec::new();
        for sequence in from..until {
            let entry = store.log_entry(sequence).map_err(|error| error.to_string())?;
            let digest = entry.map(|entry| entry.choice.content_digest);
            let event = digest.map(|digest| store.event(&digest)).transpose().map_err(|error| error.to_string())?;
            events.extend(event.flatten());
        }
        self.file.append(&events).map_err(|error: FileError| error.to_string())
    }
}

async fn hand_over(events: Vec<Event>, around: &mut Surroundings) -> Result<(), &'static str> {
    for part in events.chunks(OBSERVED_AT_ONCE) {
        tokio::select! {
            () = around.shutdown.cancelled() => return Err("shutdown"),
            ready = around.status.wait_for(|status| status.open < OPEN_AT_MOST) => {
                ready.map_err(|_| "the engine has stopped")?;
            }
        }
        around.inputs.send(Inbound::Observed(part.to_vec())).await.map_err(|_| "the engine has stopped")?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "task_tests.rs"]
mod tests;
