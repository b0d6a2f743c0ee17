//! What a node's heartbeat says of an open instance (SPEC §10, `open_digest`): enough to see that
//! two nodes hold different votes or polkas, so that they ask each other (rule 9).

use super::Instance;
use crate::id::{Round, sha256};
use crate::quorum::VoterSet;
use crate::vote::Phase;

impl Instance {
    /// This instance's part of `open_digest`:
    /// `subject_id ‖ epoch u64 ‖ round u32 ‖ H(sorted round u32 ‖ phase u8 ‖ node_id of the votes held) ‖ (0x00 | 0x01 ‖ epoch u64 ‖ round u32 ‖ choice of valid)`.
    /// An equivocator's votes stand there one by one.
    pub fn digest_entry(&self, voters: &VoterSet) -> Vec<u8> {
        let mut entry = Vec::with_capacity(153);
        entry.extend_from_slice(&self.subject().0);
        entry.extend_from_slice(&self.epoch().0.to_be_bytes());
        entry.extend_from_slice(&self.round().0.to_be_bytes());
        entry.extend_from_slice(&sha256(&[&self.votes_held(voters).concat()]));
        match self.valid() {
            None => entry.push(0),
            Some(polka) => {
                entry.push(1);
                entry.extend_from_slice(&polka.at.epoch.0.to_be_bytes());
                entry.extend_from_slice(&polka.at.round.0.to_be_bytes());
                entry.extend_from_slice(&polka.choice.to_bytes());
            }
        }
        entry
    }

    fn votes_held(&self, voters: &VoterSet) -> Vec<[u8; 37]> {
        let name = |(round, phase, voter, _): (Round, Phase, _, _)| {
            let mut bytes = [0; 37];
            bytes[..4].copy_from_slice(&round.0.to_be_bytes());
            bytes[4] = phase.byte();
            bytes[5..].copy_from_slice(&voters.get(voter)?.key.id().0);
            Some(bytes)
        };
        let mut held: Vec<_> = self.votes().filter_map(name).collect();
        held.sort_unstable();
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Choice, Epoch, SubjectId};
    use crate::quorum::VoterIndex;
    use crate::testing::{event, federation};
    use crate::vote::RoundId;
    use crate::voting::{Candidate, Input, Polka, Rules, Signing};

    const SUBJECT: SubjectId = SubjectId([3; 32]);
    const WATCHING: Rules = Rules {
        me: None,
        signing: Signing::Never,
        automatic: None,
    };

    fn choice() -> Choice {
        event("blueprint_tagged", "v1").choice()
    }

    fn candidate() -> Input {
        let event = event("blueprint_tagged", "v1");
        let choice = event.choice();
        Input::Candidate(Candidate {
            choice,
            event,
            announced_by: None,
            prompt: false,
            own: false,
            endorsed: false,
        })
    }

    fn vote(voter: u16, round: u32, phase: Phase, ballot: Option<Choice>) -> Input {
        Input::Vote {
            voter: VoterIndex(voter),
            round: Round(round),
            phase,
            ballot,
        }
    }

    fn after(inputs: Vec<Input>) -> Vec<u8> {
        let (_, _, voters, _) = federation(4);
        let mut instance = Instance::new(Epoch(7), SUBJECT, false);
        for input in inputs {
            instance.process(&voters, WATCHING, input);
        }
        instance.digest_entry(&voters)
    }

    #[test]
    fn an_untouched_instance() {
        let expected = [
            &SUBJECT.0[..],
            &7_u64.to_be_bytes(),
            &[0; 4],
            &sha256(&[]),
            &[0],
        ]
        .concat();
        assert_eq!(after(vec![]), expected);
    }

    #[test]
    fn votes_stand_by_round_phase_and_node_whatever_their_order() {
        let (_, _, voters, _) = federation(4);
        let id = |i| voters.get(VoterIndex(i)).unwrap().key.id();
        let (pre, com) = (Phase::Prevote, Phase::Precommit);
        let mut inputs = vec![
            vote(3, 1, pre, None),
            vote(2, 0, com, None),
            vote(2, 0, pre, Some(choice())),
            vote(1, 0, pre, None),
            vote(1, 0, pre, Some(choice())),
        ];
        let held: Vec<u8> = [(0_u32, 1, 1), (0, 1, 1), (0, 1, 2), (0, 2, 2), (1, 1, 3)]
            .into_iter()
            .flat_map(|(round, phase, voter)| {
                [&round.to_be_bytes()[..], &[phase], &id(voter).0].concat()
            })
            .collect();
        let expected = [
            &SUBJECT.0[..],
            &7_u64.to_be_bytes(),
            &[0; 4],
            &sha256(&[&held]),
            &[0],
        ]
        .concat();
        assert_eq!(after(inputs.clone()), expected);
        inputs.reverse();
        assert_eq!(after(inputs), expected);
    }

    #[test]
    fn a_polka_stands_with_epoch_round_and_choice() {
        let mut inputs: Vec<_> = (0..3)
            .map(|i| vote(i, 0, Phase::Prevote, Some(choice())))
            .collect();
        inputs.insert(0, candidate());
        let entry = after(inputs);
        let valid = [
            &[1][..],
            &7_u64.to_be_bytes(),
            &0_u32.to_be_bytes(),
            &choice().to_bytes(),
        ]
        .concat();
        assert_eq!(entry[76..], valid);
        assert_eq!(entry.len(), 153);
        let at = RoundId {
            epoch: Epoch(6),
            round: Round(4),
        };
        let inherited = Polka {
            at,
            choice: choice(),
        };
        let (_, _, voters, _) = federation(4);
        let instance = Instance::inheriting(Epoch(7), SUBJECT, false, Some(inherited));
        let entry = instance.digest_entry(&voters);
        let valid = [
            &[1][..],
            &6_u64.to_be_bytes(),
            &4_u32.to_be_bytes(),
            &choice().to_bytes(),
        ]
        .concat();
        assert_eq!(entry[76..], valid);
    }
}
