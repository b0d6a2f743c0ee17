//! Talking to the node of a data directory: HTTP on its socket.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::{Stream, StreamExt as _};
use reqwest::{Method, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ssid_node::home::Home;
use ssid_node::view::{Page, Problem};

use crate::error::{CliError, Code, OrCode as _};

mod stream;

pub(crate) use stream::StreamItem;

/// How long an ordinary answer may take.
const QUICK: Duration = Duration::from_secs(40);
/// Longest page the API gives.
const PAGE: usize = 1000;
/// Bytes of the longest answer that is read.
const ANSWER_BYTES: usize = 256 << 20;

/// A client of one node.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    socket: PathBuf,
    data: PathBuf,
}

impl Client {
    /// A client of the node of a data directory. Whether one runs shows with the first request.
    pub(crate) fn new(home: &Home) -> Result<Self> {
        let socket = home.api_socket().or_usage()?;
        // no TLS on the socket: looking for the system's certificates would cost time, and fail
        // where there are none
        let http = reqwest::Client::builder()
            .unix_socket(socket.clone())
            .tls_certs_only([])
            .build();
        Ok(Self {
            http: http.context("cannot set up HTTP")?,
            socket,
            data: home.root().to_owned(),
        })
    }

    /// Asks with `GET` and returns the answer's JSON as a `T`.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<T> {
        let response = self
            .send(Method::GET, path, query, Vec::new(), Some(QUICK))
            .await?;
        self.parsed(response).await
    }

    /// `GET` of something that may take long.
    pub(crate) async fn get_slowly<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T> {
        let response = self.send(Method::GET, path, &[], Vec::new(), None).await?;
        self.parsed(response).await
    }

    /// `GET`, as text.
    pub(crate) async fn get_text(&self, path: &[&str]) -> Result<String> {
        let response = self
            .send(Method::GET, path, &[], Vec::new(), Some(QUICK))
            .await?;
        let body = self.body(response).await?;
        String::from_utf8(body).context("the node's answer is no text")
    }

    /// `POST`, parsed. Has no time limit of its own: waiting is what the caller asks for.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        body: Vec<u8>,
    ) -> Result<T> {
        let response = self.send(Method::POST, path, query, body, None).await?;
        self.parsed(response).await
    }

    /// `POST` of a JSON document, parsed.
    pub(crate) async fn post_json<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        body: &(impl Serialize + ?Sized),
    ) -> Result<T> {
        self.post(path, query, serde_json::to_vec(body)?).await
    }

    /// The first `limit` items of a long list, page by page, and where to go on.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        limit: usize,
    ) -> Result<Page<T>> {
        let mut all = Page::whole(Vec::new());
        while all.items.len() < limit {
            let mut query = query.to_vec();
            query.push(("limit", (limit - all.items.len()).min(PAGE).to_string()));
            if let Some(cursor) = all.next.take() {
                query.retain(|(name, _)| *name != "before");
                query.push(("before", cursor));
            }
            let page: Page<T> = self.get(path, &query).await?;
            all.items.extend(page.items);
            all.next = page.next;
            if all.next.is_none() {
                break;
            }
        }
        Ok(all)
    }

    /// Whether the node is ready to decide; `None` if it does not answer.
    pub(crate) async fn ready(&self) -> Option<ssid_node::view::ReadyView> {
        let request = self
            .http
            .get("http://ssid/readyz")
            .timeout(Duration::from_secs(2));
        request.send().await.ok()?.json().await.ok()
    }

    /// Everything that happens in the node from now on.
    pub(crate) async fn stream(&self) -> Result<impl Stream<Item = Result<StreamItem>> + use<>> {
        let response = self
            .send(Method::GET, &["v1", "stream"], &[], Vec::new(), None)
            .await?;
        let lost = self.unreachable("the node ended the stream");
        let chunks = response
            .bytes_stream()
            .map(|chunk| chunk.map(|bytes| bytes.to_vec()));
        Ok(stream::items(chunks, lost))
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Vec<u8>,
        limit: Option<Duration>,
    ) -> Result<Response> {
        // the name means nothing: the connection is the socket's
        let mut url = Url::parse("http://ssid/").context("a fixed address")?;
        // segment by segment: what a user typed may have a slash in it
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        // none for streams and slow answers: these end when the node says so
        let mut request = self.http.request(method, url).body(body);
        if let Some(limit) = limit {
            request = request.timeout(limit);
        }
        let response = request.send().await.map_err(|e| self.not_sent(&e))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = self.body(response).await?;
        // not the node's own words: something else listens on that socket
        let problem = serde_json::from_slice(&body).unwrap_or_else(|_| {
            let text = String::from_utf8_lossy(&body)
                .chars()
                .take(200)
                .collect::<String>();
            Problem::new(
                status.as_u16(),
                "http",
                "HTTP error",
                format!("the node answered {status}: {text}"),
            )
        });
        Err(from_problem(problem).into())
    }

    async fn parsed<T: DeserializeOwned>(&self, response: Response) -> Result<T> {
        let body = self.body(response).await?;
        serde_json::from_slice(&body)
            .context("the node's answer is not understood; are both of the same version?")
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.not_sent(&e))? {
            if body.len() + chunk.len() > ANSWER_BYTES {
                anyhow::bail!("the node's answer exceeds {ANSWER_BYTES} bytes");
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn not_sent(&self, error: &reqwest::Error) -> CliError {
        if error.is_connect() {
            return self.unreachable(&format!("no node answers at {}", self.socket.display()));
        }
        if error.is_timeout() {
            return self.unreachable(&format!(
                "the node at {} does not answer in time",
                self.socket.display()
            ));
        }
        self.unreachable(&format!(
            "the node at {} broke off: {error}",
            self.socket.display()
        ))
    }

    fn unreachable(&self, message: &str) -> CliError {
        let data = self.data.display();
        let is_made = Home::new(&self.data).voting_key().exists();
        let next = if is_made {
            format!("start one with: ssid run --data {data}")
        } else {
            format!(
                "make one with: ssid init --data {data}; then start it with: ssid run --data {data}"
            )
        };
        CliError::new(Code::Unreachable, message).hint(next)
    }
}

/// What a problem means for the command.
fn from_problem(problem: Problem) -> CliError {
    let kind = problem.kind.rsplit(':').next().unwrap_or_default();
    let code = match kind {
        "not_certified" | "certified_differently" => Code::NoConsensus,
        "inadmissible" | "not_an_event" | "wrong_hash" | "bad_request" | "ambiguous"
        | "no_registry" => Code::Usage,
        "stopped" => Code::Unreachable,
        _ => Code::Failed,
    };
    let mut error = CliError::new(code, problem.detail);
    let listed = if kind == "ambiguous" {
        problem.candidates
    } else {
        Vec::new()
    };
    let hints: Vec<String> = problem.hint.into_iter().chain(listed).collect();
    error.hint = (!hints.is_empty()).then(|| hints.join("\n"));
    error
}
