//! What a low score changes: who is shown, alerted on, endorsed and asked.

use super::*;
use crate::settings::HEARTBEAT_AT_LEAST;

impl Net {
    /// Takes a member below 25.
    fn distrust(&mut self, member: usize) {
        self.adjust(member, false, 2);
        assert!(self.trust(member) < 25);
    }
}

#[test]
fn below_fifty_a_member_is_flagged_and_below_twenty_five_alerted_on() {
    let mut net = net();
    let flagged = |net: &Net| net.status(0).flagged;
    let alerts = |net: &Net| {
        let low = |event: &NodeEvent| matches!(event, NodeEvent::LowTrust { member, .. } if *member == net.ids[2]);
        net.events.iter().filter(|(_, event)| low(event)).count()
    };
    assert!(flagged(&net).is_empty());
    net.adjust(2, false, 1); // 31
    assert_eq!((flagged(&net), alerts(&net)), (vec![net.ids[2]], 0));
    net.adjust(2, false, 1); // 11
    assert_eq!(alerts(&net), 1);
    net.adjust(2, false, 1); // 0
    assert_eq!(alerts(&net), 1, "once, on the way down");
}

#[test]
fn the_alert_follows_the_configured_threshold() {
    let settings = EngineSettings {
        trust_alert_below: 40,
        ..EngineSettings::default()
    };
    let mut net = Net::with(testing::manifest(4), settings);
    net.settle();
    net.adjust(2, false, 1); // 31: no alert by default
    assert!(
        net.events
            .iter()
            .any(|(_, event)| matches!(event, NodeEvent::LowTrust { score: 31, .. }))
    );
}

#[test]
fn who_is_not_trusted_is_not_endorsed() {
    let prevotes = |distrusted: bool| {
        let mut net = net();
        if distrusted {
            net.distrust(3);
        }
        let event = testing::event("blueprint_tagged", "v4.4.0");
        deliver(
            &mut net,
            0,
            3,
            ssid_protocol::batch::Statements::Events(vec![event]),
        );
        let open = net.first_open(0).1;
        open.held.len()
    };
    assert_eq!((prevotes(false), prevotes(true)), (1, 0));
}

#[test]
fn the_most_trusted_are_asked_first_and_the_untrusted_last() {
    let mut net = net();
    net.adjust(2, true, 2);
    net.distrust(1);
    net.asked.clear();
    net.connect(&[]);
    net.connect(&[1, 2, 3]);
    let order = |net: &Net| {
        let status = |(by, to, request): &(usize, NodeId, Request)| {
            (*by == 0 && *request == Request::Status).then_some(*to)
        };
        net.asked.iter().filter_map(status).collect::<Vec<_>>()
    };
    assert_eq!(order(&net), [net.ids[2], net.ids[3], net.ids[1]]);
    net.messages.clear();
    // what does not go on is asked about at all others before the untrusted one
    let event = testing::event("blueprint_tagged", "v4.4.0");
    net.emit(0, std::slice::from_ref(&event));
    net.messages.clear();
    net.asked.clear();
    for _ in 0..30 {
        net.skip(1);
        net.tick(0, Vec::new());
        net.messages.clear();
    }
    let is_open = |request: &Request| matches!(request, Request::Open { subjects, .. } if subjects.len() == 1);
    let open: Vec<_> = net
        .asked
        .iter()
        .filter(|(by, _, request)| *by == 0 && is_open(request))
        .map(|(_, to, _)| *to)
        .collect();
    assert!(open.len() >= 3, "{open:?}");
    assert!(
        !open[..2].contains(&net.ids[1]) && open[2] == net.ids[1],
        "{open:?}"
    );
}

#[test]
fn a_heartbeat_of_the_untrusted_starts_no_conversation_while_another_is_under_way() {
    use ssid_protocol::batch::Statements;
    use ssid_protocol::heartbeat::Heartbeat;
    let asked = |distrusted: bool| {
        let mut net = net();
        if distrusted {
            net.distrust(1);
        }
        let beat = |signer: u8| {
            let sequence = START.0 + 1_000_000;
            let log_id = LogId([signer + 50; 32]);
            let epoch = ssid_protocol::id::Epoch(0);
            Statements::Heartbeat(Box::new(Heartbeat {
                epoch,
                sequence,
                log_id,
                ..testing::heartbeat(9)
            }))
        };
        net.asked.clear();
        net.now = net.now.after(HEARTBEAT_AT_LEAST);
        deliver(&mut net, 0, 2, beat(2));
        deliver(&mut net, 0, 1, beat(1));
        net.asked
            .iter()
            .map(|(_, to, _)| *to)
            .filter(|to| *to == net.ids[1])
            .count()
    };
    assert_eq!((asked(false), asked(true)), (1, 0));
}
