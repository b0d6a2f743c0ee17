//! What voting on one subject costs one node: the voting machine alone, without signatures, network
//! or disk.
//!
//! ```text
//! cargo run --release -p ssid-protocol --example votebench [N…]
//! ```
//!
//! For each number of voters N (4, 31, 100, 300 and 1000 if none is given) one subject is decided
//! twice: with all voters honest, and after F liars have spread the most votes that are kept of
//! them – two made-up choices each in both phases of rounds 0 and 1. Both must end decided for the
//! event. The last column is what a heartbeat costs for one subject in conflict that changed since
//! the one before.
#![allow(
    clippy::expect_used,
    reason = "a measurement that cannot be made is to end at once"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use ssid_protocol::event::Event;
use ssid_protocol::id::{Choice, ContentDigest, Epoch, EventHash, Round, SubjectId};
use ssid_protocol::identity::VotingKey;
use ssid_protocol::manifest::Manifest;
use ssid_protocol::quorum::{VoterIndex, VoterSet};
use ssid_protocol::testing;
use ssid_protocol::vote::{Ballot, Phase};
use ssid_protocol::voting::{Candidate, Input, Instance, Rules, Signing};

/// Federations that are measured if none is named.
const SIZES: [usize; 5] = [4, 31, 100, 300, 1000];
/// Digests of which the mean is told.
const DIGESTS: u32 = 20;
const PHASES: [Phase; 2] = [Phase::Prevote, Phase::Precommit];
const VOTING: Rules = Rules {
    me: Some(VoterIndex(0)),
    signing: Signing::Now,
    automatic: None,
};
const WATCHING: Rules = Rules {
    me: None,
    signing: Signing::Never,
    automatic: None,
};

/// The voters of a valid manifest of `count` members of equal weight, with keys from numbered
/// seeds.
fn voters(count: usize) -> VoterSet {
    let base = testing::manifest(4);
    let mut members = Vec::new();
    for number in 0..count {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&(number as u64 + 1).to_be_bytes());
        let mut member = base.members[number.min(1)].clone();
        member.node_id = VotingKey::from_seed(&seed).node_id();
        member.peer_id = format!("peer-{number}");
        members.push(member);
    }
    let manifest = Manifest { members, ..base };
    manifest.validate_genesis().expect("a valid manifest");
    manifest.voters().expect("voters with keys")
}

/// A choice that no event has.
fn made_up(number: u64) -> Choice {
    let mut bytes = [9; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    Choice {
        event_hash: EventHash(bytes),
        content_digest: ContentDigest(bytes),
    }
}

/// One subject at voter 0, who observed the event itself.
struct Subject<'a> {
    voters: &'a VoterSet,
    machine: Instance,
    choice: Choice,
    slowest: Duration,
}

impl<'a> Subject<'a> {
    fn observed(voters: &'a VoterSet, event: &Event) -> Self {
        let mut machine = Instance::new(Epoch(0), SubjectId([1; 32]), false);
        let choice = event.choice();
        let candidate = Candidate {
            choice,
            event: event.clone(),
            announced_by: Some(VoterIndex(1)),
            prompt: true,
            own: true,
            endorsed: true,
        };
        machine.process(voters, VOTING, Input::Candidate(candidate));
        Self {
            voters,
            machine,
            choice,
            slowest: Duration::ZERO,
        }
    }

    fn vote(&mut self, voter: usize, round: u32, phase: Phase, ballot: Ballot) {
        let voter = VoterIndex(u16::try_from(voter).expect("at most 1000 voters"));
        let vote = Input::Vote {
            voter,
            round: Round(round),
            phase,
            ballot,
        };
        let begun = Instant::now();
        black_box(self.machine.process(self.voters, VOTING, vote));
        self.slowest = self.slowest.max(begun.elapsed());
    }

    /// The votes of the honest, voters 1 to `honest` − 1, until the subject is decided.
    fn decide(&mut self, honest: usize) -> Duration {
        let begun = Instant::now();
        for phase in PHASES {
            for voter in 1..honest {
                if self.machine.decided().is_none() {
                    self.vote(voter, 0, phase, Some(self.choice));
                }
            }
        }
        let took = begun.elapsed();
        assert_eq!(
            self.machine.decided(),
            Some((Round(0), self.choice)),
            "{} voters do not decide",
            self.voters.len()
        );
        took
    }

    /// Two made-up votes of each voter from `honest` on, in every slot in which two are kept.
    fn lie(&mut self, honest: usize) -> Duration {
        let begun = Instant::now();
        let mut number = 0;
        for voter in honest..self.voters.len() {
            for round in [0, 1] {
                for phase in PHASES {
                    for _ in 0..2 {
                        number += 1;
                        self.vote(voter, round, phase, Some(made_up(number)));
                    }
                }
            }
        }
        begun.elapsed()
    }
}

/// What the digest of a subject costs on which everybody voted nil.
fn digest(voters: &VoterSet) -> Duration {
    let mut machine = Instance::new(Epoch(0), SubjectId([2; 32]), false);
    for (voter, _) in voters.iter() {
        for phase in PHASES {
            machine.process(
                voters,
                WATCHING,
                Input::Vote {
                    voter,
                    round: Round(0),
                    phase,
                    ballot: None,
                },
            );
        }
    }
    assert!(machine.in_conflict());
    let begun = Instant::now();
    for _ in 0..DIGESTS {
        black_box(machine.digest_entry(voters));
    }
    begun.elapsed() / DIGESTS
}

fn main() {
    let named: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|arg| arg.parse().ok())
        .collect();
    let event = testing::event("blueprint_tagged", "v1");
    println!("voters     honest  lies taken  then honest  slowest vote   digest");
    for count in if named.is_empty() {
        SIZES.to_vec()
    } else {
        named
    } {
        let voters = voters(count);
        let honest = Subject::observed(&voters, &event).decide(count);
        let truthful = count - (count - 1) / 3;
        let mut subject = Subject::observed(&voters, &event);
        let lies = subject.lie(truthful);
        let under = subject.decide(truthful);
        let (slowest, digest) = (subject.slowest, digest(&voters));
        println!(
            "{count:>6} {honest:>10.1?} {lies:>11.1?} {under:>12.1?} {slowest:>13.1?} {digest:>8.1?}"
        );
    }
}
