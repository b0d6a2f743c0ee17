//! Changes of members (SPEC §4): what is proposed, and how this node leaves an epoch and enters the
//! next.
//!
//! `proposals` keeps manifests that somebody proposed, `manifests` asks for those that are not here,
//! `proposing` and `approving` are what this node's operator says, `guests` which new voters are let
//! in, `readiness` which of those are there, `links` the chain of those that were decided.
//! Once the change of the epoch is decided, `boundary` is what ends it: `own_close` signs this
//! node's close, `counting` asks others for theirs, `taking` takes what they answer into each `close`,
//! `in_force` is what these leave to the next epoch, `entering` goes over into that, and `reopening`
//! votes on what was open. `other_epochs` judges certificates of an epoch that is not this node's
//! own. `answers` serves whoever asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ssid_protocol::batch::VerifiedBatch;
use ssid_protocol::certificate::Certificate;
use ssid_protocol::chain::Chain;
use ssid_protocol::epoch::EpochContext;
use ssid_protocol::evidence::Signed;
use ssid_protocol::id::{Epoch, NodeId, SubjectId};
use ssid_storage::{JournalRecord, LockRow, StorageError};

use super::clock::Steady;
use super::engine::{Engine, Tick};
use answers::Served;
use boundary::Boundary;
use guests::Guests;
use late_ones::LateOnes;
use proposals::Proposals;
use readiness::Readiness;

pub(super) use approving::Approval;
pub(super) use reopening::polka;
pub use view::{ChangeView, CloseView};

mod answers;
mod approving;
mod boundary;
mod close;
mod counting;
mod entering;
mod guests;
mod handovers;
mod in_force;
mod late_ones;
mod links;
mod manifests;
mod other_epochs;
mod own_close;
mod own_seats;
mod proposals;
mod proposing;
mod readiness;
mod reopening;
mod taking;
mod view;

/// What is known of changes of members.
#[derive(Debug)]
pub(super) struct Membership {
    /// The manifests in force, one after the other, and the one that was decided last.
    chain: Chain,
    /// Certificates of later ones whose manifests are not here yet.
    unproven: BTreeMap<Epoch, Certificate>,
    proposals: Proposals,
    readiness: Readiness,
    /// Whom this node lets in before they are members.
    guests: Guests,
    /// What ends the epoch before the chain's latest, until that is entered.
    boundary: Option<Boundary>,
    /// The closes that this node serves: of the boundary that it passed last, and its own.
    served: BTreeMap<(Epoch, NodeId), Served>,
    /// Whether the change of the epoch that this node is in is decided.
    is_decided: bool,
    /// Own closes as they stand in the journal.
    own_closes: BTreeMap<Epoch, Arc<VerifiedBatch>>,
    /// The journal as it was read, where some of it is of an epoch that has still to be entered.
    unread: Vec<JournalRecord>,
    /// Certified subjects that others may only be locked on: voted for again (SPEC §4, *Earlier
    /// epochs*).
    again: BTreeMap<SubjectId, LockRow>,
    /// The latest epoch that this node has entered, as its journal says: what it counted of the
    /// closes before, it says no more.
    entered_once: Epoch,
    /// The key whose place this node's took, as its journal says, and with which epoch.
    succeeds: Option<(NodeId, Epoch)>,
    /// The closes that this node has confirmed.
    confirmed: BTreeMap<(Epoch, NodeId), Signed>,
    late: LateOnes,
    /// Members that name a later epoch than is known here.
    ahead: BTreeSet<NodeId>,
    /// When others are asked again for the manifest of a change that is decided.
    links_at: Option<Steady>,
    /// When something of all this is due.
    next: Option<Steady>,
}

impl Membership {
    /// Of a node that knows the first epoch alone.
    pub(super) fn new(genesis: &EpochContext) -> Self {
        Self {
            chain: Chain::of_validated(genesis.manifest().clone()),
            unproven: BTreeMap::new(),
            proposals: Proposals::default(),
            readiness: Readiness::default(),
            guests: Guests::default(),
            boundary: None,
            served: BTreeMap::new(),
            is_decided: false,
            own_closes: BTreeMap::new(),
            unread: Vec::new(),
            again: BTreeMap::new(),
            entered_once: Epoch::ZERO,
            succeeds: None,
            confirmed: BTreeMap::new(),
            late: LateOnes::default(),
            ahead: BTreeSet::new(),
            links_at: None,
            next: None,
        }
    }

    /// When something of it is due.
    pub(super) fn next(&self) -> Option<Steady> {
        self.next
    }

    /// A member has gone: it is asked again when it is back.
    pub(super) fn forget_ahead(&mut self, node: &NodeId) {
        self.ahead.remove(node);
    }

    /// Own closes, as the journal is to keep them.
    pub(super) fn own_closes(&self) -> impl Iterator<Item = &Arc<VerifiedBatch>> {
        self.own_closes.values()
    }

    /// An own close stands in the journal.
    pub(super) fn note_own_close(&mut self, epoch: Epoch, batch: &Arc<VerifiedBatch>) {
        self.own_closes
            .entry(epoch)
            .or_insert_with(|| batch.clone());
    }

    /// Keeps what the journal says of an epoch that has still to be entered.
    pub(super) fn keep_unread(&mut self, records: Vec<JournalRecord>) {
        self.unread = records;
    }

    /// The journal says that this node entered an epoch.
    pub(super) fn note_entered(&mut self, epoch: Epoch) {
        self.entered_once = self.entered_once.max(epoch);
    }

    /// The journal says that this node's key took the place of another, with an epoch that was
    /// entered then.
    pub(super) fn note_succeeds(&mut self, former: NodeId, epoch: Epoch) {
        self.succeeds = Some((former, epoch));
        self.note_entered(epoch);
    }

    /// That, as the journal is to keep it.
    pub(super) fn succeeds(&self) -> Option<JournalRecord> {
        let (former, epoch) = self.succeeds?;
        Some(JournalRecord::Succeeds { former, epoch })
    }

    /// The latest epoch that this node entered.
    pub(super) fn entered_once(&self) -> Epoch {
        self.entered_once
    }

    /// Whether this node has taken stock of the epoch that ends: nothing is decided in that any more.
    pub(super) fn has_closed(&self) -> bool {
        self.boundary
            .as_ref()
            .is_some_and(|boundary| boundary.sets.is_some())
    }

    /// Gives it back, to be read.
    pub(super) fn take_unread(&mut self) -> Vec<JournalRecord> {
        std::mem::take(&mut self.unread)
    }

    /// Whether the journal says more than could be read so far: it must stay as it is.
    pub(super) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    /// The decision of this epoch's change is made, and written with this tick.
    pub(super) fn note_decided(&mut self) {
        self.is_decided = true;
    }

    /// The lock that a certified subject is voted for with once more.
    pub(super) fn again(&self, subject: &SubjectId) -> Option<&LockRow> {
        self.again.get(subject)
    }

    /// Whether a subject is voted on again though it is certified: it is no open subject of this
    /// node's.
    pub(super) fn is_again(&self, subject: &SubjectId) -> bool {
        self.again.contains_key(subject)
    }

    /// It is decided again.
    pub(super) fn end_again(&mut self, subject: &SubjectId) -> bool {
        self.again.remove(subject).is_some()
    }
}

impl Engine {
    /// Whether the epoch that this node is in has ended for it: it signs nothing more in that.
    pub(super) fn has_epoch_ended(&self) -> bool {
        let membership = &self.membership;
        let current = self.epochs.current().number();
        membership.is_decided
            || membership.boundary.is_some()
            || membership.chain.latest().epoch > current
            // of a database that was lost the journal says how far this node had come
            || membership.own_closes.keys().next_back().is_some_and(|closed| *closed >= current)
            || membership.entered_once > current
            || membership.has_unread()
    }

    /// What is on disk of epochs: those that are known, and the one that was entered.
    pub(super) fn load_epochs(&mut self) -> Result<(), StorageError> {
        for row in self.store.clone().epochs(Epoch::ZERO.next()) {
            let (_, row) = row?;
            if !self.take_stored_link(row) {
                break;
            }
        }
        let entered = self.store.entered()?;
        if entered > Epoch::ZERO && !Arc::make_mut(&mut self.epochs).enter(entered) {
            // its row was written before or with this one: the members are fetched again
            tracing::error!(
                epoch = entered.0,
                "the manifest of the epoch that was entered is not on disk"
            );
        }
        self.rules = self.epochs.current().rules(&self.me);
        self.load_proposals()?;
        self.load_served()?;
        for row in self.store.clone().all_inherited() {
            let (subject, row) = row?;
            if self.is_certified(&subject) {
                self.membership.again.insert(subject, row);
            }
        }
        self.membership.is_decided = self.is_certified(&self.epochs.current().change());
        self.membership.note_entered(self.epochs.current().number());
        Ok(())
    }

    /// Goes on with what is under way, after what arrived was taken and before anything is signed.
    pub(super) fn go_on_with_change(&mut self, tick: &mut Tick) {
        self.prove_decided_change(tick);
        self.ask_for_late_ones(tick);
        self.end_quiet_again(tick.steady);
        self.begin_boundary(tick);
        self.ask_for_manifests(tick);
        self.ask_who_is_ready(tick);
        self.follow_approval(tick);
        if self.membership.boundary.is_some() {
            self.close_epoch(tick);
            self.count_closes(tick);
            self.enter_next(tick);
        }
        self.membership.next = self.next_question(tick.steady);
    }

    /// When others are to be asked again, if anything is missing.
    fn next_question(&self, now: Steady) -> Option<Steady> {
        let membership = &self.membership;
        let is_heard = self.startup_check.is_none();
        let of_boundary = membership.boundary.as_ref().map(|boundary| {
            // what is drawn up is on disk with this tick, and signed with the next
            let signs = boundary.is_drawn_up && is_heard;
            if signs { now } else { boundary.next_at(now) }
        });
        // the certificate of what this tick decides is on disk by the next
        let is_decided = membership.is_decided && membership.boundary.is_none();
        let of_links = is_decided.then(|| membership.links_at.unwrap_or(now));
        // what is missing is asked for on connecting
        let may_ask = !self.peers.connected.is_empty();
        let of_proposals = membership.proposals.next().filter(|_| may_ask);
        let of_ready = self.next_ready_question().filter(|_| may_ask);
        let of_late = membership.late.next().filter(|_| may_ask);
        [of_boundary, of_proposals, of_ready, of_links, of_late]
            .into_iter()
            .flatten()
            .min()
    }
}

impl Engine {
    /// After a restart: locks that were inherited, and a close that was signed.
    pub(super) fn resume_change(&mut self) -> Result<(), StorageError> {
        let mut tick = self.recovered.take().unwrap_or_else(|| Tick::new(self.now));
        self.reopen_inherited(&mut tick)?;
        self.begin_boundary(&mut tick);
        self.resume_own_close()?;
        self.recovered = Some(tick);
        Ok(())
    }
}
