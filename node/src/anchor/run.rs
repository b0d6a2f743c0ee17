//! One anchoring session: what is not anchored yet is named here, uploaded, compared, pinned, and
//! recorded. The same content is never anchored twice, and a file whose content has changed is
//! anchored again.

use std::collections::{BTreeMap, BTreeSet};

use cid::Cid;
use futures::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use ssid_protocol::id::{Sha256Hash, UnixMillis};
use ssid_storage::AnchorRow;

use super::FILE_BYTES;
use super::cid::{Content, Import, of_reader};
use super::error::AnchorError;
use super::kubo::{Source, Upload};
use super::manifest::{AnchorManifest, AnchorRecord};
use super::provider::{Outages, Placed, Providers};
use super::select::{Candidate, Trigger};
use crate::clock;
use crate::place::Place;

/// Uploads in one session; what is over waits for the next (blueprint v4.3).
pub const SESSION_FILES: usize = 100;

/// Something to anchor.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its path in the registry.
    pub name: String,
    /// Where its bytes are read from.
    pub source: Source,
    /// The event that calls for it.
    pub trigger: Trigger,
    /// Whether it is to be kept, not only uploaded.
    pub pin: bool,
}

impl From<Candidate> for Item {
    fn from(file: Candidate) -> Self {
        Self {
            name: file.relative,
            source: Source::File(file.place),
            trigger: file.trigger,
            pin: true,
        }
    }
}

/// What is anchored already, by SHA-256 in lower-case hex: whether a pinning service has it.
#[derive(Clone, Debug, Default)]
pub struct Known(BTreeMap<String, bool>);

impl Known {
    /// What a manifest lists.
    pub fn of(records: &[AnchorRecord]) -> Self {
        let mut known = Self::default();
        records
            .iter()
            .for_each(|record| known.add(&record.file_hash, record.pin_service.is_some()));
        known
    }

    /// Adds a document by the SHA-256 of its bytes.
    pub fn add(&mut self, sha256: &str, has_pin_service: bool) {
        *self.0.entry(sha256.to_ascii_lowercase()).or_default() |= has_pin_service;
    }
}

/// What became of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// What was anchored in this session.
    pub anchored: Vec<AnchorRecord>,
    /// How many were anchored before.
    pub unchanged: u64,
    /// Not anchored, or not everywhere, and why.
    pub failed: Vec<Failure>,
    /// How many wait because the session was full.
    pub left: u64,
    /// What went wrong without hindering anything.
    pub remarks: Vec<String>,
}

/// Something that is not anchored, or not in every place that it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its path in the registry.
    pub file: String,
    /// Why, and the next step.
    pub reason: String,
    /// Whether a provider failed, so that a later try may succeed as things stand.
    pub retry: bool,
}

impl Session {
    /// Whether it should be tried again.
    pub fn must_retry(&self) -> bool {
        self.failed.iter().any(|failure| failure.retry)
    }

    /// Writes what was anchored into the manifest.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn record(&self, manifest: &Place) -> Result<(), AnchorError> {
        if self.anchored.is_empty() {
            Ok(())
        } else {
            AnchorManifest::append(manifest, &self.anchored, &clock::now().iso())
        }
    }

    /// The same as rows for storage.
    pub fn rows(&self, at: UnixMillis) -> Vec<(Sha256Hash, AnchorRow)> {
        let row = |record: &AnchorRecord| {
            let services = [&record.storage_provider, &record.pin_service]
                .into_iter()
                .flatten()
                .cloned()
                .collect();
            let name = record.file_path.clone();
            let cid = record.ipfs_cid.clone();
            Some((
                record.file_hash.parse().ok()?,
                AnchorRow {
                    name,
                    cid,
                    at,
                    services,
                },
            ))
        };
        self.anchored.iter().filter_map(row).collect()
    }
}

/// How far a session is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Uploads that have ended.
    pub done: u64,
    /// Uploads in all.
    pub total: u64,
}

/// Anchors what of `items` is not known, [`SESSION_FILES`] at most, several at once. `progress` is
/// told how far it is.
pub async fn session(
    items: Vec<Item>,
    known: &Known,
    providers: &Providers,
    gateway: Option<&str>,
    progress: &(dyn Fn(Progress) + Sync),
) -> Session {
    let mut session = Session::default();
    let uploads = choose(items, known, providers, &mut session).await;
    let outages = Outages::default();
    let total = uploads.len() as u64;
    progress(Progress { done: 0, total });
    let outages = &outages;
    // with the flag, as uploads end in another order than they began
    let put = |upload: Chosen| async move {
        let is_again = upload.is_again;
        (
            is_again,
            put(upload.item, upload.content, providers, outages).await,
        )
    };
    let mut ended = stream::iter(uploads.into_iter().map(put)).buffer_unordered(providers.parallel);
    let mut done = 0;
    while let Some((is_again, (item, content, outcome))) = ended.next().await {
        done += 1;
        progress(Progress { done, total });
        match outcome {
            Ok(placed) => {
                session.note(&item, &placed);
                // what stands in the manifest already, and got no further, is no news
                if !is_again || placed.pin_service.is_some() {
                    session
                        .anchored
                        .push(record(&item, &content, &placed, gateway));
                }
            }
            Err(failure) => session.failed.push(failure),
        }
    }
    // uploads end in any order; people and the manifest get them in one
    session
        .anchored
        .sort_by(|a, b| a.file_path.cmp(&b.file_path));
    session.failed.sort_by(|a, b| a.file.cmp(&b.file));
    session
}

/// What a session uploads.
struct Chosen {
    item: Item,
    content: Content,
    /// It is anchored, and only lacks the pinning service.
    is_again: bool,
}

/// What of `items` is to be uploaded; the session counts the others.
async fn choose(
    items: Vec<Item>,
    known: &Known,
    providers: &Providers,
    session: &mut Session,
) -> Vec<Chosen> {
    let import = providers.import;
    // hashed here before anything is sent: what is known by its content is not uploaded again
    let mut named =
        stream::iter(items.into_iter().map(|item| name(item, import))).buffered(providers.parallel);
    let mut chosen = Vec::new();
    let mut seen = BTreeSet::new();
    while let Some((item, content)) = named.next().await {
        let content = match content {
            Ok(content) => content,
            Err(reason) => {
                session.failed.push(Failure {
                    file: item.name,
                    reason,
                    retry: false,
                });
                continue;
            }
        };
        let earlier = known.0.get(&content.sha256.to_string());
        // on one machine only, although a service was configured since: that much is made up for
        let is_again = providers.wants_pin_service() && item.pin && earlier == Some(&false);
        // twice in one session, under two names, is one upload
        if !seen.insert(content.sha256) || earlier.is_some() && !is_again {
            session.unchanged += 1;
        } else if chosen.len() == SESSION_FILES {
            // the rest waits for the next session: a stop loses one session's work at most
            session.left += 1;
        } else {
            chosen.push(Chosen {
                item,
                content,
                is_again,
            });
        }
    }
    chosen
}

impl Session {
    /// Takes in what is worth saying of an upload that was taken.
    fn note(&mut self, item: &Item, placed: &Placed) {
        self.remarks.extend(
            placed
                .remarks
                .iter()
                .map(|remark| format!("{}: {remark}", item.name)),
        );
        // delivered and yet to be told: it stays due until the service has it as well
        if let Some(why) = &placed.lacks {
            let reason = format!("it is on {}, but {why}", placed.services.join(", "));
            self.failed.push(Failure {
                file: item.name.clone(),
                reason,
                retry: true,
            });
        }
    }
}

async fn name(item: Item, import: Import) -> (Item, Result<Content, String>) {
    let source = item.source.clone();
    let content = tokio::task::spawn_blocking(move || content_of(&source, import)).await;
    (item, content.unwrap_or_else(|e| Err(e.to_string())))
}

fn content_of(source: &Source, import: Import) -> Result<Content, String> {
    let path = match source {
        Source::Bytes(bytes) => {
            return of_reader(bytes.as_slice(), &[import]).map_err(|e| e.to_string());
        }
        Source::File(place) => place,
    };
    let unread = |e: std::io::Error| format!("cannot be read: {e}");
    let file = path.open_to_publish().map_err(unread)?;
    let size = file.metadata().map_err(unread)?.len();
    if size > FILE_BYTES {
        return Err(format!("{size} bytes exceed file_bytes = {FILE_BYTES}"));
    }
    of_reader(file, &[import]).map_err(unread)
}

async fn put(
    item: Item,
    content: Content,
    providers: &Providers,
    outages: &Outages,
) -> (Item, Content, Result<Placed, Failure>) {
    let upload = Upload {
        name: file_name(&item.name).to_owned(),
        source: item.source.clone(),
        bytes: content.bytes,
        cid: cid_in(&content),
        import: providers.import,
        pin: item.pin,
    };
    let outcome = match providers.put(&upload, outages).await {
        Ok(placed) => Ok(placed),
        Err(errors) => Err(explain(&item, &content, providers.import, &errors).await),
    };
    (item, content, outcome)
}

/// A file that was written to while it was uploaded is nobody's failure.
async fn explain(
    item: &Item,
    before: &Content,
    import: Import,
    errors: &[super::error::ProviderError],
) -> Failure {
    let file = item.name.clone();
    let (_, after) = name(item.clone(), import).await;
    if after.is_ok_and(|after| after.sha256 != before.sha256) {
        let reason = "it was changed while it was uploaded\n  the next run takes it as it is then"
            .to_owned();
        return Failure {
            file,
            reason,
            retry: true,
        };
    }
    let reasons: Vec<String> = errors.iter().map(ToString::to_string).collect();
    Failure {
        file,
        reason: reasons.join("; "),
        retry: true,
    }
}

fn record(item: &Item, content: &Content, placed: &Placed, gateway: Option<&str>) -> AnchorRecord {
    let cid = cid_in(content).to_string();
    AnchorRecord {
        file_path: item.name.clone(),
        file_name: file_name(&item.name).to_owned(),
        file_hash: content.sha256.to_string(),
        ipfs_gateway_url: gateway
            .map(|gateway| format!("{}/{cid}", gateway.trim_end_matches('/')))
            .unwrap_or_default(),
        ipfs_cid: cid,
        anchored_at: clock::now().iso(),
        event_type: item.trigger.event.clone(),
        event_version: item.trigger.version.clone(),
        event_timestamp: item.trigger.timestamp.clone(),
        blueprint_version: item.trigger.blueprint.clone(),
        pinned: Some(placed.pinned),
        pin_service: placed.pin_service.clone(),
        storage_provider: placed.services.first().cloned(),
    }
}

/// Exactly one import is asked for, so there is exactly one CID.
fn cid_in(content: &Content) -> Cid {
    content.cids.first().copied().unwrap_or_default()
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
