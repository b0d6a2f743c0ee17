//! Files that a person names on the command line: regular ones, or a pipe that the shell has put in
//! the place of one, `<(…)`. What a path leads to otherwise – a named pipe, a device, a socket – is
//! refused: it might never end, or never begin.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ssid_storage::regular;

/// How long a pipe may say nothing. What writes into it has been started already.
const SILENCE: Duration = Duration::from_mins(1);
/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;

/// The bytes of the file at `path`, at most `limit` of them.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] if there is none, [`io::ErrorKind::FileTooLarge`] if it has more;
/// [`io::ErrorKind::TimedOut`] if a pipe says nothing for [`SILENCE`].
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_within(path, limit, SILENCE)
}

fn read_within(path: &Path, limit: u64, silence: Duration) -> io::Result<Vec<u8>> {
    if !is_descriptor(path) {
        return regular::read(path, limit);
    }
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(regular::UNKNOWN_FILE)
        .open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        return regular::bytes_of(file, limit);
    }
    if kind.is_fifo() {
        return pipe(file, limit, silence);
    }
    Err(regular::not_regular())
}

/// Standard input, at most `limit` bytes of it.
///
/// # Errors
/// As [`read`], but however long it says nothing: it was asked for by its name.
pub(crate) fn read_input(limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)?;
    within(bytes, limit)
}

/// Whether a path names what this process was given open.
fn is_descriptor(path: &Path) -> bool {
    path == Path::new("/dev/stdin")
        || path.starts_with("/dev/fd")
        || path.starts_with("/proc/self/fd")
}

fn pipe(mut file: File, limit: u64, silence: Duration) -> io::Result<Vec<u8>> {
    let silence = Timespec {
        tv_sec: silence.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: silence.subsec_nanos().into(),
    };
    let mut bytes = Vec::new();
    let mut chunk = vec![0; CHUNK];
    while bytes.len() as u64 <= limit {
        let mut ready = [PollFd::new(&file, PollFlags::IN)];
        if poll(&mut ready, Some(&silence))? == 0 {
            let what = "nothing has come through this pipe for a minute";
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        }
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // another reader was faster
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
    within(bytes, limit)
}

fn within(bytes: Vec<u8>, limit: u64) -> io::Result<Vec<u8>> {
    if bytes.len() as u64 > limit {
        let what = format!("it has more than {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;
    use std::path::PathBuf;
    use std::time::Instant;

    use super::*;

    fn named(file: &impl std::os::fd::AsRawFd) -> PathBuf {
        format!("/proc/self/fd/{}", file.as_raw_fd()).into()
    }

    #[test]
    fn a_pipe_of_the_shell_is_read_to_its_end_or_its_limit() {
        let (reader, mut writer) = io::pipe().unwrap();
        let path = named(&reader);
        let all = std::thread::spawn(move || read(&path, 100_000));
        writer.write_all(&vec![b'x'; 99_999]).unwrap();
        drop(writer);
        assert_eq!(all.join().unwrap().unwrap().len(), 99_999);
        drop(reader);
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"12345").unwrap();
        let refused = read(&named(&reader), 4).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn nothing_that_does_not_begin_is_waited_for() {
        let (reader, writer) = io::pipe().unwrap();
        let begun = Instant::now();
        let refused = read_within(&named(&reader), 4, Duration::from_millis(50)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < Duration::from_secs(10));
        drop(writer);
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let _ = socket.as_raw_fd();
        assert!(read(&named(&socket), 4).is_err());
        let zero = File::open("/dev/zero").unwrap();
        for endless in [named(&zero), "/dev/zero".into(), "/dev".into()] {
            assert!(read(&endless, 4).is_err(), "{}", endless.display());
        }
    }
}
