//! Gossipsub peer scores: every parameter is set, because the defaults reward mere presence with
//! +1800 and let invalid messages cost nothing.
//!
//! What counts is invalid messages. A score falls with their square: one costs 1, nine cost 81,
//! which is past the threshold below which a peer's messages are no longer read and the owner
//! disconnects it. Nothing here asks for a minimum of deliveries: in a federation of two to four
//! members a mesh is thin and often silent.

use std::time::Duration;

use libp2p::gossipsub::{
    IdentTopic, PeerScoreParams, PeerScoreThresholds, TopicScoreParams, score_parameter_decay,
};

use crate::topics::Topics;
use crate::tuning::{DISCONNECT_SCORE, GOSSIP_HEARTBEAT};

/// A guest's own score: below 0, so that nobody has it in a mesh, whose messages would end with it;
/// below even what good conduct earns, and above the score at which it would be told nothing.
pub(crate) const GUEST_SCORE: f64 = -15.0;

/// The scores at which a peer gets less: gossip, own messages, and at last a hearing.
pub(crate) fn thresholds() -> PeerScoreThresholds {
    PeerScoreThresholds {
        gossip_threshold: -20.0,
        publish_threshold: -40.0,
        graylist_threshold: DISCONNECT_SCORE,
        // no peer exchange: members have their manifest
        accept_px_threshold: 0.0,
        opportunistic_graft_threshold: 0.5,
    }
}

/// The parameters of all topics together.
pub(crate) fn params(topics: &Topics) -> PeerScoreParams {
    PeerScoreParams {
        topics: topics
            .idents()
            .map(|topic: &IdentTopic| (topic.hash(), topic_params()))
            .collect(),
        // good conduct saves at most three invalid messages
        topic_score_cap: 10.0,
        // guests; see [`GUEST_SCORE`]
        app_specific_weight: 1.0,
        // members of one organisation, or of a test, share an address
        ip_colocation_factor_weight: 0.0,
        // broken promises and hasty grafts, past six of them
        behaviour_penalty_weight: -1.0,
        behaviour_penalty_threshold: 6.0,
        behaviour_penalty_decay: score_parameter_decay(Duration::from_mins(1)),
        decay_interval: GOSSIP_HEARTBEAT,
        decay_to_zero: 0.01,
        // shorter than the first block: who comes back after one is not blocked for the same again
        retain_score: Duration::from_secs(20),
        // a slow link is no misdeed
        slow_peer_weight: 0.0,
        ..PeerScoreParams::default()
    }
}

fn topic_params() -> TopicScoreParams {
    TopicScoreParams {
        topic_weight: 1.0,
        // at most 1 for an hour in the mesh
        time_in_mesh_weight: 0.01,
        time_in_mesh_quantum: Duration::from_secs(36),
        time_in_mesh_cap: 100.0,
        // at most 2 for being first with news
        first_message_deliveries_weight: 0.1,
        first_message_deliveries_decay: score_parameter_decay(Duration::from_mins(1)),
        first_message_deliveries_cap: 20.0,
        // off: see above
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: -1.0,
        invalid_message_deliveries_decay: score_parameter_decay(Duration::from_mins(2)),
        ..TopicScoreParams::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FEDERATION;

    #[test]
    fn the_parameters_are_valid_and_invalid_messages_outweigh_all_merits() {
        let params = params(&Topics::of(&FEDERATION));
        params.validate().unwrap();
        thresholds().validate().unwrap();
        for topic in params.topics.values() {
            let merits = topic.time_in_mesh_weight * topic.time_in_mesh_cap
                + topic.first_message_deliveries_weight * topic.first_message_deliveries_cap;
            assert!(merits <= params.topic_score_cap);
            let ten = topic.topic_weight * topic.invalid_message_deliveries_weight * 100.0;
            assert!(ten + params.topic_score_cap < DISCONNECT_SCORE);
        }
    }
}
