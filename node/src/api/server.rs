//! Serving: one router on the Unix socket, the same behind a token on TCP, both ended by one token.
//! Each listener has connections of its own, so that whoever reaches the TCP address never shuts
//! out the operator on the socket.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::serve::Listener;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::caller::SocketPeer;
use super::listen::{ApiError, ApiListen, bind_socket, bind_tcp};
use super::{ApiState, access, routes};

/// How long requests under way may take once the node stops.
const DRAIN: Duration = Duration::from_secs(2);
/// How long a connection may take to say what it wants, and idle between two requests.
const HEADERS: Duration = Duration::from_secs(10);
/// Connections of the Unix socket.
const SOCKET_CONNECTIONS: usize = 256;
/// Connections of the TCP address, from whoever reaches it.
const TCP_CONNECTIONS: usize = 128;

/// Serves the API until `shutdown`, then lets requests under way finish for at most two seconds.
///
/// # Errors
/// If the socket or the address cannot be bound.
pub async fn serve(
    state: ApiState,
    listen: ApiListen,
    shutdown: CancellationToken,
) -> Result<(), ApiError> {
    // held until the end: it takes the socket's name away again
    let (socket, _file) = bind_socket(&listen.socket)?;
    // both are bound before anything is served: a port in use ends the start and not half an API
    let tcp = match &listen.tcp {
        Some(tcp) => Some((bind_tcp(tcp).await?, tcp.token.clone())),
        None => None,
    };
    let router = routes::router(state, shutdown.clone());
    tracing::info!(socket = %listen.socket.display(), "API ready");
    // without a token the address would be anybody's on this machine
    let on_tcp = async {
        let Some((listener, token)) = tcp else { return };
        let guarded = access::require_token(router.clone(), &token);
        serve_on(listener, TCP_CONNECTIONS, |_| guarded.clone(), &shutdown).await;
    };
    // who is at the other end, by the operating system: it is who decided, in notes
    let for_caller = |stream: &UnixStream| {
        let peer = ConnectInfo(SocketPeer::of(stream));
        router.clone().layer(Extension(peer))
    };
    tokio::join!(
        serve_on(socket, SOCKET_CONNECTIONS, for_caller, &shutdown),
        on_tcp
    );
    Ok(())
}

/// Serves at most `most` connections of a listener at once, each with the router that `router_for`
/// makes for it.
async fn serve_on<L: Listener>(
    mut listener: L,
    most: usize,
    router_for: impl Fn(&L::Io) -> Router,
    shutdown: &CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(most));
    let connections = TaskTracker::new();
    loop {
        let stream = tokio::select! {
            (stream, _) = listener.accept() => stream,
            () = shutdown.cancelled() => break,
        };
        // one too many is closed: whoever is there already is served
        let Ok(permit) = permits.clone().try_acquire_owned() else {
            continue;
        };
        let router = router_for(&stream);
        let serving = connection(stream, router, shutdown.clone());
        // the permit lasts as long as the connection, also where it upgrades to a stream
        connections.spawn(async move {
            serving.await;
            drop(permit);
        });
    }
    connections.close();
    // those who are not done by then are cut off
    tokio::time::timeout(DRAIN, connections.wait()).await.ok();
}

/// Serves one connection until it ends; once the node stops only for [`DRAIN`] more.
async fn connection<Io>(stream: Io, router: Router, shutdown: CancellationToken)
where
    Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(router);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS);
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        // how a connection ends is its client's affair
        _ = serving.as_mut() => return,
        () = shutdown.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    tokio::time::timeout(DRAIN, serving).await.ok();
}
