//! Where a simulation steps between a write and the disk. Built without the feature `simulation`
//! there is nothing here: every point is passed.

use std::io;

/// The instants of a write at which a machine may die, in the order of one tick's writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    not(feature = "simulation"),
    expect(unreachable_pub, reason = "simulations name them")
)]
pub enum Point {
    /// The journal's records are not written yet.
    JournalWrite,
    /// They are written and not synced: any of their pages may be lost.
    JournalSync,
    /// The database has not taken the rows yet.
    RowsWrite,
    /// It has, and has not synced: all of them may be lost, or none.
    RowsSync,
    /// `log.head` is not written yet.
    HeadWrite,
    /// It is written and not synced: the slot may be the new one, the old one or torn.
    HeadSync,
    /// A new `log.head` is written beside the old, or where there was none: it may be torn.
    HeadCreate,
    /// It is written, and has not taken its place.
    HeadReplace,
    /// It has, and the directory is not synced: the old one may be there, or none.
    HeadReplaceSync,
    /// Compaction writes the new journal beside the old: it may be torn.
    CompactionWrite,
    /// It is written, and has not taken the old one's place.
    CompactionReplace,
    /// It has, and the directory is not synced: either may be the journal.
    CompactionSync,
}

/// Bytes of a page, the least that a disk writes at once.
const PAGE: usize = 4096;

/// The machine died.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dead {
    /// How much of what was written and not synced is on disk all the same, of 1000.
    pub(crate) survives: u16,
    /// `None`: that is the beginning of it. Else it is each page with that chance, by this number's
    /// bits.
    pub(crate) pages: Option<u64>,
}

impl Dead {
    /// What the disk holds of a file that is `synced` on it and `written` by now.
    pub(crate) fn leaves(self, synced: &[u8], written: &[u8]) -> Vec<u8> {
        match self.pages {
            None => self.leaves_beginning(synced, written),
            Some(pages) => leaves_pages(synced, written, |page| chance(pages, page, self.survives)),
        }
    }

    /// The share of the changed bytes that came first.
    fn leaves_beginning(self, synced: &[u8], written: &[u8]) -> Vec<u8> {
        let differs = |at: &usize| synced.get(*at) != written.get(*at);
        let size = written.len();
        let first = (0..size).find(differs).unwrap_or(size);
        let last = (first..size).rfind(differs);
        let end = last.map_or(first, |last| last + 1);
        let share = usize::from(self.survives.min(1000));
        let kept = first + (end - first) * share / 1000;
        // behind it stands what was there before
        let old = synced.get(kept..).unwrap_or_default();
        [&written[..kept], old].concat()
    }

    /// The same for what is there as a whole or not at all.
    pub(crate) fn keeps(self) -> bool {
        self.survives >= 500
    }
}

impl From<Dead> for io::Error {
    fn from(dead: Dead) -> Self {
        Self::other(format!(
            "the simulated machine died, and {} of 1000 survive",
            dead.survives
        ))
    }
}

/// `written` where `survives` says so of a page's number, else `synced`, or zeros behind its end.
/// The file may be as long as it was written although its last pages are lost; or, by the page
/// after the last, shorter.
pub(crate) fn leaves_pages(
    synced: &[u8],
    written: &[u8],
    survives: impl Fn(u64) -> bool,
) -> Vec<u8> {
    let mut left = synced.to_vec();
    left.resize(written.len().max(synced.len()), 0);
    let mut end = synced.len();
    for (number, page) in written.chunks(PAGE).enumerate() {
        let start = number * PAGE;
        if survives(number as u64) {
            left[start..start + page.len()].copy_from_slice(page);
            end = end.max(start + page.len());
        }
    }
    if !survives(written.len().div_ceil(PAGE) as u64) {
        left.truncate(end);
    }
    left
}

/// True for so many of 1000 numbers, by the bits of `seed`: the finalizer of SplitMix64.
pub(crate) fn chance(seed: u64, number: u64, permille: u16) -> bool {
    let mut mixed = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed ^ (mixed >> 31)) % 1000 < u64::from(permille)
}

/// What a simulation, if there is one, does at each [`Point`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Hooks {
    #[cfg(feature = "simulation")]
    pub(crate) disk: Option<crate::simulation::Disk>,
}

#[cfg(feature = "simulation")]
impl Hooks {
    pub(crate) fn pass(&self, point: Point) -> Result<(), Dead> {
        self.disk.as_ref().map_or(Ok(()), |disk| disk.pass(point))
    }

    /// Whether what survives is the simulation's to decide, so that syncing proves nothing.
    pub(crate) fn is_simulated(&self) -> bool {
        self.disk.is_some()
    }
}

#[cfg(not(feature = "simulation"))]
#[expect(
    clippy::unused_self,
    clippy::unnecessary_wraps,
    reason = "the shape of the simulated one"
)]
impl Hooks {
    pub(crate) fn pass(&self, _: Point) -> Result<(), Dead> {
        Ok(())
    }

    pub(crate) fn is_simulated(&self) -> bool {
        false
    }
}
