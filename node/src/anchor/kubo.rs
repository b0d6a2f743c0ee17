//! An IPFS node through the RPC that Kubo made usual: `add`, `cat`, `id`, `swarm/connect`.
//! Everything is a POST. Every import option is sent, because servers' defaults differ and are
//! changing.

use std::time::Duration;

use cid::Cid;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method, Response};
use serde_json::Value;
use tokio::io::AsyncReadExt as _;

use super::cid::{CidVersion, Import};
use super::error::ProviderError;
use super::http::{Endpoint, LONGEST};
use crate::place::Place;

/// Bytes read from a file at once.
const READ_BYTES: usize = 64 * 1024;
/// How long a side request may take that nothing depends on.
const ASIDE: Duration = Duration::from_secs(10);
/// Addresses of peers that are passed on or connected to (the Pinning Service API's own limit).
pub(super) const ADDRESSES: usize = 20;

/// Where content comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file of the registry or the node.
    File(Place),
    /// A document made by this node.
    Bytes(Vec<u8>),
}

/// Content on its way out.
#[derive(Clone, Debug)]
pub struct Upload {
    /// Its name, for the server's own lists.
    pub name: String,
    /// Where its bytes are read from.
    pub source: Source,
    /// How many bytes it has.
    pub bytes: u64,
    /// What it is called, computed here.
    pub cid: Cid,
    /// How it is imported to be called that.
    pub import: Import,
    /// Whether the server is to keep it.
    pub pin: bool,
}

/// An IPFS node.
#[derive(Clone, Debug)]
pub(super) struct Kubo(pub(super) Endpoint);

impl Kubo {
    /// Uploads, pins if that is asked for, and compares what the node calls it with what it is.
    ///
    /// # Errors
    /// If the node cannot be reached, refuses, or names other content.
    pub(super) async fn add(&self, upload: &Upload) -> Result<(), ProviderError> {
        let limit = self.0.timeout() + Duration::from_secs(upload.bytes >> 20);
        let part = part(upload)
            .await
            .map_err(|e| self.0.unusable(format!("cannot read {}: {e}", upload.name)))?;
        let form = Form::new().part("file", part);
        let request = self
            .0
            .request(Method::POST, &["api", "v0", "add"], &import_options(upload))
            .multipart(form);
        let response = self.0.send(request, limit).await?;
        let answered = self.added(&self.0.body(response, limit).await?)?;
        // a server may answer a CIDv1 for a CIDv0: the same block under another name
        if (answered.codec(), answered.hash()) == (upload.cid.codec(), upload.cid.hash()) {
            return Ok(());
        }
        let expected = Box::new(upload.cid);
        let answered = Box::new(answered);
        Err(ProviderError::WrongCid {
            provider: self.0.provider,
            expected,
            answered,
        })
    }

    fn added(&self, body: &[u8]) -> Result<Cid, ProviderError> {
        cid_in(body).ok_or_else(|| self.0.unusable("it names no CID"))
    }

    /// Begins to fetch content back.
    ///
    /// # Errors
    /// If the node cannot be reached, or does not find it in time.
    pub(super) async fn cat(&self, cid: &Cid) -> Result<Response, ProviderError> {
        // the node is given a little less, so that its own words arrive
        let seconds = self.0.timeout().as_secs().saturating_sub(1).max(1);
        let query = [("arg", cid.to_string()), ("timeout", format!("{seconds}s"))];
        let request = self.0.request(Method::POST, &["api", "v0", "cat"], &query);
        self.0.send(request, LONGEST).await
    }

    /// Whether it answers at all.
    ///
    /// # Errors
    /// If it cannot be reached, or refuses.
    pub(super) async fn answers(&self) -> Result<(), ProviderError> {
        let request = self.0.request(Method::POST, &["api", "v0", "id"], &[]);
        self.0.send(request, ASIDE).await.map(drop)
    }

    /// Multiaddresses at which it can be reached, as it says; none if it does not say.
    pub(super) async fn addresses(&self) -> Vec<String> {
        let request = self.0.request(Method::POST, &["api", "v0", "id"], &[]);
        let Ok(response) = self.0.send(request, ASIDE).await else {
            return Vec::new();
        };
        let body = self.0.body(response, ASIDE).await.unwrap_or_default();
        addresses_in(&body)
    }

    /// Connects it to a pinning service's own nodes, so that they find the content at once; a
    /// failure is no harm.
    pub(super) async fn connect(&self, delegates: &[String]) {
        for delegate in delegates.iter().take(ADDRESSES) {
            let query = [("arg", delegate.clone()), ("timeout", "5s".to_owned())];
            let request = self
                .0
                .request(Method::POST, &["api", "v0", "swarm", "connect"], &query);
            if let Err(error) = self.0.send(request, ASIDE).await {
                tracing::debug!(delegate, %error, "the pinning service's node is not reached from here");
            }
        }
    }
}

/// The CID in the answer to an upload: JSON lines, progress among them, in any order.
fn cid_in(body: &[u8]) -> Option<Cid> {
    let lines = body
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    lines
        .rev()
        .find_map(|line| line.get("Hash")?.as_str()?.parse().ok())
}

/// The addresses in what a node says of itself.
fn addresses_in(body: &[u8]) -> Vec<String> {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let listed = json
        .get("Addresses")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    listed
        .filter_map(|text| text.as_str().map(ToOwned::to_owned))
        .take(ADDRESSES)
        .collect()
}

/// Every option that decides which CID comes out, and no other output than it.
fn import_options(upload: &Upload) -> Vec<(&'static str, String)> {
    let is_v1 = upload.import.version == CidVersion::V1;
    let mut options = vec![
        ("cid-version", u8::from(is_v1).to_string()),
        ("raw-leaves", is_v1.to_string()),
        ("chunker", format!("size-{}", upload.import.chunk)),
        ("max-file-links", upload.import.links.to_string()),
        ("hash", "sha2-256".to_owned()),
        ("trickle", "false".to_owned()),
        ("inline", "false".to_owned()),
        ("wrap-with-directory", "false".to_owned()),
        ("only-hash", "false".to_owned()),
        ("progress", "false".to_owned()),
        ("pin", upload.pin.to_string()),
    ];
    if is_v1 {
        options.push(("cid-base", "base32".to_owned()));
    }
    options
}

/// Each part has a type of its own: js-ipfs refuses one without.
async fn part(upload: &Upload) -> std::io::Result<Part> {
    let part = match &upload.source {
        Source::Bytes(bytes) => Part::bytes(bytes.clone()),
        Source::File(path) => {
            Part::stream_with_length(file_body(path, upload.bytes).await?, upload.bytes)
        }
    };
    part.file_name(upload.name.clone())
        .mime_str("application/octet-stream")
        .map_err(std::io::Error::other)
}

/// The first `bytes` of a file, read as they are sent.
async fn file_body(place: &Place, bytes: u64) -> std::io::Result<Body> {
    let place = place.clone();
    let opened = tokio::task::spawn_blocking(move || place.open_to_publish());
    let file = tokio::fs::File::from_std(opened.await??);
    // no further than the hash was made of: a log grows while it is uploaded
    let pieces = futures::stream::try_unfold(file.take(bytes), |mut file| async move {
        let mut buffer = vec![0; READ_BYTES];
        let count = file.read(&mut buffer).await?;
        buffer.truncate(count);
        let piece = (count > 0).then_some((buffer, file));
        Ok::<_, std::io::Error>(piece)
    });
    Ok(Body::wrap_stream(pieces))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wild;

    const ADDED: &str = "{\"Name\":\"a\",\"Bytes\":262144}\n\
        {\"Name\":\"a\",\"Hash\":\"QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n\",\"Size\":\"4\"}\n";
    const ADDED_1: &str =
        r#"{"Hash":"bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku","Size":"4"}"#;
    const ID: &str =
        r#"{"ID":"12D3Koo","Addresses":["/ip4/127.0.0.1/tcp/4001","/ip6/::1/tcp/4001",7,null]}"#;

    #[test]
    fn what_a_node_answers_is_read() {
        assert!(cid_in(ADDED.as_bytes()).is_some() && cid_in(ADDED_1.as_bytes()).is_some());
        assert_eq!(addresses_in(ID.as_bytes()).len(), 2);
    }

    proptest! {
        #[test]
        fn any_answer_names_a_cid_that_stands_in_it_or_none(body in wild::bytes(&[ADDED, ADDED_1, ID])) {
            if let Some(cid) = cid_in(&body) {
                prop_assert_eq!(cid.to_string().parse::<Cid>().ok(), Some(cid));
            }
            prop_assert!(addresses_in(&body).len() <= ADDRESSES);
        }
    }
}
