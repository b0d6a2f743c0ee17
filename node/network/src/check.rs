//! What is asked of a gossip message before anybody sees it (SPEC §5, §10, §12). Runs off the
//! swarm's task: decoding and hashing a full message takes milliseconds.

use ssid_protocol::batch::{self, Kind, SignedBatch, Statements, VerifiedBatch};
use ssid_protocol::epoch::EpochContext;
use ssid_protocol::evidence::{self, Evidence};
use ssid_protocol::id::{FederationId, Sha256Hash};
use ssid_protocol::{limits, wire};

use crate::members::Directory;
use crate::topics::Topic;
use crate::tuning::HEARTBEAT_BYTES;

/// Why a message is not taken; the name is the metric's label. What every node finds that has the
/// same bytes is an offence of whoever delivers it; what another manifest or version may make of it
/// is none ([`Refusal::is_offence`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Longer than a message may be.
    MessageBytes,
    /// No encoding of a batch.
    Garbage,
    /// A kind that does not travel on that topic.
    WrongTopic,
    /// A batch or evidence of a kind that this version does not know.
    UnknownKind,
    /// The signer is not in the manifest that this node holds.
    NotAMember,
    /// By the manifest that this node holds the signer may not sign that kind.
    NotAVoter,
    /// No statements, or too many.
    BatchStatements,
    /// An event longer than events may be.
    EventBytes,
    /// An event that is admissible in no epoch.
    Inadmissible,
    /// A heartbeat longer than heartbeats may be, or with more in it.
    HeartbeatBytes,
    /// The signature does not verify, for this federation or at all.
    Signature,
    /// Evidence that proves nothing.
    Unproven,
    /// Evidence of another epoch, or about somebody whom this node's manifest does not know.
    OtherManifest,
}

impl Refusal {
    /// The metric's label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::MessageBytes => "message_bytes",
            Self::Garbage => "garbage",
            Self::WrongTopic => "wrong_topic",
            Self::UnknownKind => "unknown_kind",
            Self::NotAMember => "not_a_member",
            Self::NotAVoter => "not_a_voter",
            Self::BatchStatements => "batch_statements",
            Self::EventBytes => "event_bytes",
            Self::Inadmissible => "inadmissible",
            Self::HeartbeatBytes => "heartbeat_bytes",
            Self::Signature => "signature",
            Self::Unproven => "unproven",
            Self::OtherManifest => "other_manifest",
        }
    }

    /// Whether no honest node passes such a message on. An honest node forwards what it finds good,
    /// so that a verdict that is not a function of the bytes would have honest nodes blame each
    /// other.
    pub(crate) fn is_offence(self) -> bool {
        !matches!(
            self,
            Self::UnknownKind | Self::NotAMember | Self::NotAVoter | Self::OtherManifest
        )
    }
}

/// A message that passed: what a node may be told.
#[derive(Debug)]
pub(crate) enum Content {
    /// A signed batch.
    Batch(VerifiedBatch),
    /// Two things that contradict each other, proven.
    Evidence(Box<Evidence>),
}

/// Decodes, checks and verifies one message.
pub(crate) fn check(
    topic: Topic,
    data: &[u8],
    directory: &Directory,
    epoch: &EpochContext,
) -> Result<Content, Refusal> {
    match topic {
        Topic::Evidence => check_evidence(data, epoch.evidence())
            .map(|evidence| Content::Evidence(Box::new(evidence))),
        _ => check_batch(topic, data, directory, epoch.federation()).map(Content::Batch),
    }
}

fn check_evidence(data: &[u8], verifier: &evidence::Verifier) -> Result<Evidence, Refusal> {
    if evidence::is_of_unknown_kind(data) {
        return Err(Refusal::UnknownKind);
    }
    let evidence: Evidence = wire::decode(data).map_err(|_| Refusal::Garbage)?;
    match evidence.verify(verifier) {
        Ok(_) => Ok(evidence),
        Err(error) if error.needs_another_manifest() => Err(Refusal::OtherManifest),
        Err(_) => Err(Refusal::Unproven),
    }
}

/// A batch, cheapest questions first.
fn check_batch(
    topic: Topic,
    data: &[u8],
    directory: &Directory,
    federation: &FederationId,
) -> Result<VerifiedBatch, Refusal> {
    // by length alone: decoding what may be as long as a batch of votes costs more than it is worth
    if topic == Topic::Heartbeats && data.len() > HEARTBEAT_BYTES {
        return Err(Refusal::HeartbeatBytes);
    }
    // before decoding, which would take it for garbage: a later version's kind blames nobody
    if batch::is_of_unknown_kind(data) {
        return Err(Refusal::UnknownKind);
    }
    let batch: SignedBatch = wire::decode(data).map_err(|_| Refusal::Garbage)?;
    let kind = batch.statements.kind();
    // a function of the bytes: nobody can have it rejected elsewhere by sending it here
    if !travels_on(kind, topic) {
        return Err(Refusal::WrongTopic);
    }
    // by this node's manifest, which may be behind: no offence, as the signature is not checked yet
    let signer = directory.member(&batch.signer).ok_or(Refusal::NotAMember)?;
    if kind != Kind::Heartbeat && !signer.is_voter {
        return Err(Refusal::NotAVoter);
    }
    if !(1..=limits::BATCH_STATEMENTS).contains(&batch.statements.len()) {
        return Err(Refusal::BatchStatements);
    }
    // before the signature: it is the dearest, and what it is over has to be good in any case
    check_contents(&batch.statements)?;
    batch
        .verify(&signer.key, federation)
        .map_err(|_| Refusal::Signature)
}

/// What no honest node signs. One such event spoils its batch, whatever else is in it: a node to
/// which that is new must not find the batch better than one that knows it.
fn check_contents(statements: &Statements) -> Result<(), Refusal> {
    match statements {
        Statements::Events(events) => {
            // its size first: what follows looks at every character
            if events
                .iter()
                .any(|event| event.size() > limits::EVENT_BYTES)
            {
                return Err(Refusal::EventBytes);
            }
            let inadmissible = events
                .iter()
                .any(|event| event.check_in_any_epoch().is_err());
            if inadmissible {
                Err(Refusal::Inadmissible)
            } else {
                Ok(())
            }
        }
        // its texts have limits that its JSON has to keep, whoever signed it
        Statements::Heartbeat(heartbeat) => heartbeat.check().map_err(|_| Refusal::HeartbeatBytes),
        // whether they are of use is for the engine, which knows the epoch and what is open
        Statements::Votes(_)
        | Statements::Proposals(_)
        | Statements::Closes(_)
        | Statements::Ready(_) => Ok(()),
    }
}

fn travels_on(kind: Kind, topic: Topic) -> bool {
    match kind {
        Kind::Events => topic == Topic::Events,
        Kind::Votes | Kind::Proposals | Kind::Closes | Kind::Ready => topic == Topic::Votes,
        Kind::Heartbeat => topic == Topic::Heartbeats,
    }
}

impl Content {
    /// The name of what was said: the same statements under another signature have the same.
    pub(crate) fn name(&self) -> Sha256Hash {
        match self {
            Self::Batch(batch) => Sha256Hash::of(&[
                &batch.signer().0,
                &[batch.statements().kind().byte()],
                &batch.root().0,
            ]),
            Self::Evidence(evidence) => Sha256Hash(evidence.id().0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FEDERATION, epoch, evidence, heartbeat, member, observer, votes};
    use ssid_protocol::event::Event;
    use ssid_protocol::testing::{epoch_event, event, key};

    fn directory() -> Directory {
        Directory::new([member(0), member(1), observer(2)], key(0).node_id())
    }

    fn bytes(signer: u8, statements: Statements) -> Vec<u8> {
        let batch = VerifiedBatch::sign(&key(signer), &FEDERATION, statements).unwrap();
        wire::encode(batch.batch())
    }

    fn refusal(topic: Topic, data: &[u8]) -> Option<Refusal> {
        check(topic, data, &directory(), &epoch()).err()
    }

    #[test]
    fn each_kind_passes_on_its_topic_only() {
        let events = bytes(1, Statements::Events(vec![event("a", "1")]));
        let beat = bytes(1, heartbeat(1));
        for (data, home) in [
            (&events, Topic::Events),
            (&bytes(1, votes(3)), Topic::Votes),
            (&beat, Topic::Heartbeats),
        ] {
            for topic in [Topic::Events, Topic::Votes, Topic::Heartbeats] {
                let expected = (topic != home).then_some(Refusal::WrongTopic);
                assert_eq!(refusal(topic, data), expected, "{home:?} on {topic:?}");
            }
        }
    }

    #[test]
    fn observers_send_heartbeats_only_and_strangers_nothing() {
        assert_eq!(refusal(Topic::Heartbeats, &bytes(2, heartbeat(1))), None);
        assert_eq!(
            refusal(Topic::Votes, &bytes(2, votes(1))),
            Some(Refusal::NotAVoter)
        );
        assert_eq!(
            refusal(Topic::Votes, &bytes(3, votes(1))),
            Some(Refusal::NotAMember)
        );
    }

    #[test]
    fn damage_is_named() {
        let good = bytes(1, votes(2));
        assert_eq!(
            refusal(Topic::Votes, &good[..good.len() - 1]),
            Some(Refusal::Garbage)
        );
        assert_eq!(refusal(Topic::Votes, b"garbage"), Some(Refusal::Garbage));
        let mut flipped = good.clone();
        flipped[40] ^= 1;
        assert_eq!(refusal(Topic::Votes, &flipped), Some(Refusal::Signature));
        let other = VerifiedBatch::sign(&key(1), &FederationId([9; 32]), votes(2)).unwrap();
        assert_eq!(
            refusal(Topic::Votes, &wire::encode(other.batch())),
            Some(Refusal::Signature)
        );
        let mut long = event("a", "1");
        long.version = "x".repeat(limits::EVENT_BYTES + 1);
        assert_eq!(
            refusal(Topic::Events, &bytes(1, Statements::Events(vec![long]))),
            Some(Refusal::EventBytes)
        );
        let mut empty = other.batch().clone();
        empty.statements = Statements::Votes(Vec::new());
        assert_eq!(
            refusal(Topic::Votes, &wire::encode(&empty)),
            Some(Refusal::BatchStatements)
        );
        assert_eq!(
            refusal(Topic::Heartbeats, &vec![0; HEARTBEAT_BYTES + 1]),
            Some(Refusal::HeartbeatBytes)
        );
    }

    #[test]
    fn evidence_passes_on_its_topic_if_it_proves_something() {
        let good = evidence(1);
        assert_eq!(refusal(Topic::Evidence, &wire::encode(&good)), None);
        assert_eq!(
            refusal(Topic::Votes, &wire::encode(&good)),
            Some(Refusal::Garbage)
        );
        assert_eq!(
            refusal(Topic::Evidence, &bytes(1, votes(1))),
            Some(Refusal::Garbage)
        );
        let strangers = refusal(Topic::Evidence, &wire::encode(&evidence(9)));
        assert_eq!(
            strangers,
            Some(Refusal::OtherManifest),
            "a later manifest may know the signer"
        );
        let elsewhere = Evidence {
            federation_id: FederationId([9; 32]),
            ..good
        };
        assert_eq!(
            refusal(Topic::Evidence, &wire::encode(&elsewhere)),
            Some(Refusal::Unproven)
        );
    }

    #[test]
    fn one_event_that_no_epoch_admits_spoils_its_batch() {
        let good = event("blueprint_tagged", "1");
        let bad = Event {
            version: "a|b".into(),
            ..good.clone()
        };
        for events in [
            vec![bad.clone()],
            vec![bad.clone(), good.clone()],
            vec![good.clone(), bad],
        ] {
            let data = bytes(1, Statements::Events(events));
            assert_eq!(refusal(Topic::Events, &data), Some(Refusal::Inadmissible));
        }
        let change = epoch_event("7");
        assert_eq!(
            refusal(
                Topic::Events,
                &bytes(1, Statements::Events(vec![good, change]))
            ),
            None,
            "another epoch's"
        );
        let later = event("federation_score", "1");
        assert_eq!(
            refusal(
                Topic::Events,
                &bytes(1, Statements::Events(vec![event("release", "2"), later]))
            ),
            None,
            "a rule to come may define it"
        );
        let Statements::Heartbeat(mut long) = heartbeat(1) else {
            panic!("a heartbeat")
        };
        long.software = "x".repeat(limits::HEARTBEAT_TEXT_BYTES + 1);
        let data = bytes(1, Statements::Heartbeat(long));
        assert_eq!(
            refusal(Topic::Heartbeats, &data),
            Some(Refusal::HeartbeatBytes)
        );
    }

    #[test]
    fn what_another_version_or_manifest_may_take_is_no_offence() {
        let mut later = bytes(1, votes(1));
        later[32 + 64] = 9;
        let mut evidence = wire::encode(&evidence(1));
        evidence[36] = 9;
        let cases = [
            (Topic::Votes, later, Refusal::UnknownKind),
            (Topic::Evidence, evidence, Refusal::UnknownKind),
            (Topic::Votes, bytes(3, votes(1)), Refusal::NotAMember),
            (Topic::Votes, bytes(2, votes(1)), Refusal::NotAVoter),
        ];
        for (topic, data, expected) in cases {
            assert_eq!(refusal(topic, &data), Some(expected));
            assert!(!expected.is_offence(), "{expected:?}");
        }
        assert!(Refusal::Inadmissible.is_offence() && Refusal::Signature.is_offence());
    }

    #[test]
    fn the_name_of_a_batch_is_its_signer_kind_and_statements() {
        let name = |signer, count| {
            Content::Batch(VerifiedBatch::sign(&key(signer), &FEDERATION, votes(count)).unwrap())
                .name()
        };
        assert_eq!(name(0, 2), name(0, 2));
        assert_ne!(name(0, 2), name(1, 2));
        assert_ne!(name(0, 2), name(0, 3));
    }
}
