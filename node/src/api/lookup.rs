//! What a request names: events by the start of their hash, members by name.

use ssid_protocol::id::Choice;
use ssid_protocol::member::Member;
use ssid_storage::StorageError;

use super::ApiState;
use super::error::Failure;
use super::names::{Named, resolve};
use crate::query::{FoundEvent, QueryError};

/// Choices a lookup looks at.
const CHOICES: usize = 16;

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::internal(error)
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        Self::internal(error)
    }
}

impl ApiState {
    /// Runs `work`, which reads storage, where blocking is allowed.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let state = self.clone();
        tokio::task::spawn_blocking(move || work(&state))
            .await
            .map_err(Failure::internal)?
    }

    /// The event whose hash begins with `name`; `HASH:DIGEST` where one hash fits two choices.
    pub(super) fn find_event(&self, name: &str) -> Result<FoundEvent, Failure> {
        let (hash, digest) = choice_beginning(name)?;
        let hash = hash.as_str();
        let digest = digest.unwrap_or_default();
        let mut choices = self.known.store.choices_by_hash_prefix(hash, CHOICES)?;
        choices.retain(|choice| choice.content_digest.to_string().starts_with(&digest));
        match choices[..] {
            [] => Err(Failure::unknown(
                &format!("there is no event {name}"),
                self.nearest_hashes(hash)?,
            )),
            [choice] => Ok(self.known.found(choice)?),
            _ => Err(Failure::ambiguous(
                &format!("event {name}"),
                choices.iter().map(choice_name).collect(),
            )),
        }
    }

    /// Event hashes that share the most first digits with one that is not there.
    fn nearest_hashes(&self, hash: &str) -> Result<Vec<String>, Failure> {
        for length in (0..hash.len()).rev() {
            let near = self
                .known
                .store
                .choices_by_hash_prefix(&hash[..length], 3)?;
            if !near.is_empty() {
                return Ok(near
                    .iter()
                    .map(|choice| choice.event_hash.to_string())
                    .collect());
            }
        }
        Ok(Vec::new())
    }

    /// The member with this name, or whose id begins with it.
    pub(super) fn find_member(&self, name: &str) -> Result<Member, Failure> {
        let epoch = self.known.epoch();
        let members = epoch.manifest().members.iter();
        let named = members.map(|m| Named {
            id: m.node_id.to_string(),
            name: m.node_name.clone(),
            item: m.clone(),
        });
        resolve("node", name, named.collect())
    }
}

/// `text` as the beginning of a hash or an id, in lower case; `what` it is the beginning of.
pub(super) fn beginning(what: &str, text: &str) -> Result<String, Failure> {
    if text.is_empty() || text.len() > 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        let shown: String = text.chars().take(80).collect();
        return Err(Failure::bad_request(format!(
            "{shown:?} is no {what}: 1 to 64 hex digits are"
        )));
    }
    Ok(text.to_ascii_lowercase())
}

/// `HASH`, or `HASH:DIGEST`, as the beginnings of both.
pub(super) fn choice_beginning(name: &str) -> Result<(String, Option<String>), Failure> {
    let (hash, digest) = name
        .split_once(':')
        .map_or((name, None), |(hash, digest)| (hash, Some(digest)));
    let digest = digest.map(|text| beginning("content digest", text));
    Ok((beginning("event hash", hash)?, digest.transpose()?))
}

/// A choice as `HASH:DIGEST`.
pub(super) fn choice_name(choice: &Choice) -> String {
    format!("{}:{}", choice.event_hash, choice.content_digest)
}
