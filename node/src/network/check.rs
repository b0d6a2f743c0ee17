//! What is asked of a gossip message before anybody sees it (SPEC §5, §10, §12). Runs off the swarm's task: decoding
//! and hashing a full message takes milliseconds.

use ssid_protocol::batch::{Kind, SignedBatch, Statements, VerifiedBatch};
use ssid_protocol::evidence::{self, Evidence};
use ssid_protocol::id::{FederationId, Sha256Hash};
use ssid_protocol::{limits, wire};

use super::handle::Topic;
use super::members::Directory;
use super::tuning::HEARTBEAT_BYTES;

/// Why a message is rejected; the name is the metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Longer than a message may be.
    MessageBytes,
    /// No encoding of a batch.
    Garbage,
    /// A kind that does not travel on that topic.
    WrongTopic,
    /// The signer is not in the epoch's manifest.
    NotAMember,
    /// The signer may not sign that kind.
    NotAVoter,
    /// No statements, or too many.
    BatchStatements,
    /// An event longer than events may be.
    EventBytes,
    /// A heartbeat longer than heartbeats may be.
    HeartbeatBytes,
    /// The signature does not verify, for this federation or at all.
    Signature,
    /// Evidence that proves nothing.
    Unproven,
}

impl Refusal {
    /// The metric's label.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::MessageBytes => "message_bytes",
            Self::Garbage => "garbage",
            Self::WrongTopic => "wrong_topic",
            Self::NotAMember => "not_a_member",
            Self::NotAVoter => "not_a_voter",
            Self::BatchStatements => "batch_statements",
            Self::EventBytes => "event_bytes",
            Self::HeartbeatBytes => "heartbeat_bytes",
            Self::Signature => "signature",
            Self::Unproven => "unproven",
        }
    }
}

/// A message that passed: what a node may be told.
#[derive(Debug)]
pub(super) enum Content {
    /// A signed batch.
    Batch(VerifiedBatch),
    /// Two things that contradict each other, proven.
    Evidence(Box<Evidence>),
}

/// Decodes, checks and verifies one message.
pub(super) fn check(
    topic: Topic,
    data: &[u8],
    directory: &Directory,
    federation: &FederationId,
    verifier: &evidence::Verifier,
) -> Result<Content, Refusal> {
    match topic {
        Topic::Evidence => check_evidence(data, verifier).map(|evidence| Content::Evidence(Box::new(evidence))),
        _ => check_batch(topic, data, directory, federation).map(Content::Batch),
    }
}

fn check_evidence(data: &[u8], verifier: &evidence::Verifier) -> Result<Evidence, Refusal> {
    let evidence: Evidence = wire::decode(data).map_err(|_| Refusal::Garbage)?;
    evidence.verify(verifier).map_err(|_| Refusal::Unproven)?;
    Ok(evidence)
}

/// A batch, cheapest questions first.
fn check_batch(
    topic: Topic,
    data: &[u8],
    directory: &Directory,
    federation: &FederationId,
) -> Result<VerifiedBatch, Refusal> {
    if topic == Topic::Heartbeats && data.len() > HEARTBEAT_BYTES {
        return Err(Refusal::HeartbeatBytes);
    }
    let batch: SignedBatch = wire::decode(data).map_err(|_| Refusal::Garbage)?;
    let kind = batch.statements.kind();
    if !travels_on(kind, topic) {
        return Err(Refusal::WrongTopic);
    }
    let signer = directory.member(&batch.signer).ok_or(Refusal::NotAMember)?;
    if kind != Kind::Heartbeat && !signer.is_voter {
        return Err(Refusal::NotAVoter);
    }
    if !(1..=limits::BATCH_STATEMENTS).contains(&batch.statements.len()) {
        return Err(Refusal::BatchStatements);
    }
    if let Statements::Events(events) = &batch.statements
        && events.iter().any(|event| event.size() > limits::EVENT_BYTES)
    {
        return Err(Refusal::EventBytes);
    }
    batch.verify(&signer.key, federation).map_err(|_| Refusal::Signature)
}

fn travels_on(kind: Kind, topic: Topic) -> bool {
    match kind {
        Kind::Events => topic == Topic::Events,
        Kind::Votes | Kind::Proposals | Kind::Closes => topic == Topic::Votes,
        Kind::Heartbeat => topic == Topic::Heartbeats,
    }
}

impl Content {
    /// The name of what was said: the same statements under another signature have the same.
    pub(super) fn name(&self) -> Sha256Hash {
        match self {
            Self::Batch(batch) => {
                Sha256Hash::of(&[&batch.signer().0, &[batch.statements().kind().byte()], &batch.root().0])
            }
            Self::Evidence(evidence) => Sha256Hash(evidence.id().0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::testing::{FEDERATION, evidence, heartbeat, member, observer, verifier, votes};
    use ssid_protocol::testing::{event, key};

    fn directory() -> Directory {
        Directory::new([member(0), member(1), observer(2)], key(0).node_id())
    }

    fn bytes(signer: u8, statements: Statements) -> Vec<u8> {
        let batch = VerifiedBatch::sign(&key(signer), &FEDERATION, statements).unwrap();
        wire::encode(batch.batch())
    }

    fn refusal(topic: Topic, data: &[u8]) -> Option<Refusal> {
        check(topic, data, &directory(), &FEDERATION, &verifier()).err()
    }

    #[test]
    fn each_kind_passes_on_its_topic_only() {
        let events = bytes(1, Statements::Events(vec![event("a", "1")]));
        let beat = bytes(1, heartbeat(1));
        for (data, home) in [(&events, Topic::Events), (&bytes(1, votes(3)), Topic::Votes), (&beat, Topic::Heartbeats)]
        {
            for topic in [Topic::Events, Topic::Votes, Topic::Heartbeats] {
                let expected = (topic != home).then_some(Refusal::WrongTopic);
                assert_eq!(refusal(topic, data), expected, "{home:?} on {topic:?}");
            }
        }
    }

    #[test]
    fn observers_send_heartbeats_only_and_strangers_nothing() {
        assert_eq!(refusal(Topic::Heartbeats, &bytes(2, heartbeat(1))), None);
        assert_eq!(refusal(Topic::Votes, &bytes(2, votes(1))), Some(Refusal::NotAVoter));
        assert_eq!(refusal(Topic::Votes, &bytes(3, votes(1))), Some(Refusal::NotAMember));
    }

    #[test]
    fn damage_is_named() {
        let good = bytes(1, votes(2));
        assert_eq!(refusal(Topic::Votes, &good[..good.len() - 1]), Some(Refusal::Garbage));
        assert_eq!(refusal(Topic::Votes, b"garbage"), Some(Refusal::Garbage));
        let mut flipped = good.clone();
        flipped[40] ^= 1;
        assert_eq!(refusal(Topic::Votes, &flipped), Some(Refusal::Signature));
        let other = VerifiedBatch::sign(&key(1), &FederationId([9; 32]), votes(2)).unwrap();
        assert_eq!(refusal(Topic::Votes, &wire::encode(other.batch())), Some(Refusal::Signature));
        let mut long = event("a", "1");
        long.version = "x".repeat(limits::EVENT_BYTES + 1);
        assert_eq!(refusal(Topic::Events, &bytes(1, Statements::Events(vec![long]))), Some(Refusal::EventBytes));
        let mut empty = other.batch().clone();
        empty.statements = Statements::Votes(Vec::new());
        assert_eq!(refusal(Topic::Votes, &wire::encode(&empty)), Some(Refusal::BatchStatements));
        assert_eq!(refusal(Topic::Heartbeats, &vec![0; HEARTBEAT_BYTES + 1]), Some(Refusal::HeartbeatBytes));
    }

    #[test]
    fn evidence_passes_on_its_topic_if_it_proves_something() {
        let good = evidence(1);
        assert_eq!(refusal(Topic::Evidence, &wire::encode(&good)), None);
        assert_eq!(refusal(Topic::Votes, &wire::encode(&good)), Some(Refusal::Garbage));
        assert_eq!(refusal(Topic::Evidence, &bytes(1, votes(1))), Some(Refusal::Garbage));
        assert_eq!(refusal(Topic::Evidence, &wire::encode(&evidence(9))), Some(Refusal::Unproven), "a stranger's");
        let elsewhere = Evidence { federation_id: FederationId([9; 32]), ..good };
        assert_eq!(refusal(Topic::Evidence, &wire::encode(&elsewhere)), Some(Refusal::Unproven));
    }

    #[test]
    fn the_name_of_a_batch_is_its_signer_kind_and_statements() {
        let name = |signer, count| {
            Content::Batch(VerifiedBatch::sign(&key(signer), &FEDERATION, votes(count)).unwrap()).name()
        };
        assert_eq!(name(0, 2), name(0, 2));
        assert_ne!(name(0, 2), name(1, 2));
        assert_ne!(name(0, 2), name(0, 3));
    }
}
