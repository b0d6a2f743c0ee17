//! Puts rows of one length in order, however many: a bounded number in memory, the others as sorted
//! runs in one file that has no name and is gone with the process.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

/// Bytes of rows that are held in memory.
const HELD_BYTES: usize = 8 << 20;
/// Bytes read ahead of each run when runs are merged.
const WINDOW_BYTES: usize = 16 << 10;

/// Takes rows of `N` bytes in any order. They are compared as bytes.
#[derive(Debug)]
pub(super) struct Sorter<const N: usize> {
    scratch: PathBuf,
    held_at_most: usize,
    held: Vec<[u8; N]>,
    spilled: Option<File>,
    /// Where each run stands in the file: its first row, and the one after its last.
    runs: Vec<(u64, u64)>,
}

impl<const N: usize> Sorter<N> {
    /// Runs go to a file in `scratch`, if there are more rows than are held.
    pub(super) fn new(scratch: PathBuf) -> Self {
        Self {
            scratch,
            held_at_most: HELD_BYTES / N,
            held: Vec::new(),
            spilled: None,
            runs: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, row: [u8; N]) -> io::Result<()> {
        if self.held.len() >= self.held_at_most {
            self.spill()?;
        }
        self.held.push(row);
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        let file = match &mut self.spilled {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(&self.scratch)?),
        };
        self.held.sort_unstable();
        file.write_all(self.held.as_flattened())?;
        let first = self.runs.last().map_or(0, |(_, end)| *end);
        self.runs.push((first, first + self.held.len() as u64));
        self.held.clear();
        Ok(())
    }

    /// No more rows come.
    pub(super) fn finish(mut self) -> Sorted<N> {
        self.held.sort_unstable();
        Sorted {
            held: self.held,
            spilled: self.spilled,
            runs: self.runs,
        }
    }
}

/// Rows in order, to be gone through as often as one likes.
#[derive(Debug)]
pub(super) struct Sorted<const N: usize> {
    held: Vec<[u8; N]>,
    spilled: Option<File>,
    runs: Vec<(u64, u64)>,
}

impl<const N: usize> Sorted<N> {
    /// All rows, the lowest first.
    pub(super) fn rows(&self) -> io::Result<Rows<'_, N>> {
        let in_file = self.runs.iter().map(|(first, end)| Run {
            file: self.spilled.as_ref(),
            next: *first,
            end: *end,
            window: Vec::new(),
            at: 0,
        });
        let mut rows = Rows {
            runs: in_file.collect(),
            held: &self.held,
            heap: BinaryHeap::new(),
        };
        for run in 0..=rows.runs.len() {
            rows.refill(run)?;
        }
        Ok(rows)
    }
}

/// Goes through the rows: runs merged, and those in memory with them.
#[derive(Debug)]
pub(super) struct Rows<'a, const N: usize> {
    runs: Vec<Run<'a>>,
    held: &'a [[u8; N]],
    /// The lowest row of each run, and which run. That of the rows in memory has the number after
    /// the last.
    heap: BinaryHeap<Reverse<([u8; N], usize)>>,
}

impl<const N: usize> Rows<'_, N> {
    fn refill(&mut self, run: usize) -> io::Result<()> {
        let next = match self.runs.get_mut(run) {
            Some(run) => run.next()?,
            None => self.held.split_first().map(|(first, rest)| {
                self.held = rest;
                *first
            }),
        };
        self.heap.extend(next.map(|row| Reverse((row, run))));
        Ok(())
    }

    /// The next row; none after the last.
    pub(super) fn next_row(&mut self) -> io::Result<Option<[u8; N]>> {
        let Some(Reverse((row, run))) = self.heap.pop() else {
            return Ok(None);
        };
        self.refill(run)?;
        Ok(Some(row))
    }
}

/// A run in the file, read a window at a time.
#[derive(Debug)]
struct Run<'a> {
    file: Option<&'a File>,
    next: u64,
    end: u64,
    window: Vec<u8>,
    at: usize,
}

impl Run<'_> {
    fn next<const N: usize>(&mut self) -> io::Result<Option<[u8; N]>> {
        if self.at == self.window.len() {
            let rows = (self.end - self.next).min((WINDOW_BYTES / N) as u64);
            let Some(file) = self.file.filter(|_| rows > 0) else {
                return Ok(None);
            };
            self.window
                .resize(usize::try_from(rows).unwrap_or(0) * N, 0);
            file.read_exact_at(&mut self.window, self.next * N as u64)?;
            self.next += rows;
            self.at = 0;
        }
        let row = self
            .window
            .get(self.at..self.at + N)
            .and_then(|row| row.try_into().ok());
        self.at += N;
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn rows_come_out_in_order_whether_they_fit_into_memory_or_not() {
        let scratch = tempfile::tempdir().unwrap();
        // a permutation of 0..5000, 5000 and 4999 having no common factor with 7
        let numbers = (0..5000_u32).map(|n| n * 7 % 5000);
        for held_at_most in [10_000, 1000, 64] {
            let mut sorter = Sorter {
                held_at_most,
                ..Sorter::<6>::new(scratch.path().to_owned())
            };
            for n in numbers.clone() {
                let [a, b, c, d] = n.to_be_bytes();
                sorter.push([a, b, c, d, 0, 1]).unwrap();
                assert!(sorter.held.len() <= held_at_most);
            }
            let sorted = sorter.finish();
            assert_eq!(sorted.runs.is_empty(), held_at_most == 10_000);
            for _ in 0..2 {
                let mut rows = sorted.rows().unwrap();
                for expected in 0..5000_u32 {
                    let [a, b, c, d, ..] = rows.next_row().unwrap().unwrap();
                    assert_eq!(u32::from_be_bytes([a, b, c, d]), expected);
                }
                assert_eq!(rows.next_row().unwrap(), None);
            }
            assert_eq!(
                std::fs::read_dir(scratch.path()).unwrap().count(),
                0,
                "its file has no name"
            );
        }
    }
}
