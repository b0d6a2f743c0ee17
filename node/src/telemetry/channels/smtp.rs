//! The way to a mail server: a connection, protected as configured, over which lettre speaks SMTP.
//! What a server says is read as bytes: of a reply its code counts, and what stands behind it may
//! be in any encoding.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::extension::ClientId;
use rustls_platform_verifier::Verifier;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};

/// Bytes of one reply before TLS.
const REPLY_BYTES: usize = 16 * 1024;

/// A mail server.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) protection: Protection,
}

/// How the connection is protected.
#[derive(Clone, Debug)]
pub(super) enum Protection {
    /// Not at all.
    None,
    /// By STARTTLS, which must succeed.
    Starttls(Arc<ClientConfig>),
    /// By TLS from the first byte.
    Tls(Arc<ClientConfig>),
}

/// Why a server did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// Whether the same will be refused again.
    pub(super) is_permanent: bool,
    /// What went wrong, in words.
    pub(super) why: String,
}

impl From<lettre::transport::smtp::Error> for Failure {
    fn from(error: lettre::transport::smtp::Error) -> Self {
        let mut why = error.to_string();
        let mut next = std::error::Error::source(&error);
        while let Some(cause) = next {
            why = format!("{why}: {cause}");
            next = cause.source();
        }
        Self {
            is_permanent: error.is_permanent(),
            why,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self {
            is_permanent: false,
            why: error.to_string(),
        }
    }
}

/// TLS with the system's certificates, and those of a PEM file besides.
///
/// # Errors
/// If the file holds no certificate, or the system has none.
pub(super) fn tls(pem: Option<&[u8]>) -> Result<Arc<ClientConfig>, String> {
    let own =
        CertificateDer::pem_slice_iter(pem.unwrap_or_default()).collect::<Result<Vec<_>, _>>();
    let own = own.map_err(|error| error.to_string())?;
    if pem.is_some() && own.is_empty() {
        return Err("there is no certificate in it".to_owned());
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier =
        Verifier::new_with_extra_roots(own, provider.clone()).map_err(|error| error.to_string())?;
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?.dangerous();
    Ok(Arc::new(
        builder
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth(),
    ))
}

/// Connects, as far as both have greeted each other.
pub(super) async fn connect(server: &Server) -> Result<AsyncSmtpConnection, Failure> {
    // the name of this machine, which servers want to see in a greeting
    let hello = ClientId::default();
    let mut tcp = TcpStream::connect((server.host.as_str(), server.port)).await?;
    let peer = tcp.peer_addr()?;
    let stream: Box<dyn AsyncTokioStream> = match &server.protection {
        Protection::None => Box::new(Ascii {
            inner: tcp,
            first: b"",
            peer,
        }),
        Protection::Tls(config) => Box::new(Ascii {
            inner: secure(tcp, config, &server.host).await?,
            first: b"",
            peer,
        }),
        Protection::Starttls(config) => {
            // in the clear only as far as the answer to STARTTLS; the session begins anew inside
            ask_for_tls(&mut tcp, &hello).await?;
            // it has greeted already, and does not do so again
            let inner = secure(tcp, config, &server.host).await?;
            Box::new(Ascii {
                inner,
                first: b"220 greeted before\r\n",
                peer,
            })
        }
    };
    Ok(AsyncSmtpConnection::connect_with_transport(stream, &hello).await?)
}

async fn secure(
    tcp: TcpStream,
    config: &Arc<ClientConfig>,
    host: &str,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Failure> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    Ok(TlsConnector::from(config.clone())
        .connect(name, tcp)
        .await?)
}

/// The conversation up to where TLS begins (RFC 3207).
async fn ask_for_tls(tcp: &mut TcpStream, hello: &ClientId) -> Result<(), Failure> {
    expect(tcp, 220).await?;
    tcp.write_all(format!("EHLO {hello}\r\n").as_bytes())
        .await?;
    let offers = expect(tcp, 250).await?;
    let has_tls = offers.lines().any(|line| {
        line.get(4..)
            .is_some_and(|word| word.trim().eq_ignore_ascii_case("STARTTLS"))
    });
    if !has_tls {
        let why = "it does not offer STARTTLS, and nothing is sent unprotected".to_owned();
        return Err(Failure {
            is_permanent: false,
            why,
        });
    }
    tcp.write_all(b"STARTTLS\r\n").await?;
    expect(tcp, 220).await.map(drop)
}

/// Reads one reply, to its last byte and no further: what is sent after it in the clear never
/// counts.
async fn expect(tcp: &mut TcpStream, code: u16) -> Result<String, Failure> {
    let mut reply = String::new();
    let mut line = Vec::new();
    loop {
        // byte by byte: a buffer would carry what an attacker sent in the clear into the secured
        // session
        let byte = tcp.read_u8().await?;
        line.push(byte);
        if reply.len() + line.len() > REPLY_BYTES {
            return Err(Failure {
                is_permanent: false,
                why: format!("its reply has more than {REPLY_BYTES} bytes"),
            });
        }
        if byte != b'\n' {
            continue;
        }
        // a reply's last line has no hyphen behind its code; those before it are explanation
        reply += &String::from_utf8_lossy(&line);
        if line.get(3) != Some(&b'-') {
            break;
        }
        line.clear();
    }
    if reply.starts_with(&code.to_string()) {
        return Ok(reply);
    }
    // 5 is for good, and whatever else is not expected may be better next time
    Err(Failure {
        is_permanent: reply.starts_with('5'),
        why: reply.trim().to_owned(),
    })
}

/// A stream whose bytes past ASCII are read as question marks, after `first`.
struct Ascii<S> {
    inner: S,
    first: &'static [u8],
    peer: SocketAddr,
}

impl<S> fmt::Debug for Ascii<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ascii")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Ascii<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let (now, later) = self
                .first
                .split_at(self.first.len().min(buffer.remaining()));
            buffer.put_slice(now);
            self.first = later;
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        for byte in &mut buffer.filled_mut()[before..] {
            if !byte.is_ascii() {
                *byte = b'?';
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Ascii<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> AsyncTokioStream for Ascii<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}
