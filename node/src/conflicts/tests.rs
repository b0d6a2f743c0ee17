//! Reports in a directory, without an engine.

use std::path::Path;

use ssid_engine::{CandidateView, InstanceView, VoteView};
use ssid_protocol::event::Event;
use ssid_protocol::id::{Epoch, LogId, Round, UnixMillis};
use ssid_protocol::record::{ConsensusRecord, Resolution, Transport};
use ssid_protocol::testing;
use ssid_protocol::vote::Phase;
use ssid_storage::{Certified, Changes, DecisionRow, LogEntry, Owner, Writer};
use tempfile::TempDir;

use super::*;

fn reports(dir: &TempDir, names: bool) -> (Reports, Writer) {
    let (manifest, federation_id, _, keys) = testing::federation(4);
    let node_id = keys[0].node_id();
    let owner = Owner {
        federation: federation_id,
        node: node_id,
    };
    let (store, writer) = Store::open(dir.path(), owner, LogId([1; 32])).unwrap();
    (
        Reports {
            directory: dir.path().join("a/conflicts").into(),
            epochs: crate::engine::testing::epochs(manifest),
            node_id,
            shows_names: names,
            store,
        },
        writer,
    )
}

fn conflict() -> InstanceView {
    let (manifest, federation, _, keys) = testing::federation(4);
    let a = Event {
        emitted_by: "x | <b>*y*</b>".into(),
        ..testing::event("blueprint_tagged", "v1")
    };
    let b = Event {
        commit_hash: "fffffff".into(),
        ..a.clone()
    };
    let subject = manifest.event_policies.subject_of(&a);
    let vote = |node: usize, event: &Event| {
        let (round, phase, choice) = (Round::ZERO, Phase::Prevote, Some(event.choice()));
        VoteView {
            node: keys[node].node_id(),
            round,
            phase,
            choice,
            observed: false,
        }
    };
    let candidate = |event: &Event| {
        let announced_by = Some(keys[1].node_id());
        CandidateView {
            choice: event.choice(),
            event: Some(event.clone()),
            announced_by,
            own: false,
        }
    };
    InstanceView {
        subject_id: subject.id(&federation),
        subject: Some(subject),
        epoch: Epoch::ZERO,
        round: Round::ZERO,
        since: UnixMillis(0),
        in_conflict: true,
        awaiting_review: false,
        review: None,
        locked: None,
        standing: None,
        endorsed: None,
        no_choice_because: None,
        quorum: 3,
        candidates: vec![candidate(&a), candidate(&b)],
        votes: vec![vote(0, &a), vote(1, &a), vote(2, &b), vote(3, &b)],
    }
}

fn certify(writer: &mut Writer, open: &InstanceView) {
    let (choice, event) = (
        open.candidates[0].choice,
        open.candidates[0].event.clone().unwrap(),
    );
    let (epoch, round, subject) = (Epoch::ZERO, Round(1), open.subject.clone().unwrap());
    let record = ConsensusRecord {
        subject_id: open.subject_id,
        choice,
        event_type: subject.event.clone(),
        event_version: subject.version.clone(),
        initiated_at: UnixMillis(0),
        completed_at: UnixMillis(5_000),
        epoch,
        round,
        eligible_nodes: 4,
        quorum: 3,
        node_hashes: BTreeMap::new(),
        endorsing_nodes: BTreeMap::new(),
        silent_nodes: Vec::new(),
        disagreeing_nodes: Vec::new(),
        found_later: None,
        resolution: Resolution::ManualReview,
        transport: Transport::Live,
    };
    let entry = LogEntry {
        subject,
        epoch,
        round,
        choice,
        precommits: Vec::new(),
    };
    let certified = vec![Certified { entry, record }];
    writer
        .write(Changes {
            events: vec![event],
            certified,
            ..Changes::default()
        })
        .unwrap();
}

#[test]
fn a_report_is_written_once_and_updated_when_the_conflict_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (reports, mut writer) = reports(&dir, true);
    let open = conflict();
    let subject = open.subject_id;
    reports.write(&ConflictView::from(open.clone())).unwrap();
    let (json, text) = (reports.path(&subject, "json"), reports.path(&subject, "md"));
    let first = std::fs::read(&json).unwrap();
    reports.write(&ConflictView::from(open.clone())).unwrap();
    assert_eq!(
        std::fs::read(&json).unwrap(),
        first,
        "nothing changed, nothing is written"
    );
    let page = std::fs::read_to_string(&text).unwrap();
    assert!(page.contains("# Conflict: blueprint_tagged v1\n"), "{page}");
    assert!(
        page.contains("| commit_hash | **3dd05d9** | **fffffff** |"),
        "{page}"
    );
    assert!(
        page.contains(r"| emitted_by | x \| &lt;b&gt;\*y\*&lt;/b&gt; | x"),
        "{page}"
    );
    assert!(page.contains("| 0 | prevote | Node-2 (`"), "{page}");
    assert!(
        page.contains(&format!("ssid conflicts resolve {subject} --choose HASH")),
        "{page}"
    );
    assert_eq!(reports.unfinished(), HashSet::from([subject]));
    assert!(page.contains("- Operator's choice: none\n"), "{page}");

    // the operator chooses: what it was, who and why is in the report
    let choice = open.candidates[1].choice;
    let (by, reason) = ("Ada (ada)".to_owned(), "moved | by mistake".to_owned());
    let row = DecisionRow {
        at: UnixMillis(2_000),
        kind: NoteKind::Stand,
        choice,
        by,
        reason,
    };
    writer
        .write(Changes {
            decisions: vec![(subject, vec![row.clone()])],
            ..Changes::default()
        })
        .unwrap();
    let standing = InstanceView {
        standing: Some(choice),
        round: Round(1),
        ..open.clone()
    };
    reports
        .write(&ConflictView::from(standing).decided(vec![row]))
        .unwrap();
    let page = std::fs::read_to_string(&text).unwrap();
    assert!(
        page.contains("- Operator's choice: candidate 2\n"),
        "{page}"
    );
    let words = r"- 1970-01-01T00:00:02Z: Ada (ada) chose candidate 2: moved \| by mistake";
    assert!(page.contains(words), "{page}");

    reports.write_resolved(subject).unwrap();
    assert_eq!(
        reports.unfinished(),
        HashSet::from([subject]),
        "it is not certified"
    );
    certify(&mut writer, &open);
    reports.write_resolved(subject).unwrap();
    assert!(reports.unfinished().is_empty());
    let report = read(&json).unwrap();
    assert_eq!(report.state, ReportState::Resolved);
    assert_eq!(
        report.resolution.unwrap().record.resolution,
        "manual_review"
    );
    assert_eq!(report.conflict.votes.len(), 4);
    let page = std::fs::read_to_string(&text).unwrap();
    assert!(
        page.contains("resolved (manual_review) in round 1 at 1970-01-01T00:00:05Z"),
        "{page}"
    );
    assert!(page.contains(words), "the decision stays: {page}");
    let left: Vec<_> = std::fs::read_dir(&reports.directory).unwrap().collect();
    assert_eq!(left.len(), 2, "no temporary files: {left:?}");
}

#[test]
fn the_votes_of_the_round_in_which_people_decided_are_in_the_report() {
    let open = conflict();
    let dir = tempfile::tempdir().unwrap();
    let (reports, mut writer) = reports(&dir, true);
    certify(&mut writer, &open);
    let Some(SubjectState::Certified { sequence }) =
        reports.store.subject(&open.subject_id).unwrap()
    else {
        panic!()
    };
    let record = reports.store.record(sequence).unwrap().unwrap();
    let signers = [open.votes[0].node, open.votes[2].node];
    let votes = with_precommits(open.votes.clone(), &record, &signers);
    assert_eq!(votes.len(), 6);
    assert!(
        votes[4..]
            .iter()
            .all(|vote| vote.round == Round(1) && vote.phase == Phase::Precommit)
    );
    assert_eq!(
        with_precommits(votes.clone(), &record, &signers),
        votes,
        "each vote once"
    );
}

#[test]
fn without_names_a_report_shows_ids() {
    let dir = tempfile::tempdir().unwrap();
    let (reports, _writer) = reports(&dir, false);
    let open = conflict();
    reports.write(&ConflictView::from(open.clone())).unwrap();
    for extension in ["json", "md"] {
        let text = std::fs::read_to_string(reports.path(&open.subject_id, extension)).unwrap();
        assert!(
            !text.contains("Node-1") && text.contains(&reports.node_id.to_string()),
            "{text}"
        );
    }
}

#[test]
fn the_directory_is_the_registrys_unless_configured() {
    let (repo, data) = (Path::new("/repo"), Path::new("/data"));
    let configured = |path: &str| ConflictResolution {
        conflict_report_path: path.into(),
        ..Default::default()
    };
    let default = ConflictResolution::default();
    let in_repo = RegistryPaths::choose(Some(repo), data);
    assert_eq!(
        directory(&in_repo, &default),
        repo.join("24_meta_orchestration/registry/conflicts")
    );
    assert_eq!(
        directory(&in_repo, &configured("reports/c")),
        repo.join("reports/c")
    );
    let alone = RegistryPaths::choose(None, data);
    assert_eq!(directory(&alone, &default), data.join("conflicts"));
    assert_eq!(directory(&alone, &configured("c")), data.join("c"));
}

#[test]
fn the_configuration_says_whether_there_are_reports_and_names_in_them() {
    let dir = tempfile::tempdir().unwrap();
    let (reports, _writer) = reports(&dir, true);
    let paths = RegistryPaths::choose(None, dir.path());
    let made = |settings: &Settings| {
        Reports::configured(
            settings,
            &paths,
            &reports.epochs,
            reports.node_id,
            &reports.store,
        )
    };
    let mut settings = Settings::default();
    assert_eq!(made(&settings).unwrap().names().len(), 4);
    settings.compliance.anonymize_node_data = true;
    assert!(made(&settings).unwrap().names().is_empty());
    settings.conflict_resolution.create_conflict_report = false;
    assert!(made(&settings).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_task_reports_conflicts_and_their_ends() {
    use crate::engine::Call;
    use tokio::sync::{broadcast, mpsc, watch};

    let dir = tempfile::tempdir().unwrap();
    let (reports, mut writer) = reports(&dir, true);
    let (json, open) = (reports.path(&conflict().subject_id, "json"), conflict());
    let (calls, mut inbox) = mpsc::channel(8);
    let (events, _) = broadcast::channel(64);
    let (_status, status) = watch::channel(Arc::new(crate::api::testing_status(&reports.store)));
    let engine = EngineHandle {
        calls,
        events: events.clone(),
        status,
    };
    tokio::spawn(async move {
        while let Some(call) = inbox.recv().await {
            if let Call::Instances { reply, .. } = call {
                drop(reply.send(vec![conflict()]));
            }
        }
    });
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(follow(reports, engine, shutdown.clone()));
    while events.receiver_count() == 0 {
        tokio::task::yield_now().await;
    }
    let (subject_id, event, version) = (
        open.subject_id,
        "blueprint_tagged".to_owned(),
        "v1".to_owned(),
    );
    let wait_for = async |state| {
        while read(&json).is_none_or(|report| report.state != state) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let told = NodeEvent::Conflict {
        subject_id,
        event: event.clone(),
        version: version.clone(),
    };
    events.send(Arc::new(told)).unwrap();
    wait_for(ReportState::InConflict).await;
    certify(&mut writer, &open);
    let (choice, round, at) = (open.candidates[0].choice, Round(1), UnixMillis(0));
    let told = NodeEvent::Certified {
        sequence: 0,
        subject_id,
        choice,
        event,
        version,
        round,
        at,
    };
    events.send(Arc::new(told)).unwrap();
    wait_for(ReportState::Resolved).await;
    shutdown.cancel();
    task.await.unwrap();
}
