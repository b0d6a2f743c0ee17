//! The server on a real socket, over a real store and an engine that is played by the test.

mod lists;
mod offering;
mod refusals;
mod routes;
mod tcp;
mod trust;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use prometheus_client::registry::Registry;
use serde_json::Value;
use ssid_engine::{
    Adjusted, Adjustment, Command, Decider, EmitOutcome, EngineStatus, InstanceView, NodeEvent,
    NoteKind, Operated, Operation, OperatorRefusal, RefusalKind, Refused, Reply,
};
use ssid_protocol::batch::{Statements, VerifiedBatch};
use ssid_protocol::event::Event;
use ssid_protocol::heartbeat::CanSign;
use ssid_protocol::id::{Epoch, LogId, Round, SubjectId, UnixMillis};
use ssid_protocol::record::{ConsensusRecord, Resolution, Transport};
use ssid_protocol::testing;
use ssid_protocol::trust::{TrustChange, TrustReason, TrustRules};
use ssid_protocol::vote::{Phase, Vote};
use ssid_storage::{Certified, Changes, LogEntry, Owner, ProofRef, Store, Writer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{ApiListen, ApiState, EventDefaults, SOCKET_NAME, TcpListen, serve};
use crate::engine::{Call, EngineHandle};
use crate::query::{Knowledge, Peers, ShownSettings};

const MEMBERS: usize = 4;

/// A served API, and what the test plays.
struct Served {
    dir: TempDir,
    state: ApiState,
    writer: Writer,
    events: broadcast::Sender<Arc<NodeEvent>>,
    /// What was asked of the engine.
    adjusted: Arc<Mutex<Vec<Adjustment>>>,
    /// Who decided, and why.
    decided: Arc<Mutex<Vec<Decider>>>,
    /// What is being voted on, by subject.
    open: Arc<Mutex<BTreeMap<SubjectId, InstanceView>>>,
    shutdown: CancellationToken,
    tcp: Option<std::net::SocketAddr>,
}

/// What the API reads, for tests of those who read it too. The directory holds the store.
pub(crate) async fn state() -> (TempDir, ApiState) {
    let Served { dir, state, .. } = served(accept, false).await;
    (dir, state)
}

/// Serves with an engine that answers each offered event with what `engine` says.
async fn served(engine: fn(&Event) -> EmitOutcome, with_tcp: bool) -> Served {
    let dir = tempfile::tempdir().unwrap();
    let (manifest, federation_id, _, keys) = testing::federation(MEMBERS);
    let node = keys[0].node_id();
    let owner = Owner {
        federation: federation_id,
        node,
    };
    let (store, writer) = Store::open(dir.path(), owner, LogId([1; 32])).unwrap();
    let (calls, mut inbox) = mpsc::channel(8);
    let (events, _) = broadcast::channel(64);
    let as_of_now = status(&store);
    let (_status, status) = watch::channel(Arc::new(as_of_now.clone()));
    let adjusted: Arc<Mutex<Vec<Adjustment>>> = Arc::default();
    let asked = adjusted.clone();
    let decided: Arc<Mutex<Vec<Decider>>> = Arc::default();
    let asked_by = decided.clone();
    let open: Arc<Mutex<BTreeMap<SubjectId, InstanceView>>> = Arc::default();
    let voted_on = open.clone();
    let handle = EngineHandle {
        calls,
        events: events.clone(),
        status,
    };
    tokio::spawn(async move {
        while let Some(call) = inbox.recv().await {
            match call {
                Call::Command { command, reply } => {
                    let outcome = match command {
                        Command::Emit(events) => {
                            Reply::Emitted(events.iter().map(engine).collect())
                        }
                        Command::Operate(operation, decider) => {
                            asked_by.lock().unwrap().push(decider);
                            Reply::Operated(operate(operation))
                        }
                        Command::Adjust(adjustment) => {
                            asked.lock().unwrap().push(adjustment.clone());
                            Reply::Adjusted(Ok(adjust(adjustment)))
                        }
                        Command::Propose(..) | Command::Outbox(_) => Reply::Outbox(Ok(Vec::new())),
                    };
                    drop(reply.send(outcome));
                }
                Call::Instances {
                    subject,
                    after,
                    limit,
                    reply,
                } => {
                    let open = voted_on.lock().unwrap();
                    let is_it = |view: &&InstanceView| {
                        subject.is_none_or(|subject| subject == view.subject_id)
                            && after.is_none_or(|after| after < view.subject_id)
                    };
                    let found = open.values().filter(is_it).take(limit).cloned();
                    drop(reply.send(found.collect()));
                }
                Call::Offer { reply, .. } => {
                    drop(reply.send(ssid_engine::OfferPage::default()));
                }
                Call::Status { reply } => drop(reply.send(as_of_now.clone())),
                Call::CommitQuestions { reply, .. } => drop(reply.send(Vec::new())),
            }
        }
    });
    let known = Knowledge {
        node_id: node,
        epochs: crate::engine::testing::epochs(manifest),
        engine: handle,
        store,
        peers: watch::channel(Arc::new(Peers::default())).1,
        git: crate::git::GitHandle::idle(),
        settings: Arc::new(ShownSettings {
            enabled: true,
            mode: "participant".into(),
            sync_interval_minutes: 60,
            max_event_age_days: 365,
            trust: TrustRules::default(),
            anonymize: false,
        }),
        started_at: UnixMillis(0),
    };
    let state = ApiState {
        known,
        applier: None,
        anchors: None,
        telemetry: None,
        plain: None,
        metrics: Arc::new(Mutex::new(Registry::default())),
        defaults: Arc::new(EventDefaults::default()),
    };
    let tcp = with_tcp.then(|| {
        std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
    });
    let token = "0123456789abcdef".to_owned();
    let listen = ApiListen {
        socket: dir.path().join(SOCKET_NAME),
        tcp: tcp.map(|address| TcpListen {
            address,
            token_env: "T".into(),
            token,
        }),
    };
    let shutdown = CancellationToken::new();
    tokio::spawn(serve(state.clone(), listen, shutdown.clone()));
    while UnixStream::connect(dir.path().join(SOCKET_NAME))
        .await
        .is_err()
    {
        tokio::task::yield_now().await;
    }
    // bound after the socket
    while let Some(address) = tcp
        && tokio::net::TcpStream::connect(address).await.is_err()
    {
        tokio::task::yield_now().await;
    }
    Served {
        dir,
        state,
        writer,
        events,
        adjusted,
        decided,
        open,
        shutdown,
        tcp,
    }
}

pub(crate) fn status(store: &Store) -> EngineStatus {
    let (_, _, _, keys) = testing::federation(MEMBERS);
    let ids: Vec<_> = keys
        .iter()
        .map(ssid_protocol::identity::VotingKey::node_id)
        .collect();
    EngineStatus {
        change: None,
        not_ready: Vec::new(),
        heartbeat: None,
        clock_offset_seconds: None,
        epoch: Epoch::ZERO,
        abstaining: None,
        startup_check: None,
        read_only: None,
        open: 0,
        conflicts: 0,
        awaiting_review: 0,
        commits_asked: 0,
        log: store.log_head(),
        certified: 0,
        agreements: 0,
        disagreements: 0,
        connected_voters: ids[..2].to_vec(),
        missing_voters: ids[2..].to_vec(),
        is_connected: false,
        able_voters: ids[..2].to_vec(),
        has_quorum: false,
        can_sign: CanSign::Yes,
        can_sign_reason: String::new(),
        registry: None,
        divergences: 0,
        kept_offers: 0,
        refused: Refused::default(),
        syncs: ssid_engine::Syncs {
            successful: 7,
            failed: 2,
            last: Some(UnixMillis(3_000)),
        },
        syncing: 0,
        waiting_votes: 0,
        batch_bytes: 0,
        evidence: 1,
        own_equivocation: false,
        flagged: ids[3..].to_vec(),
    }
}

/// Every adjustment is taken, from 50 points.
fn adjust(adjustment: Adjustment) -> Adjusted {
    let Adjustment {
        member,
        boost,
        note,
    } = adjustment;
    let reason = if boost {
        TrustReason::ManualBoost
    } else {
        TrustReason::ManualPenalty
    };
    let (points, at, reference) = (reason.points(), UnixMillis(5_000), "by hand".to_owned());
    let change = TrustChange {
        member,
        reason,
        points,
        at,
        origin: None,
        reference,
        note: Some(note),
    };
    Adjusted {
        score: 50 + change.points,
        change,
    }
}

/// Endorsements are taken, everything else is not.
fn operate(operation: Operation) -> Result<Operated, OperatorRefusal> {
    let Operation {
        kind,
        subject: subject_id,
        choice,
    } = operation;
    if kind != NoteKind::Endorse {
        let (reason, hint) = ("round 0 has not failed yet".into(), Some("wait".into()));
        return Err(OperatorRefusal {
            kind: RefusalKind::RoundUnfailed,
            reason,
            hint,
        });
    }
    let explanation = "this node prevoted it".into();
    Ok(Operated {
        subject_id,
        choice,
        round: Round::ZERO,
        weight: 1,
        quorum: 3,
        certified: false,
        explanation,
    })
}

fn accept(event: &Event) -> EmitOutcome {
    let (manifest, federation, ..) = testing::federation(MEMBERS);
    let subject_id = manifest.event_policies.subject_of(event).id(&federation);
    EmitOutcome::Accepted {
        subject_id,
        choice: event.choice(),
    }
}

fn at_limit(_: &Event) -> EmitOutcome {
    EmitOutcome::Refused {
        reason: "open instances of this node reached open_per_origin = 25000".into(),
        retry: true,
    }
}

/// One request over HTTP/1.0, which needs no client: status line and headers, and the body as JSON.
async fn ask(stream: impl AsyncIo, request: &str, body: &str) -> (u16, String, Value) {
    let mut stream = Box::pin(stream);
    let text = format!(
        "{request} HTTP/1.0\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (
        status,
        head.to_owned(),
        serde_json::from_str(body).unwrap_or(Value::String(body.to_owned())),
    )
}

trait AsyncIo: tokio::io::AsyncRead + tokio::io::AsyncWrite {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite> AsyncIo for T {}

/// A second server, see [`Served::again`].
struct Again {
    socket: std::path::PathBuf,
}

impl Again {
    async fn ask(&self, request: &str, body: &str) -> (u16, Value) {
        let stream = UnixStream::connect(&self.socket).await.unwrap();
        let (status, head, body) = ask(stream, request, body).await;
        let problem = head.contains(crate::view::Problem::MEDIA_TYPE);
        assert_eq!(problem, status >= 400, "{head}");
        (status, body)
    }
}

impl Served {
    async fn ask(&self, request: &str, body: &str) -> (u16, Value) {
        let stream = UnixStream::connect(self.dir.path().join(SOCKET_NAME))
            .await
            .unwrap();
        let (status, head, body) = ask(stream, request, body).await;
        let problem = head.contains(crate::view::Problem::MEDIA_TYPE);
        assert!(
            request.contains("readyz") || problem == (status >= 400),
            "{head}"
        );
        (status, body)
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(&format!("GET {path}"), "").await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Serves once more, on a socket of its own, with some of the state changed.
    async fn again(&self, change: impl FnOnce(&mut ApiState)) -> Again {
        let mut state = self.state.clone();
        change(&mut state);
        let socket = self.dir.path().join("again.sock");
        let listen = ApiListen {
            socket: socket.clone(),
            tcp: None,
        };
        tokio::spawn(serve(state, listen, self.shutdown.clone()));
        while UnixStream::connect(&socket).await.is_err() {
            tokio::task::yield_now().await;
        }
        Again { socket }
    }

    /// Certifies an event as three of the four members would.
    fn certify(&mut self, event: &Event) {
        let (manifest, federation, voters, keys) = testing::federation(MEMBERS);
        let subject = manifest.event_policies.subject_of(event);
        let (subject_id, choice) = (subject.id(&federation), event.choice());
        let phase = Phase::Precommit;
        let vote = Vote {
            epoch: Epoch::ZERO,
            subject: subject_id,
            round: Round::ZERO,
            phase,
            ballot: Some(choice),
            observed: false,
        };
        let proofs = keys.iter().take(3).map(|key| {
            let batch =
                VerifiedBatch::sign(key, &federation, Statements::Votes(vec![vote])).unwrap();
            ProofRef::Alone(batch.proof(0).unwrap())
        });
        let entry = LogEntry {
            subject,
            epoch: Epoch::ZERO,
            round: Round::ZERO,
            choice,
            precommits: proofs.collect(),
        };
        let record = ConsensusRecord {
            subject_id,
            choice,
            event_type: event.event.clone(),
            event_version: event.version.clone(),
            initiated_at: UnixMillis(1_000),
            completed_at: UnixMillis(2_500),
            epoch: Epoch::ZERO,
            round: Round::ZERO,
            eligible_nodes: 4,
            quorum: voters.quorum(),
            node_hashes: keys
                .iter()
                .take(3)
                .map(|key| (key.node_id(), choice))
                .collect::<BTreeMap<_, _>>(),
            endorsing_nodes: BTreeMap::new(),
            silent_nodes: vec![keys[3].node_id()],
            disagreeing_nodes: vec![keys[2].node_id()],
            found_later: None,
            resolution: Resolution::Achieved,
            transport: Transport::Live,
        };
        let changes = Changes {
            events: vec![event.clone()],
            certified: vec![Certified { entry, record }],
            ..Changes::default()
        };
        self.writer.write(changes).unwrap();
    }
}
