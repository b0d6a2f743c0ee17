//! Members without a key in a federation whose members have keys: where
//! `security.allow_unsigned_members` says so, their plain logs are read every sync interval, and
//! when somebody asks. What they say is put into the federation manifest as observations, and
//! nowhere else.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::fetch::{PlainLogError, PlainLogs, Teller};
use super::plain::{
    Deployment, PlainMember, PlainSyncError, PlainSyncOptions, PlainSyncReport, Skipped, Unread,
    allows_unsigned, plain_members, sync,
};
use crate::config::Settings;
use crate::known_members::KnownMembers;
use crate::registry::manifest::{FederationManifest, ManifestNode};
use crate::registry::paths::RegistryPaths;

/// Asked syncs waiting for their turn.
const REQUESTS: usize = 8;

/// Where plain logs and what is known of their nodes are.
#[derive(Clone, Debug)]
pub struct PlainPlaces {
    /// Where the registry's files are.
    pub paths: RegistryPaths,
    /// The configuration as it was at the start.
    pub settings: Settings,
    /// Where mirrors of the nodes' repositories are kept.
    pub mirrors: PathBuf,
    /// The file of `ssid nodes observe`.
    pub known_members: PathBuf,
}

impl PlainPlaces {
    /// Reads the nodes' logs once. Whoever waits for it is told by `teller` of attempts that are
    /// made again.
    ///
    /// # Errors
    /// If the registry's own files, or the list of known members, cannot be read or written.
    pub async fn sync(
        &self,
        options: PlainSyncOptions,
        shutdown: &CancellationToken,
        teller: Option<Teller>,
    ) -> Result<PlainSyncReport, PlainSyncError> {
        let (_, members) = self.members("")?;
        if members.is_empty() {
            // without anybody to fetch from, whether there is a usable Git does not matter
            return Ok(PlainSyncReport {
                skipped: Some(Skipped::NoNodes),
                ..PlainSyncReport::default()
            });
        }
        // read each time: `nodes observe` writes it while the node runs
        let known = KnownMembers::load(&self.known_members)?;
        let logs = PlainLogs::new(
            &self.settings,
            self.mirrors.clone(),
            options.force,
            shutdown.clone(),
        )
        .await?;
        let logs = &logs.telling(teller);
        let unread = |error: PlainLogError| Unread {
            why: error.to_string(),
            is_unusable: error.is_of_content(),
        };
        let fetch = |node: ManifestNode| async move { logs.log_of(&node).await.map_err(unread) };
        let paths = &self.paths;
        let settings = &self.settings;
        let deployment = Deployment {
            paths,
            settings,
            known: &known,
            scratch: &self.mirrors,
        };
        sync(deployment, options, fetch).await
    }

    /// The nodes without a key, as manifest and list have them. Blocks.
    ///
    /// # Errors
    /// If one of the two files cannot be read.
    pub fn members(
        &self,
        at: &str,
    ) -> Result<(Option<FederationManifest>, Vec<PlainMember>), PlainSyncError> {
        let manifest = FederationManifest::read(&self.paths.federation_manifest)?;
        let known = KnownMembers::load(&self.known_members)?;
        let members = plain_members(manifest.as_ref(), &known, at);
        Ok((manifest, members))
    }
}

/// An asked sync, and whether a recent one is no reason against it.
type Request = (bool, oneshot::Sender<Result<PlainSyncReport, String>>);

/// A cheap way to the task.
#[derive(Clone, Debug)]
pub struct PlainHandle {
    places: PlainPlaces,
    requests: mpsc::Sender<Request>,
}

impl PlainHandle {
    /// Reads the nodes' logs now, unless that was done within the interval and is not forced; in
    /// words if it failed.
    ///
    /// # Errors
    /// As [`PlainPlaces::sync`], or if the node is ending.
    pub async fn sync(&self, force: bool) -> Result<PlainSyncReport, String> {
        let (reply, report) = oneshot::channel();
        let ending = || "the node is ending".to_owned();
        self.requests
            .send((force, reply))
            .await
            .map_err(|_| ending())?;
        report.await.map_err(|_| ending())?
    }

    /// Where things are.
    pub fn places(&self) -> &PlainPlaces {
        &self.places
    }
}

/// The task of a node with a key, and the way to it.
pub fn prepare(
    places: PlainPlaces,
    shutdown: CancellationToken,
) -> (PlainHandle, impl Future<Output = ()>) {
    let (requests, inbox) = mpsc::channel(REQUESTS);
    (
        PlainHandle {
            places: places.clone(),
            requests,
        },
        follow(places, inbox, shutdown),
    )
}

/// Reads the logs every `sync_settings.interval_minutes` where that is allowed, and when asked,
/// until the end.
async fn follow(
    places: PlainPlaces,
    mut inbox: mpsc::Receiver<Request>,
    shutdown: CancellationToken,
) {
    let by_itself = allows_unsigned(&places.settings, true);
    let interval = Duration::from_secs(
        places
            .settings
            .sync_settings
            .interval_minutes
            .saturating_mul(60)
            .max(1),
    );
    let mut look = tokio::time::interval(interval);
    // a machine that slept reads once and not for each time that it missed
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let request = tokio::select! {
            () = shutdown.cancelled() => return,
            request = inbox.recv() => match request {
                Some(request) => Some(request),
                None => return,
            },
            _ = look.tick(), if by_itself => None,
        };
        // by itself it always fetches: an interval is longer than anything is fresh
        let force = request.as_ref().is_none_or(|(force, _)| *force);
        // with keys there are votes: plain logs are shown and decide nothing
        let options = PlainSyncOptions {
            force,
            apply: false,
            has_keys: true,
        };
        let read = tokio::select! {
            () = shutdown.cancelled() => return,
            read = places.sync(options, &shutdown, None) => read.map_err(|error| error.to_string()),
        };
        tell(&read);
        if let Some((_, reply)) = request {
            // whoever asked may have gone
            reply.send(read).ok();
        }
        // asked for by hand, the next one is an interval away
        look.reset();
    }
}

fn tell(read: &Result<PlainSyncReport, String>) {
    let report = match read {
        Ok(report) => report,
        Err(error) => {
            return tracing::warn!(
                "the plain logs of members without a key were not read: {error}"
            );
        }
    };
    for node in &report.nodes {
        match (&node.error, node.comparison) {
            (Some(error), _) => {
                tracing::warn!(node = node.node_name, "its plain log was not read: {error}");
            }
            (None, Some(found)) => tracing::debug!(node = node.node_name, ?found, "plain log read"),
            (None, None) => {}
        }
    }
}
