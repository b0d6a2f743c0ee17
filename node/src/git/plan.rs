//! What the configuration and the manifest say of Git: whose branches there are, where, and how
//! hard to try.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ssid_protocol::id::NodeId;
use ssid_protocol::manifest::Manifest;
use ssid_protocol::member::Member;

use super::checkout::Origin;
use super::history::Place;
use super::mirror::Source;
use super::remote::GitRemote;
use super::schedule::Schedule;
use super::sync::Effort;
use crate::config::{GitProtocol, Settings};

/// Seconds that one fetch may take, whatever the configuration says (SPEC §10).
const FETCH_SECONDS: u64 = 60;

/// How this node uses Git.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) me: NodeId,
    /// The keys that this node's took the places of.
    pub(super) former: Vec<NodeId>,
    pub(super) branch: String,
    /// Where this node publishes, or why it does not.
    pub(super) own: Result<GitRemote, String>,
    /// Where it is meant to publish, without secrets; nothing if nobody wants it to.
    pub(super) own_shown: Option<String>,
    pub(super) own_dir: PathBuf,
    /// Where the mirrors of members' default branches are.
    pub(super) histories: PathBuf,
    /// The other members of the epoch that the node has entered.
    pub(super) members: Vec<PlannedMember>,
    /// Where the mirrors of members' branches are.
    mirrors: PathBuf,
    /// Commits that a new mirror begins with.
    depth: u64,
    pub(super) allowed: Vec<GitProtocol>,
    pub(super) timeout: Duration,
    pub(super) effort: Effort,
    /// How long a fetched mirror is new enough.
    pub(super) fresh_for: Duration,
    pub(super) keeps_mirrors: bool,
    pub(super) schedule: Schedule,
}

/// Another member, whose branch is fetched.
#[derive(Clone, Debug)]
pub(super) struct PlannedMember {
    pub(super) node: NodeId,
    pub(super) name: String,
    /// Its branch; why there is none, if the manifest names one that is refused; nothing if it
    /// names none.
    pub(super) source: Option<Result<Source, String>>,
}

impl PlannedMember {
    /// Its repository as a place to look for commits in, with mirrors in `dir`; or why it is none.
    pub(super) fn place(&self, dir: &Path) -> Result<Place, String> {
        let source = self
            .source
            .clone()
            .unwrap_or_else(|| Err("it has no Git remote".to_owned()))?;
        let mirror = source
            .dir
            .file_name()
            .map(|name| dir.join(name))
            .unwrap_or_default();
        Ok(Place {
            remote: source.remote,
            dir: mirror,
            depth: source.depth,
        })
    }
}

impl Plan {
    /// The plan of member `me`, whose Git files are in `dir`. `origin` is where its governance
    /// repository comes from.
    pub fn new(
        settings: &Settings,
        manifest: &Manifest,
        me: NodeId,
        dir: &Path,
        origin: Origin,
    ) -> Self {
        let allowed = settings.security.allowed_git_protocols.clone();
        let sync = &settings.sync_settings;
        let performance = &settings.performance;
        let network = &settings.network;
        let seconds = Duration::from_secs;
        let (own, own_shown) = own_remote(&settings.local_node.git_remote, origin, &allowed);
        let mut plan = Self {
            me,
            former: Vec::new(),
            branch: sync.git_branch.clone(),
            own,
            own_shown,
            own_dir: dir.join("own.git"),
            histories: dir.join("commits"),
            members: Vec::new(),
            mirrors: dir.join("mirrors"),
            depth: sync.max_clone_depth,
            // one fetch shall not hold up the others for long
            timeout: seconds(sync.timeout_seconds.min(FETCH_SECONDS)),
            effort: Effort {
                retries: sync.max_retry_attempts,
                delay: seconds(sync.retry_delay_seconds),
                parallel: if performance.parallel_sync {
                    usize::try_from(performance.max_parallel_syncs).unwrap_or(1)
                } else {
                    1
                },
            },
            fresh_for: seconds(performance.cache_ttl_minutes * 60),
            keeps_mirrors: performance.cache_remote_events,
            schedule: Schedule::new(
                seconds(sync.interval_minutes * 60),
                settings.federation.auto_sync,
                seconds(network.fallback_after_seconds),
                seconds(network.fallback_interval_seconds),
            ),
            allowed,
        };
        plan.enter(manifest);
        plan
    }

    /// The same of a node whose key took the places of these.
    #[must_use]
    pub fn going_on_from(self, former: Vec<NodeId>) -> Self {
        Self { former, ..self }
    }

    /// The members are those of this manifest from now on.
    pub(super) fn enter(&mut self, manifest: &Manifest) {
        let others = manifest
            .members
            .iter()
            .filter(|member| member.node_id != self.me);
        self.members = others
            .map(|member| PlannedMember {
                node: member.node_id,
                name: member.node_name.clone(),
                source: (!member.git_remote.is_empty()).then(|| self.source_of(member)),
            })
            .collect();
    }

    /// The branch of a member, or why its remote is refused.
    fn source_of(&self, member: &Member) -> Result<Source, String> {
        let name: String = member.node_id.to_string().chars().take(16).collect();
        let remote = GitRemote::parse(&member.git_remote, &self.allowed);
        Ok(Source {
            node: member.node_id,
            remote: remote.map_err(|e| e.to_string())?,
            branch: self.branch.clone(),
            dir: self.mirrors.join(format!("{name}.git")),
            depth: self.depth,
        })
    }

    /// Whether there is anything to fetch or to publish.
    pub fn uses_git(&self) -> bool {
        self.own.is_ok()
            || self
                .members
                .iter()
                .any(|member| matches!(member.source, Some(Ok(_))))
    }

    /// How often branches are fetched while votes go over Git, for the engine's timeouts; `None` if
    /// there are none.
    pub fn fetch_every(&self) -> Option<Duration> {
        self.uses_git().then_some(self.schedule.fallback_every)
    }
}

/// Where this node publishes, or why it does not; and where it is meant to, in words without
/// secrets.
fn own_remote(
    configured: &str,
    origin: Origin,
    allowed: &[GitProtocol],
) -> (Result<GitRemote, String>, Option<String>) {
    let address = match origin {
        _ if !configured.is_empty() => configured.to_owned(),
        Origin::Address(address) => address,
        Origin::Unknown(why) => return (Err(why), Some("origin".to_owned())),
        Origin::None => {
            let why = "neither local_node.git_remote nor the repository's origin is set";
            return (Err(why.to_owned()), None);
        }
    };
    let shown = GitRemote::shown(&address);
    (
        GitRemote::parse(&address, allowed).map_err(|e| e.to_string()),
        Some(shown),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use ssid_protocol::testing;

    use super::*;

    #[test]
    fn the_members_are_those_of_the_epoch_that_was_entered() {
        let mut manifest = testing::manifest(4);
        let me = manifest.members[0].node_id;
        let settings = Settings::default();
        let mut plan = Plan::new(&settings, &manifest, me, Path::new("/d"), Origin::None);
        let nodes = |plan: &Plan| plan.members.iter().map(|m| m.node).collect::<Vec<_>>();
        assert_eq!(nodes(&plan).len(), 3);
        assert!(!plan.uses_git());
        // one leaves, another names where its branch is
        let left = manifest.members.remove(1).node_id;
        manifest.members[1].git_remote = "https://git.example/a".to_owned();
        plan.enter(&manifest);
        assert_eq!(
            nodes(&plan),
            [manifest.members[1].node_id, manifest.members[2].node_id]
        );
        assert!(!nodes(&plan).contains(&left) && plan.uses_git());
        let source = plan.members[0].source.clone().unwrap().unwrap();
        assert!(source.dir.starts_with("/d/mirrors") && source.node == plan.members[0].node);
    }

    #[test]
    fn every_setting_changes_the_plan() {
        let mut manifest = testing::manifest(4);
        let me = manifest.members[0].node_id;
        let plan = |settings: &Settings, manifest: &Manifest| {
            Plan::new(settings, manifest, me, Path::new("/d"), Origin::None)
        };
        let mut settings = Settings::default();
        let plain = plan(&settings, &manifest);
        assert!(!plain.uses_git() && plain.fetch_every().is_none() && plain.own.is_err());
        assert_eq!(
            (plain.timeout, plain.effort.parallel),
            (Duration::from_mins(1), 1)
        );

        manifest.members[1].git_remote = "https://git.example/a".to_owned();
        manifest.members[2].git_remote = "file:///b".to_owned();
        settings.sync_settings.timeout_seconds = 7;
        settings.sync_settings.max_retry_attempts = 5;
        settings.sync_settings.retry_delay_seconds = 9;
        settings.sync_settings.max_clone_depth = 11;
        settings.sync_settings.git_branch = "other".to_owned();
        settings.sync_settings.interval_minutes = 2;
        settings.federation.auto_sync = true;
        settings.network.fallback_after_seconds = 13;
        settings.network.fallback_interval_seconds = 17;
        settings.performance.parallel_sync = true;
        settings.performance.max_parallel_syncs = 6;
        settings.performance.cache_ttl_minutes = 1;
        settings.performance.cache_remote_events = false;
        settings.local_node.git_remote = "git@host:own".to_owned();
        let made = plan(&settings, &manifest);
        let source = made.members[0].source.clone().unwrap().unwrap();
        assert_eq!(
            (source.depth, source.branch.as_str(), made.branch.as_str()),
            (11, "other", "other")
        );
        assert_eq!(
            (made.timeout, made.fresh_for),
            (Duration::from_secs(7), Duration::from_mins(1))
        );
        assert_eq!(
            made.effort,
            Effort {
                retries: 5,
                delay: Duration::from_secs(9),
                parallel: 6
            }
        );
        assert_eq!(
            (made.schedule.interval, made.schedule.automatic),
            (Duration::from_mins(2), true)
        );
        assert_eq!(made.schedule.fallback_after, Duration::from_secs(13));
        assert_eq!(
            (made.fetch_every(), made.keeps_mirrors),
            (Some(Duration::from_secs(17)), false)
        );
        assert_eq!(made.own.unwrap().secret(), "git@host:own");
        // refused ones are named, and others are not asked
        assert!(
            made.members[1]
                .source
                .clone()
                .unwrap()
                .unwrap_err()
                .contains("file is not allowed")
        );
        assert!(made.members[2].source.is_none());
        settings.security.allowed_git_protocols = vec![GitProtocol::File];
        let made = plan(&settings, &manifest);
        assert!(made.own.is_err() && made.members[1].source.clone().unwrap().is_ok());
        // without a remote of its own, a node publishes where its repository comes from
        settings.local_node.git_remote.clear();
        let with = |origin| Plan::new(&settings, &manifest, me, Path::new("/d"), origin);
        let made = with(Origin::Address("/srv/origin".to_owned()));
        assert_eq!(made.own.unwrap().secret(), "/srv/origin");
        let made = with(Origin::Address("https://ada:s3cret@host/a".to_owned()));
        assert!(made.own.is_err() && made.own_shown.unwrap().ends_with("@host/a"));
        let made = with(Origin::Unknown("because".to_owned()));
        assert_eq!(
            (made.own, made.own_shown),
            (Err("because".to_owned()), Some("origin".to_owned()))
        );
    }
}
