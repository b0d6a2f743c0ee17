//! Where the API listens: the Unix socket always, a TCP address with a token when one is
//! configured.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener};

/// The socket's name in the data directory.
pub const SOCKET_NAME: &str = "api.sock";
/// A Unix socket's path is at most this long on Linux, its final NUL included.
const SOCKET_PATH_BYTES: usize = 108;

/// Where the API listens.
#[derive(Clone, Debug)]
pub struct ApiListen {
    /// The Unix socket: only this user may open it, no token.
    pub socket: PathBuf,
    /// A TCP address besides.
    pub tcp: Option<TcpListen>,
}

/// A TCP address to listen on, `api.listen`.
#[derive(Clone)]
pub struct TcpListen {
    /// The address; loopback unless somebody wants otherwise.
    pub address: SocketAddr,
    /// Name of the environment variable that held the token, for messages.
    pub token_env: String,
    /// The bearer token every request must carry.
    pub token: String,
}

impl std::fmt::Debug for TcpListen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TcpListen")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl TcpListen {
    /// Shortest token taken: 128 bits in hex are 32 characters.
    pub const TOKEN_CHARS: usize = 16;

    /// The address with the token from the environment variable `token_env`.
    ///
    /// # Errors
    /// If the variable is not set or too short to be a secret.
    pub fn from_env(address: SocketAddr, token_env: &str) -> Result<Self, ApiError> {
        let token = std::env::var(token_env).unwrap_or_default();
        if token.len() < Self::TOKEN_CHARS {
            return Err(ApiError::Token {
                address,
                token_env: token_env.to_owned(),
            });
        }
        Ok(Self {
            address,
            token_env: token_env.to_owned(),
            token,
        })
    }
}

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Somebody answers on the socket already.
    #[error("another node already answers at {}; stop it, or give this one a data directory of its own with --data", .0.display())]
    InUse(PathBuf),
    /// Where the socket should be is something else.
    #[error("{} is there and is no socket; move it away, the node makes its own", .0.display())]
    NotASocket(PathBuf),
    /// The path does not fit a socket address.
    #[error("the socket path {} has {} bytes, Unix allows {}; choose a shorter --data directory", path.display(), path.as_os_str().len(), SOCKET_PATH_BYTES - 1)]
    PathTooLong {
        /// The path of the socket.
        path: PathBuf,
    },
    /// The socket cannot be made or served.
    #[error("cannot serve the API at {place}: {source}")]
    Io {
        /// Path or address.
        place: String,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A TCP address without a token to guard it.
    #[error(
        "api.listen is {address}, but the environment variable {token_env} holds no token of at least {} characters; \
         set it, or remove api.listen",
        TcpListen::TOKEN_CHARS
    )]
    Token {
        /// The address that was asked for.
        address: SocketAddr,
        /// The environment variable that should have the token.
        token_env: String,
    },
}

impl ApiError {
    pub(super) fn io(place: String) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { place, source }
    }
}

/// The socket's file, removed with this value.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // best effort: a stale socket is recognised at the next start
        let _ = fs::remove_file(&self.0);
    }
}

/// Binds the Unix socket with mode 0600. A socket file nobody answers on is removed first.
pub(super) fn bind_socket(path: &Path) -> Result<(UnixListener, impl Drop + use<>), ApiError> {
    if path.as_os_str().len() >= SOCKET_PATH_BYTES {
        return Err(ApiError::PathTooLong {
            path: path.to_owned(),
        });
    }
    remove_stale(path)?;
    let fail = || ApiError::io(path.display().to_string());
    // Bound under another name and renamed once its mode is right: at no instant could another user
    // connect.
    let unready = path.with_extension("new");
    let _ = fs::remove_file(&unready);
    let listener = UnixListener::bind(&unready).map_err(fail())?;
    fs::set_permissions(&unready, fs::Permissions::from_mode(0o600)).map_err(fail())?;
    fs::rename(&unready, path).map_err(fail())?;
    Ok((listener, SocketFile(path.to_owned())))
}

fn remove_stale(path: &Path) -> Result<(), ApiError> {
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(ApiError::io(path.display().to_string())(e)),
    };
    if !kind.is_socket() {
        return Err(ApiError::NotASocket(path.to_owned()));
    }
    match StdUnixStream::connect(path) {
        Ok(_) => Err(ApiError::InUse(path.to_owned())),
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(ApiError::io(path.display().to_string()))
        }
        Err(e) => Err(ApiError::io(path.display().to_string())(e)),
    }
}

/// Binds the TCP address.
pub(super) async fn bind_tcp(listen: &TcpListen) -> Result<TcpListener, ApiError> {
    if !listen.address.ip().is_loopback() {
        tracing::warn!(address = %listen.address, "the API listens beyond this machine, without encryption of its own");
    }
    TcpListener::bind(listen.address)
        .await
        .map_err(ApiError::io(listen.address.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SOCKET_NAME);
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "std leaves the file behind");
        let (_listener, file) = bind_socket(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(matches!(bind_socket(&path), Err(ApiError::InUse(_))));
        drop(file);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SOCKET_NAME);
        fs::write(&path, "precious").unwrap();
        assert!(matches!(bind_socket(&path), Err(ApiError::NotASocket(_))));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        let long = dir.path().join("x".repeat(120));
        assert!(matches!(
            bind_socket(&long),
            Err(ApiError::PathTooLong { .. })
        ));
    }

    #[test]
    fn no_token_no_port() {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let refused = TcpListen::from_env(address, "SSID_TEST_TOKEN_THAT_IS_NOT_SET").unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("SSID_TEST_TOKEN_THAT_IS_NOT_SET")
        );
    }
}
