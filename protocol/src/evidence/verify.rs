//! Whether evidence proves what it says (SPEC §7, *Evidence*): the cheap questions first,
//! signatures last.

use std::collections::BTreeMap;

use super::{Evidence, EvidenceError, EvidenceKind, Pair, Signed, Statement};
use crate::certificate::{self, Certificate};
use crate::event::{Event, FEDERATION_EPOCH};
use crate::heartbeat::Heartbeat;
use crate::id::{Choice, Epoch, FederationId, NodeId};
use crate::identity::VerifyKey;
use crate::json::MAX_NUMBER;
use crate::manifest::Manifest;
use crate::quorum::VoterSet;
use crate::subject::{EventPolicies, Policy};
use crate::vote::{Ballot, EpochClose, Phase, Proposal, Vote};

const HALVES: [&str; 2] = ["first", "second"];

/// What evidence is checked against: the members and voters of one epoch.
#[derive(Clone, Debug)]
pub struct Verifier {
    federation: FederationId,
    epoch: Epoch,
    voters: VoterSet,
    members: BTreeMap<NodeId, VerifyKey>,
    policies: EventPolicies,
}

impl Verifier {
    /// A verifier for the epoch of `manifest`, which the caller has validated, and whose voters are
    /// `voters`. The policies are the genesis manifest's.
    pub fn new(
        federation: FederationId,
        manifest: &Manifest,
        voters: VoterSet,
        policies: EventPolicies,
    ) -> Self {
        let keys = manifest
            .members
            .iter()
            .filter_map(|member| VerifyKey::parse(member.node_id).ok());
        let members = keys.map(|key| (key.id(), key)).collect();
        Self {
            federation,
            epoch: manifest.epoch,
            voters,
            members,
            policies,
        }
    }
}

/// What verified evidence proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// Who contradicted itself; `None` for certificates, which more than F of the weight had to
    /// sign.
    pub member: Option<NodeId>,
    /// The kind of statement in which it did.
    pub kind: EvidenceKind,
    /// In which epoch; `None` for events and log heads.
    pub epoch: Option<Epoch>,
    /// What was signed, in words.
    pub what: String,
}

impl Evidence {
    /// Checks all that the specification asks of evidence.
    ///
    /// Two precommits of one voter in one round contradict each other:
    ///
    /// ```
    /// use ssid_protocol::batch::{Statements, VerifiedBatch};
    /// use ssid_protocol::evidence::{Evidence, Signed, Verifier};
    /// use ssid_protocol::id::{Epoch, Round, SubjectId};
    /// use ssid_protocol::testing::{event, federation};
    /// use ssid_protocol::vote::{Phase, Vote};
    ///
    /// let (genesis, id, voters, keys) = federation(4);
    /// let precommit = |version| {
    ///     let vote = Vote {
    ///         epoch: Epoch::ZERO,
    ///         subject: SubjectId([7; 32]),
    ///         round: Round::ZERO,
    ///         phase: Phase::Precommit,
    ///         ballot: Some(event("release", version).choice()),
    ///         observed: false,
    ///     };
    ///     let batch = VerifiedBatch::sign(&keys[1], &id, Statements::Votes(vec![vote])).unwrap();
    ///     Signed::of(&batch, 0).unwrap()
    /// };
    /// let verifier = Verifier::new(id, &genesis, voters, genesis.event_policies.clone());
    ///
    /// let evidence = Evidence::of_statements(id, precommit("v1"), precommit("v2"));
    /// assert_eq!(evidence.verify(&verifier).unwrap().member, Some(keys[1].node_id()));
    /// let nothing = Evidence::of_statements(id, precommit("v1"), precommit("v1"));
    /// assert!(nothing.verify(&verifier).is_err());
    /// ```
    ///
    /// # Errors
    /// The first rule that it breaks: then it proves nothing about anybody.
    pub fn verify(&self, against: &Verifier) -> Result<Contradiction, EvidenceError> {
        // a signature means nothing in another federation: this alone would fail it, but not say
        // why
        if self.federation_id != against.federation {
            return Err(EvidenceError::Federation {
                expected: against.federation,
                found: self.federation_id,
            });
        }
        // voters and their keys are those of its own epoch
        if let Some(found) = self.epoch().filter(|epoch| *epoch != against.epoch) {
            return Err(EvidenceError::Epoch {
                expected: against.epoch,
                found,
            });
        }
        let what = match &self.pair {
            Pair::Statements(pair) => verify_statements(pair, against)?,
            Pair::Certificates(pair) => verify_certificates(pair, against)?,
        };
        Ok(Contradiction {
            member: self.member(),
            kind: self.kind(),
            epoch: self.epoch(),
            what,
        })
    }
}

fn verify_statements(pair: &[Signed; 2], against: &Verifier) -> Result<String, EvidenceError> {
    let [first, second] = pair;
    let (signer, other) = (first.proof.signer, second.proof.signer);
    if signer != other {
        return Err(EvidenceError::TwoSigners {
            first: signer,
            second: other,
        });
    }
    // before they are compared: what is shown of them has to be printable
    for (which, signed) in HALVES.into_iter().zip(pair) {
        check_bounds(which, &signed.statement, against)?;
    }
    let what = contradiction(&first.statement, &second.statement, against)?;
    // one order, so that a pair has one name and is kept once
    if first.statement.leaf_bytes() >= second.statement.leaf_bytes() {
        return Err(EvidenceError::Order);
    }
    // signatures last: they cost most, and only prove what was found to be worth proving
    let key = key_of(signer, &first.statement, against)?;
    for (which, signed) in HALVES.into_iter().zip(pair) {
        let proven = signed.verify(key, &against.federation);
        proven.map_err(|reason| EvidenceError::Proof { which, reason })?;
    }
    Ok(what)
}

/// Heartbeats are every member's, all else is the voters'.
fn key_of<'a>(
    signer: NodeId,
    statement: &Statement,
    against: &'a Verifier,
) -> Result<&'a VerifyKey, EvidenceError> {
    let role = if matches!(statement, Statement::Heartbeat(_)) {
        "member"
    } else {
        "voter"
    };
    let may_sign = role == "member" || against.voters.index_of(&signer).is_some();
    let key = against.members.get(&signer).filter(|_| may_sign);
    key.ok_or(EvidenceError::NotASigner {
        signer,
        role,
        epoch: against.epoch,
    })
}

/// What an honest node cannot have signed is not looked at further: it could not be shown as strict
/// JSON.
fn check_bounds(
    which: &'static str,
    statement: &Statement,
    against: &Verifier,
) -> Result<(), EvidenceError> {
    let within = |numbers: &[u64]| numbers.iter().all(|number| *number <= MAX_NUMBER);
    let fits = match statement {
        Statement::Event(event) => {
            // an event of another member's registry may be anything; an admissible one was signed
            // to be voted for
            let admissible = event.check_admissible(against.epoch);
            admissible.map_err(|reason| EvidenceError::Event {
                which,
                reason: Box::new(reason),
            })?;
            true
        }
        Statement::Heartbeat(heartbeat) => heartbeat.check().map(|()| true)?,
        Statement::Proposal(Proposal { valid, .. }) => within(&[valid.map_or(0, |at| at.epoch.0)]),
        Statement::Close(close) => within(&[close.certified_count, close.locks_count]),
        // all its numbers are the verifier's epoch and a round of 32 bits
        Statement::Vote(vote) => vote.is_well_formed(),
    };
    if fits {
        Ok(())
    } else {
        Err(EvidenceError::Number(which))
    }
}

/// Why the two cannot both be said, in words.
fn contradiction(
    first: &Statement,
    second: &Statement,
    against: &Verifier,
) -> Result<String, EvidenceError> {
    match (first, second) {
        (Statement::Vote(a), Statement::Vote(b)) => of_votes(a, b),
        (Statement::Proposal(a), Statement::Proposal(b)) => of_proposals(a, b),
        (Statement::Close(a), Statement::Close(b)) => of_closes(a, b),
        (Statement::Event(a), Statement::Event(b)) => of_events(a, b, against),
        (Statement::Heartbeat(a), Statement::Heartbeat(b)) => of_log_heads(a, b),
        _ => Err(EvidenceError::NoContradiction(
            "they are of different kinds",
        )),
    }
}

/// Refuses two statements that an honest node may both sign.
fn unless(is_contradiction: bool, why: &'static str) -> Result<(), EvidenceError> {
    if is_contradiction {
        Ok(())
    } else {
        Err(EvidenceError::NoContradiction(why))
    }
}

fn of_votes(a: &Vote, b: &Vote) -> Result<String, EvidenceError> {
    let place = |vote: &Vote| (vote.epoch, vote.subject, vote.round, vote.phase);
    unless(
        place(a) == place(b),
        "they are votes of different rounds, phases or subjects",
    )?;
    // observed or not is no difference: towards equivocation both are one ballot
    unless(a.ballot != b.ballot, "they are one vote")?;
    let phase = if a.phase == Phase::Prevote {
        "prevoted"
    } else {
        "precommitted"
    };
    let (one, other) = (ballot_words(a.ballot), ballot_words(b.ballot));
    Ok(format!(
        "{phase} both {one} and {other} in round {} of subject {}",
        a.round, a.subject
    ))
}

fn of_proposals(a: &Proposal, b: &Proposal) -> Result<String, EvidenceError> {
    let place = |proposal: &Proposal| (proposal.epoch, proposal.subject, proposal.round);
    unless(
        place(a) == place(b),
        "they are proposals of different rounds or subjects",
    )?;
    // one choice with another `valid` is another proposal: it makes others judge otherwise
    unless(a != b, "they are one proposal")?;
    let (one, other) = (choice_words(a.choice), choice_words(b.choice));
    Ok(format!(
        "proposed both {one} and {other} in round {} of subject {}",
        a.round, a.subject
    ))
}

fn of_closes(a: &EpochClose, b: &EpochClose) -> Result<String, EvidenceError> {
    unless(a.epoch == b.epoch, "they are closes of different epochs")?;
    unless(a != b, "they are one close")?;
    Ok(format!(
        "closed epoch {} twice: {} and {}",
        a.epoch,
        close_words(a),
        close_words(b)
    ))
}

fn of_events(a: &Event, b: &Event, against: &Verifier) -> Result<String, EvidenceError> {
    unless(
        is_one_of_its_kind(a, against),
        "its type recurs, or is federation_epoch",
    )?;
    let (subject, other) = (
        against.policies.subject_of(a),
        against.policies.subject_of(b),
    );
    unless(subject == other, "they are events for different subjects")?;
    unless(a.choice() != b.choice(), "they are one event")?;
    let (one, other) = (choice_words(a.choice()), choice_words(b.choice()));
    Ok(format!(
        "announced both {one} and {other} for {} {}",
        a.event, a.version
    ))
}

fn of_log_heads(a: &Heartbeat, b: &Heartbeat) -> Result<String, EvidenceError> {
    let place = |heartbeat: &Heartbeat| (heartbeat.log_id, heartbeat.log_size);
    // of different sizes one may extend the other: only their owner could show whether it does
    unless(
        place(a) == place(b),
        "they are heads of different logs or sizes",
    )?;
    unless(a.log_root != b.log_root, "they name one log head")?;
    let (size, log) = (a.log_size, a.log_id);
    Ok(format!(
        "showed two heads of size {size} of its log {log}: {} and {}",
        a.log_root, b.log_root
    ))
}

fn is_one_of_its_kind(event: &Event, against: &Verifier) -> bool {
    event.event != FEDERATION_EPOCH && against.policies.of(&event.event) == Policy::Unique
}

/// By digest: two contents may share an event hash.
fn choice_words(choice: Choice) -> String {
    format!(
        "event {} (content {})",
        choice.event_hash, choice.content_digest
    )
}

fn ballot_words(ballot: Ballot) -> String {
    ballot.map_or_else(|| "nil".to_owned(), choice_words)
}

fn close_words(close: &EpochClose) -> String {
    format!(
        "next {} with {} certified ({}) and {} locks ({})",
        close.next,
        close.certified_count,
        close.certified_root,
        close.locks_count,
        close.locks_root
    )
}

fn verify_certificates(
    pair: &[Certificate; 2],
    against: &Verifier,
) -> Result<String, EvidenceError> {
    let [first, second] = pair;
    let subject = first.subject_id();
    if subject != second.subject_id() {
        return Err(EvidenceError::NoContradiction(
            "they certify different subjects",
        ));
    }
    if first.choice == second.choice {
        return Err(EvidenceError::NoContradiction("they certify one choice"));
    }
    if first.choice > second.choice {
        return Err(EvidenceError::Order);
    }
    // one verifier for both: batches that stand in both are checked once
    let mut verifier = certificate::Verifier::with_voters(
        against.federation,
        against.epoch,
        &against.voters,
        &against.policies,
    );
    for (which, certificate) in HALVES.into_iter().zip(pair) {
        let checked = certificate.verify(&mut verifier);
        checked.map_err(|reason| EvidenceError::Certificate {
            which,
            reason: Box::new(reason),
        })?;
    }
    let (one, other) = (choice_words(first.choice), choice_words(second.choice));
    Ok(format!(
        "both {one} and {other} are certified for subject {subject}: more than F of the weight is Byzantine"
    ))
}
