//! Decided subjects for the while in which late observations still count into their records (SPEC
//! §8).

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use ssid_protocol::event::Event;
use ssid_protocol::evidence::Signed;
use ssid_protocol::id::{Choice, Epoch, NodeId, SubjectId};
use ssid_protocol::quorum::VoterIndex;
use ssid_protocol::record::ConsensusRecord;
use ssid_protocol::small_map::SmallMap;
use ssid_protocol::vote::Vote;

use super::clock::Steady;
use super::engine::{Engine, Tick};
use super::open::Held;
use super::proof::Proof;
use super::settings::{CLOSING_SUBJECTS, CLOSING_WINDOW, LATE_RECORDS_EVERY};

/// A decided subject.
#[derive(Debug)]
pub(super) struct Decided {
    /// Its place in the log; none until it is on disk.
    pub(super) sequence: Option<u64>,
    pub(super) record: ConsensusRecord,
    pub(super) event: Event,
    /// The other candidates that were known, by choice: a late observation of one may agree with
    /// the certified event.
    pub(super) others: BTreeMap<Choice, Event>,
    /// Who announced the certified event.
    pub(super) origin: Option<NodeId>,
    /// The votes that were held, and later ones: two of one voter may contradict each other.
    pub(super) held: Vec<Held>,
    /// The proofs of announcements, by choice; for the same reason.
    pub(super) announced: SmallMap<Choice, Proof>,
    /// False if this node may have signed more for it than it remembers: it was decided before the
    /// database was lost.
    pub(super) may_sign: bool,
    /// Whether all that this node may have prevoted for it in round 0 is known.
    pub(super) knows_late: bool,
}

impl Decided {
    /// Whether this vote of `voter` is held.
    pub(super) fn holds(&self, voter: VoterIndex, vote: &Vote) -> bool {
        let place = (voter, vote.round, vote.phase, vote.ballot);
        self.held
            .iter()
            .any(|held| (held.voter, held.round, held.phase, held.ballot) == place)
    }

    /// The event of a choice that was known.
    pub(super) fn event_of(&self, choice: &Choice) -> Option<&Event> {
        Some(&self.event)
            .filter(|event| event.choice() == *choice)
            .or_else(|| self.others.get(choice))
    }
}

/// The decided subjects of the last minute, bounded.
#[derive(Debug, Default)]
pub(super) struct Closing {
    subjects: HashMap<SubjectId, Box<Decided>>,
    order: VecDeque<(Steady, SubjectId)>,
    changed: BTreeSet<SubjectId>,
    write_at: Option<Steady>,
}

impl Closing {
    pub(super) fn contains(&self, subject: &SubjectId) -> bool {
        self.subjects.contains_key(subject)
    }

    pub(super) fn decision(&self, subject: &SubjectId) -> Option<(u64, Choice)> {
        self.subjects
            .get(subject)
            .and_then(|decided| Some((decided.sequence?, decided.record.choice)))
    }

    pub(super) fn add(&mut self, now: Steady, subject: SubjectId, decided: Decided) {
        self.order.push_back((now, subject));
        self.subjects.insert(subject, Box::new(decided));
    }

    pub(super) fn get(&self, subject: &SubjectId) -> Option<&Decided> {
        self.subjects.get(subject).map(Box::as_ref)
    }

    pub(super) fn get_mut(&mut self, subject: &SubjectId) -> Option<&mut Decided> {
        self.subjects.get_mut(subject).map(Box::as_mut)
    }

    /// Up to so many round-0 prevotes that a member signed for these subjects, with their proofs.
    pub(super) fn first_prevotes_of(
        &self,
        member: NodeId,
        epoch: Epoch,
        at_most: usize,
    ) -> Vec<Signed> {
        let held = self.subjects.iter().flat_map(|(subject, decided)| {
            let of_member = |held: &&Held| held.is_first_prevote() && held.proof.signer() == member;
            decided
                .held
                .iter()
                .filter(of_member)
                .map(move |held| (subject, held))
        });
        held.filter_map(|(subject, held)| held.signed(epoch, *subject))
            .take(at_most)
            .collect()
    }

    pub(super) fn proofs_mut(&mut self) -> impl Iterator<Item = &mut Proof> {
        self.subjects.values_mut().flat_map(|decided| {
            let Decided {
                held, announced, ..
            } = &mut **decided;
            held.iter_mut()
                .map(|held| &mut held.proof)
                .chain(announced.values_mut())
        })
    }

    /// Votes of an epoch that has ended contradict nothing any more that is still to come.
    pub(super) fn forget_votes(&mut self) {
        for decided in self.subjects.values_mut() {
            decided.held.clear();
            decided.knows_late = false;
        }
    }

    /// Of what is decided by now this node may have prevoted what it does not remember.
    pub(super) fn forbid_late(&mut self) {
        for decided in self.subjects.values_mut() {
            decided.knows_late = false;
        }
    }

    pub(super) fn set_sequence(&mut self, subject: &SubjectId, sequence: u64) {
        if let Some(decided) = self.subjects.get_mut(subject) {
            decided.sequence = Some(sequence);
        }
    }

    pub(super) fn mark_changed(&mut self, now: Steady, subject: SubjectId) {
        self.changed.insert(subject);
        self.write_at.get_or_insert(now.after(LATE_RECORDS_EVERY));
    }

    /// Records changed by late observations, together once they are due; then drops what is past
    /// its window.
    fn due(&mut self, now: Steady) -> Vec<(u64, ConsensusRecord)> {
        let mut records = Vec::new();
        if self.write_at.is_some_and(|at| at <= now) {
            self.write_at = None;
            for id in std::mem::take(&mut self.changed) {
                let Some(decided) = self.subjects.get(&id) else {
                    continue;
                };
                match decided.sequence {
                    Some(sequence) => records.push((sequence, decided.record.clone())),
                    // decided in this very tick: it has no place in the log yet
                    None => self.mark_changed(now, id),
                }
            }
        }
        while self.order.front().is_some_and(|(at, id)| {
            (now.since(*at) > CLOSING_WINDOW || self.order.len() > CLOSING_SUBJECTS)
                && !self.changed.contains(id)
        }) {
            if let Some((_, id)) = self.order.pop_front() {
                self.subjects.remove(&id);
            }
        }
        records
    }

    pub(super) fn next(&self) -> Option<Steady> {
        self.write_at
    }
}

impl Engine {
    /// Counts this tick's late observations, and writes the records that they changed once they are
    /// due.
    pub(super) fn close_late(&mut self, tick: &mut Tick) {
        for (subject, prevote) in std::mem::take(&mut tick.late) {
            let Some(decided) = self.closing.get_mut(&subject) else {
                continue;
            };
            let event = decided.others.get(&prevote.choice);
            let Some(agrees) = decided.record.count(prevote, event, &decided.event) else {
                continue;
            };
            if prevote.observed && !agrees && decided.record.disagreeing_nodes.len() == 1 {
                self.counts.note_late_disagreement();
            }
            let origin = decided.origin;
            self.closing.mark_changed(tick.steady, subject);
            // an endorsement that was for another event costs nothing
            if agrees || prevote.observed {
                let reference = subject.to_string();
                let change =
                    self.trust
                        .observation(prevote.node, agrees, origin, &reference, tick.now);
                self.record_trust(tick, change);
            }
        }
        let changed = self.closing.due(tick.steady);
        self.rewrite_records(tick, changed);
    }
}

#[cfg(test)]
mod tests {
    use ssid_protocol::id::{Round, UnixMillis};
    use ssid_protocol::record::{Resolution, Transport};
    use ssid_protocol::testing;

    use super::*;

    #[test]
    fn a_record_is_written_again_only_in_its_own_place() {
        let event = testing::event("blueprint_tagged", "v1");
        let record = ConsensusRecord {
            subject_id: SubjectId([1; 32]),
            choice: event.choice(),
            event_type: event.event.clone(),
            event_version: event.version.clone(),
            initiated_at: UnixMillis(0),
            completed_at: UnixMillis(0),
            epoch: Epoch::ZERO,
            round: Round::ZERO,
            eligible_nodes: 4,
            quorum: 3,
            node_hashes: BTreeMap::new(),
            endorsing_nodes: BTreeMap::new(),
            silent_nodes: Vec::new(),
            disagreeing_nodes: Vec::new(),
            found_later: None,
            resolution: Resolution::Achieved,
            transport: Transport::Live,
        };
        let [earlier, new] = [SubjectId([1; 32]), SubjectId([2; 32])];
        let decided = |sequence| Decided {
            sequence,
            record: record.clone(),
            event: event.clone(),
            others: BTreeMap::new(),
            origin: None,
            held: Vec::new(),
            announced: SmallMap::default(),
            may_sign: true,
            knows_late: true,
        };
        let mut closing = Closing::default();
        closing.add(Steady(0), earlier, decided(Some(7)));
        closing.mark_changed(Steady(0), earlier);
        // a tick later this one is decided and hears of a late vote, before it has a place in the
        // log
        let due = Steady(0).after(LATE_RECORDS_EVERY);
        closing.add(due, new, decided(None));
        closing.mark_changed(due, new);
        let places = |records: Vec<(u64, ConsensusRecord)>| {
            records
                .into_iter()
                .map(|(place, _)| place)
                .collect::<Vec<_>>()
        };
        assert_eq!(places(closing.due(due)), [7]);
        closing.set_sequence(&new, 8);
        assert_eq!(places(closing.due(due.after(LATE_RECORDS_EVERY))), [8]);
        assert_eq!(closing.next(), None);
    }
}
