use std::time::Duration;

use ssid_engine::outbox::ANCHOR;
use ssid_engine::settings::EngineSettings;
use ssid_protocol::certificate::Certificate;
use ssid_protocol::event::Event;
use ssid_protocol::testing::event;
use ssid_storage::Store;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::super::manifest::AnchorManifest;
use super::super::task::{AnchorHandle, AnchorRequest, Anchorer, outbox_kinds, prepare};
use super::*;
use crate::config::{IpfsFederation, Settings};
use crate::engine::testing::{certified, served};
use crate::pace::Pace;
use crate::registry::paths::RegistryPaths;
use crate::view::RecordView;

const PACE: Pace = Pace {
    settle: Duration::from_millis(5),
    first_retry: Duration::from_millis(20),
    last_retry: Duration::from_millis(80),
};

/// A node's anchoring beside an engine that has certified something.
struct Node {
    home: TempDir,
    store: Store,
    handle: AnchorHandle,
    end: CancellationToken,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

impl Node {
    fn start(anchoring: Anchoring, documents: IpfsFederation, events: &[Event]) -> Self {
        let mut settings = Settings {
            anchoring,
            ..Settings::default()
        };
        settings.advanced.ipfs_federation = documents;
        Self::start_queued(
            outbox_kinds(&settings),
            settings.anchoring,
            settings.advanced.ipfs_federation,
            events,
        )
    }

    /// With rows of these kinds for what was certified.
    fn start_queued(
        certified_outbox: Vec<u8>,
        settings: Anchoring,
        documents: IpfsFederation,
        events: &[Event],
    ) -> Self {
        let engine = EngineSettings {
            certified_outbox,
            ..EngineSettings::default()
        };
        let (home, engine, store) = certified(engine, events);
        let log: String = events
            .iter()
            .map(|event| serde_json::to_string(event).unwrap() + "\n")
            .collect();
        std::fs::write(home.path().join("registry_events.log"), log).unwrap();
        let end = CancellationToken::new();
        let anchorer = Anchorer {
            settings,
            hosts: std::collections::BTreeMap::new(),
            documents,
            paths: RegistryPaths::in_data_directory(home.path()),
            store: store.clone(),
            engine: served(engine),
            pace: PACE,
        };
        let (handle, task) = prepare(anchorer, end.clone());
        tokio::spawn(task);
        Self {
            home,
            store,
            handle,
            end,
        }
    }

    async fn ask(&self) -> Session {
        let (reply, answer) = oneshot::channel();
        self.handle
            .requests
            .send(AnchorRequest { reply })
            .await
            .unwrap();
        answer.await.unwrap().unwrap()
    }

    fn waiting(&self) -> usize {
        self.store.outbox(ANCHOR, 1000).unwrap().len()
    }

    fn manifest(&self) -> Vec<super::super::manifest::AnchorRecord> {
        AnchorManifest::read(self.home.path().join("ipfs_anchor_manifest.json"))
            .unwrap()
            .anchors
    }

    async fn until_nothing_waits(&self) {
        until("the outbox is empty", || self.waiting() == 0).await;
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait)
        .await
        .unwrap_or_else(|_| panic!("{what} does not come true"));
}

/// An address of this machine where nobody listens yet.
fn free() -> (std::net::SocketAddr, Anchoring) {
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    (
        address,
        Anchoring {
            local_api: format!("http://{address}"),
            gateways: vec![],
            timeout_seconds: 5,
            ..Anchoring::default()
        },
    )
}

async fn up(address: std::net::SocketAddr) -> Server {
    Server::on(tokio::net::TcpListener::bind(address).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_wait_while_the_node_is_down_and_go_out_by_themselves() {
    let (address, settings) = free();
    let settings = Anchoring {
        after_certified: true,
        ..settings
    };
    let node = Node::start(
        settings,
        IpfsFederation::default(),
        &[event("blueprint_tagged", "v1")],
    );
    until("the problem is told", || {
        node.handle.state.borrow().problem.is_some()
    })
    .await;
    let state = node.handle.state.borrow().clone();
    assert!(state.problem.unwrap().contains("cannot be reached") && state.next_try_at.is_some());
    assert_eq!((node.waiting(), node.manifest().len()), (1, 0));
    let server = up(address).await;
    node.until_nothing_waits().await;
    let anchors = node.manifest();
    assert_eq!(
        (anchors.len(), anchors[0].file_path.as_str()),
        (1, "registry_events.log")
    );
    assert_eq!(
        (
            anchors[0].event_type.as_str(),
            anchors[0].event_version.as_str()
        ),
        ("blueprint_tagged", "v1")
    );
    let stored: Vec<_> = node.store.anchors().map(Result::unwrap).collect();
    assert_eq!(
        (stored.len(), stored[0].1.cid.as_str()),
        (1, anchors[0].ipfs_cid.as_str())
    );
    assert_eq!(server.held().adds.len(), 1);
    until("nothing is due", || {
        node.handle.state.borrow().problem.is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_was_asked_for_and_failed_waits_too() {
    let (address, settings) = free();
    let node = Node::start(
        settings,
        IpfsFederation::default(),
        &[event("blueprint_tagged", "v1")],
    );
    assert_eq!(
        node.waiting(),
        0,
        "certified events are anchored only if that is configured"
    );
    let session = node.ask().await;
    assert!(
        session.must_retry() && session.failed[0].reason.contains("ipfs daemon"),
        "{session:?}"
    );
    until("it waits", || node.waiting() == 1).await;
    node.ask().await;
    assert_eq!(node.waiting(), 1, "once is enough");
    let _server = up(address).await;
    node.until_nothing_waits().await;
    assert_eq!(node.manifest().len(), 1);
    let session = node.ask().await;
    assert_eq!((session.anchored.len(), session.unchanged), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_and_records_are_anchored_when_the_configuration_says_so() {
    let server = Server::start().await;
    for pin_consensus_records in [false, true] {
        let documents = IpfsFederation {
            enabled: true,
            pin_consensus_records,
        };
        let node = Node::start(
            server.settings(),
            documents,
            &[event("a", "v1"), event("b", "v1")],
        );
        node.until_nothing_waits().await;
        until("they are recorded", || !node.manifest().is_empty()).await;
        let anchors = node.manifest();
        assert!(
            anchors
                .iter()
                .all(|anchor| anchor.file_path.starts_with("consensus/")),
            "{anchors:?}"
        );
        assert!(
            anchors
                .iter()
                .all(|anchor| anchor.pinned == Some(pin_consensus_records))
        );
        let lines = |kind: &str| {
            let kind = format!("consensus/{kind}-");
            let of_kind = anchors
                .iter()
                .filter(|anchor| anchor.file_path.starts_with(&kind));
            let texts = of_kind.map(|anchor| {
                String::from_utf8(server.held().content[&anchor.ipfs_cid].clone()).unwrap()
            });
            texts
                .flat_map(|text| text.lines().map(ToOwned::to_owned).collect::<Vec<_>>())
                .collect::<Vec<String>>()
        };
        let (certificates, records) = (lines("certificates"), lines("records"));
        assert_eq!((certificates.len(), records.len()), (2, 2));
        certificates
            .iter()
            .for_each(|line| drop(Certificate::parse(line.as_bytes()).unwrap()));
        records
            .iter()
            .for_each(|line| drop(serde_json::from_str::<RecordView>(line).unwrap()));
    }
    let off = IpfsFederation {
        enabled: false,
        pin_consensus_records: true,
    };
    let node = Node::start(server.settings(), off, &[event("a", "v1")]);
    let session = node.ask().await;
    assert!(
        session
            .anchored
            .iter()
            .all(|anchor| anchor.file_path == "registry_events.log"),
        "{session:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_an_earlier_configuration_leave_without_an_upload() {
    let server = Server::start().await;
    let node = Node::start_queued(
        vec![ANCHOR],
        server.settings(),
        IpfsFederation::default(),
        &[event("a", "v1")],
    );
    node.until_nothing_waits().await;
    assert_eq!((server.held().adds.len(), node.manifest().len()), (0, 0));
}
