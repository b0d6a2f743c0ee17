//! Keeps the registry file and the federation together: lines that others append become this node's
//! observations, certified events are appended to it (SPEC §7 rule 1, §11). One task owns the file.
//! It is told of changes by the operating system where that can, polls where it cannot, and looks
//! whenever the engine asks.

use std::sync::Arc;
use std::time::Duration;

use ssid_engine::{Inbound, OwnLine, RegistryNews};
use ssid_storage::{Cursor, Store};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::file::{Change, FileError, RegistryFile};
use super::notice::Watch;
use super::parse::ParsedLog;
use crate::config::{EventFilters, Settings};
use crate::view::AppliedView;

/// How often the file is looked at whatever happens.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How soon an object at the end that is not whole yet is looked at again.
const UNFINISHED_AGAIN: Duration = Duration::from_millis(50);
/// Lines handed to the engine at once.
const LINES_AT_ONCE: usize = 512;
/// Log entries appended to the file at once; between two such parts it is looked at.
const APPENDED_AT_ONCE: u64 = 512;
/// Lines named in one warning.
const NAMED_LINES: usize = 5;

/// The way to whoever writes the registry's log.
pub type Applier = mpsc::Sender<ApplyRequest>;

/// Asks for every certified event to be written to the registry's log.
#[derive(Debug)]
pub struct ApplyRequest {
    /// What was done, or why it could not be, in words.
    pub reply: oneshot::Sender<Result<AppliedView, String>>,
}

/// What the configuration says of appending to the file, and of announcing what others append.
#[derive(Clone, Copy, Debug)]
pub struct Appends {
    /// `federation.auto_consensus`: whether the file's events are announced without being asked.
    pub announce: bool,
    /// `conflict_resolution.auto_apply_consensus`: whether certified events are appended at once,
    /// or after `ssid events apply`.
    pub apply: bool,
}

impl Appends {
    /// As configured; `apply` may differ for a node without a repository.
    pub(crate) fn of(settings: &Settings, apply: bool) -> Self {
        Self {
            announce: settings.federation.auto_consensus,
            apply,
        }
    }
}

/// What the task works with.
#[derive(Debug)]
pub struct Context {
    /// The certified log.
    pub store: Store,
    /// The way into the engine.
    pub inputs: mpsc::Sender<Inbound>,
    /// The look at the file that the engine wants, by its number.
    pub looks: watch::Receiver<u64>,
    /// Which event types are federated.
    pub filters: EventFilters,
    /// Requests to append now.
    pub apply: mpsc::Receiver<ApplyRequest>,
    /// Cancelled when the node stops.
    pub shutdown: CancellationToken,
}

/// The engine has stopped, and with it this task.
#[derive(Debug)]
struct Stopped;

/// Follows the file until the end.
pub async fn follow(file: RegistryFile, appends: Appends, mut context: Context) {
    let touched = Arc::new(Notify::new());
    // it tells within a moment; the interval below finds what it misses on network file systems
    let mut watch = Watch::of(file.path(), touched.clone());
    let mut follower = Follower {
        file,
        appends,
        reported: String::new(),
        told: Told::Nothing,
        again: false,
    };
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let request = tokio::select! {
            () = context.shutdown.cancelled() => return,
            request = context.apply.recv() => request,
            Ok(()) = context.looks.changed() => None,
            () = touched.notified() => None,
            // an unfinished last object may be whole by now
            () = tokio::time::sleep(UNFINISHED_AGAIN), if follower.again => None,
            // a file that was replaced has another inode: the watch would be on the old one
            _ = look.tick() => {
                watch.renew(follower.file.path());
                None
            }
        };
        if follower.turn(&mut context, request).await.is_err() {
            tracing::debug!("the registry file is no longer followed");
            return;
        }
    }
}

/// What the engine was told last.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Read(u64),
    Unreadable(String),
}

/// How far a reading came.
enum End {
    /// To where the file ended.
    Whole,
    /// To an object that is not whole yet.
    Unfinished,
    /// Nowhere: it cannot be read.
    Unreadable(String),
}

struct Follower {
    file: RegistryFile,
    appends: Appends,
    /// The last problem that was reported, so that it is reported once.
    reported: String,
    told: Told,
    /// Whether to come back soon.
    again: bool,
}

impl Follower {
    /// Reads what is new, tells the engine how far, and appends what is certified.
    async fn turn(
        &mut self,
        context: &mut Context,
        request: Option<ApplyRequest>,
    ) -> Result<(), Stopped> {
        self.look(context).await?;
        if !self.appends.apply && request.is_none() {
            return Ok(());
        }
        let applied = self.append(context, request.is_some()).await?;
        if let Some(request) = request {
            request.reply.send(applied).ok();
        } else if let Err(error) = applied {
            self.report(&error);
        }
        Ok(())
    }

    fn report(&mut self, problem: &str) {
        if self.reported != problem {
            tracing::warn!(file = %self.file.path().display(), "{problem}");
            problem.clone_into(&mut self.reported);
        }
    }

    /// One look: whatever stood in the file when it was asked for is handed over before it is told
    /// to be done.
    async fn look(&mut self, context: &mut Context) -> Result<(), Stopped> {
        let wanted = *context.looks.borrow_and_update();
        let end = self.read(context).await?;
        self.again = matches!(end, End::Unfinished);
        let (told, news) = match end {
            End::Whole => (Told::Read(wanted), RegistryNews::Read { look: wanted }),
            End::Unfinished => return Ok(()),
            End::Unreadable(reason) => {
                self.report(&reason);
                (
                    Told::Unreadable(reason.clone()),
                    RegistryNews::Unreadable { reason },
                )
            }
        };
        if self.told != told {
            tell(context, news).await?;
            self.told = told;
        }
        Ok(())
    }

    /// Hands over what is new, in parts. What changed where it had been read is read from the
    /// beginning.
    async fn read(&mut self, context: &Context) -> Result<End, Stopped> {
        loop {
            match tokio::task::block_in_place(|| self.file.read_new()) {
                Ok(Change::Unchanged) if self.file.ends_unfinished() => return Ok(End::Unfinished),
                Ok(Change::Unchanged) => return Ok(End::Whole),
                Ok(Change::Appended(log)) => {
                    self.report_skipped(&log);
                    self.hand_over(log, context).await?;
                }
                Ok(Change::Drift { from_line, what }) => {
                    self.file.start_over();
                    self.told = Told::Nothing;
                    tell(
                        context,
                        RegistryNews::Anew {
                            what: format!("line {from_line}: {what}"),
                        },
                    )
                    .await?;
                }
                Err(error) => return Ok(End::Unreadable(error.to_string())),
            }
        }
    }

    async fn hand_over(&self, log: ParsedLog, context: &Context) -> Result<(), Stopped> {
        let lines = log.entries.into_iter().map(|entry| OwnLine {
            announce: self.appends.announce && context.filters.admits(&entry.event.event),
            event: entry.event,
        });
        let mut lines = lines.peekable();
        while lines.peek().is_some() {
            tell(
                context,
                RegistryNews::Lines(lines.by_ref().take(LINES_AT_ONCE).collect()),
            )
            .await?;
        }
        Ok(())
    }

    fn report_skipped(&mut self, log: &ParsedLog) {
        let lines: Vec<String> = log
            .quarantined()
            .take(NAMED_LINES)
            .map(|skipped| {
                format!(
                    "lines {}-{}: {}",
                    skipped.first_line, skipped.last_line, skipped.reason
                )
            })
            .collect();
        if !lines.is_empty() {
            let count = log.quarantined().count();
            tracing::warn!(file = %self.file.path().display(), count, "skipped in the registry file: {}", lines.join("; "));
        }
    }

    /// Appends what is certified and not in the file yet: one part and comes back soon for more, or
    /// `all` of it. The cursor moves only once the lines are on disk.
    async fn append(
        &mut self,
        context: &mut Context,
        all: bool,
    ) -> Result<Result<AppliedView, String>, Stopped> {
        let mut view = AppliedView {
            file: self.file.path().display().to_string(),
            ..AppliedView::default()
        };
        // one look: what is certified meanwhile is for the next call
        let store = context.store.clone();
        let head = store.log_head();
        let cursor = Cursor {
            peer: store.owner().node,
            log_id: head.log_id,
        };
        // this node's own row among the cursors of peers: how far its log was appended
        let mut next = match store.cursor(&cursor) {
            Ok(next) => next,
            Err(error) => return Ok(Err(error.to_string())),
        };
        while next < head.size {
            let until = head.size.min(next + APPENDED_AT_ONCE);
            let written =
                // it flushes: other tasks of this thread go on elsewhere
                match tokio::task::block_in_place(|| self.append_part(&store, next, until)) {
                    Ok(written) => written,
                    Err(error) => return Ok(Err(error)),
                };
            view.applied += written as u64;
            // present already: written by hand, or by a process that died before it could move the
            // cursor
            view.present += (until - next) - written as u64;
            next = until;
            // after the lines: a crash in between finds them there again
            context
                .inputs
                .send(Inbound::Projected(next))
                .await
                .map_err(|_| Stopped)?;
            if next < head.size {
                // votes wait for looks, appending can wait
                self.look(context).await?;
                self.again |= !all;
                if !all {
                    return Ok(Ok(view));
                }
            }
        }
        Ok(Ok(view))
    }

    fn append_part(&mut self, store: &Store, from: u64, until: u64) -> Result<usize, String> {
        // a script in the middle of a line must not find another one in it
        if self
            .file
            .is_being_written()
            .map_err(|error| error.to_string())?
        {
            let file = self.file.path().display();
            return Err(format!(
                "{file} is being written by another program; trying again"
            ));
        }
        let mut events = Vec::new();
        for sequence in from..until {
            let entry = store
                .log_entry(sequence)
                .map_err(|error| error.to_string())?;
            let digest = entry.map(|entry| entry.choice.content_digest);
            let event = digest
                .map(|digest| store.event(&digest))
                .transpose()
                .map_err(|error| error.to_string())?;
            // an entry whose event is lost is a damaged database, which is found at the start
            events.extend(event.flatten());
        }
        self.file
            .append(&events)
            .map_err(|error: FileError| error.to_string())
    }
}

async fn tell(context: &Context, news: RegistryNews) -> Result<(), Stopped> {
    tokio::select! {
        () = context.shutdown.cancelled() => Err(Stopped),
        sent = context.inputs.send(Inbound::Registry(news)) => sent.map_err(|_| Stopped),
    }
}

#[cfg(test)]
mod tests;
