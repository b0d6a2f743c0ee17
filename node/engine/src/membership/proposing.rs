//! A manifest that this node's operator proposes (SPEC §4, *Proposing*).

use ssid_protocol::event::Event;
use ssid_protocol::handover::Handover;
use ssid_protocol::id::{Choice, SubjectId, UnixMillis};
use ssid_protocol::manifest::Manifest;
use ssid_protocol::timeliness::untimely;

use super::handovers;
use crate::engine::{Engine, Tick};
use crate::request::{Decider, OperatorRefusal, Proposed, RefusalKind};
use crate::settings::{PROPOSAL_AGE, PROPOSALS_OF_ONE};

impl Engine {
    /// Proposes a manifest with the hand-overs of keys that it replaces, and approves it.
    ///
    /// # Errors
    /// If it is not valid after the manifest in force, or this node may propose nothing now.
    pub(crate) fn propose(
        &mut self,
        tick: &mut Tick,
        manifest: Manifest,
        handovers: &[Handover],
        decider: &Decider,
    ) -> Result<Proposed, OperatorRefusal> {
        let refuse = |kind, reason: String| Err(OperatorRefusal::new(kind, reason));
        if self.rules.me.is_none() {
            let reason = "this node is no voter of the current epoch: only voters propose";
            return refuse(RefusalKind::NoVoter, reason.into());
        }
        if !self.is_signing() {
            let (_, reason) = self.can_sign();
            let reason = format!("this node signs nothing now: {reason}");
            return refuse(RefusalKind::NoVoter, reason);
        }
        if let Err(error) = self.membership.chain.check_next(&manifest) {
            return refuse(RefusalKind::UnknownCandidate, error.to_string());
        }
        let event = manifest.epoch_event();
        let subject = self.epochs.current().change();
        if let Some((_, certified)) = self.certified_choice(&subject) {
            let reason = format!(
                "event {} ends this epoch: that is final",
                certified.event_hash
            );
            return refuse(RefusalKind::Decided, reason);
        }
        if !is_timely_proposal(tick.now, &event) {
            let reason = format!(
                "created_at is {}: a proposal is at most {} days old, and no more than 5 minutes ahead",
                manifest.created_at,
                PROPOSAL_AGE.as_secs() / 86_400
            );
            return refuse(RefusalKind::NotEndorsable, reason);
        }
        let (hash, choice) = (manifest.hash(), event.choice());
        if self.make_room_for(tick, self.me, &hash).is_err() {
            let reason = format!("{PROPOSALS_OF_ONE} proposals of this node are voted on already");
            return refuse(RefusalKind::Voted, reason);
        }
        // held to what others hold it to
        let texts = handovers::texts(handovers);
        let handovers = handovers::proven(self.epochs.current().federation(), &manifest, &texts);
        let row = self.membership.proposals.add(hash, manifest, handovers);
        tick.changes.proposals.push((hash, Some(row)));
        tracing::info!(manifest = %hash, by = decider.by, reason = decider.reason, "a change of members is proposed");
        // announced as own events are, and approved before it is: the prevote goes out with it
        let is_announced = self.announced_as(&subject, choice);
        self.ensure_open(tick, subject);
        self.approve(tick, choice, false);
        if !is_announced {
            tick.own_events.push(event);
        }
        Ok(Proposed {
            manifest: hash,
            subject,
            choice,
        })
    }

    fn announced_as(&self, subject: &SubjectId, choice: Choice) -> bool {
        let open = self.open.get(subject);
        open.and_then(|open| open.announced.get(&choice))
            .is_some_and(|proof| proof.signer() == self.me)
    }
}

/// Whether a proposal is young enough to be approved: at most 5 minutes ahead of this node's clock,
/// and not older than [`PROPOSAL_AGE`].
pub(crate) fn is_timely_proposal(now: UnixMillis, event: &Event) -> bool {
    untimely(event, now, PROPOSAL_AGE).is_none()
}
