//! `/ssid/sync/1` as nobody should speak it: frames of any bytes, streams that are never finished
//! or never read.

use std::future::pending;
use std::io;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::StreamProtocol;
use libp2p::request_response::Codec;
use ssid_protocol::sync::Request;
use ssid_protocol::wire;

pub(super) const PROTOCOL: StreamProtocol = StreamProtocol::new("/ssid/sync/1");

/// What happens on a stream after its bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// The answer is read.
    Read,
    /// The answer is never read; the stream stays open.
    NeverRead,
    /// The stream stays open, as if more bytes were to come.
    NeverFinish,
    /// More bytes come, one a second.
    Trickle,
}

/// What goes out, or came in, as a request.
#[derive(Clone, Debug)]
pub(super) enum Question {
    /// These bytes; no length is put before them.
    Out(Vec<u8>, After),
    /// Asked by an honest node.
    In(Option<Request>),
}

/// A frame: the length, then the bytes.
pub fn frame(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

/// One for each stream.
#[derive(Clone, Debug, Default)]
pub(super) struct RawCodec {
    is_deaf: bool,
}

async fn read_frame<T: AsyncRead + Unpin>(io: &mut T) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    io.read_exact(&mut length).await?;
    let mut bytes = Vec::new();
    io.take(u32::from_be_bytes(length).into())
        .read_to_end(&mut bytes)
        .await?;
    Ok(bytes)
}

impl Codec for RawCodec {
    type Protocol = StreamProtocol;
    type Request = Question;
    /// A frame's content.
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Question>
    where
        T: AsyncRead + Unpin + Send,
    {
        Ok(Question::In(wire::decode(&read_frame(io).await?).ok()))
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        if self.is_deaf {
            return pending().await;
        }
        read_frame(io).await
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        question: Question,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let Question::Out(bytes, after) = question else {
            return Ok(());
        };
        io.write_all(&bytes).await?;
        io.flush().await?;
        self.is_deaf = after == After::NeverRead;
        match after {
            After::Read | After::NeverRead => Ok(()),
            After::NeverFinish => pending().await,
            After::Trickle => loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                io.write_all(&[0]).await?;
                io.flush().await?;
            },
        }
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        answer: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&frame(&answer)).await?;
        io.flush().await
    }
}
