//! The timers of the current round, and whether it has failed (SPEC §7 rule 5).

use super::Instance;
use crate::quorum::VoterSet;
use crate::voting::{Output, Rules, Step, Timer};

impl Instance {
    pub(super) fn start_timers(&mut self, voters: &VoterSet, rules: Rules, out: &mut Vec<Output>) {
        if rules.is_automatic(self.round) {
            self.schedule(Step::Propose, out); // started on entering; anew after a restart
        }
        if self.current().prevotes.has_quorum_of_anything(voters) {
            self.schedule(Step::Prevote, out);
        }
        if self.current().precommits.has_quorum_of_anything(voters) {
            self.schedule(Step::Precommit, out);
        }
    }

    /// Starts a timer of the current round, once.
    pub(in crate::voting) fn schedule(&mut self, step: Step, out: &mut Vec<Output>) {
        let round = self.round;
        if self.current_mut().scheduled.insert(step) {
            out.push(Output::Schedule(Timer { round, step }));
        }
    }

    /// Rule 5: whether the current round can certify nothing any more.
    pub(in crate::voting) fn has_failed(&self, voters: &VoterSet) -> bool {
        self.has_elapsed(Step::Precommit) || self.current().precommits.is_hopeless(voters)
    }

    /// Whether the current round's timer of this step has run out.
    pub(in crate::voting) fn has_elapsed(&self, step: Step) -> bool {
        self.current().elapsed.contains(&step)
    }
}
