//! What takes a plan: sent to all victims together, so that the honest harm each other or work
//! without end. Each is done in portions that a caller paces.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use ssid_protocol::batch::{SignedBatch, Statements};
use ssid_protocol::certificate::Certificate;
use ssid_protocol::event::Event;
use ssid_protocol::heartbeat::Heartbeat;
use ssid_protocol::id::{LogId, Sha256Hash};
use ssid_protocol::sync::{Answer, LOG_PAGE, Request};
use ssid_protocol::wire;

use super::codec::{After, frame};
use super::forgery::heartbeat;
use super::{Adversary, Member};
use crate::{Events, SOON, eventually};

/// Events in one announcement of [`Scheme::Open`].
const ANNOUNCED: usize = 500;

/// A plan against all victims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scheme {
    /// To each victim the same good event beside another bad one: whoever passes it on would be
    /// blamed for the bad one.
    Frame,
    /// Heartbeats, each newer than the last.
    Beats,
    /// Heartbeats that name ever new logs and hold what the victim holds.
    Cursors,
    /// A log of which each page is true and none the last.
    Endless,
    /// Events that nobody may endorse.
    Open,
}

impl Scheme {
    /// What has to be done once, before the first portion.
    ///
    /// # Panics
    /// If no victim shows a certificate, where one is needed.
    pub fn prepare(self, mallory: &Adversary) {
        if self == Self::Endless {
            let certificate = certificate(mallory);
            for victim in 0..mallory.victims().len() {
                answer_endlessly(mallory, victim, &certificate);
            }
        }
    }

    /// Does some of it; `portion` numbers the portions from 0.
    pub fn commit(self, mallory: &Adversary, portion: u64) {
        let member = mallory.member();
        match self {
            Self::Frame => {
                for (victim, data) in framing(member, mallory.victims().len(), portion)
                    .into_iter()
                    .enumerate()
                {
                    mallory.link(victim).gossip("events", data);
                }
            }
            Self::Beats => to_all(mallory, |victim| {
                let heartbeat = Heartbeat {
                    sequence: number(portion, victim),
                    ..heartbeat(member, 1)
                };
                (
                    "heartbeats",
                    member.signed(Statements::Heartbeat(Box::new(heartbeat))),
                )
            }),
            Self::Cursors => {
                let Some(template) = heard_heartbeat(mallory) else {
                    return;
                };
                to_all(mallory, |victim| {
                    let name = Sha256Hash::of(&[&portion.to_be_bytes(), &victim.to_be_bytes()]);
                    let (sequence, log_id, log_size) =
                        (number(portion, victim), LogId(name.0), 9_000_000);
                    let heartbeat = Heartbeat {
                        sequence,
                        log_id,
                        log_size,
                        addresses: Vec::new(),
                        ..template.clone()
                    };
                    (
                        "heartbeats",
                        member.signed(Statements::Heartbeat(Box::new(heartbeat))),
                    )
                });
            }
            // a heartbeat that is worth asking about
            Self::Endless => to_all(mallory, |victim| {
                let heartbeat = Heartbeat {
                    sequence: number(portion, victim),
                    ..heartbeat(member, portion + 1)
                };
                (
                    "heartbeats",
                    member.signed(Statements::Heartbeat(Box::new(heartbeat))),
                )
            }),
            Self::Open => {
                let series = Events::series("unendorsed");
                let from = portion as usize * ANNOUNCED;
                let old = |i| Event {
                    timestamp: "2019-01-01T00:00:00Z".into(),
                    ..series.event(i)
                };
                let data = member.signed(Statements::Events(
                    (from..from + ANNOUNCED).map(old).collect(),
                ));
                to_all(mallory, |_| ("events", data.clone()));
            }
        }
    }
}

fn to_all(mallory: &Adversary, message: impl Fn(usize) -> (&'static str, Vec<u8>)) {
    for victim in 0..mallory.victims().len() {
        let (topic, data) = message(victim);
        mallory.link(victim).gossip(topic, data);
    }
}

/// A heartbeat's number that is newer than all before, and no victim's is another's.
fn number(portion: u64, victim: usize) -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as u64;
    now + 4 * portion + victim as u64
}

/// One announcement for each victim: a good event, and a bad one of its own.
fn framing(member: &Member, victims: usize, portion: u64) -> Vec<Vec<u8>> {
    let good = Events::series("framed").event(portion as usize);
    let mixed = |victim: usize| {
        let bad = Event {
            version: format!("a|{victim}"),
            ..good.clone()
        };
        member.signed(Statements::Events(vec![bad, good.clone()]))
    };
    (0..victims).map(mixed).collect()
}

fn heard_heartbeat(mallory: &Adversary) -> Option<Heartbeat> {
    let heard = mallory.links().iter().flat_map(super::Link::heard);
    let batches = heard.filter_map(|data| wire::decode::<SignedBatch>(&data).ok());
    let mut beats = batches.filter_map(|batch| match batch.statements {
        Statements::Heartbeat(heartbeat) => Some(*heartbeat),
        _ => None,
    });
    beats.next_back()
}

/// A certificate out of the first victim's log.
fn certificate(mallory: &Adversary) -> Certificate {
    let link = mallory.link(0);
    link.stream(
        frame(&wire::encode(&Request::Log { from: 0, limit: 1 })),
        After::Read,
    );
    let mut found = None;
    eventually("a victim shows a certificate", SOON, || {
        found = link
            .answers()
            .iter()
            .find_map(|answer| match wire::decode(answer) {
                Ok(Answer::Log { entries, .. }) => entries.first().cloned(),
                _ => None,
            });
        found.as_ref().map(|_| ()).ok_or("none yet")
    });
    found.unwrap()
}

/// Whatever page of the log is asked for, it is full, and not the last.
fn answer_endlessly(mallory: &Adversary, victim: usize, certificate: &Certificate) {
    let (member, entries) = (
        mallory.member().clone(),
        vec![certificate.clone(); LOG_PAGE as usize / 8],
    );
    mallory.link(victim).answer_with(Box::new(move |request| {
        wire::encode(&match request {
            Request::Log { .. } => Answer::Log {
                log_id: LogId([9; 32]),
                size: 1 << 52,
                entries: entries.clone(),
            },
            Request::Status => {
                let heartbeat = Statements::Heartbeat(Box::new(heartbeat(&member, 1)));
                Answer::Status(Some(Box::new(member.sign(heartbeat))))
            }
            _ => Answer::Refused("nothing else".to_owned()),
        })
    }));
}
