//! Conversations that end well or break off.

use super::*;

impl Net {
    /// As if a peer's answer to node 0's question did not come, or did not verify.
    pub(super) fn break_off(&mut self, peer: usize, request: Request) {
        self.tick(
            0,
            vec![Inbound::Answered {
                from: self.ids[peer],
                request,
                answer: None,
            }],
        );
    }
}

#[test]
fn a_sync_that_ends_well_counts_once_in_an_interval() {
    let mut net = net();
    assert_eq!(net.rows(1), [(TrustReason::SyncSucceeded, 1)]);
    net.stop(1);
    net.start(1);
    net.settle();
    assert_eq!(net.rows(1).len(), 1, "the same interval");
    net.skip(3600);
    net.pass(1);
    assert_eq!(
        net.points(1, TrustReason::SyncSucceeded),
        [1, 1],
        "asked again by itself"
    );
}

#[test]
fn a_sync_that_breaks_off_counts_a_minute_later_if_a_quorum_is_still_there() {
    let mut net = net();
    net.break_off(
        1,
        Request::Events {
            digests: Vec::new(),
        },
    );
    net.tick(0, Vec::new());
    assert_eq!(
        net.points(1, TrustReason::SyncFailed),
        [0; 0],
        "it may be this node that is cut off"
    );
    net.skip(61);
    net.tick(0, Vec::new());
    assert_eq!(net.points(1, TrustReason::SyncFailed), [-3]);
    net.break_off(
        1,
        Request::Events {
            digests: Vec::new(),
        },
    );
    net.skip(61);
    net.tick(0, Vec::new());
    assert_eq!(
        net.points(1, TrustReason::SyncFailed),
        [-3],
        "once in an interval"
    );
}

#[test]
fn who_is_cut_off_blames_nobody() {
    let mut net = net();
    net.skip(3600);
    net.tick(0, Vec::new());
    net.messages.clear();
    // conversations with all three are under way when the own network goes
    net.connect(&[]);
    net.skip(61);
    net.tick(0, Vec::new());
    let failed = |net: &Net| {
        (1..4)
            .map(|peer| net.points(peer, TrustReason::SyncFailed).len())
            .sum::<usize>()
    };
    assert_eq!(failed(&net), 0);
    // the same, but two of three stay
    net.connect(&[1, 2, 3]);
    net.messages.clear();
    net.connect(&[1, 2]);
    net.skip(61);
    net.tick(0, Vec::new());
    assert_eq!(
        (failed(&net), net.points(3, TrustReason::SyncFailed).len()),
        (1, 1)
    );
}

#[test]
fn a_refusal_and_what_could_not_be_asked_are_no_failure() {
    let mut net = net();
    net.skip(3600);
    net.tick(0, Vec::new());
    net.messages.clear();
    let answer = Some(CheckedAnswer::Refused("busy".into()));
    net.tick(
        0,
        vec![Inbound::Answered {
            from: net.ids[1],
            request: Request::Status,
            answer,
        }],
    );
    net.skip(61);
    net.tick(0, Vec::new());
    assert_eq!(net.points(1, TrustReason::SyncFailed), [0; 0]);
}
