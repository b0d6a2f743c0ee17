//! Members that are silent for long.

use super::*;

/// Node 0 with node 3 silent for `days`, woken as often as `steps` says, then for as long as it
/// takes to look.
fn silent(days: u64, steps: u64) -> Net {
    let mut net = net();
    net.pass(20); // every heartbeat is in
    net.stop(3);
    net.settle();
    for _ in 0..steps {
        net.skip(days * DAY / steps);
        net.tick(0, Vec::new());
    }
    // what an hour of running adds is below a day
    for _ in 0..2 {
        net.skip(3601);
        net.tick(0, Vec::new());
    }
    net
}

#[test]
fn silence_costs_a_point_a_day_however_often_the_node_runs() {
    let none: [i32; 0] = [];
    assert_eq!(silent(30, 1).points(3, TrustReason::Inactive), none);
    let (daily, seldom) = (silent(35, 35), silent(35, 1));
    let points = |net: &Net| net.points(3, TrustReason::Inactive);
    assert_eq!(points(&daily), [-1; 5]);
    assert_eq!(points(&seldom), [-5], "in one row");
    assert_eq!(daily.trust(3), seldom.trust(3));
    let last = |net: &Net| net.ledger(3).last().unwrap().at;
    assert_eq!(
        last(&daily),
        last(&seldom),
        "dated by the silence, not by when it was noticed"
    );
    assert_eq!(points(&silent(100, 1)), [-70]);
    assert_eq!(silent(100, 1).trust(3), 0);
}

#[test]
fn silence_is_not_counted_twice_after_a_restart_nor_without_a_quorum_nor_for_who_is_there() {
    let mut net = silent(33, 1);
    assert_eq!(net.points(3, TrustReason::Inactive), [-3]);
    net.stop(0);
    net.start(0);
    for _ in 0..3 {
        net.skip(3601);
        net.tick(0, Vec::new());
    }
    assert_eq!(net.points(3, TrustReason::Inactive), [-3]);
    // node 0 alone for long cannot tell who is silent
    net.connect(&[]);
    net.skip(40 * DAY);
    for _ in 0..3 {
        net.skip(3601);
        net.tick(0, Vec::new());
    }
    assert_eq!(net.points(3, TrustReason::Inactive), [-3]);
    // connected again, and heard of: nothing is added for them
    net.connect(&[1, 2]);
    for _ in 0..2 {
        net.skip(3601);
        net.tick(0, Vec::new());
    }
    assert_eq!(
        (
            net.points(1, TrustReason::Inactive).len(),
            net.points(2, TrustReason::Inactive).len()
        ),
        (0, 0)
    );
    assert_eq!(
        net.points(3, TrustReason::Inactive),
        [-3, -40],
        "the days of both silences together"
    );
}

#[test]
fn a_member_never_heard_of_is_silent_since_this_node_knows_it() {
    let mut net = Net::new(4);
    net.messages.clear();
    net.connected.remove(&3);
    net.connect(&[1, 2]);
    net.skip(10 * DAY);
    net.tick(0, Vec::new());
    net.skip(3601);
    net.tick(0, Vec::new());
    assert_eq!(net.points(3, TrustReason::Inactive), [0; 0]);
    net.skip(25 * DAY);
    net.tick(0, Vec::new());
    net.skip(3601);
    net.tick(0, Vec::new());
    assert_eq!(net.points(3, TrustReason::Inactive).iter().sum::<i32>(), -5);
}
