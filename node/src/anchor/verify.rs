//! Fetches anchored content back and proves it: the bytes are hashed again, against the SHA-256
//! that was recorded and against the CID. Who delivers them is not believed.

use std::time::Duration;

use cid::Cid;
use futures::{StreamExt as _, stream};
use reqwest::{Client, Response, Url};
use serde::{Deserialize, Serialize};
use ssid_protocol::id::Sha256Hash;

use super::FILE_BYTES;
use super::cid::{ContentHasher, Import};
use super::error::ProviderError;
use super::http::{LONGEST, gateway_client, root_cause};
use super::kubo::Kubo;
use super::manifest::AnchorRecord;
use super::provider::local;
use crate::config::Anchoring;

/// An anchor to prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its path in the registry.
    pub file: String,
    /// The SHA-256 that was recorded, in hex.
    pub sha256: String,
    /// The content identifier that was recorded.
    pub cid: String,
}

impl From<&AnchorRecord> for Target {
    fn from(record: &AnchorRecord) -> Self {
        let file = record.file_path.clone();
        let sha256 = record.file_hash.to_ascii_lowercase();
        Self {
            file,
            sha256,
            cid: record.ipfs_cid.clone(),
        }
    }
}

/// What a fetch proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The content is what was recorded.
    Proven,
    /// Somebody delivered other content, or what was recorded contradicts itself.
    Differs,
    /// Nobody delivered it.
    Unreachable,
}

/// One anchor, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Its path in the registry.
    pub file: String,
    /// The content identifier that was recorded.
    pub cid: String,
    /// What was proved.
    pub verdict: Verdict,
    /// Who delivered the content, if somebody did.
    pub from: Option<String>,
    /// What was wrong, and with whom.
    pub notes: Vec<String>,
}

/// Where content is fetched from: the local node first, then the gateways in order.
#[derive(Clone, Debug)]
pub struct Verifier {
    local: Option<Kubo>,
    gateways: Vec<Url>,
    http: Client,
    timeout: Duration,
    parallel: usize,
    /// Whether every place is asked, instead of the next only if one does not deliver.
    pub everywhere: bool,
}

enum Fetched {
    Same,
    Other(String),
    Nothing(String),
}

impl Verifier {
    /// The places of the configuration.
    ///
    /// # Errors
    /// If HTTPS cannot be set up, or there is no place at all.
    pub fn configured(settings: &Anchoring) -> Result<Self, ProviderError> {
        let local = if settings.local_api.is_empty() {
            None
        } else {
            Some(local(settings)?)
        };
        let gateways: Vec<Url> = settings
            .gateways
            // one that is no address is told when the configuration is checked; the others do for
            // this
            .iter()
            .filter_map(|text| Url::parse(text).ok())
            .collect();
        // else everything would be unreachable, and nobody know why
        if local.is_none() && gateways.is_empty() {
            return Err(ProviderError::NotConfigured {
                provider: "gateways",
                key: "anchoring.gateways",
            });
        }
        Ok(Self {
            local,
            gateways,
            http: gateway_client()?,
            timeout: Duration::from_secs(settings.timeout_seconds),
            parallel: usize::try_from(settings.parallel_uploads)
                .unwrap_or(1)
                .max(1),
            everywhere: false,
        })
    }

    /// Checks all of them, several at once, in their order. `progress` is told after each.
    pub async fn check(&self, targets: Vec<Target>, progress: &(dyn Fn() + Sync)) -> Vec<Checked> {
        let one = |target: Target| async move {
            let checked = self.check_one(&target).await;
            progress();
            checked
        };
        stream::iter(targets.into_iter().map(one))
            .buffered(self.parallel)
            .collect()
            .await
    }

    async fn check_one(&self, target: &Target) -> Checked {
        let mut checked = Checked {
            file: target.file.clone(),
            cid: target.cid.clone(),
            verdict: Verdict::Unreachable,
            from: None,
            notes: Vec::new(),
        };
        // it can be compared with nothing: as good as other content
        let (Ok(cid), Ok(sha256)) = (
            target.cid.parse::<Cid>(),
            target.sha256.parse::<Sha256Hash>(),
        ) else {
            checked.verdict = Verdict::Differs;
            checked
                .notes
                .push("the record has no readable CID and SHA-256".to_owned());
            return checked;
        };
        // the own node first: it is the one that is to have it
        if let Some(local) = &self.local {
            let fetched = self.fetch(local.cat(&cid), &cid, &sha256).await;
            Self::note(&mut checked, local.0.place(), fetched);
        }
        for gateway in &self.gateways {
            // one place that has it is proof enough, unless each is to be asked
            if checked.from.is_some() && !self.everywhere {
                break;
            }
            let place = gateway.host_str().unwrap_or_default().to_owned();
            let fetched = self.fetch(self.through(gateway, &cid), &cid, &sha256).await;
            Self::note(&mut checked, place, fetched);
        }
        checked
    }

    /// One that differs somewhere differs, whatever others deliver.
    fn note(checked: &mut Checked, place: String, fetched: Fetched) {
        match fetched {
            Fetched::Same => {
                checked.from.get_or_insert(place);
                if checked.verdict == Verdict::Unreachable {
                    checked.verdict = Verdict::Proven;
                }
            }
            Fetched::Other(what) => {
                checked.verdict = Verdict::Differs;
                checked.notes.push(format!("{place}: {what}"));
            }
            Fetched::Nothing(why) => checked.notes.push(format!("{place}: {why}")),
        }
    }

    async fn through(&self, gateway: &Url, cid: &Cid) -> Result<Response, String> {
        let mut url = gateway.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(&cid.to_string());
        }
        let response = self
            .http
            .get(url)
            .timeout(LONGEST)
            .send()
            .await
            .map_err(|e| root_cause(&e))?;
        let status = response.status();
        if status.is_success() {
            Ok(response)
        } else {
            Err(format!("HTTP {status}"))
        }
    }

    async fn fetch<E: ToString>(
        &self,
        response: impl Future<Output = Result<Response, E>>,
        cid: &Cid,
        sha256: &Sha256Hash,
    ) -> Fetched {
        // both waits: for the answer and for each piece of it
        let late = || Fetched::Nothing(format!("nothing within {} s", self.timeout.as_secs()));
        let Ok(response) = tokio::time::timeout(self.timeout, response).await else {
            return late();
        };
        let mut response = match response {
            Ok(response) => response,
            Err(error) => {
                // the first line says what happened; the step after it is for those who upload
                return Fetched::Nothing(
                    error
                        .to_string()
                        .lines()
                        .next()
                        .unwrap_or_default()
                        .to_owned(),
                );
            }
        };
        // by each way in which files are cut that may have made this CID
        let mut hasher = ContentHasher::new(&Import::candidates(cid));
        loop {
            match tokio::time::timeout(self.timeout, response.chunk()).await {
                Err(_) => return late(),
                Ok(Err(error)) => return Fetched::Nothing(root_cause(&error)),
                Ok(Ok(None)) => break,
                Ok(Ok(Some(chunk))) => hasher.update(&chunk),
            }
            // hashed as it comes and thrown away: a gateway may send without end
            if hasher.bytes() > FILE_BYTES {
                return Fetched::Nothing(format!("it is longer than file_bytes = {FILE_BYTES}"));
            }
        }
        let content = hasher.finish();
        // against what was recorded when it was anchored: a gateway can serve whatever it likes
        if content.sha256 != *sha256 {
            return Fetched::Other(format!(
                "delivered SHA-256 {}, recorded is {sha256}",
                content.sha256
            ));
        }
        if !content
            .cids
            .iter()
            // what the codec says does not matter to the bytes, where only the version differs
            .any(|named| (named.codec(), named.hash()) == (cid.codec(), cid.hash()))
        {
            return Fetched::Other(
                "the bytes have the recorded SHA-256, but not this CID".to_owned(),
            );
        }
        Fetched::Same
    }
}
