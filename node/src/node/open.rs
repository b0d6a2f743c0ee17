//! Opening everything a node has on disk, in the order in which a problem is best told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use libp2p::PeerId;
use libp2p::identity::Keypair;
use ssid_engine::EngineParts;
use ssid_engine::outbox::HOOK_CHANGED;
use ssid_engine::settings::{Endorsement, EngineSettings, Timeouts};
use ssid_network::{NetworkConfig, NetworkLimits};
use ssid_protocol::chain::{Chain, ChainLine};
use ssid_protocol::epoch::{EpochContext, Epochs};
use ssid_protocol::id::{Epoch, LogId};
use ssid_protocol::identity::{VerifyKey, VotingKey};
use ssid_protocol::limits;
use ssid_protocol::manifest::Manifest;
use ssid_protocol::trust::{DAY, TrustRules};
use ssid_storage::{
    Changes, EpochRow, JournalRecord, Owner, PathContext as _, Store, Writer, regular,
};
use tokio::sync::watch;

use super::error::NodeError;
use super::history::{self, History};
use super::members::{self, Invited};
use super::succession::{self, InUse, Keys};
use crate::anchor;
use crate::config::{self, Config, Endorsement as ConfiguredEndorsement, Settings, TrustSettings};
use crate::git::{Origin, Plan};
use crate::home::Home;
use crate::invited;
use crate::keyfile;
use crate::registry::paths::RegistryPaths;
use crate::telemetry::hook;
use crate::telemetry::secret::SecretUrl;

/// What a node is started with.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Its data directory.
    pub home: Home,
    /// The governance repository it serves, if it serves one.
    pub repo: Option<PathBuf>,
    /// The passphrase of its key files, if they have one.
    pub passphrase: Option<String>,
}

/// The variable that says whether the node takes part.
const ENABLED_VARIABLE: &str = "SSID_FEDERATION_ENABLED";
/// Bytes of a chain file, as the command that takes it in allows.
const CHAIN_BYTES: u64 = 256 << 20;

/// A node's parts, open and checked, nothing running yet.
pub(super) struct Opened {
    pub(super) config: Config,
    pub(super) home: Home,
    pub(super) paths: RegistryPaths,
    pub(super) parts: EngineParts,
    pub(super) records: Vec<JournalRecord>,
    pub(super) epochs: watch::Sender<Arc<Epochs>>,
    pub(super) network: NetworkConfig,
    /// What the invite says that the node joined with, if it did.
    pub(super) invited: Option<Invited>,
    pub(super) git: Plan,
    /// Whether certified events are appended to the registry file without being asked.
    pub(super) applies: bool,
    /// The setting `advanced.webhook_on_consensus`, if it is set.
    pub(super) hook: Option<SecretUrl>,
}

impl Opened {
    /// `origin` is where the governance repository comes from.
    pub(super) fn open(options: &RunOptions, origin: Origin) -> Result<Self, NodeError> {
        let home = options.home.clone();
        // mode and owner first: keys in a directory that others can read are not secret
        home.check()?;
        let paths = RegistryPaths::choose(options.repo.as_deref(), home.root());
        let config = configuration(&paths, &home, config::environment())?;
        // a node runs with these: they are for people, and each start says them again
        for finding in config.check() {
            tracing::warn!("{finding}");
        }
        // before the database: a wrong passphrase leaves everything as it was
        let keys = Keys::read(&home, options.passphrase.as_deref())?;
        let invite = invited::read(&home)?;
        let manifest = match &invite {
            Some(invite) if !home.genesis().exists() => invite.genesis.clone(),
            _ => genesis(&home.genesis())?,
        };
        let genesis = EpochContext::genesis(manifest.clone())
            .map_err(|e| invalid_genesis(&home.genesis(), &e))?;
        let InUse {
            voting: key,
            network: identity,
            store,
            writer,
            known,
        } = succession::open(&home, keys, &genesis)?;
        let invited = invite.as_ref().and_then(|invite| {
            let own = VerifyKey::parse(key.node_id()).ok()?;
            Some(Invited::of(invite, &own, identity.public().to_peer_id()))
        });
        // after the database, whose sequence tells a torn end of the journal from damage
        let History {
            journal,
            records,
            abstaining,
        } = history::open(&home, key.node_id(), &store)?;
        let git = Plan::new(
            &config.settings,
            &manifest,
            key.node_id(),
            &home.git(),
            origin,
        )
        .going_on_from(succession::former_keys(&known, key.node_id()));
        // the engine proves what came after the genesis; until it has, others go by what it wrote
        let epochs = Arc::new(Epochs::new(genesis));
        let told = watch::Sender::new(Arc::new(known));
        let network = network_config(&config, identity, &told, &key, invited.as_ref(), &store)?;
        let hook = webhook(&config.settings, &paths);
        // the engine writes rows for what is delivered: it has to know whether there is anybody to
        // deliver to
        let settings = EngineSettings {
            git_fetch_every: git.fetch_every(),
            pin: invite.map(|invite| (invite.epoch, invite.manifest_hash)),
            changed_outbox: hook.iter().map(|_| HOOK_CHANGED).collect(),
            ..engine_settings(&config.settings)
        };
        let parts = EngineParts {
            key,
            epochs,
            settings,
            store,
            writer,
            journal,
            abstaining,
        };
        let applies = config.settings.conflict_resolution.auto_apply_consensus;
        Ok(Self {
            config,
            home,
            paths,
            parts,
            records,
            epochs: told,
            network,
            invited,
            git,
            applies,
            hook,
        })
    }
}

/// The database; one that is damaged is set aside, and an empty one begun.
pub(super) fn database(home: &Home, owner: Owner) -> Result<(Store, Writer), NodeError> {
    // only used for a new log: its incarnation, so that heads of different logs are no
    // contradiction
    let log_id = LogId(*keyfile::generate_seed()?);
    let (store, writer, set_aside) = Store::open_or_set_aside(home.root(), owner, log_id)?;
    if let Some(aside) = set_aside {
        tracing::error!(
            moved_to = %aside.moved_to.display(), reason = aside.reason,
            "the database was damaged: it is set aside, and filled again from peers"
        );
    }
    Ok((store, writer))
}

/// Takes in the chain that the node joined with, as far as the database does not have it: by that it
/// finds the members of today. It is proven first; the engine proves it again at each start.
pub(super) fn take_chain(
    home: &Home,
    genesis: &Manifest,
    store: &Store,
    writer: &mut Writer,
) -> Result<(), NodeError> {
    let path = home.epochs();
    let bytes = match regular::read(&path, CHAIN_BYTES) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        read => read.context("read", &path)?,
    };
    let invalid = |reason: String| NodeError::Genesis {
        path: path.clone(),
        reason,
    };
    let mut chain = Chain::of_validated(genesis.clone());
    let mut rows = Vec::new();
    for line in bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let line = ChainLine::parse(line).map_err(|e| invalid(e.to_string()))?;
        let ChainLine::Link(link) = line else {
            return Err(invalid("a line is no epoch's".to_owned()));
        };
        let row = EpochRow {
            manifest: link.manifest.to_json().to_jcs(),
            certificate: Some(link.certificate.clone()),
        };
        let epoch = link.manifest.epoch;
        chain.extend(*link).map_err(|e| invalid(e.to_string()))?;
        if store.epoch(epoch)?.is_none() {
            rows.push((epoch, row));
        }
    }
    if !rows.is_empty() {
        writer.write(Changes {
            epochs: rows,
            ..Changes::default()
        })?;
    }
    Ok(())
}

/// The epochs that are on disk, and the one that this node is in.
pub(super) fn known_epochs(genesis: &EpochContext, store: &Store) -> Result<Epochs, NodeError> {
    let mut known = Epochs::new(genesis.clone());
    for row in store.epochs(Epoch::ZERO.next()) {
        let (_, row) = row?;
        let manifest = Manifest::parse(row.manifest.as_bytes());
        if let Some(context) = manifest.ok().and_then(|it| genesis.successor(it).ok()) {
            known.add(context);
        }
    }
    known.enter(store.entered()?);
    Ok(known)
}

/// Where what is certified is told; nowhere if that cannot be used: a node that cannot tell others
/// still votes.
fn webhook(settings: &Settings, paths: &RegistryPaths) -> Option<SecretUrl> {
    let in_environment = std::env::var_os(hook::VARIABLE).is_some();
    hook::address(settings, &paths.federation_config, in_environment)
        .inspect_err(|why| tracing::error!(why, "certified events are not told to it"))
        .unwrap_or_default()
}

/// What the node runs with, unless that says that it is not to run.
fn configuration(
    paths: &RegistryPaths,
    home: &Home,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, NodeError> {
    let path = &paths.federation_config;
    let mut variables: Vec<_> = variables.into_iter().collect();
    // where there is no file nobody has said no: a node that lost it runs on with the defaults
    let is_said = path.exists() || variables.iter().any(|(name, _)| name == ENABLED_VARIABLE);
    if !is_said {
        variables.push((ENABLED_VARIABLE.to_owned(), "true".to_owned()));
    }
    let config = Config::effective(paths, home, variables)?;
    if config.settings.federation.enabled {
        Ok(config)
    } else {
        Err(NodeError::Disabled(path.to_path_buf()))
    }
}

fn genesis(path: &Path) -> Result<Manifest, NodeError> {
    let bytes = match regular::read(path, limits::DOCUMENT_BYTES as u64) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(NodeError::NoGenesis(path.to_owned()));
        }
        read => read.context("read", path)?,
    };
    let manifest = Manifest::parse(&bytes).map_err(|e| invalid_genesis(path, &e))?;
    manifest
        .validate_genesis()
        .map_err(|e| invalid_genesis(path, &e))?;
    Ok(manifest)
}

fn invalid_genesis(path: &Path, error: &dyn std::error::Error) -> NodeError {
    NodeError::Genesis {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

fn network_config(
    config: &Config,
    identity: Keypair,
    epochs: &watch::Sender<Arc<Epochs>>,
    key: &VotingKey,
    invited: Option<&Invited>,
    store: &Store,
) -> Result<NetworkConfig, NodeError> {
    let settings = &config.settings.network;
    let parse_all = |place: &str, texts: &[String]| -> Result<Vec<_>, NodeError> {
        texts
            .iter()
            .map(|text| members::address(place.to_owned(), text))
            .collect()
    };
    let known = epochs.borrow().clone();
    // exactly the manifests': who is in none of them is refused after the handshake
    let first = known.get(Epoch::ZERO).unwrap_or_else(|| known.current());
    members::peers(first.manifest(), key.node_id(), settings.observers)?;
    let observers = settings.observers;
    let members = members::admitted(&known, &[], invited, key.node_id(), observers);
    let peer_ids: BTreeMap<_, PeerId> = members
        .iter()
        .map(|member| (member.node, member.peer))
        .collect();
    // tried beside the manifest's: members move, and the manifest changes seldom
    let remembered = store.peers()?.into_iter().filter_map(|(node, row)| {
        let addresses = row
            .addresses
            .iter()
            .filter_map(|text| text.parse().ok())
            .collect();
        Some((*peer_ids.get(&node)?, addresses))
    });
    Ok(NetworkConfig {
        identity,
        listen: parse_all("network.listen", &settings.listen)?,
        bootstrap: parse_all("network.bootstrap", &settings.bootstrap)?,
        mdns: settings.mdns,
        members,
        epochs: epochs.subscribe(),
        local_node: key.node_id(),
        remembered: remembered.collect(),
        limits: NetworkLimits::default(),
    })
}

fn engine_settings(settings: &Settings) -> EngineSettings {
    // two types, so that the engine knows nothing of configuration files
    let endorsement = |configured: ConfiguredEndorsement| match configured {
        ConfiguredEndorsement::Trusted => Endorsement::Trusted,
        ConfiguredEndorsement::Commit => Endorsement::Commit,
        ConfiguredEndorsement::Operator => Endorsement::Operator,
        ConfiguredEndorsement::Observed => Endorsement::Observed,
    };
    let voting = &settings.voting;
    let millis = Duration::from_millis;
    EngineSettings {
        endorsement: endorsement(settings.endorsement.default),
        endorsement_by_event: settings
            .endorsement
            .by_event
            .iter()
            .map(|(k, v)| (k.clone(), endorsement(*v)))
            .collect(),
        settle_by_event: settings
            .endorsement
            .settle_seconds
            .iter()
            .map(|(k, v)| (k.clone(), Duration::from_secs(*v)))
            .collect(),
        review_timeout: Duration::from_secs(
            settings
                .endorsement
                .review_timeout_hours
                .saturating_mul(60 * 60),
        ),
        max_event_age: Duration::from_secs(
            settings
                .security
                .max_event_age_days
                .saturating_mul(24 * 60 * 60),
        ),
        timeouts: Timeouts {
            observe: millis(voting.observe_timeout_ms),
            propose: millis(voting.propose_timeout_ms),
            prevote: millis(voting.prevote_timeout_ms),
            precommit: millis(voting.precommit_timeout_ms),
            increment: millis(voting.timeout_increment_ms),
        },
        trust: trust_rules(&settings.trust_settings),
        trust_alert_below: points(settings.notifications.low_trust_threshold),
        sync_interval: Duration::from_secs(
            settings.sync_settings.interval_minutes.saturating_mul(60),
        ),
        certified_outbox: anchor::task::outbox_kinds(settings),
        ..EngineSettings::default()
    }
}

pub(super) fn trust_rules(settings: &TrustSettings) -> TrustRules {
    TrustRules {
        initial: points(settings.initial_trust_score),
        min: points(settings.min_trust_score),
        max: points(settings.max_trust_score),
        agreement: points(settings.agreement_bonus),
        disagreement: -points(settings.disagreement_penalty),
        inactive_after: DAY
            .saturating_mul(u32::try_from(settings.inactive_penalty_days).unwrap_or(u32::MAX)),
        inactive: -points(settings.inactive_penalty_amount),
    }
}

/// Configured points are 0 to 100.
fn points(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use ssid_engine::outbox::ANCHOR;

    #[test]
    fn a_node_that_is_not_enabled_does_not_run() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("federation_config.json");
        let runs = |variable: Option<&str>| {
            let variable =
                variable.map(|value| ("SSID_FEDERATION_ENABLED".to_owned(), value.to_owned()));
            let home = Home::new(dir.path());
            match configuration(
                &RegistryPaths::in_data_directory(dir.path()),
                &home,
                variable,
            ) {
                Ok(config) => config.settings.federation.enabled,
                Err(error) => {
                    assert!(
                        matches!(error, NodeError::Disabled(_)) && error.is_usage(),
                        "{error}"
                    );
                    false
                }
            }
        };
        assert!(runs(None) && !runs(Some("false")), "without a file");
        for (text, is_enabled) in [
            ("{}", false),
            (ENABLED, true),
            (r#"{"federation": {"enabled": false}}"#, false),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(runs(None), is_enabled, "{text}");
        }
        assert!(runs(Some("true")));
    }

    const ENABLED: &str = r#"{"federation": {"enabled": true}}"#;

    #[test]
    fn network_settings_reach_the_network() {
        use ssid_protocol::member::Role;
        let (mut manifest, _, _, keys) = ssid_protocol::testing::federation(4);
        for member in &mut manifest.members {
            member.peer_id = Keypair::generate_ed25519()
                .public()
                .to_peer_id()
                .to_string();
        }
        manifest.members[3].role = Role::Observer;
        let genesis = EpochContext::genesis(manifest.clone()).unwrap();
        let epochs = watch::Sender::new(Arc::new(Epochs::new(genesis)));
        let dir = tempfile::tempdir().unwrap();
        let owner = Owner {
            federation: manifest.federation_id(),
            node: keys[0].node_id(),
        };
        let (store, _writer) = Store::open(dir.path(), owner, LogId([1; 32])).unwrap();
        let made = |change: fn(&mut Settings)| {
            let mut config = Config::default();
            change(&mut config.settings);
            let made = network_config(
                &config,
                Keypair::generate_ed25519(),
                &epochs,
                &keys[0],
                None,
                &store,
            );
            let NetworkConfig { members, mdns, .. } = made.unwrap();
            (
                members
                    .iter()
                    .any(|member| member.node == keys[3].node_id()),
                mdns,
            )
        };
        assert_eq!(made(|_| {}), (false, true));
        assert_eq!(
            made(|settings| settings.network.observers = true),
            (true, true),
            "observers may connect"
        );
        assert_eq!(
            made(|settings| settings.network.mdns = false),
            (false, false)
        );
    }

    #[test]
    fn endorsement_settings_reach_the_engine() {
        let mut settings = Settings::default();
        let plain = engine_settings(&settings);
        assert_eq!(
            (plain.settle_of("a"), plain.review_timeout),
            (Duration::ZERO, Duration::from_hours(72))
        );
        settings.endorsement.settle_seconds.insert("a".into(), 7);
        settings.endorsement.review_timeout_hours = 5;
        settings
            .endorsement
            .by_event
            .insert("a".into(), ConfiguredEndorsement::Operator);
        let made = engine_settings(&settings);
        assert_eq!(
            (made.settle_of("a"), made.settle_of("b")),
            (Duration::from_secs(7), Duration::ZERO)
        );
        assert_eq!(made.review_timeout, Duration::from_hours(5));
        assert_eq!(made.endorsement_of("a"), Endorsement::Operator);
    }

    #[test]
    fn voting_and_security_settings_reach_the_engine() {
        let mut settings = Settings::default();
        let voting = &mut settings.voting;
        (voting.observe_timeout_ms, voting.propose_timeout_ms) = (1, 2);
        (voting.prevote_timeout_ms, voting.precommit_timeout_ms) = (3, 4);
        voting.timeout_increment_ms = 5;
        settings.security.max_event_age_days = 6;
        let made = engine_settings(&settings);
        let expected = Timeouts {
            observe: Duration::from_millis(1),
            propose: Duration::from_millis(2),
            prevote: Duration::from_millis(3),
            precommit: Duration::from_millis(4),
            increment: Duration::from_millis(5),
        };
        assert_eq!(made.timeouts, expected);
        assert_eq!(made.max_event_age, Duration::from_hours(6 * 24));
    }

    #[test]
    fn anchoring_settings_reach_the_engine() {
        let mut settings = Settings::default();
        assert!(engine_settings(&settings).certified_outbox.is_empty());
        settings.anchoring.after_certified = true;
        assert_eq!(engine_settings(&settings).certified_outbox, [ANCHOR]);
        settings.anchoring.after_certified = false;
        settings.advanced.ipfs_federation.enabled = true;
        assert_eq!(engine_settings(&settings).certified_outbox, [ANCHOR]);
    }

    #[test]
    fn trust_settings_reach_the_engine() {
        let mut settings = Settings::default();
        let plain = engine_settings(&settings);
        assert_eq!(
            (plain.trust, plain.trust_alert_below),
            (TrustRules::default(), 25),
            "the specification's"
        );
        assert_eq!(plain.sync_interval, Duration::from_hours(1));
        let trust = &mut settings.trust_settings;
        (
            trust.initial_trust_score,
            trust.min_trust_score,
            trust.max_trust_score,
        ) = (40, 10, 90);
        (trust.agreement_bonus, trust.disagreement_penalty) = (3, 7);
        (trust.inactive_penalty_days, trust.inactive_penalty_amount) = (2, 4);
        settings.notifications.low_trust_threshold = 30;
        settings.sync_settings.interval_minutes = 5;
        let made = engine_settings(&settings);
        let (inactive_after, inactive) = (2 * DAY, -4);
        let expected = TrustRules {
            initial: 40,
            min: 10,
            max: 90,
            agreement: 3,
            disagreement: -7,
            inactive_after,
            inactive,
        };
        assert_eq!((made.trust, made.trust_alert_below), (expected, 30));
        assert_eq!(made.sync_interval, Duration::from_mins(5));
    }
}
