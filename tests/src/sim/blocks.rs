//! What comes of verdicts, as `network` does it: whoever hands on what a node rejects, or answers
//! what does not hold, is shut out by that node for a while. An honest node must never do that to
//! an honest one, whatever liars make.

use std::collections::BTreeMap;

use super::world::{Step, World};

/// Points of one rejected message, of one false answer, and at which a member is shut out: those of
/// `network::tuning`.
const INVALID: u32 = 10;
const FALSE_ANSWER: u32 = 100;
const LIMIT: u32 = 95;
/// After this time half of the points are forgotten.
const HALF_LIFE_MS: u64 = 60_000;
/// The first block; each further one is twice as long, up to the last.
const FIRST_MS: u64 = 30_000;
const LAST_MS: u64 = 600_000;

/// What one machine holds against one member.
#[derive(Clone, Copy, Debug, Default)]
struct Record {
    points: u32,
    since: u64,
    blocks: u32,
    until: u64,
}

/// What one machine holds against the members, in this life of its node.
#[derive(Debug, Default)]
pub(super) struct Offences(BTreeMap<usize, Record>);

impl Offences {
    /// Whether the member is shut out now.
    pub(super) fn shuts_out(&self, member: usize, now: u64) -> bool {
        self.0.get(&member).is_some_and(|record| record.until > now)
    }

    /// Notes an offence; if it is one too many, until when the member is shut out.
    fn note(&mut self, member: usize, points: u32, now: u64) -> Option<u64> {
        let record = self.0.entry(member).or_default();
        let half_lives = (now - record.since) / HALF_LIFE_MS;
        record.points = record
            .points
            .checked_shr(half_lives.try_into().unwrap_or(u32::MAX))
            .unwrap_or(0)
            + points;
        record.since += half_lives * HALF_LIFE_MS;
        if record.points < LIMIT || record.until > now {
            return None;
        }
        record.until = now + (FIRST_MS << record.blocks.min(8)).min(LAST_MS);
        (record.points, record.since) = (0, now);
        record.blocks += 1;
        Some(record.until)
    }
}

impl World<'_> {
    /// Whether a machine has nothing to do with a member for now.
    pub(super) fn shuts_out(&self, at: usize, member: usize) -> bool {
        self.machines[at]
            .offences
            .shuts_out(member, self.clock.now())
    }

    /// A machine rejects a message that a member handed on.
    pub(super) fn rejected(
        &mut self,
        at: usize,
        member: usize,
        what: impl FnOnce() -> String,
    ) -> Result<(), String> {
        if self.machines[at].is_honest && self.scenario.is_honest(member) {
            return Err(format!(
                "machine {at} rejects what honest member {member} handed on: {}",
                what()
            ));
        }
        self.coverage.count("messages rejected");
        self.blame(at, member, INVALID);
        Ok(())
    }

    /// A machine got an answer that does not hold.
    pub(super) fn false_answer(&mut self, at: usize, member: usize) {
        self.coverage.count("answers refused");
        self.blame(at, member, FALSE_ANSWER);
    }

    fn blame(&mut self, at: usize, member: usize, points: u32) {
        if !self.scenario.blocks {
            return;
        }
        let now = self.clock.now();
        if let Some(until) = self.machines[at].offences.note(member, points, now) {
            self.coverage.count("members shut out");
            self.trace.line(now, || {
                format!("{at} shuts member {member} out until {until}")
            });
            self.clock.after(0, Step::Connections(at));
            self.clock.after(until - now, Step::Connections(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_goes_on_is_shut_out_for_longer() {
        let mut offences = Offences::default();
        let mut told = |now, points| offences.note(3, points, now);
        assert_eq!(told(0, FALSE_ANSWER), Some(FIRST_MS));
        assert_eq!(told(1_000, FALSE_ANSWER), None, "it is outside");
        assert_eq!(told(FIRST_MS, FALSE_ANSWER), Some(FIRST_MS + 2 * FIRST_MS));
        let later = 1_000_000;
        assert!((0..9).all(|n| told(later + n, INVALID).is_none()));
        assert_eq!(
            told(later + HALF_LIFE_MS, INVALID),
            None,
            "half is forgotten"
        );
        assert!(!offences.shuts_out(3, later) && !offences.shuts_out(4, 0));
    }
}
