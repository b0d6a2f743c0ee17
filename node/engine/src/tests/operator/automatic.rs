//! Automatic rounds, in which nobody acts.

use super::*;

#[test]
fn automatic_rounds_decide_by_time_with_nobody_acting() {
    let mut net = Net::with(
        automatic(TieBreak::TimestampPriority),
        EngineSettings::default(),
    );
    net.settle();
    let (a, b) = two();
    net.observe(&[&a, &a, &b, &b]);
    net.pass(30);
    net.assert_all_certified(std::slice::from_ref(&b));
    for node in 0..4 {
        assert_eq!(
            net.record(node, 0).resolution.to_string(),
            "tie_break:timestamp_priority",
            "node {node}"
        );
        assert_eq!(net.status(node).conflicts, 0);
    }
}

#[test]
fn automatic_rounds_decide_for_the_coordinators_choice() {
    let mut net = Net::with(
        automatic(TieBreak::CoordinatorPriority),
        EngineSettings::default(),
    );
    net.settle();
    let (a, b) = two();
    net.observe(&[&a, &a, &b, &b]); // node 0 is the coordinator, b is earlier
    net.pass(30);
    net.assert_all_certified(std::slice::from_ref(&a));
    assert_eq!(
        net.record(2, 0).resolution.to_string(),
        "tie_break:coordinator_priority"
    );
}

#[test]
fn automatic_rounds_decide_by_weight() {
    let mut manifest = Manifest {
        members: testing::manifest(7).members,
        ..automatic(TieBreak::TrustWeighted)
    };
    manifest.threshold_bp = 6600;
    let mut net = Net::with(manifest, EngineSettings::default());
    net.settle();
    let (a, b) = two();
    net.observe(&[&a, &a, &a, &a, &b, &b, &b]); // 4 to 3 of 7, 5 decide; b is earlier
    net.pass(30);
    net.assert_all_certified(std::slice::from_ref(&a));
    assert_eq!(
        net.record(5, 0).resolution.to_string(),
        "tie_break:trust_weighted"
    );
}
