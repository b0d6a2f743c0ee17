//! How long nothing was decided here while members changed.

use std::time::{Duration, Instant};

use ssid_engine::NodeEvent;
use ssid_protocol::id::Epoch;

/// The latest change of members, as far as it was seen.
#[derive(Default)]
pub(super) struct Pause {
    /// The epoch whose beginning is decided, and since when.
    decided: Option<(Epoch, Instant)>,
    /// The epoch that was entered last, and how long nothing was decided before it.
    latest: Option<(Epoch, Duration)>,
}

impl Pause {
    /// Takes in what happened at a time.
    pub(super) fn time(&mut self, event: &NodeEvent, at: Instant) {
        match event {
            NodeEvent::EpochDecided { epoch, .. } => self.decided = Some((*epoch, at)),
            NodeEvent::EpochEntered { epoch, .. } => {
                let decided = self.decided.take().filter(|(decided, _)| decided == epoch);
                self.latest =
                    decided.map(|(epoch, since)| (epoch, at.saturating_duration_since(since)));
            }
            _ => {}
        }
    }

    /// How long nothing was decided before this epoch, if both ends of that were seen.
    pub(super) fn before(&self, epoch: Epoch) -> Option<Duration> {
        let (latest, paused) = self.latest?;
        (latest == epoch).then_some(paused)
    }
}

#[cfg(test)]
mod tests {
    use ssid_protocol::id::ManifestHash;

    use super::*;

    #[test]
    fn only_a_pause_of_which_both_ends_were_seen_has_a_length() {
        let manifest = ManifestHash([1; 32]);
        let decided = |epoch| NodeEvent::EpochDecided { epoch, manifest };
        let entered = |epoch| NodeEvent::EpochEntered { epoch, manifest };
        let (begun, second) = (Instant::now(), Duration::from_secs(1));
        let mut pause = Pause::default();
        pause.time(&entered(Epoch(1)), begun);
        assert_eq!(pause.before(Epoch(1)), None);
        pause.time(&decided(Epoch(2)), begun);
        assert_eq!(pause.before(Epoch(2)), None);
        pause.time(&entered(Epoch(2)), begun + second);
        assert_eq!(pause.before(Epoch(2)), Some(second));
        assert_eq!(pause.before(Epoch(1)), None);
        // another was entered than the one whose decision was seen
        pause.time(&decided(Epoch(3)), begun);
        pause.time(&entered(Epoch(5)), begun + second);
        assert_eq!(pause.before(Epoch(5)), None);
    }
}
