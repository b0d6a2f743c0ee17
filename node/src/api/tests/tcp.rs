//! The door over TCP: its token, silent connections, and streams at the end.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use ssid_engine::NodeEvent;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use super::{accept, ask, served};
use crate::api::SOCKET_NAME;

#[tokio::test(flavor = "multi_thread")]
async fn tcp_needs_the_token_and_shutdown_ends_streams() {
    let served = served(accept, true).await;
    let address = served.tcp.unwrap();
    let with =
        |token: &str| format!("GET /healthz HTTP/1.0\r\nauthorization: Bearer {token}\r\nx:");
    for (token, expected) in [
        ("0123456789abcdef", 200),
        ("0123456789abcdee", 401),
        ("", 401),
    ] {
        let (status, ..) = ask(TcpStream::connect(address).await.unwrap(), &with(token), "").await;
        assert_eq!(status, expected, "{token:?}");
    }
    let mut stream = UnixStream::connect(served.dir.path().join(SOCKET_NAME))
        .await
        .unwrap();
    stream
        .write_all(b"GET /v1/stream HTTP/1.0\r\n\r\n")
        .await
        .unwrap();
    while served.events.receiver_count() == 0 {
        tokio::task::yield_now().await;
    }
    served
        .events
        .send(Arc::new(NodeEvent::Drift {
            what: "line 7".into(),
        }))
        .unwrap();
    let mut answer = String::new();
    while !answer.contains("line 7") {
        let mut chunk = [0; 1024];
        let read = stream.read(&mut chunk).await.unwrap();
        answer.push_str(&String::from_utf8_lossy(&chunk[..read]));
    }
    assert!(answer.contains("event: drift"), "{answer}");
    served.shutdown.cancel();
    stream.read_to_string(&mut answer).await.unwrap();
    while Path::exists(&served.dir.path().join(SOCKET_NAME)) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_on_tcp_never_shut_out_the_socket_and_are_closed() {
    let served = served(accept, true).await;
    let address = served.tcp.unwrap();
    let mut silent = Vec::new();
    for _ in 0..150 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // one too many is closed at once: to write may fail
        stream
            .write_all(b"GET /v1/status HTTP/1.1\r\nhost:")
            .await
            .ok();
        silent.push(stream);
    }
    assert_eq!(
        served.get("/v1/log/head").await["size"],
        json!(0),
        "the operator is served"
    );
    for mut stream in silent {
        let mut answer = Vec::new();
        let closed = stream.read_to_end(&mut answer);
        tokio::time::timeout(std::time::Duration::from_mins(1), closed)
            .await
            .unwrap()
            .ok();
    }
    let request = "GET /v1/log/head HTTP/1.0\r\nauthorization: Bearer 0123456789abcdef\r\n\r\n";
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.0 200"),
        "there is room again: {answer}"
    );
}
