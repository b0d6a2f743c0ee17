//! The policy `commit`: what is asked, and what an answer changes.

use super::*;
use crate::{CommitQuestion, CommitStanding};

impl Net {
    /// Answers everything that a node asks about commits; how many questions there were.
    fn answer_commits(&mut self, node: usize, standing: &CommitStanding) -> usize {
        let questions = self.engine(node).commit_questions(None);
        let (count, last) = (questions.len(), questions.last().cloned());
        assert!(self.engine(node).commit_questions(last.as_ref()).is_empty());
        let answers = questions
            .into_iter()
            .map(|question| (question, standing.clone()))
            .collect();
        self.tick(node, vec![Inbound::Commits(answers)]);
        self.settle();
        count
    }

    fn explanation(&self, node: usize, event: &Event) -> String {
        let view = self.view(node, event);
        assert!(view.awaiting_review, "{view:?}");
        let review = view.review.unwrap();
        assert_eq!(review.reason, ReviewReason::Commit);
        assert!(
            review.until.is_some_and(|until| until > view.since),
            "review_timeout applies"
        );
        review.explanation
    }
}

#[test]
fn an_event_is_endorsed_once_its_commit_is_in_the_repository_of_whoever_announced_it() {
    let mut net = Net::with(testing::manifest(4), with_policy(Endorsement::Commit));
    net.settle();
    let (event, _) = two();
    let trusted = testing::event("audit", "v1");
    net.emit(0, &[event.clone(), trusted.clone()]);
    net.settle();
    // another policy asks for nothing, and whoever announced it votes for its own
    net.assert_all_certified(std::slice::from_ref(&trusted));
    let question = CommitQuestion {
        node: net.ids[0],
        commit: event.commit_hash.clone(),
    };
    assert_eq!(net.engine(1).commit_questions(None), [question]);
    assert!(net.engine(0).commit_questions(None).is_empty());
    let asked = net.status(1).commits_asked;
    assert!(
        net.explanation(1, &event)
            .contains("which was not looked at yet")
    );

    let missing = CommitStanding::Missing {
        fetched_at: UnixMillis(1_700_000_000_000),
    };
    assert_eq!(net.answer_commits(1, &missing), 1);
    let words = format!(
        "{}'s repository, as last fetched at 2023-11-14T22:13:20Z",
        net.engine(1).name_of(&net.ids[0])
    );
    assert!(
        net.explanation(1, &event).contains(&words),
        "{}",
        net.explanation(1, &event)
    );
    let unseen = CommitStanding::Unseen {
        reason: "it has no Git remote".to_owned(),
    };
    assert_eq!(
        net.answer_commits(1, &unseen),
        1,
        "what is missing stays a question"
    );
    assert!(
        net.explanation(1, &event)
            .contains(": it has no Git remote")
    );
    assert_eq!(net.status(1).commits_asked, asked, "and no new one");
    net.assert_all_certified(std::slice::from_ref(&trusted));

    // found by two: three of four prevote it
    for node in [1, 2] {
        assert_eq!(net.answer_commits(node, &CommitStanding::Exists), 1);
    }
    net.assert_all_certified(&[trusted, event]);
    for node in 0..4 {
        assert!(
            net.engine(node).commit_questions(None).is_empty(),
            "nothing is asked about what is decided"
        );
    }
}

#[test]
fn a_commit_is_asked_for_again_after_a_restart_and_an_answer_to_no_question_changes_nothing() {
    let mut net = Net::with(testing::manifest(4), with_policy(Endorsement::Commit));
    net.settle();
    let (event, other) = two();
    let stray = CommitQuestion {
        node: net.ids[0],
        commit: event.commit_hash.clone(),
    };
    net.tick(
        1,
        vec![Inbound::Commits(vec![(stray, CommitStanding::Exists)])],
    );
    net.emit(0, std::slice::from_ref(&event));
    net.settle();
    assert!(net.explanation(1, &event).contains("not looked at yet"));
    net.pass(5);
    net.restart(1);
    assert_eq!(net.engine(1).commit_questions(None).len(), 1);
    // a second event, whose commit is there: that of the first is not needed for it
    net.emit(2, std::slice::from_ref(&other));
    net.settle();
    let questions = net.engine(1).commit_questions(None);
    assert_eq!(questions.len(), 2);
    let found = questions
        .into_iter()
        .find(|question| question.commit == other.commit_hash)
        .unwrap();
    net.tick(
        1,
        vec![Inbound::Commits(vec![(found, CommitStanding::Exists)])],
    );
    net.settle();
    assert_eq!(net.prevote(1, &other, 0), Some(Some(other.clone())));
}

#[test]
fn nobody_waits_for_a_commit_for_ever() {
    let settings = EngineSettings {
        review_timeout: Duration::from_secs(20),
        ..with_policy(Endorsement::Commit)
    };
    let mut net = Net::with(testing::manifest(4), settings);
    net.settle();
    let (event, _) = two();
    net.emit(0, std::slice::from_ref(&event));
    net.settle();
    net.pass(30);
    assert_eq!(net.prevote(1, &event, 0), Some(None), "a nil prevote");
    assert!(net.engine(1).commit_questions(None).is_empty());
}
