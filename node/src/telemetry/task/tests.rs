//! The task beside an engine whose state the test says.
#![allow(clippy::unwrap_used, reason = "tests")]

mod members;

use std::sync::{Arc, Mutex};

use ssid_engine::{EngineStatus, InstanceView, Review, ReviewReason};
use ssid_protocol::epoch::EpochContext;
use ssid_protocol::event::Event;
use ssid_protocol::id::{LogId, Round};
use ssid_protocol::manifest::Manifest;
use ssid_protocol::testing;
use ssid_storage::{Changes, Owner, ProposalRow, Writer};
use tempfile::TempDir;
use tokio::sync::{broadcast, watch};

use super::super::config::TelemetryConfig;
use super::super::look::Places;
use super::super::secret::Secrets;
use super::*;
use crate::config::{Channel, NotifiedEvents};
use crate::engine::Call;
use crate::registry::paths::RegistryPaths;

/// A node of four, all of whom are there.
struct Stage {
    directory: TempDir,
    manifest: Manifest,
    status: watch::Sender<Arc<EngineStatus>>,
    waiting: Arc<Mutex<Vec<InstanceView>>>,
    epochs: watch::Sender<Arc<Epochs>>,
    writer: Writer,
    context: Context,
    begun: Instant,
}

impl Stage {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (manifest, federation, _, keys) = testing::federation(4);
        let node = keys[0].node_id();
        let (store, writer) =
            Store::open(directory.path(), Owner { federation, node }, LogId([1; 32])).unwrap();
        let mut all_here = crate::api::tests::status(&store);
        all_here
            .connected_voters
            .append(&mut all_here.missing_voters);
        all_here.able_voters.clone_from(&all_here.connected_voters);
        all_here.has_quorum = true;
        let (status, told) = watch::channel(Arc::new(all_here));
        let (calls, mut inbox) = mpsc::channel(8);
        let waiting: Arc<Mutex<Vec<InstanceView>>> = Arc::default();
        let views = waiting.clone();
        tokio::spawn(async move {
            while let Some(call) = inbox.recv().await {
                if let Call::Instances {
                    after: None, reply, ..
                } = call
                {
                    drop(reply.send(views.lock().unwrap().clone()));
                }
            }
        });
        let engine = EngineHandle {
            calls,
            events: broadcast::Sender::new(1),
            status: told,
        };
        let genesis = EpochContext::genesis(manifest.clone()).unwrap();
        let (epochs, in_force) = watch::channel(Arc::new(Epochs::new(genesis)));
        let shutdown = CancellationToken::new();
        let context = Context {
            engine,
            store,
            epochs: in_force,
            anonymize: false,
            node,
            shutdown,
        };
        Self {
            directory,
            manifest,
            status,
            waiting,
            epochs,
            writer,
            context,
            begun: Instant::now(),
        }
    }

    fn set(&self, change: impl FnOnce(&mut EngineStatus)) {
        let mut status = self.status.borrow().as_ref().clone();
        change(&mut status);
        self.status.send_replace(Arc::new(status));
    }

    fn away(&self, members: &[usize], has_quorum: bool) {
        let all: Vec<_> = self
            .manifest
            .members
            .iter()
            .map(|member| member.node_id)
            .collect();
        let (away, here): (Vec<_>, Vec<_>) = (0..all.len()).partition(|n| members.contains(n));
        let ids = |places: Vec<usize>| places.into_iter().map(|n| all[n]).collect::<Vec<_>>();
        self.set(|status| {
            status.missing_voters = ids(away);
            status.connected_voters = ids(here);
            status.able_voters.clone_from(&status.connected_voters);
            status.has_quorum = has_quorum;
        });
    }

    fn name(&self, member: usize) -> &str {
        &self.manifest.members[member].node_name
    }

    fn wait_for_review(&self, versions: &[&str]) {
        let events = versions.iter();
        let events = events.map(|version| testing::event("policy_update", version));
        self.wait_for(events.collect());
    }

    /// The manifest of the next epoch is proposed and waits.
    fn propose(&mut self, next: &Manifest) {
        let text = next.to_json().to_jcs();
        let changes = Changes {
            proposals: vec![(
                next.hash(),
                Some(ProposalRow {
                    manifest: text,
                    handovers: Vec::new(),
                }),
            )],
            ..Changes::default()
        };
        self.writer.write(changes).unwrap();
        self.wait_for(vec![next.epoch_event()]);
    }

    /// The epoch of a manifest is in force.
    fn enter(&self, next: Manifest) {
        let mut epochs = self.epochs.borrow().as_ref().clone();
        let number = next.epoch;
        let context = epochs.current().successor(next).unwrap();
        epochs.add(context);
        epochs.enter(number);
        self.epochs.send_replace(Arc::new(epochs));
    }

    fn wait_for(&self, events: Vec<Event>) {
        let (manifest, federation) = (&self.manifest, self.manifest.federation_id());
        let views = events.into_iter().map(|event| {
            let subject = manifest.event_policies.subject_of(&event);
            let (reason, explanation) = (
                ReviewReason::Operator,
                "its policy asks a person".to_owned(),
            );
            InstanceView {
                subject_id: subject.id(&federation),
                subject: Some(subject),
                epoch: Epoch::ZERO,
                round: Round::ZERO,
                since: UnixMillis(0),
                in_conflict: false,
                awaiting_review: true,
                review: Some(Review {
                    reason,
                    explanation,
                    until: Some(UnixMillis(1_760_212_800_000)),
                }),
                locked: None,
                standing: None,
                endorsed: None,
                no_choice_because: None,
                quorum: 3,
                candidates: Vec::new(),
                votes: Vec::new(),
            }
        });
        let views: Vec<_> = views.collect();
        self.set(|status| status.awaiting_review = views.len() as u64);
        *self.waiting.lock().unwrap() = views;
    }

    fn follower(&self, events: NotifiedEvents) -> Follower<'_> {
        let paths = RegistryPaths::in_data_directory(self.directory.path());
        let mut config = TelemetryConfig::load_or_default(&paths.telemetry_config).unwrap();
        config.settings.notifications.webhook.enabled = true;
        let address =
            |name: &str| (name == "SSID_WEBHOOK_URL").then(|| "http://127.0.0.1:1/".to_owned());
        let secrets = Secrets::find(address, "/nowhere".as_ref());
        let channels = vec![Channel::Webhook];
        let wanted = crate::config::Notifications {
            enabled: true,
            channels,
            events,
            ..Default::default()
        };
        let service =
            TelemetryService::without_node(Places { config, paths }, wanted, &secrets).unwrap();
        let source = Source::new(&self.manifest, self.context.node, false);
        Follower::new(service.of(Some(source)), &self.context)
    }

    /// What is told when the task looks every second from one second to another: titles and
    /// severities.
    async fn told(
        &self,
        follower: &mut Follower<'_>,
        seconds: std::ops::RangeInclusive<u64>,
    ) -> Vec<Message> {
        for second in seconds {
            follower
                .look(self.begun + Duration::from_secs(second))
                .await;
        }
        std::mem::take(&mut follower.gathered.messages)
    }
}

fn titles(messages: &[Message]) -> Vec<&str> {
    messages
        .iter()
        .map(|message| message.title.as_str())
        .collect()
}

#[tokio::test]
async fn a_partner_that_is_away_is_told_once_each_way_and_a_restart_not_at_all() {
    let stage = Stage::new();
    let mut follower = stage.follower(NotifiedEvents::default());
    stage.away(&[3], true);
    assert!(stage.told(&mut follower, 0..=50).await.is_empty());
    stage.away(&[], true);
    assert!(
        stage.told(&mut follower, 51..=52).await.is_empty(),
        "it had restarted"
    );
    stage.away(&[3], true);
    let told = stage.told(&mut follower, 53..=500).await;
    assert_eq!(
        titles(&told),
        [format!("{} cannot be reached", stage.name(3))]
    );
    // over a restart of this node too
    follower.gathered.messages = told;
    follower.tell_gathered().await;
    drop(follower);
    let mut follower = stage.follower(NotifiedEvents::default());
    assert!(stage.told(&mut follower, 501..=900).await.is_empty());
    stage.away(&[], true);
    let told = stage.told(&mut follower, 901..=1000).await;
    assert_eq!(
        titles(&told),
        [format!("{} can be reached again", stage.name(3))]
    );
    assert_eq!(told[0].severity, Severity::Info);
}

#[tokio::test]
async fn a_lost_quorum_is_told_once_each_way_and_those_who_left_together_in_one() {
    let stage = Stage::new();
    let mut follower = stage.follower(NotifiedEvents::default());
    stage.away(&[2, 3], false);
    let told = stage.told(&mut follower, 0..=500).await;
    assert_eq!(
        titles(&told)[0],
        "There is no quorum: nothing can be decided"
    );
    assert!(
        told[0].text().contains(stage.name(2)) && told[0].text().contains("ssid quorum"),
        "{told:?}"
    );
    assert_eq!(told[0].severity, Severity::Critical);
    assert!(
        told[1].title.starts_with("2 members do not take part: ") && told.len() == 2,
        "{told:?}"
    );
    stage.away(&[], true);
    let told = stage.told(&mut follower, 501..=600).await;
    assert_eq!(titles(&told)[0], "There is a quorum again");
    assert!(
        told[1].title.starts_with("2 members are back: ") && told.len() == 2,
        "{told:?}"
    );
}

#[tokio::test]
async fn this_node_that_votes_no_more_is_told_at_once_and_when_it_votes_again() {
    let stage = Stage::new();
    let mut follower = stage.follower(NotifiedEvents::default());
    stage.set(|status| status.abstaining = Some("its vote history was rolled back".into()));
    let told = stage.told(&mut follower, 0..=3).await;
    assert_eq!((told.len(), told[0].severity), (1, Severity::Critical));
    assert!(told[0].text().contains("rolled back"), "{told:?}");
    stage.set(|status| status.abstaining = None);
    assert_eq!(
        titles(&stage.told(&mut follower, 4..=9).await),
        ["This node votes again"]
    );
    stage.set(|status| status.read_only = Some("the disk is full".into()));
    let told = stage.told(&mut follower, 10..=12).await;
    assert!(
        told.len() == 1 && told[0].text().contains("the disk is full"),
        "{told:?}"
    );
    stage.set(|status| status.registry = Some("it is a directory".into()));
    let told = stage.told(&mut follower, 13..=40).await;
    assert!(
        told.len() == 1 && told[0].text().contains("it is a directory"),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_member_that_is_there_and_signs_nothing_is_told_and_named_where_the_quorum_is_lost() {
    let stage = Stage::new();
    let mut follower = stage.follower(NotifiedEvents::default());
    stage.away(&[3], false);
    let mute = stage.manifest.members[2].node_id;
    stage.set(|status| status.able_voters.retain(|node| *node != mute));
    let told = stage.told(&mut follower, 0..=59).await;
    assert_eq!(
        titles(&told),
        ["There is no quorum: nothing can be decided"]
    );
    assert!(
        told[0].text().contains(stage.name(2)) && told[0].text().contains(stage.name(3)),
        "{told:?}"
    );
    stage.away(&[], true);
    stage.set(|status| status.able_voters.retain(|node| *node != mute));
    let told = stage.told(&mut follower, 60..=200).await;
    assert!(
        titles(&told).contains(&format!("{} signs no votes", stage.name(2)).as_str()),
        "{told:?}"
    );
    stage.away(&[], true);
    let told = stage.told(&mut follower, 201..=300).await;
    assert_eq!(
        titles(&told),
        [format!("{} signs votes again", stage.name(2))]
    );
}

#[tokio::test]
async fn what_waits_for_review_is_told_with_its_time_and_the_commands_and_when_nothing_does() {
    let stage = Stage::new();
    let mut follower = stage.follower(NotifiedEvents::default());
    stage.wait_for_review(&["v1"]);
    assert!(stage.told(&mut follower, 0..=9).await.is_empty());
    let told = stage.told(&mut follower, 10..=100).await;
    assert_eq!(titles(&told), ["Waits for your review: policy_update v1"]);
    let text = told[0].text();
    for part in [
        "its policy asks a person",
        "2025-10-11T20:00:00",
        "ssid events endorse",
        "ssid events refuse",
    ] {
        assert!(text.contains(part), "{text}");
    }
    stage.wait_for_review(&["v1", "v2", "v3"]);
    assert_eq!(
        titles(&stage.told(&mut follower, 101..=200).await),
        ["2 events wait for your review"]
    );
    // another one in the place of one that was answered
    stage.wait_for_review(&["v1", "v2", "v4"]);
    let told = stage.told(&mut follower, 201..=300).await;
    assert_eq!(titles(&told), ["Waits for your review: policy_update v4"]);
    stage.wait_for_review(&["v1"]);
    assert!(stage.told(&mut follower, 301..=400).await.is_empty());
    stage.wait_for_review(&[]);
    assert_eq!(
        titles(&stage.told(&mut follower, 401..=500).await),
        ["No event waits for review any more"]
    );
}

#[tokio::test]
async fn every_message_names_node_and_federation() {
    let stage = Stage::new();
    let mut follower = stage.follower(NotifiedEvents::default());
    stage.away(&[1], true);
    follower.gathered.messages = stage.told(&mut follower, 0..=60).await;
    follower.tell_gathered().await;
    let rows: Vec<_> = follower
        .service
        .delivery()
        .queue()
        .rows()
        .map(|(_, entry)| entry.message.text())
        .collect();
    assert_eq!(rows.len(), 1);
    assert!(
        rows[0].contains(&format!("Told By: {}", stage.name(0))),
        "{rows:?}"
    );
    assert!(
        rows[0].contains(&format!("Federation: {}", stage.manifest.name)),
        "{rows:?}"
    );
}

#[tokio::test]
async fn what_is_switched_off_is_not_told() {
    let stage = Stage::new();
    let events = NotifiedEvents {
        membership_proposed: false,
        epoch_changed: false,
        review_waiting: false,
        node_down: false,
        quorum_lost: false,
        ..NotifiedEvents::default()
    };
    let mut follower = stage.follower(NotifiedEvents {
        node_stopped: false,
        ..events
    });
    stage.away(&[2, 3], false);
    let next = testing::successor(&stage.manifest);
    stage.wait_for(vec![
        testing::event("policy_update", "v1"),
        next.epoch_event(),
    ]);
    assert!(stage.told(&mut follower, 0..=0).await.is_empty());
    stage.enter(next);
    stage.set(|status| status.abstaining = Some("a reason".into()));
    assert!(stage.told(&mut follower, 1..=100).await.is_empty());
}
