//! What the simulation found, as small as it gets.

use std::collections::BTreeSet;

use ssid_protocol::batch::Statements;
use ssid_protocol::id::{Epoch, Round, SubjectId, UnixMillis};
use ssid_protocol::sync::Request;
use ssid_protocol::testing;
use ssid_protocol::vote::{Phase, Vote};

use super::{Net, deliver};
use crate::{CheckedAnswer, Inbound, Now};

/// Found by the simulation: what was due and could not be asked for kept the node ticking without a
/// pause.
#[test]
fn a_node_alone_does_not_wake_for_what_it_cannot_ask() {
    let mut net = Net::new(4);
    net.settle();
    let ballot = Some(testing::event("blueprint_tagged", "v4.4.0").choice());
    let vote = Vote {
        epoch: Epoch(0),
        subject: SubjectId([7; 32]),
        round: Round(0),
        phase: Phase::Prevote,
        ballot,
        observed: false,
    };
    deliver(&mut net, 0, 1, Statements::Votes(vec![vote]));
    let (now, engine) = (net.now, net.engine_mut(0));
    engine.tick(now, vec![Inbound::Connected(BTreeSet::new())]);
    let now = Now::from(UnixMillis(now.0 + 5_000));
    let effects = engine.tick(now, Vec::new());
    assert!(
        effects.wake_at.is_some_and(|at| at > now.steady),
        "{:?} at {now:?}",
        effects.wake_at
    );
}

/// Found by the simulation: a liar's votes, and then the events without a proof, made subjects that
/// counted to nobody.
#[test]
fn votes_of_liars_alone_do_not_make_an_unproven_event_known() {
    let mut net = Net::new(4);
    net.messages.clear();
    let event = testing::event("blueprint_tagged", "v4.4.0");
    let subject = net.subject(&event);
    let ballot = Some(event.choice());
    let vote = Vote {
        epoch: Epoch(0),
        subject,
        round: Round(0),
        phase: Phase::Prevote,
        ballot,
        observed: false,
    };
    for (signer, is_known) in [(1, false), (2, true)] {
        deliver(&mut net, 0, signer, Statements::Votes(vec![vote]));
        let request = Request::Events {
            digests: vec![event.content_digest()],
        };
        let answer = Some(CheckedAnswer::Events(vec![(event.clone(), None)]));
        net.tick(
            0,
            vec![Inbound::Answered {
                from: net.ids[1],
                request,
                answer,
            }],
        );
        let view = net.engine(0).instances(Some(subject), None, 1).pop();
        assert_eq!(view.is_some(), is_known, "after the vote of node {signer}");
    }
}
