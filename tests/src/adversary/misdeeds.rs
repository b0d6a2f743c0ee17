//! What the adversary can be told to do. Each is done in portions against one victim, so that
//! several misdeeds and victims can be mixed, and a person can let one run for as long as they
//! like.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use clap::ValueEnum;
use libp2p::multiaddr::Protocol;
use ssid_protocol::batch::{SignedBatch, Statements};
use ssid_protocol::event::Event;
use ssid_protocol::id::{Epoch, Round, Sha256Hash, SubjectId, UnixMillis};
use ssid_protocol::limits::{BATCH_STATEMENTS, MESSAGE_BYTES};
use ssid_protocol::sync::{LOG_PAGE, NAMES, Request};
use ssid_protocol::vote::{Phase, Proposal, Vote};
use ssid_protocol::wire;

use super::codec::{After, frame};
use super::forgery::{heartbeat, liar};
use super::{Adversary, Member};
use crate::Events;

/// Something that no honest member does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Misdeed {
    /// Gossip that is no message, and messages on topics or of federations that are not theirs.
    Garbage,
    /// Gossip and sync frames of more than 1 MiB.
    Oversize,
    /// Short messages that say to hold 2^60 entries, and requests that name too many things.
    Bombs,
    /// Requests that are never finished or trickle in, and answers that are never read.
    SlowStreams,
    /// Votes for subjects that nobody has heard of.
    UnknownVotes,
    /// Full batches of which one vote is of use, so that each keeps a whole batch in memory.
    HollowBatches,
    /// Old votes again and again.
    Replays,
    /// Votes of epochs gone by and to come.
    Epochs,
    /// Certificates without a quorum, an altered event, answers to other questions.
    Forgeries,
    /// More connections than one member needs, and connections that say nothing.
    Connections,
    /// Heartbeats of enormous logs and of other times, many a second.
    Heartbeats,
    /// Two votes, two events, two proposals: to each victim another.
    Equivocate,
}

impl Misdeed {
    /// Does some of it against one victim; `portion` numbers the portions from 0.
    pub fn commit(self, mallory: &Adversary, victim: usize, portion: u64) {
        let (member, link) = (mallory.member(), mallory.link(victim));
        match self {
            Self::Garbage => garbage(member, portion)
                .into_iter()
                .for_each(|(topic, data)| link.gossip(topic, data)),
            Self::Oversize => {
                link.gossip("votes", vec![portion as u8; MESSAGE_BYTES + 1]);
                link.stream(u32::MAX.to_be_bytes().to_vec(), After::Read);
            }
            Self::Bombs => {
                link.gossip("votes", bomb(member, portion));
                for request in bombs() {
                    link.stream(frame(&request), After::Read);
                }
            }
            Self::SlowStreams => {
                let log = Request::Log {
                    from: 0,
                    limit: LOG_PAGE,
                };
                link.stream(frame(&wire::encode(&log)), After::NeverRead);
                // within the limit of a request, so that nothing but slowness is wrong with them
                let promised = [&10_000_u32.to_be_bytes()[..], &[0; 5000]].concat();
                link.stream(promised.clone(), After::NeverFinish);
                link.stream(promised, After::Trickle);
            }
            Self::UnknownVotes => {
                link.gossip("votes", member.signed(unknown_votes(member, portion)));
            }
            Self::HollowBatches => {
                link.gossip("votes", member.signed(hollow_batch(member, portion)));
            }
            Self::Replays => replays(mallory, victim),
            Self::Epochs => {
                for epoch in [1, 7, u64::MAX] {
                    let of = |vote| Vote {
                        epoch: Epoch(epoch),
                        ..vote
                    };
                    let Statements::Votes(votes) = unknown_votes(member, portion) else {
                        return;
                    };
                    link.gossip(
                        "votes",
                        member.signed(Statements::Votes(votes.into_iter().map(of).collect())),
                    );
                }
            }
            Self::Forgeries => {
                link.answer_with(liar(
                    member,
                    &Events::series("forged").event(portion as usize),
                ));
                link.gossip("heartbeats", signed_heartbeat(member, portion, |_| {}));
            }
            Self::Connections => knock(mallory, victim),
            Self::Heartbeats => {
                link.gossip(
                    "heartbeats",
                    signed_heartbeat(member, portion, |h| h.sent_at = UnixMillis(portion)),
                );
                link.gossip(
                    "heartbeats",
                    signed_heartbeat(member, portion, |h| h.log_size = u64::MAX),
                );
            }
            Self::Equivocate => equivocate(mallory, victim, portion),
        }
    }
}

fn signed_heartbeat(
    member: &Member,
    portion: u64,
    change: impl FnOnce(&mut ssid_protocol::heartbeat::Heartbeat),
) -> Vec<u8> {
    let mut heartbeat = heartbeat(member, portion);
    change(&mut heartbeat);
    member.signed(Statements::Heartbeat(Box::new(heartbeat)))
}

fn nowhere(portion: u64, i: usize) -> SubjectId {
    SubjectId(Sha256Hash::of(&[b"nowhere", &portion.to_be_bytes(), &i.to_be_bytes()]).0)
}

fn unknown_votes(member: &Member, portion: u64) -> Statements {
    let ballot = Some(Events::series("unknown").event(0).choice());
    let vote = |i| member.vote(nowhere(portion, i), 0, Phase::Prevote, ballot);
    Statements::Votes((0..BATCH_STATEMENTS / 4).map(vote).collect())
}

/// One new vote, and one said before over and over: nothing in it is past a limit.
fn hollow_batch(member: &Member, portion: u64) -> Statements {
    let vote = |subject| member.vote(subject, 0, Phase::Prevote, None);
    let useful = vote(nowhere(portion, usize::MAX));
    Statements::Votes(
        (1..BATCH_STATEMENTS)
            .map(|_| vote(nowhere(0, 0)))
            .chain([useful])
            .collect(),
    )
}

fn garbage(member: &Member, portion: u64) -> Vec<(&'static str, Vec<u8>)> {
    let noise = portion.to_be_bytes().repeat(50);
    let votes = member.signed(unknown_votes(member, portion));
    let other_federation = Member {
        federation: ssid_protocol::id::FederationId([9; 32]),
        ..member.clone()
    };
    vec![
        ("votes", noise.clone()),
        ("events", noise),
        ("heartbeats", votes.clone()),
        (
            "votes",
            other_federation.signed(unknown_votes(member, portion)),
        ),
        ("votes", votes[..votes.len() / 2].to_vec()),
    ]
}

/// A batch whose list says to be 2^60 long.
fn bomb(member: &Member, portion: u64) -> Vec<u8> {
    let mut bytes = member.signed(Statements::Votes(vec![member.vote(
        nowhere(portion, 0),
        0,
        Phase::Prevote,
        None,
    )]));
    // signer, signature, variant; then the count
    bytes[32 + 64 + 4..][..8].copy_from_slice(&(1_u64 << 60).to_le_bytes());
    bytes
}

fn bombs() -> Vec<Vec<u8>> {
    let mut lying = wire::encode(&Request::Open {
        subjects: Vec::new(),
        after: None,
    });
    lying[4..12].copy_from_slice(&(1_u64 << 60).to_le_bytes());
    let many = (0..=NAMES).map(|i| nowhere(0, i)).collect();
    vec![
        lying,
        wire::encode(&Request::Open {
            subjects: many,
            after: None,
        }),
    ]
}

/// What it heard others and itself say before, recombined so that no memory of messages sees
/// through it.
fn replays(mallory: &Adversary, victim: usize) {
    let member = mallory.member();
    let heard = mallory.links().iter().flat_map(super::Link::heard);
    let batches: Vec<SignedBatch> = heard.filter_map(|data| wire::decode(&data).ok()).collect();
    for batch in &batches {
        let topic = match &batch.statements {
            Statements::Events(_) => "events",
            Statements::Heartbeat(_) => "heartbeats",
            _ => "votes",
        };
        mallory.link(victim).gossip(topic, wire::encode(batch));
        if let Statements::Votes(votes) = &batch.statements {
            let again = votes
                .iter()
                .copied()
                .chain([votes[0]])
                .take(BATCH_STATEMENTS)
                .collect();
            mallory
                .link(victim)
                .gossip("votes", member.signed(Statements::Votes(again)));
        }
    }
}

/// Twenty connections under its own name, which end as they come, and some hundred that never say a
/// word.
fn knock(mallory: &Adversary, victim: usize) {
    let more: Vec<_> = (0..20).map(|_| mallory.another_link(victim)).collect();
    let mut address = mallory.victims()[victim].address.iter();
    let (Some(Protocol::Ip4(ip)), Some(Protocol::Tcp(port))) = (address.next(), address.next())
    else {
        return;
    };
    let mut silent: Vec<TcpStream> = (0..300)
        .filter_map(|_| TcpStream::connect((ip, port)).ok())
        .collect();
    for stream in silent.iter_mut().step_by(2) {
        // it may have been closed already: that is what is wanted
        let _ = stream.write_all(b"GET / HTTP/1.1\r\n");
    }
    for _ in 0..400 {
        mallory.link(victim).stream(vec![0], After::NeverFinish);
    }
    std::thread::sleep(Duration::from_millis(500));
    drop((more, silent));
}

/// To victims of even and odd places another event, another vote, another proposal.
fn equivocate(mallory: &Adversary, victim: usize, portion: u64) {
    let (member, link) = (mallory.member(), mallory.link(victim));
    let one = Events::series("two-faced").event(portion as usize);
    let other = Event {
        commit_hash: format!("{}ff", one.commit_hash),
        ..one.clone()
    };
    let mine = if victim.is_multiple_of(2) {
        &one
    } else {
        &other
    };
    link.gossip(
        "events",
        member.signed(Statements::Events(vec![mine.clone()])),
    );
    let heard = link
        .heard()
        .into_iter()
        .filter_map(|data| wire::decode::<SignedBatch>(&data).ok());
    let announced = heard.filter_map(|batch| match batch.statements {
        Statements::Events(events) => Some(events),
        _ => None,
    });
    let known = announced.flatten().chain([mine.clone()]);
    let mut votes = Vec::new();
    for event in known.collect::<Vec<_>>().iter().rev().take(500) {
        let subject = member.subject(event);
        let ballot = (victim.is_multiple_of(2) || event == mine).then(|| event.choice());
        votes.extend(
            [Phase::Prevote, Phase::Precommit].map(|phase| member.vote(subject, 0, phase, ballot)),
        );
    }
    link.gossip("votes", member.signed(Statements::Votes(votes)));
    let subject = member.subject(mine);
    let proposal = Proposal {
        epoch: Epoch(0),
        subject,
        round: Round(1),
        choice: mine.choice(),
        valid: None,
    };
    link.gossip(
        "votes",
        member.signed(Statements::Proposals(vec![proposal])),
    );
}
