//! Remembers what has been read of a file by its hash, so that a change to it is noticed and its
//! place found.

use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use super::parse::Position;

/// Digests kept along the file. Up to this many lines a change is found to the line, in longer
/// files to a stretch.
const CHECKPOINTS: usize = 16 * 1024;

/// The part of a file that has been read for good.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    position: Position,
    hasher: Sha256,
    checkpoints: Vec<Checkpoint>,
    /// Lines from one checkpoint to the next.
    stride: u64,
}

/// The hash of everything before the line `line`, which begins at `offset`.
#[derive(Clone, Copy, Debug)]
struct Checkpoint {
    offset: u64,
    line: u64,
    digest: [u8; 32],
}

/// Where and how a file differs from what has been read of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Drift {
    /// No line before this one differs.
    pub(super) from_line: u64,
    pub(super) what: &'static str,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            position: Position::START,
            hasher: Sha256::new(),
            checkpoints: Vec::new(),
            stride: 1,
        }
    }
}

impl Seen {
    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// Takes note of `bytes`, which stand between the old position and `until`.
    pub(super) fn add(&mut self, bytes: &[u8], until: Position) {
        let mut offset = self.position.offset;
        let mut line = self.position.line;
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            self.hasher.update(piece);
            offset += piece.len() as u64;
            if piece.ends_with(b"\n") {
                line += 1;
                self.mark(offset, line);
            }
        }
        self.position = until;
    }

    fn mark(&mut self, offset: u64, line: u64) {
        if line < self.checkpoints.last().map_or(1, |c| c.line) + self.stride {
            return;
        }
        if self.checkpoints.len() == CHECKPOINTS {
            let mut keep = false;
            self.checkpoints.retain(|_| {
                keep = !keep;
                !keep
            });
            self.stride *= 2;
        }
        self.checkpoints.push(Checkpoint {
            offset,
            line,
            digest: self.digest(),
        });
    }

    fn digest(&self) -> [u8; 32] {
        self.hasher.clone().finalize().into()
    }

    /// Reads the beginning of `file` again and says where it first differs; `None`: it is as it
    /// was.
    pub(super) fn compare(&self, file: &mut impl Read) -> io::Result<Option<Drift>> {
        // the end is a checkpoint like the others, so that the last part is compared too
        let end = Checkpoint {
            offset: self.position.offset,
            line: self.position.line,
            digest: self.digest(),
        };
        let mut file = io::BufReader::with_capacity(64 * 1024, file);
        let mut hasher = HashWriter(Sha256::new());
        let mut at = 0;
        let mut from_line = 1;
        for checkpoint in self.checkpoints.iter().chain([&end]) {
            let wanted = checkpoint.offset - at;
            // cut short, or replaced by something shorter
            if io::copy(&mut file.by_ref().take(wanted), &mut hasher)? < wanted {
                return Ok(Some(Drift {
                    from_line,
                    what: "lines that had been read are gone",
                }));
            }
            let digest: [u8; 32] = hasher.0.clone().finalize().into();
            if digest != checkpoint.digest {
                return Ok(Some(Drift {
                    from_line,
                    what: "lines that had been read have been changed",
                }));
            }
            // a change is somewhere between the last place that agreed and this one
            (at, from_line) = (checkpoint.offset, checkpoint.line);
        }
        Ok(None)
    }
}

struct HashWriter(Sha256);

impl io::Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::parse::parse;

    fn seen(text: &str) -> Seen {
        let mut seen = Seen::default();
        let half = text.len() / 2;
        let first = parse(&text.as_bytes()[..half], Position::START).complete_until;
        seen.add(&text.as_bytes()[..first.offset as usize], first);
        let rest = &text.as_bytes()[first.offset as usize..];
        seen.add(rest, parse(rest, first).complete_until);
        seen
    }

    #[test]
    fn a_change_is_found_to_the_line() -> io::Result<()> {
        let text = (0..100)
            .map(|n| format!("line {n}\n"))
            .collect::<Vec<_>>()
            .concat();
        let seen = seen(&text);
        assert_eq!(seen.compare(&mut text.as_bytes())?, None);
        assert_eq!(seen.compare(&mut (text.clone() + "more").as_bytes())?, None);
        let edited = text.replace("line 41\n", "line 4l\n");
        assert_eq!(
            seen.compare(&mut edited.as_bytes())?.map(|d| d.from_line),
            Some(42)
        );
        let cut = seen.compare(&mut &text.as_bytes()[..text.len() - 3])?;
        assert_eq!(
            cut,
            Some(Drift {
                from_line: 100,
                what: "lines that had been read are gone"
            })
        );
        Ok(())
    }

    #[test]
    fn long_files_keep_a_bounded_number_of_checkpoints() -> io::Result<()> {
        let text = (0..3 * CHECKPOINTS)
            .map(|n| format!("{n}\n"))
            .collect::<Vec<_>>()
            .concat();
        let seen = seen(&text);
        assert!(seen.checkpoints.len() <= CHECKPOINTS && seen.stride == 4);
        let edited = text.replace("\n20000\n", "\n2000O\n");
        let found = seen
            .compare(&mut edited.as_bytes())?
            .map_or(0, |d| d.from_line);
        assert!((19_998..=20_001).contains(&found), "{found}");
        Ok(())
    }
}
