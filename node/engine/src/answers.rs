//! What this node tells those who ask: open instances with all that is needed to go on, and events
//! (SPEC §7 rule 9).

use std::collections::HashMap;
use std::ops::Bound;

use ssid_protocol::batch::{BatchId, VerifiedBatch};
use ssid_protocol::certificate::Certificate;
use ssid_protocol::evidence::Statement;
use ssid_protocol::id::{ContentDigest, Epoch, Round, SubjectId};
use ssid_protocol::sync::{Answer, NAMES, ProvenEvent};
use ssid_protocol::vote::Phase;
use ssid_storage::{NoteKind, SubjectState};

use super::engine::{Engine, Tick};
use super::messages::Ticket;
use super::open::{Held, Open};
use super::proof::Proof;
use super::request::Reply;
use super::settings::ANSWER_BYTES;
use super::shown::{CandidateView, InstanceView, LockView, VoteView};
use super::vote_buffer::Unheard;

/// An upper bound of a vote's or proposal's encoding, and of what else a batch has.
const STATEMENT_BYTES: usize = 128;
/// The same for an event with its proof beside the fields.
const PROOF_BYTES: usize = 768;
/// An answer carries at least this many subjects, whatever they need: otherwise a page could be
/// empty for ever.
const SUBJECTS_AT_LEAST: usize = 1;

/// Answers given about open instances, to vary what comes first in them.
#[derive(Debug, Default)]
pub(super) struct Answers(usize);

impl Answers {
    fn next_turn(&mut self) -> usize {
        self.0 = self.0.wrapping_add(1);
        self.0
    }
}

impl Engine {
    pub(super) fn answer_open(
        &mut self,
        tick: &mut Tick,
        names: &[SubjectId],
        after: Option<SubjectId>,
        ticket: Ticket,
    ) {
        // the same question asked again gets another part of the answer first
        let turn = self.answers.next_turn();
        let mut page = Page::new(turn);
        let mut next = None;
        if names.is_empty() {
            // in order of subject, so that the asker can say where to go on
            let range = (
                after.map_or(Bound::Unbounded, Bound::Excluded),
                Bound::Unbounded,
            );
            let open = self.open.range(range);
            let mut open = open
                .filter(|(subject, _)| !self.membership.is_again(subject))
                .peekable();
            let mut waiting = self.vote_buffer.after(after).peekable();
            let mut last = None;
            loop {
                // no subject is among both
                let turn = match (open.peek(), waiting.peek()) {
                    (Some((one, _)), Some((other, _))) => one < other,
                    (Some(_), None) => true,
                    (None, Some(_)) => false,
                    (None, None) => break,
                };
                if page.is_full() {
                    next = last;
                    break;
                }
                if let Some((subject, open)) = open.next_if(|_| turn) {
                    page.add(subject, open);
                    last = Some(*subject);
                } else if let Some((subject, unheard)) = waiting.next() {
                    page.add_waiting(self.epochs.current().number(), subject, unheard);
                    last = Some(*subject);
                }
            }
        } else {
            // begun elsewhere each time: what does not fit this answer is in another
            let names = &names[..names.len().min(NAMES)];
            let (earlier, later) = names.split_at(turn % names.len());
            for subject in later.iter().chain(earlier) {
                match (self.open.get(subject), self.vote_buffer.get(subject)) {
                    _ if page.is_full() => break,
                    (Some(open), _) => page.add(subject, open),
                    (None, Some(unheard)) => {
                        page.add_waiting(self.epochs.current().number(), subject, unheard);
                    }
                    // who asks by name may have missed the decision
                    (None, None) => page.add_certificate(self.certificate(subject)),
                }
            }
        }
        let answer = page.answer(next);
        tick.reply(ticket, Reply::Answer(answer));
    }

    pub(super) fn certificate(&self, subject: &SubjectId) -> Option<Certificate> {
        let SubjectState::Certified { sequence } = self.store.subject(subject).ok()?? else {
            return None;
        };
        self.store.certificate(sequence).ok()?
    }

    pub(super) fn answer_events(&self, tick: &mut Tick, digests: &[ContentDigest], ticket: Ticket) {
        let mut events = Vec::new();
        let mut bytes = 0;
        for digest in digests.iter().take(NAMES) {
            let Ok(Some(event)) = self.store.event(digest) else {
                continue;
            };
            bytes += event.size() + PROOF_BYTES;
            if bytes > ANSWER_BYTES {
                break;
            }
            let subject = self.epochs.current().subject_of(&event);
            let announced = self
                .open
                .get(&subject)
                .and_then(|open| open.announced.get(&event.choice()));
            events.push(ProvenEvent {
                announced: announced.and_then(Proof::proof),
                event,
            });
        }
        tick.reply(ticket, Reply::Answer(Answer::Events(events)));
    }

    /// Open instances in order of subject id, for people.
    pub fn instances(
        &self,
        only: Option<SubjectId>,
        after: Option<SubjectId>,
        limit: usize,
    ) -> Vec<InstanceView> {
        if let Some(subject) = only {
            return self
                .open
                .get(&subject)
                .map(|open| self.view(&subject, open))
                .into_iter()
                .collect();
        }
        let range = (
            after.map_or(Bound::Unbounded, Bound::Excluded),
            Bound::Unbounded,
        );
        self.open
            .range(range)
            .filter(|(subject, _)| !self.membership.is_again(subject))
            .take(limit)
            .map(|(subject, open)| self.view(subject, open))
            .collect()
    }

    fn view(&self, subject: &SubjectId, open: &Open) -> InstanceView {
        let machine = &open.machine;
        let voter = |index| {
            self.epochs
                .current()
                .voters()
                .get(index)
                .map(|v| v.key.id())
        };
        InstanceView {
            subject_id: *subject,
            subject: open.subject.clone(),
            epoch: machine.epoch(),
            round: machine.round(),
            since: open.first_seen,
            in_conflict: self.is_in_conflict(open),
            awaiting_review: self.awaits_review(open),
            review: self.review(open),
            locked: machine.locked().map(|lock| LockView {
                epoch: lock.at.epoch,
                round: lock.at.round,
                choice: lock.choice,
            }),
            standing: machine.standing(),
            endorsed: open.noted(NoteKind::Endorse),
            no_choice_because: self
                .no_choice_because(subject, open)
                .map(|refusal| refusal.reason),
            quorum: self.epochs.current().voters().quorum(),
            candidates: machine
                .candidates()
                .map(|c| CandidateView {
                    choice: c.choice,
                    event: Some(c.event.clone()),
                    announced_by: open.announced.get(&c.choice).map(Proof::signer),
                    own: c.own,
                })
                // what only votes name can be chosen too
                .chain(machine.wanted().map(|choice| CandidateView {
                    choice,
                    event: None,
                    announced_by: None,
                    own: false,
                }))
                .collect(),
            votes: machine
                .votes()
                .filter_map(|(round, phase, index, choice)| {
                    // the machine knows what was voted, the proofs what was said with it
                    let is_this = |held: &&Held| (held.voter, held.ballot) == (index, choice);
                    let first = open
                        .held
                        .iter()
                        .filter(|held| held.is_first_prevote())
                        .find(is_this);
                    let is_first = round == Round::ZERO && phase == Phase::Prevote;
                    let observed = is_first && first.is_some_and(|held| held.observed);
                    Some(VoteView {
                        node: voter(index)?,
                        round,
                        phase,
                        choice,
                        observed,
                    })
                })
                .collect(),
        }
    }
}

/// What one answer says. The statements of all its subjects are gathered first: a batch that says
/// much of them then goes whole, of any other only what is of use, so that nobody's full batches
/// fill the answer with what nobody asked for.
struct Page<'a> {
    alone: Vec<(&'a Proof, Statement)>,
    batches: Vec<Said<'a>>,
    places: HashMap<BatchId, usize>,
    events: Vec<ProvenEvent>,
    certificates: Vec<Certificate>,
    subjects: usize,
    bytes: usize,
    turn: usize,
}

/// What is of use of one batch.
struct Said<'a> {
    batch: &'a VerifiedBatch,
    statements: Vec<(&'a Proof, Statement)>,
}

impl Said<'_> {
    fn whole_bytes(&self) -> usize {
        STATEMENT_BYTES * (self.batch.statements().len() + 1)
    }

    fn goes_whole(&self) -> bool {
        self.whole_bytes() <= PROOF_BYTES * self.statements.len()
    }

    fn bytes(&self) -> usize {
        self.whole_bytes().min(PROOF_BYTES * self.statements.len())
    }
}

impl<'a> Page<'a> {
    fn new(turn: usize) -> Self {
        let (alone, batches, places) = (Vec::new(), Vec::new(), HashMap::new());
        Self {
            alone,
            batches,
            places,
            events: Vec::new(),
            certificates: Vec::new(),
            subjects: 0,
            bytes: 0,
            turn,
        }
    }

    fn is_full(&self) -> bool {
        self.subjects >= SUBJECTS_AT_LEAST && self.bytes > ANSWER_BYTES / 2
    }

    /// Adds what one instance needs, as far as it fits a frame. Which votes come first changes from
    /// answer to answer, so that whoever asks again gets the rest.
    fn add(&mut self, subject: &SubjectId, open: &'a Open) {
        self.subjects += 1;
        for event in open.proven_events() {
            self.bytes += event.event.size() + PROOF_BYTES;
            self.events.push(event);
        }
        let epoch = open.machine.epoch();
        let votes = open
            .offered_votes()
            .map(|vote| (&vote.proof, vote.statement(epoch, *subject)));
        let proposals = open
            .proposals
            .iter()
            .map(|p| (&p.proof, Statement::Proposal(p.proposal)));
        self.say(proposals.chain(votes).collect());
    }

    /// Adds the votes that are held of a subject of which no event is known: whose they are may
    /// have forgotten them.
    fn add_waiting(&mut self, epoch: Epoch, subject: &SubjectId, unheard: &'a Unheard) {
        self.subjects += 1;
        self.say(
            unheard
                .votes
                .iter()
                .map(|vote| (&vote.proof, vote.statement(epoch, *subject)))
                .collect(),
        );
    }

    fn say(&mut self, mut statements: Vec<(&'a Proof, Statement)>) {
        let first = self.turn % statements.len().max(1);
        statements.rotate_left(first);
        for (proof, statement) in statements {
            if self.bytes + PROOF_BYTES > ANSWER_BYTES {
                return;
            }
            let Some(batch) = proof.batch() else {
                self.bytes += PROOF_BYTES;
                self.alone.push((proof, statement));
                continue;
            };
            let place = *self.places.entry(batch.id()).or_insert(self.batches.len());
            if place == self.batches.len() {
                self.batches.push(Said {
                    batch,
                    statements: Vec::new(),
                });
            }
            let said = &mut self.batches[place];
            self.bytes -= said.bytes();
            said.statements.push((proof, statement));
            self.bytes += said.bytes();
        }
    }

    fn add_certificate(&mut self, certificate: Option<Certificate>) {
        if let Some(certificate) = certificate {
            self.subjects += 1;
            self.bytes +=
                certificate.event.size() + PROOF_BYTES * (certificate.precommits.len() + 1);
            self.certificates.push(certificate);
        }
    }

    fn answer(self, next: Option<SubjectId>) -> Answer {
        let (whole, parts): (Vec<_>, Vec<_>) = self.batches.into_iter().partition(Said::goes_whole);
        let alone = parts
            .into_iter()
            .flat_map(|said| said.statements)
            .chain(self.alone);
        Answer::Open {
            batches: whole
                .iter()
                .map(|said| said.batch.batch().clone())
                .collect(),
            statements: alone
                .filter_map(|(proof, statement)| proof.of(statement))
                .collect(),
            events: self.events,
            certificates: self.certificates,
            next,
        }
    }
}
