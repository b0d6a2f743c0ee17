#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

const SECOND: u64 = 1000;

fn message(n: u64) -> Message {
    Message::new(
        Topic::SyncFailed,
        Severity::Warning,
        format!("cause {n}"),
        &format!("sync {n} failed"),
        UnixMillis(0),
    )
}

fn later(after: Option<u64>) -> Attempt {
    Attempt::Later {
        after: after.map(Duration::from_secs),
        why: "busy".into(),
    }
}

/// A queue whose rows are numbered as they are written.
#[derive(Default)]
struct Kept {
    queue: Queue,
    next: u64,
}

impl Kept {
    fn write(&mut self, change: Change) {
        let ids = (self.next..).take(change.put.len()).collect();
        self.next += change.put.len() as u64;
        self.queue.apply(change, ids);
    }

    fn tell(&mut self, messages: &[Message], now: u64) {
        let change = self.queue.admit(Channel::Slack, messages, UnixMillis(now));
        self.write(change);
    }

    fn due(&mut self, now: u64) -> Option<Job> {
        self.queue.due(UnixMillis(now), &BTreeSet::new()).pop()
    }

    fn settle(&mut self, job: &Job, attempt: &Attempt, now: u64) {
        let change = self.queue.settle(job, attempt, UnixMillis(now), 0.0);
        self.write(change);
    }

    fn next_at(&self, now: u64) -> Option<u64> {
        self.queue
            .next_at(UnixMillis(now), &BTreeSet::new())
            .map(|at| at.0)
    }
}

#[test]
fn a_message_goes_out_once() {
    let mut kept = Kept::default();
    kept.tell(&[message(1), message(1)], 0);
    kept.tell(&[message(1)], 1);
    let job = kept.due(1).unwrap();
    assert_eq!((job.rows.len(), job.message.cause.as_str()), (1, "cause 1"));
    assert!(
        kept.queue
            .due(UnixMillis(1), &BTreeSet::from([Channel::Slack]))
            .is_empty(),
        "on its way"
    );
    kept.settle(&job, &Attempt::Delivered, 2);
    assert_eq!((kept.due(2), kept.next_at(2)), (None, None));
}

#[test]
fn a_storm_of_a_thousand_is_a_handful() {
    let mut kept = Kept::default();
    let mut sent = Vec::new();
    // ten a second, delivered at once
    for n in 0..1000 {
        let now = n * 100;
        kept.tell(&[message(n)], now);
        while let Some(job) = kept.due(now) {
            kept.settle(&job, &Attempt::Delivered, now);
            sent.push(job.message);
        }
        assert!(kept.queue.rows().count() <= WAITING);
    }
    let end = 1000 * 100 + 60 * SECOND;
    let last = kept.due(end).unwrap();
    kept.settle(&last, &Attempt::Delivered, end);
    sent.push(last.message);
    assert!(sent.len() <= 8, "{}", sent.len());
    assert_eq!(
        sent.iter().map(|message| message.count).sum::<u64>(),
        1000,
        "none is lost"
    );
    assert_eq!(kept.queue.rows().count(), 0);
}

#[test]
fn a_burst_is_one_digest_with_the_urgent_first() {
    let mut kept = Kept::default();
    let mut burst: Vec<_> = (0..999).map(message).collect();
    burst.push(Message::new(
        Topic::Equivocation,
        Severity::Critical,
        "e",
        "Berlin lied",
        UnixMillis(0),
    ));
    kept.tell(&burst, 0);
    let job = kept.due(0).unwrap();
    assert_eq!(
        (job.message.count, job.message.severity),
        (1000, Severity::Critical)
    );
    assert!(
        job.message.lines[0].contains("Berlin lied") && job.message.lines.len() == DIGEST_LINES
    );
    let facts =
        [("equivocation", "1"), ("sync_failed", "999")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(job.message.facts, facts);
    kept.settle(&job, &later(None), 0);
    kept.tell(
        &burst[..500]
            .iter()
            .map(|m| Message {
                cause: format!("b{}", m.cause),
                ..m.clone()
            })
            .collect::<Vec<_>>(),
        1,
    );
    assert_eq!(kept.queue.rows().count(), 2, "what was sent stays as it is");
    kept.tell(
        &burst[500..600]
            .iter()
            .map(|m| Message {
                cause: format!("c{}", m.cause),
                ..m.clone()
            })
            .collect::<Vec<_>>(),
        2,
    );
    assert_eq!(
        kept.queue.rows().count(),
        2,
        "digests that nobody was sent join"
    );
    let again = kept.due(5 * SECOND).unwrap();
    assert_eq!(again.message, job.message);
    kept.settle(&again, &Attempt::Delivered, 5 * SECOND);
    assert_eq!(kept.due(5 * SECOND).unwrap().message.count, 600);
}

/// The receiver may have got it: under the same key nothing else may come, nor the same within
/// something else.
#[test]
fn what_was_sent_is_sent_again_as_it_was() {
    let mut kept = Kept::default();
    kept.tell(&[message(1)], 0);
    let job = kept.due(0).unwrap();
    kept.settle(&job, &later(None), 0);
    let urgent = Message::new(
        Topic::Equivocation,
        Severity::Critical,
        "e",
        "Berlin lied",
        UnixMillis(1),
    );
    kept.tell(&(2..30).map(message).chain([urgent]).collect::<Vec<_>>(), 1);
    let again = kept.due(5 * SECOND).unwrap();
    assert_eq!(again.message, job.message);
    kept.settle(&again, &Attempt::Delivered, 6 * SECOND);
    assert_eq!(kept.due(6 * SECOND).unwrap().message.count, 29);
}

/// A node that is killed before it knows the answer makes the digest of the same rows again.
#[test]
fn the_same_rows_are_the_same_digest_at_any_time() {
    let mut kept = Kept::default();
    kept.tell(&(0..10).map(message).collect::<Vec<_>>(), 0);
    let mut restarted = Kept {
        queue: Queue::new(kept.queue.rows().map(|(id, entry)| (id, entry.clone()))),
        next: 99,
    };
    assert_eq!(
        kept.due(0).unwrap().message,
        restarted.due(7 * SECOND).unwrap().message
    );
}

#[test]
fn what_a_receiver_asks_for_is_waited_out_by_the_whole_channel() {
    let mut kept = Kept::default();
    kept.tell(&[message(1)], 0);
    let job = kept.due(0).unwrap();
    kept.settle(&job, &later(Some(30)), 0);
    kept.tell(&[message(2)], 1);
    assert_eq!(kept.due(29 * SECOND), None);
    assert_eq!(kept.next_at(1), Some(30 * SECOND));
    assert!(kept.due(30 * SECOND).is_some());
}

#[test]
fn pauses_double_up_to_an_hour_and_vary() {
    let seconds: Vec<_> = (1..=16).map(|n| pause(n, 0.0).as_secs()).collect();
    assert_eq!(seconds[..4], [5, 10, 20, 40]);
    assert_eq!(seconds[15], 3600);
    assert!(seconds.windows(2).all(|pair| pair[0] <= pair[1]));
    assert_eq!(pause(2, 1.0), Duration::from_secs(5));
    assert_eq!(pause(2, 0.5), Duration::from_millis(7500));
}

#[test]
fn what_never_succeeds_is_given_up_and_can_be_tried_again() {
    let mut kept = Kept::default();
    kept.tell(&[message(1)], 0);
    let mut now = 0;
    for _ in 0..ATTEMPTS {
        let job = kept.due(now).unwrap();
        kept.settle(&job, &later(None), now);
        now += 3600 * SECOND;
    }
    assert_eq!(kept.due(now), None);
    let (id, dead) = kept
        .queue
        .rows()
        .next()
        .map(|(id, entry)| (id, entry.clone()))
        .unwrap();
    assert_eq!(
        (dead.dead, dead.attempts, dead.last_error.as_deref()),
        (true, ATTEMPTS, Some("busy"))
    );
    let again = kept.queue.retry(id, UnixMillis(now)).unwrap();
    kept.write(again);
    assert!(kept.due(now).is_some());
    assert!(kept.queue.retry(id, UnixMillis(now)).is_none());
}

#[test]
fn a_channel_that_is_gone_gives_up_all_it_has() {
    let mut kept = Kept::default();
    kept.tell(&[message(1), message(2)], 0);
    let job = kept.due(0).unwrap();
    kept.settle(&job, &Attempt::Gone("404".into()), 0);
    assert!(kept.queue.rows().all(|(_, entry)| entry.dead));
    assert_eq!(kept.queue.rows().count(), 2);
}

#[test]
fn what_is_given_up_is_kept_up_to_a_limit() {
    let mut kept = Kept::default();
    for n in 0..(DEAD as u64 + 7) {
        kept.tell(&[message(n)], n * 60 * SECOND);
        let job = kept.due(n * 60 * SECOND).unwrap();
        kept.settle(&job, &Attempt::Refused("no".into()), n);
    }
    assert_eq!(kept.queue.rows().count(), DEAD);
    assert_eq!(kept.queue.rows().next().unwrap().1.message.cause, "cause 7");
}

#[test]
fn channels_do_not_wait_for_each_other() {
    let mut kept = Kept::default();
    for channel in [Channel::Slack, Channel::Email] {
        let change = kept.queue.admit(channel, &[message(1)], UnixMillis(0));
        kept.write(change);
    }
    let jobs = kept
        .queue
        .due(UnixMillis(0), &BTreeSet::from([Channel::Slack]));
    assert_eq!(
        jobs.iter().map(|job| job.channel).collect::<Vec<_>>(),
        [Channel::Email]
    );
}

/// Who refuses for good is given up and named; who has it does not get it again.
#[test]
fn of_several_recipients_only_those_who_lack_it_are_tried_again() {
    let mut kept = Kept::default();
    kept.tell(&[message(1)], 0);
    let job = kept.due(0).unwrap();
    assert!(job.recipients.is_empty());
    let named = |name: &str| vec![format!("{name}@example.org")];
    let why = "gone@example.org: 550; grey@example.org: 450".to_owned();
    kept.settle(
        &job,
        &Attempt::Partly {
            later: named("grey"),
            refused: named("gone"),
            why,
        },
        0,
    );
    let rows: Vec<_> = kept
        .queue
        .rows()
        .map(|(_, entry)| (entry.recipients.clone(), entry.dead))
        .collect();
    assert_eq!(rows, [(named("gone"), true), (named("grey"), false)]);
    assert!(kept.queue.rows().all(|(_, entry)| {
        entry
            .last_error
            .as_ref()
            .unwrap()
            .contains("gone@example.org")
    }));
    let again = kept.due(5 * SECOND).unwrap();
    assert_eq!(
        (again.recipients.clone(), again.message.clone()),
        (named("grey"), job.message)
    );
    kept.settle(&again, &Attempt::Delivered, 5 * SECOND);
    assert_eq!(
        kept.queue.rows().filter(|(_, entry)| !entry.dead).count(),
        0
    );
}
