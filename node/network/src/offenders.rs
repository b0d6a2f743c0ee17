//! Peers that misbehave: what they did, weighted and halved every minute, and how long they stay
//! outside (SPEC §12). Only members can connect, so that their number bounds this memory.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use libp2p::PeerId;
use ssid_protocol::backoff::Backoff;

use crate::tuning::{BLOCK_FIRST, BLOCK_FORGET, BLOCK_LAST, OFFENCE_HALF_LIFE};

#[derive(Debug)]
struct Record {
    points: f64,
    at: Instant,
    blocks: u32,
    blocked_until: Option<Instant>,
}

/// The record of all peers.
#[derive(Debug)]
pub(crate) struct Offenders {
    limit: f64,
    of: HashMap<PeerId, Record>,
}

impl Offenders {
    /// Past `limit` points a peer is blocked.
    pub(crate) fn new(limit: f64) -> Self {
        Self {
            limit,
            of: HashMap::new(),
        }
    }

    /// Notes an offence; if it is one too many, for how long the peer is to be blocked.
    pub(crate) fn note(&mut self, peer: PeerId, weight: f64, now: Instant) -> Option<Duration> {
        let record = self.record(peer, now);
        let half_lives = now.saturating_duration_since(record.at).as_secs_f64()
            / OFFENCE_HALF_LIFE.as_secs_f64();
        record.points = record.points * 0.5_f64.powf(half_lives) + weight;
        record.at = now;
        let past = record.points >= self.limit;
        if past { self.block(peer, now) } else { None }
    }

    /// Blocks a peer at once; `None` if it is blocked already.
    pub(crate) fn block(&mut self, peer: PeerId, now: Instant) -> Option<Duration> {
        let record = self.record(peer, now);
        if record.blocked_until.is_some() {
            return None;
        }
        let time = Backoff::new(BLOCK_FIRST, BLOCK_LAST).pause(record.blocks);
        record.blocks = (record.blocks + 1).min(16);
        record.blocked_until = Some(now + time);
        record.points = 0.0;
        record.at = now;
        Some(time)
    }

    /// Ends the blocks whose time is over and names their peers.
    pub(crate) fn release(&mut self, now: Instant) -> Vec<PeerId> {
        let mut free = Vec::new();
        for (peer, record) in &mut self.of {
            if record.blocked_until.is_some_and(|until| until <= now) {
                record.blocked_until = None;
                free.push(*peer);
            }
        }
        free
    }

    /// Whether the peer is blocked.
    pub(crate) fn is_blocked(&self, peer: &PeerId) -> bool {
        self.of
            .get(peer)
            .is_some_and(|record| record.blocked_until.is_some())
    }

    /// Forgets those who are no longer members; names those of them that were blocked.
    pub(crate) fn retain(&mut self, keep: impl Fn(&PeerId) -> bool) -> Vec<PeerId> {
        let gone = |(peer, record): (&PeerId, &Record)| {
            (!keep(peer) && record.blocked_until.is_some()).then_some(*peer)
        };
        let released = self.of.iter().filter_map(gone).collect();
        self.of.retain(|peer, _| keep(peer));
        released
    }

    fn record(&mut self, peer: PeerId, now: Instant) -> &mut Record {
        let record = self.of.entry(peer).or_insert(Record {
            points: 0.0,
            at: now,
            blocks: 0,
            blocked_until: None,
        });
        if now.saturating_duration_since(record.at) > BLOCK_FORGET {
            record.blocks = 0;
        }
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenth_offence_blocks_and_each_block_is_longer() {
        let start = Instant::now();
        let peer = PeerId::random();
        let mut offenders = Offenders::new(100.0);
        assert!((0..9).all(|_| offenders.note(peer, 10.0, start).is_none()));
        assert_eq!(offenders.note(peer, 10.0, start), Some(BLOCK_FIRST));
        assert!(offenders.is_blocked(&peer));
        assert_eq!(offenders.block(peer, start), None);
        assert!(offenders.release(start + BLOCK_FIRST / 2).is_empty());
        assert_eq!(offenders.release(start + BLOCK_FIRST), [peer]);
        assert_eq!(
            offenders.block(peer, start + BLOCK_FIRST),
            Some(2 * BLOCK_FIRST)
        );
    }

    #[test]
    fn offences_fade_and_old_blocks_are_forgotten() {
        let start = Instant::now();
        let peer = PeerId::random();
        let mut offenders = Offenders::new(100.0);
        for minute in 0..60 {
            assert_eq!(
                offenders.note(peer, 40.0, start + minute * OFFENCE_HALF_LIFE),
                None
            );
        }
        let mut now = start + 60 * OFFENCE_HALF_LIFE;
        for _ in 0..40 {
            assert!(
                offenders
                    .block(peer, now)
                    .is_some_and(|time| time <= BLOCK_LAST)
            );
            now += BLOCK_LAST;
            offenders.release(now);
        }
        now += BLOCK_FORGET + Duration::from_secs(1);
        assert_eq!(offenders.block(peer, now), Some(BLOCK_FIRST));
    }
}
