//! Replaces a file whole or not at all.

use std::io;

use crate::place::Place;

/// Puts `bytes` in the place of a file, which keeps its mode (new ones have 0644); when this
/// returns, they are on disk. A reader sees the old contents or the new. The directory must exist.
///
/// # Errors
/// If the new file cannot be written or moved into place, or the place is refused; the old one is
/// then untouched.
pub fn write_atomic(place: impl Into<Place>, bytes: &[u8]) -> io::Result<()> {
    place.into().replace(bytes)
}
