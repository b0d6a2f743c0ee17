//! Serving: one router on the Unix socket, the same behind a token on TCP, both ended by one token.

use std::time::Duration;

use axum::Router;
use tokio_util::sync::CancellationToken;

use super::caller::SocketPeer;
use super::listen::{ApiError, ApiListen, bind_socket, bind_tcp};
use super::{ApiState, access, routes};

/// How long requests under way may take once the node stops.
const DRAIN: Duration = Duration::from_secs(2);

/// Serves the API until `shutdown`, then lets requests under way finish for at most two seconds.
///
/// # Errors
/// If the socket or the address cannot be bound, or serving fails.
pub async fn serve(state: ApiState, listen: ApiListen, shutdown: CancellationToken) -> Result<(), ApiError> {
    let (socket, _file) = bind_socket(&listen.socket)?;
    let tcp = match &listen.tcp {
        Some(tcp) => Some((bind_tcp(tcp).await?, tcp.token.clone())),
        None => None,
    };
    let router = routes::router(state, shutdown.clone());
    tracing::info!(socket = %listen.socket.display(), "API ready");
    let on_socket = async {
        let service = router.clone().into_make_service_with_connect_info::<SocketPeer>();
        let serving = axum::serve(socket, service).with_graceful_shutdown(shutdown.clone().cancelled_owned());
        within_drain(serving.into_future(), &shutdown).await.map_err(ApiError::io(listen.socket.display().to_string()))
    };
    let on_tcp = async {
        let Some((listener, token)) = tcp else { return Ok(()) };
        let address = listener.local_addr().map_or_else(|_| "TCP".to_owned(), |a| a.to_string());
        let guarded: Router = access::require_token(router.clone(), &token);
        let serving = axum::serve(listener, guarded).with_graceful_shutdown(shutdown.clone().cancelled_owned());
        within_drain(serving.into_future(), &shutdown).await.map_err(ApiError::io(address))
    };
    tokio::try_join!(on_socket, on_tcp).map(|_| ())
}

/// Runs `serving`; once `shutdown` is cancelled only for [`DRAIN`] more.
async fn within_drain(
    serving: impl Future<Output = std::io::Result<()>>,
    shutdown: &CancellationToken,
) -> std::io::Result<()> {
    let deadline = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        result = serving => result,
        () = deadline => Ok(()),
    }
}
