//! Keys that take the places of others: what this node thinks of the former one holds for the key
//! that follows (SPEC §9).

use std::time::Duration;

use ssid_protocol::epoch::EpochContext;
use ssid_protocol::id::{NodeId, UnixMillis};
use ssid_protocol::manifest::Succession;
use ssid_protocol::trust::{DAY, TrustChange, TrustReason};

use super::engine::{Engine, Tick};
use super::trust_book::TrustBook;

/// How long after a key was replaced evidence against it counts against the key that follows: what
/// comes later could have been made by whoever found the old key.
const ANSWERS_FOR_FORMER: Duration = DAY.saturating_mul(7);

impl TrustBook {
    /// The row by which the score of a key passes on to the one that follows it.
    fn succession(&self, succession: &Succession, now: UnixMillis) -> TrustChange {
        let Succession { member, former } = *succession;
        let score = self.score(&former);
        TrustChange {
            member,
            reason: TrustReason::Succession,
            points: score.saturating_sub(self.score(&member)),
            at: now,
            origin: Some(former),
            reference: format!("the score of {former}, {score}"),
            note: None,
        }
    }

    /// The keys that a member's took the places of, one after the other.
    pub(super) fn former_keys(&self, member: NodeId) -> Vec<NodeId> {
        let mut all = vec![member];
        // a key that was replaced never returns, so this ends; a ledger that says otherwise does not
        // keep it from ending
        while let Some(former) = all
            .last()
            .and_then(|key| self.former(key))
            .filter(|key| !all.contains(key))
        {
            all.push(former);
        }
        all.split_off(1)
    }

    fn former(&self, member: &NodeId) -> Option<NodeId> {
        let mut rows = self.latest(*member, TrustReason::Succession);
        rows.find_map(|(origin, _)| origin)
    }

    /// The key that took the place of one not more than [`ANSWERS_FOR_FORMER`] ago.
    fn answers_for(&self, former: NodeId, now: UnixMillis) -> Option<NodeId> {
        let members = self.members();
        let mut members = members.filter(|member| {
            let mut rows = self.latest(*member, TrustReason::Succession);
            rows.any(|(origin, at)| origin == Some(former) && now.since(at) < ANSWERS_FOR_FORMER)
        });
        members.next()
    }
}

impl Engine {
    /// An epoch is entered in which keys are replaced: scores pass on. So they do with the epochs
    /// between the one that this node was in and that one.
    pub(super) fn pass_on_trust(&mut self, tick: &mut Tick, next: &EpochContext) {
        let mut number = self.epochs.current().number().next();
        let mut successions = Vec::new();
        while number <= next.number() {
            let context = self.epochs.get(number);
            let change = context.and_then(|context| context.manifest().change.as_ref());
            successions.extend(
                change
                    .into_iter()
                    .flat_map(|change| change.succeeds.clone()),
            );
            number = number.next();
        }
        for succession in successions {
            let row = self.trust.succession(&succession, tick.now);
            self.record_trust(tick, row);
        }
    }

    /// A key is convicted. Whoever took its place a short while ago answers for it.
    pub(super) fn charge_successor(&mut self, tick: &mut Tick, former: NodeId, reference: &str) {
        if let Some(member) = self.trust.answers_for(former, tick.now) {
            let row = self.trust.equivocation(member, reference, tick.now);
            self.record_trust(tick, row);
        }
    }
}

#[cfg(test)]
mod tests {
    use ssid_protocol::trust::TrustRules;

    use super::*;

    const FIRST: NodeId = NodeId([1; 32]);
    const SECOND: NodeId = NodeId([2; 32]);
    const THIRD: NodeId = NodeId([3; 32]);

    fn book(rows: impl IntoIterator<Item = TrustChange>) -> TrustBook {
        let mut book = TrustBook::new(TrustRules::default());
        for row in rows {
            book.apply(&row);
        }
        book
    }

    fn follows(book: &TrustBook, member: NodeId, former: NodeId, at: UnixMillis) -> TrustChange {
        book.succession(&Succession { member, former }, at)
    }

    #[test]
    fn evidence_against_a_former_key_counts_for_seven_days() {
        let began = UnixMillis(1_000);
        let row = follows(&book([]), SECOND, FIRST, began);
        assert_eq!(row.points, 0);
        let book = book([row]);
        let last = began.after(ANSWERS_FOR_FORMER.saturating_sub(Duration::from_millis(1)));
        assert_eq!(book.answers_for(FIRST, last), Some(SECOND));
        assert_eq!(
            book.answers_for(FIRST, began.after(ANSWERS_FOR_FORMER)),
            None
        );
        assert_eq!(book.answers_for(SECOND, last), None);
    }

    #[test]
    fn a_convicted_key_leaves_nothing_to_earn_to_those_that_follow() {
        let now = UnixMillis(1_000);
        let mut book = book([]);
        let row = book.equivocation(FIRST, "evidence", now);
        book.apply(&row.into_iter().next().unwrap_or_else(|| unreachable!()));
        for (member, former) in [(SECOND, FIRST), (THIRD, SECOND)] {
            let row = follows(&book, member, former, now);
            book.apply(&row);
            assert_eq!(book.score(&member), 0);
            let origin = Some(NodeId([9; 32]));
            assert_eq!(book.observation(member, true, origin, "", now), None);
        }
        assert_eq!(book.former_keys(THIRD), [SECOND, FIRST]);
        // an offence of its own is one more
        assert!(book.equivocation(THIRD, "evidence", now).is_some());
    }
}
