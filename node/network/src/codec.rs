//! Frames of `/ssid/sync/1` (SPEC §10): a u32 big-endian length, then that many bytes of wire
//! encoding, at most `message_bytes`, of a request at most `request_bytes`. The length is checked
//! before anything is allocated for it, and memory grows only as bytes arrive.

use std::io;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::StreamProtocol;
use serde::de::DeserializeOwned;
use ssid_protocol::limits::MESSAGE_BYTES;
use ssid_protocol::sync::{Answer, Request};
use ssid_protocol::wire;
use tokio::time::timeout;

use crate::metrics::{Direction, Metrics};
use crate::tuning::{REQUEST_BYTES, SYNC_PATIENCE};

/// The protocol's name.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/ssid/sync/1");
/// Bytes of an answer that have to be taken within [`SYNC_PATIENCE`](crate::tuning::SYNC_PATIENCE).
const PIECE_BYTES: usize = 16 * 1024;

/// What came in as a request. One that is malformed, or that does not come to its end, must reach
/// the owner, who counts it: libp2p tells nobody of requests that cannot be read.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A request in full, decoded.
    Request(Request),
    /// None; never written.
    Malformed,
    /// The stream stayed open and the request did not arrive within `SYNC_PATIENCE`; never written.
    Unfinished,
}

/// Why an answer was not sent: the stream stayed open, and its other end took nothing for
/// `SYNC_PATIENCE`. An error of its own, since a link that breaks may end with "timed out" as well.
#[derive(Debug, thiserror::Error)]
#[error("the answer is not read: the stream was full for {0:?}")]
struct Unread(Duration);

/// Whether an answer failed because its other end took nothing.
pub(crate) fn is_unread(error: &io::Error) -> bool {
    matches!(error.get_ref(), Some(inner) if inner.is::<Unread>())
}

/// Reads and writes the frames, and counts their bytes.
#[derive(Clone, Debug)]
pub(crate) struct SyncCodec {
    metrics: Metrics,
    patience: Duration,
}

impl SyncCodec {
    /// One that gives a request, and the reading of an answer, [`SYNC_PATIENCE`].
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self {
            metrics,
            patience: SYNC_PATIENCE,
        }
    }

    async fn read<T, V>(&self, io: &mut T, limit: usize) -> io::Result<V>
    where
        T: AsyncRead + Unpin + Send,
        V: DeserializeOwned,
    {
        let mut length = [0; 4];
        io.read_exact(&mut length).await?;
        let length = u32::from_be_bytes(length);
        if usize::try_from(length).map_or(true, |length| length > limit) {
            return Err(malformed(too_long(length as usize, limit)));
        }
        let mut bytes = Vec::new();
        io.take(length.into()).read_to_end(&mut bytes).await?;
        self.metrics
            .count_sync_bytes(Direction::In, bytes.len() + 4);
        if bytes.len() < length as usize {
            let reason = format!("the frame ends after {} of {length} bytes", bytes.len());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, reason));
        }
        wire::decode(&bytes).map_err(|error| malformed(error.to_string()))
    }

    async fn write<T>(&self, io: &mut T, bytes: &[u8]) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let fits = u32::try_from(bytes.len())
            .ok()
            .filter(|_| bytes.len() <= MESSAGE_BYTES);
        let length = fits.ok_or_else(|| io::Error::other(too_long(bytes.len(), MESSAGE_BYTES)))?;
        let unread = |_| io::Error::new(io::ErrorKind::TimedOut, Unread(self.patience));
        // each piece has the whole time: whoever reads slowly is not one who does not read
        for piece in std::iter::once(&length.to_be_bytes()[..]).chain(bytes.chunks(PIECE_BYTES)) {
            timeout(self.patience, io.write_all(piece))
                .await
                .map_err(unread)??;
        }
        self.metrics
            .count_sync_bytes(Direction::Out, bytes.len() + 4);
        timeout(self.patience, io.flush()).await.map_err(unread)?
    }
}

fn too_long(bytes: usize, limit: usize) -> String {
    let name = if limit == MESSAGE_BYTES {
        "message_bytes"
    } else {
        "request_bytes"
    };
    format!("{bytes} bytes exceed {name} = {limit}")
}

fn malformed(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

impl libp2p::request_response::Codec for SyncCodec {
    type Protocol = StreamProtocol;
    type Request = Incoming;
    type Response = Answer;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Incoming>
    where
        T: AsyncRead + Unpin + Send,
    {
        match timeout(self.patience, self.read(io, REQUEST_BYTES)).await {
            Err(_) => Ok(Incoming::Unfinished),
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => Ok(Incoming::Malformed),
            Ok(read) => read.map(Incoming::Request),
        }
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Answer>
    where
        T: AsyncRead + Unpin + Send,
    {
        self.read(io, MESSAGE_BYTES).await
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Incoming,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        match request {
            Incoming::Request(request) => self.write(io, &wire::encode(&request)).await,
            // the tests' hostile nodes speak both
            Incoming::Malformed => io.write_all(&[0xff; 8]).await,
            Incoming::Unfinished => {
                io.write_all(&[0, 0, 0, 8, 1]).await?;
                io.flush().await?;
                self.metrics.count_sync_bytes(Direction::Out, 5);
                std::future::pending().await
            }
        }
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        answer: Answer,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let mut bytes = wire::encode(&answer);
        // only the bytes are held for a peer that takes its time
        drop(answer);
        if bytes.len() > MESSAGE_BYTES {
            bytes = wire::encode(&Answer::Refused(too_long(bytes.len(), MESSAGE_BYTES)));
        }
        self.write(io, &bytes).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::io::Cursor;
    use libp2p::request_response::Codec as _;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    fn codec() -> SyncCodec {
        SyncCodec {
            patience: Duration::from_millis(50),
            ..SyncCodec::new(Metrics::default())
        }
    }

    async fn read_answer(bytes: Vec<u8>) -> io::Result<Answer> {
        codec()
            .read_response(&PROTOCOL, &mut Cursor::new(bytes))
            .await
    }

    #[tokio::test]
    async fn what_is_written_is_read() {
        let answer = Answer::Refused("no".into());
        let mut io = Cursor::new(Vec::new());
        codec()
            .write_response(&PROTOCOL, &mut io, answer.clone())
            .await
            .unwrap();
        assert_eq!(read_answer(io.into_inner()).await.unwrap(), answer);
    }

    #[tokio::test]
    async fn oversize_and_garbled_frames_are_malformed() {
        let too_long = u32::try_from(MESSAGE_BYTES + 1)
            .unwrap()
            .to_be_bytes()
            .to_vec();
        let garbled = [&3_u32.to_be_bytes()[..], &[9, 9, 9]].concat();
        for bytes in [too_long, garbled] {
            let error = read_answer(bytes.clone()).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            let request = codec()
                .read_request(&PROTOCOL, &mut Cursor::new(bytes))
                .await
                .unwrap();
            assert!(matches!(request, Incoming::Malformed));
        }
    }

    #[tokio::test]
    async fn a_frame_cut_off_is_nobodys_fault() {
        let truncated = [&100_u32.to_be_bytes()[..], b"short"].concat();
        let request = codec()
            .read_request(&PROTOCOL, &mut Cursor::new(&truncated))
            .await;
        assert_eq!(request.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(
            read_answer(truncated).await.unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }

    /// A stream that stays open after `0`, of which no more comes and into which nothing more goes.
    struct Stalled(Cursor<Vec<u8>>);

    impl AsyncRead for Stalled {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            to: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            match Pin::new(&mut self.0).poll_read(cx, to) {
                Poll::Ready(Ok(0)) => Poll::Pending,
                read => read,
            }
        }
    }

    impl AsyncWrite for Stalled {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn who_stops_in_a_request_or_does_not_read_its_answer_is_told_from_a_broken_stream() {
        let mut io = Stalled(Cursor::new([&100_u32.to_be_bytes()[..], b"short"].concat()));
        let request = codec().read_request(&PROTOCOL, &mut io).await.unwrap();
        assert!(matches!(request, Incoming::Unfinished));
        let answer = codec()
            .write_response(&PROTOCOL, &mut io, Answer::Refused("no".into()))
            .await;
        assert!(is_unread(&answer.unwrap_err()));
        assert!(
            !is_unread(&io::ErrorKind::TimedOut.into()),
            "a link that breaks"
        );
    }

    /// Takes something each time, but only after a while.
    struct Slow(Pin<Box<tokio::time::Sleep>>);

    const SLOWNESS: Duration = Duration::from_millis(20);

    impl AsyncWrite for Slow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            std::task::ready!(self.0.as_mut().poll(cx));
            self.0.set(tokio::time::sleep(SLOWNESS));
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn who_reads_slowly_gets_the_whole_answer() {
        let mut io = Slow(Box::pin(tokio::time::sleep(SLOWNESS)));
        let answer = Answer::Refused("x".repeat(PIECE_BYTES * 6));
        let begun = tokio::time::Instant::now();
        codec()
            .write_response(&PROTOCOL, &mut io, answer)
            .await
            .unwrap();
        assert!(
            begun.elapsed() > codec().patience,
            "it would have been given up as a whole"
        );
    }

    #[tokio::test]
    async fn an_oversize_answer_is_replaced_by_a_refusal() {
        let mut io = Cursor::new(Vec::new());
        let answer = Answer::Refused("x".repeat(MESSAGE_BYTES));
        codec()
            .write_response(&PROTOCOL, &mut io, answer)
            .await
            .unwrap();
        let Answer::Refused(reason) = read_answer(io.into_inner()).await.unwrap() else {
            panic!("refused")
        };
        assert!(reason.contains("message_bytes"), "{reason}");
    }
}
