//! A subject that waits for people: who tells of it, and how they settle it.

use super::*;

#[test]
fn two_to_two_is_a_conflict_that_operators_resolve() {
    let mut net = Net::new(4, None);
    let (a, b) = (event("aaaaaaa"), event("bbbbbbb"));
    announce_two_to_two(&mut net, &a, &b);
    net.settle();
    net.fire_timers();
    net.settle();
    assert_eq!(net.decisions(), vec![None; 4]);
    assert!(net.nodes.iter().all(Instance::in_conflict));
    for node in 0..3 {
        assert!(net.nodes[node].may_choose(&net.voters, net.rules[node]));
        net.input(node, Input::Choose(b.choice()));
        net.settle();
    }
    assert_eq!(
        net.decisions(),
        vec![Some(b.choice()); 4],
        "a quorum of operators decides for all"
    );
    assert_eq!(net.nodes[3].decided().unwrap().0, Round(1));
}

/// Node 3 of a 2–2 conflict: which rounds it told of, and in which it is.
fn told_by_node_3(net: &Net) -> (Vec<Round>, Round) {
    let told = (net.seen.iter()).filter_map(|(node, output)| match output {
        Output::Conflict(round) if *node == 3 => Some(*round),
        _ => None,
    });
    (told.collect(), net.nodes[3].round())
}

#[test]
fn a_conflict_is_told_by_who_joins_the_others_in_an_operators_round() {
    let mut net = Net::new(4, None);
    let (a, b) = (event("aaaaaaa"), event("bbbbbbb"));
    announce_two_to_two(&mut net, &a, &b);
    // node 3 hears of nothing while round 0 fails
    let settle_without_3 = |net: &mut Net| {
        while !net.in_flight.is_empty() {
            let (to, input) = net.in_flight.remove(0);
            if to != 3 {
                net.input(to, input);
            }
        }
    };
    settle_without_3(&mut net);
    net.fire_timers();
    settle_without_3(&mut net);
    assert_eq!(told_by_node_3(&net), (vec![], Round(0)));
    for node in 0..2 {
        net.input(node, Input::Choose(b.choice()));
        net.settle();
    }
    assert_eq!(told_by_node_3(&net), (vec![Round(0)], Round(1)));
}

#[test]
fn a_conflict_is_told_by_whom_an_earlier_choice_carries_on() {
    let mut net = Net::new(4, None);
    let (a, b) = (event("aaaaaaa"), event("bbbbbbb"));
    announce_two_to_two(&mut net, &a, &b);
    net.input(3, Input::Choose(b.choice()));
    net.settle();
    net.fire_timers();
    net.settle();
    assert_eq!(told_by_node_3(&net), (vec![Round(0)], Round(1)));
}
