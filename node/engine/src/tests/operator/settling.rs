//! The time that an event has to settle before it is endorsed.

use super::*;

#[test]
fn an_event_settles_before_it_is_endorsed_unless_enough_others_prevoted() {
    let settle_by_event = BTreeMap::from([(TYPE.into(), Duration::from_secs(20))]);
    let settings = EngineSettings {
        settle_by_event,
        ..EngineSettings::default()
    };
    let mut net = Net::with(testing::manifest(4), settings);
    net.settle();
    let event = testing::event(TYPE, "v1");
    net.emit(0, std::slice::from_ref(&event));
    net.settle();
    net.pass(15);
    net.assert_all_certified(&[]);
    let view = net.view(1, &event);
    assert_eq!(
        (view.review.as_ref().unwrap().reason, view.awaiting_review),
        (ReviewReason::Settling, false)
    );
    assert_eq!(
        view.review.unwrap().until,
        Some(UnixMillis(view.since.0 + 20_000))
    );
    net.pass(6);
    net.assert_all_certified(std::slice::from_ref(&event));
    // prevotes of two of four exceed F: nothing to wait for
    let next = testing::event(TYPE, "v2");
    net.observe(&[&next, &next]);
    net.assert_all_certified(&[event, next]);
}

#[test]
fn without_settling_an_event_is_endorsed_at_once() {
    let mut net = Net::new(4);
    net.settle();
    let event = testing::event(TYPE, "v1");
    net.emit(0, std::slice::from_ref(&event));
    net.settle();
    net.assert_all_certified(&[event]);
}

#[test]
fn settled_events_that_do_not_agree_are_left_to_people_or_to_the_tie_break() {
    let settle_by_event = BTreeMap::from([(TYPE.into(), Duration::from_secs(20))]);
    let settings = EngineSettings {
        settle_by_event,
        ..EngineSettings::default()
    };
    let (a, b) = two();
    for (manifest, waits) in [
        (testing::manifest(4), true),
        (automatic(TieBreak::TimestampPriority), false),
    ] {
        let mut net = Net::with(manifest, settings.clone());
        net.settle();
        net.observe(&[&a, &b]);
        net.pass(25);
        if waits {
            let review = net.view(2, &a).review.unwrap();
            assert_eq!(review.reason, ReviewReason::Disagreeing, "{review:?}");
            assert_eq!(net.status(2).awaiting_review, 1);
            net.operate(2, NoteKind::Endorse, &a).unwrap();
            assert_eq!(net.prevote(2, &a, 0), Some(Some(a.clone())));
            net.operate(3, NoteKind::Endorse, &a).unwrap();
            net.settle();
            net.assert_all_certified(std::slice::from_ref(&a));
        } else {
            net.assert_all_certified(std::slice::from_ref(&b));
        }
    }
}
