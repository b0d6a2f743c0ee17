//! Git over HTTP with a password: a small server before the real `git http-backend`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, spawn};

use super::git_command;

/// `ada:open sesame`, as the `Authorization` header says it.
const BASIC: &str = "Basic YWRhOm9wZW4gc2VzYW1l";

/// Serves the repositories of one directory to user `ada` with the password `open sesame`.
#[derive(Debug)]
pub struct HttpServer {
    port: u16,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Starts it.
    ///
    /// # Panics
    /// If no port is free.
    pub fn start(root: &Path) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (port, ends) = (
            listener.local_addr().unwrap().port(),
            Arc::new(AtomicBool::new(false)),
        );
        let (root, end) = (root.to_owned(), ends.clone());
        let thread = spawn(move || {
            for connection in listener.incoming().flatten() {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                let root = root.clone();
                // a client that goes away early is its own affair
                spawn(move || drop(serve(&connection, &root)));
            }
        });
        Self {
            port,
            ends,
            thread: Some(thread),
        }
    }

    /// The address of a repository, without user and password.
    pub fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }

    /// The same with them, or with wrong ones.
    pub fn url_with(&self, user: &str, password: &str, name: &str) -> String {
        format!("http://{user}:{password}@127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // wakes it
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Question {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Question {
    fn read(connection: &TcpStream) -> io::Result<Self> {
        let mut reader = BufReader::new(connection);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let mut words = line.split_whitespace();
        let (method, target) = (
            words.next().unwrap_or_default().to_owned(),
            words.next().unwrap_or_default(),
        );
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (path, query) = (path.to_owned(), query.to_owned());
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut question = Self {
            method,
            path,
            query,
            headers,
            body: Vec::new(),
        };
        if question.header("expect").is_some() {
            (&mut &*connection).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        question.body = question.read_body(&mut reader)?;
        Ok(question)
    }

    fn read_body(&self, reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if self.header("transfer-encoding") != Some("chunked") {
            let length = self
                .header("content-length")
                .and_then(|text| text.parse().ok())
                .unwrap_or(0);
            reader.take(length).read_to_end(&mut body)?;
            return Ok(body);
        }
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let length = u64::from_str_radix(line.trim(), 16).unwrap_or(0);
            reader.take(length).read_to_end(&mut body)?;
            reader.read_line(&mut String::new())?;
            if length == 0 {
                return Ok(body);
            }
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

fn serve(mut connection: &TcpStream, root: &PathBuf) -> io::Result<()> {
    let question = Question::read(connection)?;
    if question.header("authorization") != Some(BASIC) {
        let refusal = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"\r\n";
        return connection.write_all(
            format!("{refusal}Content-Length: 0\r\nConnection: close\r\n\r\n").as_bytes(),
        );
    }
    let mut backend = git_command(root);
    backend
        .arg("http-backend")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    backend
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REMOTE_USER", "ada");
    backend
        .env("REQUEST_METHOD", &question.method)
        .env("QUERY_STRING", &question.query);
    backend
        .env("PATH_INFO", &question.path)
        .env("CONTENT_LENGTH", question.body.len().to_string());
    for (variable, header) in [
        ("CONTENT_TYPE", "content-type"),
        ("HTTP_CONTENT_ENCODING", "content-encoding"),
        ("GIT_PROTOCOL", "git-protocol"),
    ] {
        backend.env(variable, question.header(header).unwrap_or_default());
    }
    let mut child = backend.spawn()?;
    let mut input = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let body = question.body;
    // beside reading, so that neither side waits for the other
    let writer = spawn(move || input.write_all(&body));
    let output = child.wait_with_output()?.stdout;
    // what it did not read it did not need
    let _ = writer.join();
    let end = output
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .ok_or(io::ErrorKind::InvalidData)?;
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let status = head
        .lines()
        .find_map(|line| line.strip_prefix("Status: "))
        .unwrap_or("200 OK");
    let headers = head.lines().filter(|line| !line.starts_with("Status: "));
    let headers = headers.fold(String::new(), |text, line| text + line + "\r\n");
    let rest = &output[end + 4..];
    let answer = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        rest.len()
    );
    connection.write_all(answer.as_bytes())?;
    connection.write_all(rest)
}
