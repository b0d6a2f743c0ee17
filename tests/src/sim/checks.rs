//! What must hold after every step (SPEC §1, §7 *State*, §11): one choice a subject, one vote a
//! round and phase, nothing sent that is not on disk, a log that only grows, certificates that
//! verify.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ssid_protocol::batch::{SignedBatch, Statements, VerifiedBatch};
use ssid_protocol::certificate::Verifier;
use ssid_protocol::chain::Chain;
use ssid_protocol::event::FEDERATION_EPOCH;
use ssid_protocol::evidence::{Signed, Statement};
use ssid_protocol::heartbeat::Heartbeat;
use ssid_protocol::id::{Choice, Epoch, MerkleHash, NodeId, Round, SubjectId};
use ssid_protocol::merkle;
use ssid_protocol::sync::Answer;
use ssid_protocol::vote::{Ballot, EpochClose, Phase, Proposal};
use ssid_storage::{Store, SubjectState};

use super::changes::follow;
use super::coverage::Coverage;
use super::federation::Federation;
use super::node::Machine;

/// A machine in one of its lives, who voted, and the place of the vote.
type Slot = (usize, u32, NodeId, Epoch, SubjectId, Round, Phase);

/// A machine's log as it was last seen, and which of its signatures were seen on its disk.
#[derive(Debug)]
struct Seen {
    leaves: Vec<MerkleHash>,
    root: MerkleHash,
    journaled: HashSet<[u8; 64]>,
    /// Bytes of the journal that were looked through.
    read: usize,
}

/// What was seen so far.
#[derive(Debug)]
pub(super) struct Checks<'a> {
    fed: &'a Federation,
    verifier: Verifier<'a>,
    /// The epochs that anybody entered, proven from genesis.
    chain: Chain,
    certified: BTreeMap<SubjectId, (Choice, usize)>,
    votes: HashMap<(NodeId, Epoch, SubjectId, Round, Phase), Ballot>,
    proposals: HashMap<(NodeId, Epoch, SubjectId, Round), Proposal>,
    closes: HashMap<(NodeId, Epoch), EpochClose>,
    events: HashMap<(NodeId, SubjectId), Choice>,
    /// The first vote of each slot that reached an honest node in one of its lives.
    heard: HashMap<Slot, Ballot>,
    equivocators: BTreeSet<NodeId>,
    /// Those whose contradiction a machine has not taken in yet: if it dies over that, nobody saw it.
    unseen: Vec<(usize, NodeId)>,
    machines: Vec<Seen>,
}

impl<'a> Checks<'a> {
    pub(super) fn new(fed: &'a Federation, machines: usize) -> Self {
        let seen = || Seen {
            leaves: Vec::new(),
            root: merkle::root(&[]),
            journaled: HashSet::new(),
            read: 0,
        };
        Self {
            fed,
            verifier: Verifier::with_voters(
                fed.id,
                fed.manifest.epoch,
                &fed.voters,
                &fed.manifest.event_policies,
            ),
            chain: Chain::of_validated(fed.manifest.clone()),
            certified: BTreeMap::new(),
            closes: HashMap::new(),
            votes: HashMap::new(),
            proposals: HashMap::new(),
            events: HashMap::new(),
            heard: HashMap::new(),
            equivocators: BTreeSet::new(),
            unseen: Vec::new(),
            machines: (0..machines).map(|_| seen()).collect(),
        }
    }

    /// A batch leaves an honest node.
    pub(super) fn sent(
        &mut self,
        at: usize,
        machine: &Machine,
        batch: &SignedBatch,
    ) -> Result<(), String> {
        let node = self.fed.node_id(machine.member);
        if batch.signer != node {
            return Ok(()); // handed on
        }
        match &batch.statements {
            Statements::Heartbeat(heartbeat) => return self.head_sent(at, heartbeat),
            Statements::Votes(votes) => {
                for vote in votes {
                    let slot = (node, vote.epoch, vote.subject, vote.round, vote.phase);
                    let first = *self.votes.entry(slot).or_insert(vote.ballot);
                    if first != vote.ballot {
                        return Err(format!(
                            "two votes of member {}: {vote:?}, and before {first:?}",
                            machine.member
                        ));
                    }
                }
            }
            Statements::Proposals(proposals) => {
                for proposal in proposals {
                    let slot = (node, proposal.epoch, proposal.subject, proposal.round);
                    let first = *self.proposals.entry(slot).or_insert(*proposal);
                    if first != *proposal {
                        return Err(format!(
                            "two proposals of member {}: {proposal:?}, {first:?}",
                            machine.member
                        ));
                    }
                }
            }
            Statements::Events(events) => {
                // of changes a member may propose several
                for event in events
                    .iter()
                    .filter(|event| event.event != FEDERATION_EPOCH)
                {
                    let subject = self
                        .fed
                        .manifest
                        .event_policies
                        .subject_of(event)
                        .id(&self.fed.id);
                    let first = *self.events.entry((node, subject)).or_insert(event.choice());
                    if first != event.choice() {
                        return Err(format!(
                            "two events of member {} for one subject: {event:?}",
                            machine.member
                        ));
                    }
                }
            }
            Statements::Closes(closes) => {
                for close in closes {
                    let first = *self.closes.entry((node, close.epoch)).or_insert(*close);
                    if first != *close {
                        return Err(format!("two closes of member {}", machine.member));
                    }
                }
            }
            Statements::Ready(_) => {}
        }
        self.is_on_disk(at, machine, batch)
    }

    /// A batch reaches an honest node. Two votes of one member for one slot, in the first rounds of
    /// a subject that is not decided there, are an equivocation that this node sees: of later
    /// rounds it keeps only a voter's latest.
    pub(super) fn heard(
        &mut self,
        at: usize,
        machine: &Machine,
        batch: &VerifiedBatch,
        coverage: &mut Coverage,
    ) -> Result<(), String> {
        let Statements::Votes(votes) = batch.statements() else {
            return Ok(());
        };
        let Some(store) = &machine.store else {
            return Ok(());
        };
        let epoch = machine
            .engine
            .as_ref()
            .map(|engine| engine.epochs().current());
        // who is no voter of the epoch is not listened to
        let signer = batch.signer();
        let epoch = epoch.filter(|epoch| epoch.voters().index_of(&signer).is_some());
        let epoch = epoch.map(|epoch| epoch.number());
        for vote in votes
            .iter()
            .filter(|vote| Some(vote.epoch) == epoch && vote.round <= Round(1))
        {
            let slot = (
                at,
                machine.life,
                batch.signer(),
                vote.epoch,
                vote.subject,
                vote.round,
                vote.phase,
            );
            let first = *self.heard.entry(slot).or_insert(vote.ballot);
            if first != vote.ballot {
                coverage.count("equivocations of liars that reached honest nodes");
                let state = store
                    .subject(&vote.subject)
                    .map_err(|error| error.to_string())?;
                if !matches!(state, Some(SubjectState::Certified { .. })) {
                    self.unseen.push((at, batch.signer()));
                }
            }
        }
        Ok(())
    }

    /// Everything that reached this machine is taken in, and on its disk.
    pub(super) fn took_in(&mut self, at: usize) {
        let of_it = self.unseen.extract_if(.., |(machine, _)| *machine == at);
        self.equivocators.extend(of_it.map(|(_, signer)| signer));
    }

    /// What this machine had not taken in is lost with it.
    pub(super) fn died(&mut self, at: usize) {
        self.unseen.retain(|(machine, _)| *machine != at);
    }

    /// An answer leaves an honest node.
    pub(super) fn answered(
        &mut self,
        at: usize,
        machine: &Machine,
        answer: &Answer,
    ) -> Result<(), String> {
        match answer {
            Answer::Status(Some(batch))
            | Answer::Own {
                heartbeat: Some(batch),
                ..
            } => self.sent(at, machine, batch),
            Answer::Open {
                batches,
                statements,
                ..
            } => {
                batches
                    .iter()
                    .try_for_each(|batch| self.sent(at, machine, batch))?;
                statements
                    .iter()
                    .try_for_each(|signed| self.sent(at, machine, &alone(signed)?))
            }
            _ => Ok(()),
        }
    }

    /// The signature is in the journal, as a death now would leave it; or all that it is about is
    /// decided, and compaction left only that.
    fn is_on_disk(
        &mut self,
        at: usize,
        machine: &Machine,
        batch: &SignedBatch,
    ) -> Result<(), String> {
        let seen = &self.machines[at];
        if seen.journaled.contains(&batch.signature.0) {
            return Ok(());
        }
        let journal = match &machine.flushed {
            Some(snapshot) => snapshot.journal().to_vec(),
            None => std::fs::read(machine.journal()).map_err(|error| error.to_string())?,
        };
        let new = journal.get(seen.read..).unwrap_or(&journal);
        let there = contains(new, &batch.signature.0) || contains(&journal, &batch.signature.0);
        if !there && !self.is_all_decided(machine, batch)? {
            return Err(format!(
                "member {} sends what is not on its disk: {:?}",
                machine.member, batch.statements
            ));
        }
        let seen = &mut self.machines[at];
        seen.read = journal.len();
        seen.journaled.insert(batch.signature.0);
        Ok(())
    }

    fn is_all_decided(&self, machine: &Machine, batch: &SignedBatch) -> Result<bool, String> {
        let Some(store) = &machine.store else {
            return Ok(false);
        };
        let policies = &self.fed.manifest.event_policies;
        let subjects: Vec<SubjectId> = match &batch.statements {
            Statements::Events(events) => events
                .iter()
                .map(|e| policies.subject_of(e).id(&self.fed.id))
                .collect(),
            Statements::Votes(votes) => votes.iter().map(|vote| vote.subject).collect(),
            Statements::Proposals(proposals) => {
                proposals.iter().map(|proposal| proposal.subject).collect()
            }
            Statements::Heartbeat(_) | Statements::Closes(_) | Statements::Ready(_) => {
                return Ok(false);
            }
        };
        for subject in subjects {
            let state = store.subject(&subject).map_err(|error| error.to_string())?;
            if !matches!(state, Some(SubjectState::Certified { .. })) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn head_sent(&self, at: usize, heartbeat: &Heartbeat) -> Result<(), String> {
        let seen = &self.machines[at];
        let known = seen
            .leaves
            .get(..heartbeat.log_size as usize)
            .map(merkle::root);
        if known != Some(heartbeat.log_root) {
            return Err(format!(
                "a heartbeat names a log of {} entries that was never seen",
                heartbeat.log_size
            ));
        }
        Ok(())
    }

    /// The log of an honest node after a write, or after a restart.
    pub(super) fn log(
        &mut self,
        at: usize,
        store: &Store,
        coverage: &mut Coverage,
    ) -> Result<(), String> {
        let known = self.chain.latest().epoch;
        follow(&mut self.chain, store)?;
        let new = self.chain.latest().epoch.0 - known.0;
        coverage.add("changes of members decided", new);
        let head = store.log_head();
        let seen = &self.machines[at];
        let old = seen.leaves.len() as u64;
        if head.size == old && head.root == seen.root {
            return Ok(());
        }
        let path = store
            .consistency(old, head.size)
            .map_err(|e| e.to_string())?;
        let extends = path.is_some_and(|p| {
            merkle::verify_consistency(old, &seen.root, head.size, &head.root, &p)
        });
        if !extends {
            return Err(format!(
                "the log of machine {at} does not extend itself: {old} to {} entries",
                head.size
            ));
        }
        for sequence in old..head.size {
            self.certificate(at, store, sequence, coverage)?;
        }
        let seen = &mut self.machines[at];
        seen.root = head.root;
        if merkle::root(&seen.leaves) != head.root {
            return Err(format!(
                "the log of machine {at} has another root than its entries"
            ));
        }
        Ok(())
    }

    fn certificate(
        &mut self,
        at: usize,
        store: &Store,
        sequence: u64,
        coverage: &mut Coverage,
    ) -> Result<(), String> {
        let missing = || format!("entry {sequence} of machine {at} has no certificate");
        let certificate = store
            .certificate(sequence)
            .map_err(|e| e.to_string())?
            .ok_or_else(missing)?;
        let verified = if certificate.epoch == self.fed.manifest.epoch {
            let verified = certificate.verify(&mut self.verifier);
            verified.map_err(|error| error.to_string())
        } else {
            let verified = self.chain.verify(&certificate);
            verified.map_err(|error| error.to_string())
        };
        verified.map_err(|error| {
            format!("certificate {sequence} of machine {at} does not verify: {error}")
        })?;
        self.machines[at]
            .leaves
            .push(merkle::leaf_hash(&certificate.choice.to_bytes()));
        let subject = certificate.subject_id();
        let (choice, first) = match self.certified.entry(subject) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                coverage.count("subjects certified");
                coverage.count(&format!("certified in round {:>2}", certificate.round.0));
                if let Some(record) = store.record(sequence).map_err(|e| e.to_string())? {
                    coverage.count(&format!("resolution {}", record.resolution));
                }
                *new.insert((certificate.choice, at))
            }
        };
        if choice == certificate.choice {
            return Ok(());
        }
        Err(format!(
            "SAFETY: subject {subject} is certified for {} at machine {first} and for {} at machine {at}",
            choice.event_hash, certificate.choice.event_hash
        ))
    }

    /// Members of whom an honest node took in two votes for one slot.
    pub(super) fn equivocators(&self) -> &BTreeSet<NodeId> {
        &self.equivocators
    }

    /// The epochs that are in force anywhere.
    pub(super) fn chain(&self) -> &Chain {
        &self.chain
    }

    /// What is certified anywhere.
    pub(super) fn certified(&self) -> &BTreeMap<SubjectId, (Choice, usize)> {
        &self.certified
    }
}

fn contains(bytes: &[u8], what: &[u8; 64]) -> bool {
    let (first, rest) = (what[0], bytes.len().saturating_sub(what.len() - 1));
    (0..rest).any(|start| bytes[start] == first && bytes[start..].starts_with(what))
}

/// A statement that is handed out alone, as if its batch had no others: the signature is the
/// batch's.
fn alone(signed: &Signed) -> Result<SignedBatch, String> {
    let statements = match &signed.statement {
        Statement::Vote(vote) => Statements::Votes(vec![*vote]),
        Statement::Proposal(proposal) => Statements::Proposals(vec![*proposal]),
        other => return Err(format!("an answer with {other:?}")),
    };
    Ok(SignedBatch {
        signer: signed.proof.signer,
        signature: signed.proof.signature,
        statements,
    })
}
