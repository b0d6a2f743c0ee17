//! The places content is put, in the order of `anchoring.providers`: the first that takes it is
//! enough to upload, and a pinning service, if one is named, is asked to keep it besides.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::cid::{CidVersion, Import};
use super::error::ProviderError;
use super::http::Endpoint;
use super::kubo::{Kubo, Upload};
use super::pinning::{PinState, Pinning};
use super::token::Token;
use crate::config::{Anchoring, IpfsProvider};

/// One place that takes uploads.
#[derive(Clone, Debug)]
enum Uploader {
    Kubo(Kubo),
    /// Switched off by its owner: refuses everything, with what to do instead.
    Web3,
}

impl Uploader {
    fn name(&self) -> &'static str {
        match self {
            Self::Kubo(kubo) => kubo.0.provider,
            Self::Web3 => IpfsProvider::Web3.as_str(),
        }
    }
}

/// The configured places.
#[derive(Clone, Debug)]
pub struct Providers {
    uploaders: Vec<Uploader>,
    pinning: Option<Pinning>,
    /// How content is imported.
    pub import: Import,
    /// Uploads at once.
    pub parallel: usize,
}

/// Where content lies now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// The providers that have it, in order.
    pub services: Vec<String>,
    /// Whether one of them keeps it.
    pub pinned: bool,
    /// Whether a pinning service has it.
    pub pin_service: Option<String>,
    /// Why the pinning service that it should be on does not have it.
    pub lacks: Option<String>,
    /// What failed besides.
    pub remarks: Vec<String>,
}

/// Places that failed in this session as a whole: they are not asked for every file again.
#[derive(Debug, Default)]
pub struct Outages(Mutex<BTreeSet<&'static str>>);

impl Outages {
    fn has(&self, provider: &'static str) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(provider)
    }

    fn note(&self, provider: &'static str, error: &ProviderError) {
        if error.is_outage() {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(provider);
        }
    }
}

impl Providers {
    /// The places of the configuration. `lookup` reads an environment variable; nothing is
    /// connected to yet.
    ///
    /// # Errors
    /// If one lacks its address or token, or none is named.
    pub fn configured(
        settings: &Anchoring,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ProviderError> {
        let timeout = Duration::from_secs(settings.timeout_seconds);
        let mut uploaders = Vec::new();
        let mut pinning = None;
        for provider in &settings.providers {
            match provider {
                IpfsProvider::Local => uploaders.push(Uploader::Kubo(local(settings)?)),
                IpfsProvider::Remote => {
                    let base = needed("remote", "anchoring.remote_api", &settings.remote_api)?;
                    let token = Token::find("remote", &settings.remote_token_env, base, lookup)?;
                    uploaders.push(Uploader::Kubo(Kubo(Endpoint::new(
                        "remote",
                        base,
                        Some(token),
                        timeout,
                    )?)));
                }
                IpfsProvider::Pinning => {
                    let base = needed("pinning", "anchoring.pinning_api", &settings.pinning_api)?;
                    let token = Token::find("pinning", &settings.pinning_token_env, base, lookup)?;
                    pinning = Some(Pinning(Endpoint::new(
                        "pinning",
                        base,
                        Some(token),
                        timeout,
                    )?));
                }
                // refused when it is used, with what to use instead: the registry's own
                // configuration names it
                IpfsProvider::Web3 => uploaders.push(Uploader::Web3),
            }
        }
        // else everything would count as delivered to nobody
        if uploaders.is_empty() && pinning.is_none() {
            return Err(ProviderError::NoProvider);
        }
        let parallel = usize::try_from(settings.parallel_uploads)
            .unwrap_or(1)
            .max(1);
        Ok(Self {
            uploaders,
            pinning,
            import: import_of(settings),
            parallel,
        })
    }

    /// The pinning service that content should have, if one is named.
    pub fn wants_pin_service(&self) -> bool {
        self.pinning.is_some()
    }

    /// Whether any place may take content: all that can be told without any.
    ///
    /// # Errors
    /// Why the first of them is not there, if none is.
    pub async fn any_answers(&self) -> Result<(), ProviderError> {
        let mut first = None;
        for uploader in &self.uploaders {
            let Uploader::Kubo(kubo) = uploader else {
                continue;
            };
            match kubo.answers().await {
                Err(
                    error @ (ProviderError::Unreachable { .. } | ProviderError::TimedOut { .. }),
                ) => {
                    first = first.or(Some(error));
                }
                // who refuses this may take content all the same, or say why not
                _ => return Ok(()),
            }
        }
        first.filter(|_| self.pinning.is_none()).map_or(Ok(()), Err)
    }

    /// Uploads to the first place that takes it, then has it pinned.
    ///
    /// # Errors
    /// Why each place did not take it, in order.
    pub async fn put(
        &self,
        upload: &Upload,
        outages: &Outages,
    ) -> Result<Placed, Vec<ProviderError>> {
        let (taken_by, mut errors) = self.upload(upload, outages).await;
        let mut placed = Placed::default();
        // a node of one's own keeps what it is given; a service only what is ordered of it
        if let Some(kubo) = taken_by {
            placed.services.push(kubo.0.provider.to_owned());
            placed.pinned = upload.pin;
        }
        let mut lacks = None;
        // in addition: content that one machine holds is lost with it
        if let Some(pinning) = self.pinning.as_ref().filter(|_| upload.pin) {
            match self.keep(pinning, upload, taken_by, outages).await {
                Ok(state) => {
                    let name = pinning.0.provider.to_owned();
                    placed.services.push(name.clone());
                    placed.pinned |= state == PinState::Pinned;
                    placed.pin_service = Some(name);
                }
                Err(error) => {
                    // for the rest of this session: each file would wait for the same answer
                    outages.note(pinning.0.provider, &error);
                    lacks = Some(error);
                }
            }
        }
        // on one place at least it is delivered; what is lacking is told and tried again
        if placed.services.is_empty() {
            errors.extend(lacks);
            return Err(errors);
        }
        placed.lacks = lacks.map(|error| error.to_string());
        placed.remarks = errors.iter().map(ToString::to_string).collect();
        Ok(placed)
    }

    async fn upload(
        &self,
        upload: &Upload,
        outages: &Outages,
    ) -> (Option<&Kubo>, Vec<ProviderError>) {
        let mut errors = Vec::new();
        for uploader in &self.uploaders {
            let name = uploader.name();
            if outages.has(name) {
                errors.push(ProviderError::Down(name));
                continue;
            }
            let error = match uploader {
                Uploader::Kubo(kubo) => match kubo.add(upload).await {
                    Ok(()) => return (Some(kubo), errors),
                    Err(error) => error,
                },
                Uploader::Web3 => ProviderError::Web3,
            };
            outages.note(name, &error);
            errors.push(error);
        }
        (None, errors)
    }

    /// A service that has only queued what nobody else holds has nothing.
    async fn keep(
        &self,
        pinning: &Pinning,
        upload: &Upload,
        taken_by: Option<&Kubo>,
        outages: &Outages,
    ) -> Result<PinState, ProviderError> {
        // asked once a session
        if outages.has(pinning.0.provider) {
            return Err(ProviderError::Down(pinning.0.provider));
        }
        // where the service can get it from: it would look through the whole network otherwise
        let origins = match taken_by {
            Some(kubo) => kubo.addresses().await,
            None => Vec::new(),
        };
        let ordered = pinning.order(&upload.cid, &upload.name, &origins).await?;
        // the other way round, too: a node behind a router cannot be called
        if let Some(kubo) = taken_by.filter(|_| ordered.state != PinState::Pinned) {
            kubo.connect(&ordered.delegates).await;
        }
        let state = pinning.wait(ordered).await?;
        if state != PinState::Pinned && taken_by.is_none() {
            let provider = pinning.0.provider;
            let place = pinning.0.place();
            return Err(ProviderError::OnlyQueued { provider, place });
        }
        Ok(state)
    }
}

/// The IPFS node on this machine.
pub(super) fn local(settings: &Anchoring) -> Result<Kubo, ProviderError> {
    let base = needed("local", "anchoring.local_api", &settings.local_api)?;
    Endpoint::new(
        "local",
        base,
        None,
        Duration::from_secs(settings.timeout_seconds),
    )
    .map(Kubo)
}

/// How content is imported under this configuration.
pub fn import_of(settings: &Anchoring) -> Import {
    Import::of(if settings.cid_version == 0 {
        CidVersion::V0
    } else {
        CidVersion::V1
    })
}

fn needed<'a>(
    provider: &'static str,
    key: &'static str,
    value: &'a str,
) -> Result<&'a str, ProviderError> {
    if value.is_empty() {
        Err(ProviderError::NotConfigured { provider, key })
    } else {
        Ok(value)
    }
}
