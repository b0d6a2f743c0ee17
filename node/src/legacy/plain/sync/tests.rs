#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::PathBuf;
use std::sync::Mutex;

use super::*;
use crate::known_members::KnownMember;
use crate::registry::fixtures::{event, pretty};

/// A repository with three partners; `logs` says what each one's fetch gives.
struct Deployment {
    _dir: tempfile::TempDir,
    known: PathBuf,
    paths: RegistryPaths,
    settings: Settings,
    logs: BTreeMap<String, Result<Vec<u8>, String>>,
    asked: Mutex<Vec<String>>,
}

fn log_of(numbers: &[u32]) -> Vec<u8> {
    numbers
        .iter()
        .map(|n| pretty(&event(*n)) + "\n")
        .collect::<String>()
        .into_bytes()
}

fn deployment(logs: [Result<Vec<u8>, String>; 3]) -> Deployment {
    let dir = tempfile::tempdir().unwrap();
    let paths = RegistryPaths::in_repository(dir.path());
    fs::create_dir_all(paths.registry_log.parent().unwrap()).unwrap();
    fs::write(&paths.registry_log, log_of(&[1])).unwrap();
    let mut settings = Settings::default();
    settings.federation.enabled = true;
    // the fixtures' events are old, and shall not grow too old for these tests
    settings.security.max_event_age_days = 36_500;
    let names = ["a", "b", "c"];
    FederationManifest::update(&paths.federation_manifest, "t0", |manifest| {
        for (name, trust) in names.iter().zip([40, 90, 60]) {
            let node = ManifestNode::new(
                &format!("https://git.example/{name}.git"),
                name,
                "Org",
                "t0",
            );
            manifest.put_node(
                &ManifestNode {
                    trust_score: Some(trust),
                    ..node
                },
                None,
            );
        }
    })
    .unwrap();
    let logs = names
        .iter()
        .map(|name| (*name).to_owned())
        .zip(logs)
        .collect();
    Deployment {
        known: dir.path().join("data/known_members.json"),
        _dir: dir,
        paths,
        settings,
        logs,
        asked: Mutex::default(),
    }
}

impl Deployment {
    async fn sync(&self, options: PlainSyncOptions) -> PlainSyncReport {
        let fetch = |node: ManifestNode| {
            self.asked.lock().unwrap().push(node.node_name.clone());
            let log = self.logs[&node.node_name].clone();
            async move { log.map(Cursor::new) }
        };
        let known = KnownMembers::load(&self.known).unwrap();
        let scratch = self.known.parent().unwrap().join("scratch");
        let deployment = super::Deployment {
            paths: &self.paths,
            settings: &self.settings,
            known: &known,
            scratch: &scratch,
        };
        let report = sync(deployment, options, fetch).await.unwrap();
        assert!(
            report.skipped.is_some() || fs::read_dir(scratch).unwrap().count() == 0,
            "nothing is left of it"
        );
        report
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.paths.registry_log).unwrap()
    }
}

#[tokio::test]
async fn what_a_quorum_has_is_appended_if_the_configuration_says_so() {
    let all = || Ok(log_of(&[1, 2]));
    let mut deployment = deployment([all(), all(), Ok(log_of(&[1, 2, 3]))]);
    let before = deployment.log();
    let report = deployment.sync(PlainSyncOptions::default()).await;
    assert_eq!(
        (report.achieved, report.insufficient, report.applied),
        (1, 1, 0)
    );
    assert_eq!(deployment.log(), before, "auto_apply_consensus is false");
    assert_eq!(
        *deployment.asked.lock().unwrap(),
        ["b", "c", "a"],
        "highest trust first"
    );
    deployment.settings.conflict_resolution.auto_apply_consensus = true;
    let force = PlainSyncOptions {
        force: true,
        ..PlainSyncOptions::default()
    };
    assert_eq!(
        deployment
            .sync(PlainSyncOptions {
                has_keys: true,
                ..force
            })
            .await
            .skipped,
        Some(Skipped::NotAllowed)
    );
    deployment.settings.security.allow_unsigned_members = Some(true);
    let observed = deployment
        .sync(PlainSyncOptions {
            has_keys: true,
            ..force
        })
        .await;
    assert_eq!(
        (observed.observed_only, observed.achieved, observed.applied),
        (true, 0, 0)
    );
    assert_eq!(
        observed.nodes[0].comparison.unwrap().new,
        1,
        "seen, and no more"
    );
    assert_eq!(deployment.sync(force).await.applied, 1);
    let after = deployment.log();
    assert!(after.starts_with(&before) && after.contains(&event(2).event_hash().to_string()));
    let again = deployment.sync(force).await;
    assert_eq!((again.achieved, again.applied), (0, 0));
    assert_eq!(deployment.log(), after);
}

#[tokio::test]
async fn one_node_that_fails_is_told_and_disturbs_no_other() {
    let mut deployment = deployment([
        Ok(log_of(&[1, 2])),
        Err("no answer within 2 s".into()),
        Ok(log_of(&[1, 2])),
    ]);
    deployment.settings.performance.parallel_sync = true;
    let report = deployment
        .sync(PlainSyncOptions {
            apply: true,
            ..PlainSyncOptions::default()
        })
        .await;
    let errors: Vec<_> = report
        .nodes
        .iter()
        .map(|node| node.error.as_deref())
        .collect();
    assert_eq!(errors, [Some("no answer within 2 s"), None, None]);
    let told = |anonymize| {
        format!(
            "{:?}",
            super::super::messages(&report, clock::now(), anonymize)[1].lines
        )
    };
    assert!(
        told(false).contains("b: no answer within 2 s"),
        "{}",
        told(false)
    );
    let id = &report.nodes[0].node_id;
    assert_eq!(
        told(true),
        format!("{:?}", [format!("{}: not read; see: ssid sync", &id[..12])])
    );
    assert_eq!(
        (report.insufficient, report.applied),
        (1, 0),
        "2 of 4 are no quorum, though all who answered agree"
    );
    let manifest = FederationManifest::read(&deployment.paths.federation_manifest)
        .unwrap()
        .unwrap();
    let counts = manifest.statistics();
    assert_eq!(
        (
            counts.total_syncs,
            counts.successful_syncs,
            counts.failed_syncs
        ),
        (1, 2, 1)
    );
}

#[tokio::test]
async fn a_sync_that_is_not_due_or_not_wanted_does_nothing() {
    let all = || Ok(log_of(&[1, 2]));
    let mut deployment = deployment([all(), all(), all()]);
    deployment.settings.security.allow_unsigned_members = Some(false);
    assert_eq!(
        deployment.sync(PlainSyncOptions::default()).await.skipped,
        Some(Skipped::NotAllowed)
    );
    deployment.settings.security.allow_unsigned_members = None;
    assert_eq!(
        deployment.sync(PlainSyncOptions::default()).await.skipped,
        None
    );
    let manifest = fs::read(&deployment.paths.federation_manifest).unwrap();
    assert!(matches!(
        deployment.sync(PlainSyncOptions::default()).await.skipped,
        Some(Skipped::Recent(_))
    ));
    deployment.settings.federation.enabled = false;
    assert_eq!(
        deployment.sync(PlainSyncOptions::default()).await.skipped,
        Some(Skipped::NotEnabled)
    );
    assert_eq!(deployment.asked.lock().unwrap().len(), 3, "asked once each");
    assert_eq!(
        fs::read(&deployment.paths.federation_manifest).unwrap(),
        manifest
    );
}

#[tokio::test]
async fn nodes_that_were_added_are_read_by_their_secret_address_and_written_down_by_the_public_one()
{
    let all = || Ok(log_of(&[1, 2]));
    let mut deployment = deployment([all(), all(), all()]);
    deployment.logs.insert("d".to_owned(), all());
    fs::create_dir_all(deployment.known.parent().unwrap()).unwrap();
    let mut known = KnownMembers::load(&deployment.known).unwrap();
    let member = |name: &str, remote: &str| KnownMember {
        node_name: name.to_owned(),
        organization: "Org".to_owned(),
        git_remote: remote.to_owned(),
    };
    known
        .add(member("d", "https://ada:s3cret@git.example/d.git"))
        .unwrap();
    known
        .add(member("a again", "https://ada:s3cret@git.example/a.git"))
        .unwrap();
    known.save(&deployment.known).unwrap();
    let fetched = Mutex::new(Vec::new());
    let report = {
        let fetch = |node: ManifestNode| {
            fetched.lock().unwrap().push(node.git_remote.clone());
            let log = deployment.logs[&node.node_name].clone();
            async move { log.map(Cursor::new) }
        };
        let scratch = deployment.known.parent().unwrap();
        let (paths, settings) = (&deployment.paths, &deployment.settings);
        let here = super::Deployment {
            paths,
            settings,
            known: &known,
            scratch,
        };
        sync(here, PlainSyncOptions::default(), fetch)
            .await
            .unwrap()
    };
    assert_eq!(
        (report.nodes.len(), report.achieved),
        (4, 1),
        "one is the manifest's own by another address"
    );
    let asked = fetched.into_inner().unwrap();
    assert!(
        asked
            .iter()
            .filter(|remote| remote.contains("s3cret"))
            .count()
            == 2,
        "{asked:?}"
    );
    let text = fs::read_to_string(&deployment.paths.federation_manifest).unwrap();
    assert!(
        text.contains("https://git.example/d.git") && !text.contains("s3cret"),
        "{text}"
    );
    let again = deployment
        .sync(PlainSyncOptions {
            force: true,
            ..PlainSyncOptions::default()
        })
        .await;
    assert_eq!(again.nodes.len(), 4);
}

/// The event `n` as somebody else has it.
fn other(n: u32) -> String {
    let theirs = ssid_protocol::event::Event {
        commit_hash: "be922a7c".into(),
        ..event(n)
    };
    pretty(&theirs) + "\n"
}

#[tokio::test]
async fn logs_that_differ_leave_a_report_until_they_agree_and_are_told_once() {
    let theirs = Ok((pretty(&event(1)) + "\n" + &other(2)).into_bytes());
    let both = || Ok(log_of(&[1, 2]));
    let mut deployment = deployment([both(), both(), theirs]);
    fs::write(&deployment.paths.registry_log, log_of(&[1, 2])).unwrap();
    let force = PlainSyncOptions {
        force: true,
        ..PlainSyncOptions::default()
    };
    deployment
        .settings
        .conflict_resolution
        .create_conflict_report = false;
    let before = fs::read(&deployment.paths.federation_manifest).unwrap();
    assert_eq!(deployment.sync(force).await.failed, 1);
    assert!(
        !deployment.paths.conflicts.exists(),
        "create_conflict_report is false"
    );
    deployment
        .settings
        .conflict_resolution
        .create_conflict_report = true;
    // as before the first sync
    fs::write(&deployment.paths.federation_manifest, before).unwrap();
    let report = deployment.sync(force).await;
    let [record] = &report.changed[..] else {
        panic!("{:?}", report.changed)
    };
    assert_eq!(
        (record.resolution.as_str(), record.disagreeing_nodes.len()),
        ("consensus_failed", 3)
    );
    let files = || -> Vec<_> {
        let mut files: Vec<_> = fs::read_dir(&deployment.paths.conflicts)
            .unwrap()
            .map(|f| f.unwrap().path())
            .collect();
        files.sort();
        files
    };
    let [json, markdown] = &files()[..] else {
        panic!("{:?}", files())
    };
    let told = fs::read_to_string(json).unwrap();
    assert!(
        told.contains("\"in_conflict\"") && told.contains(&record.event_hash),
        "{told}"
    );
    assert!(
        fs::read_to_string(markdown)
            .unwrap()
            .contains("| node | its log says |")
    );
    let titles = |report: &PlainSyncReport| -> Vec<String> {
        super::super::messages(report, clock::now(), false)
            .into_iter()
            .map(|message| message.title)
            .collect()
    };
    let [read, differ] = &titles(&report)[..] else {
        panic!("{:?}", titles(&report))
    };
    assert_eq!(read, "Plain logs of 3 of 3 nodes read");
    assert_eq!(
        differ,
        "Logs differ about: blueprint_v4.4_readiness_verification v4.2.2"
    );
    let same = deployment.sync(force).await;
    assert_eq!(
        (same.changed.len(), titles(&same).len()),
        (0, 1),
        "a conflict that stands is told once"
    );

    // the others come round to it
    for name in ["a", "b"] {
        let log = deployment.logs["c"].clone();
        deployment.logs.insert(name.to_owned(), log);
    }
    let report = deployment.sync(force).await;
    assert_eq!(report.changed[0].resolution, "consensus_achieved");
    assert!(fs::read_to_string(json).unwrap().contains("\"resolved\""));
    assert_eq!(
        titles(&report)[1],
        "A quorum of logs has: blueprint_v4.4_readiness_verification v4.2.2"
    );
}

#[tokio::test]
async fn every_key_of_the_configuration_that_a_sync_reads_changes_it() {
    let all = || Ok(log_of(&[1, 2]));
    let force = PlainSyncOptions {
        force: true,
        ..PlainSyncOptions::default()
    };
    let achieved = async |change: fn(&mut Settings)| {
        let mut deployment = deployment([all(), all(), Ok(log_of(&[1]))]);
        change(&mut deployment.settings);
        let report = deployment.sync(force).await;
        (report.achieved, report.failed + report.insufficient)
    };
    // 2 of 4 have it, 3 are needed
    assert_eq!(achieved(|_| ()).await, (0, 1));
    assert_eq!(
        achieved(|s| s.security.max_event_age_days = 1).await,
        (0, 0)
    );
    assert_eq!(
        achieved(|s| s.event_filters.sync_event_types = vec!["blueprint_tagged".into()]).await,
        (0, 0)
    );
    assert_eq!(
        achieved(|s| s.event_filters.exclude_event_types = vec![event(1).event]).await,
        (0, 0)
    );
    assert_eq!(
        achieved(|s| s.local_node.git_remote = "https://git.example/c.git".into()).await,
        (1, 0),
        "2 of 3"
    );
    assert_eq!(
        achieved(|s| {
            s.local_node.git_remote = "https://git.example/c.git".into();
            s.consensus_settings.threshold = 0.9;
        })
        .await,
        (0, 1)
    );
    assert_eq!(
        achieved(|s| {
            s.local_node.git_remote = "https://git.example/c.git".into();
            s.consensus_settings.min_participating_nodes = 3;
        })
        .await,
        (0, 1)
    );
}

#[tokio::test]
async fn as_many_logs_are_fetched_at_a_time_as_is_configured() {
    for (parallel, at_most, expected) in [(false, 3, 1), (true, 2, 2), (true, 3, 3)] {
        let mut deployment = deployment([Ok(log_of(&[1])), Ok(log_of(&[1])), Ok(log_of(&[1]))]);
        deployment.settings.performance.parallel_sync = parallel;
        deployment.settings.performance.max_parallel_syncs = at_most;
        let (running, most) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
        let fetch = |node: ManifestNode| {
            let (running, most, log) = (&running, &most, deployment.logs[&node.node_name].clone());
            async move {
                running.set(running.get() + 1);
                most.set(most.get().max(running.get()));
                // everybody else who may begins
                tokio::task::yield_now().await;
                running.set(running.get() - 1);
                log.map(Cursor::new)
            }
        };
        let known = KnownMembers::load(&deployment.known).unwrap();
        let (paths, settings) = (&deployment.paths, &deployment.settings);
        let here = super::Deployment {
            paths,
            settings,
            known: &known,
            scratch: &deployment.paths.root.join("s"),
        };
        sync(here, PlainSyncOptions::default(), fetch)
            .await
            .unwrap();
        assert_eq!(most.get(), expected, "{parallel} {at_most}");
    }
}
