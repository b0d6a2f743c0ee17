//! What the fuzz targets do with bytes: decode them within a bound of memory, then ask the
//! properties of `ssid_protocol::testing::decoders`, which the project's ordinary tests ask as
//! well.

pub mod registry;

use peak_alloc::PeakAlloc;
use ssid_protocol::testing::decoders::{self, Decoder};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes that decoding may take however short its input: serde reserves up to 1 MiB for each list
/// whose length it is told, and lists stand in lists, three deep.
const MEMORY_BASE: usize = 4 << 20;
/// Bytes that each byte of the input may cost beside.
const MEMORY_PER_BYTE: usize = 100;

/// The parser of the registry log, beside the decoders of the protocol.
const REGISTRY_LOG: Decoder = Decoder {
    name: "registry_log",
    decode: |bytes| {
        !registry::parse::parse(bytes, registry::parse::Position::START)
            .entries
            .is_empty()
    },
    check: registry::check,
    seeds: registry::seeds,
};

/// Every target.
pub fn all() -> impl Iterator<Item = Decoder> {
    decoders::ALL.into_iter().chain([REGISTRY_LOG])
}

/// Runs the target of that name on `bytes`; panics if something does not hold.
pub fn run(name: &str, bytes: &[u8]) {
    let decoder = all()
        .find(|decoder| decoder.name == name)
        .expect("the target's name is a decoder's");
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    (decoder.decode)(bytes);
    let (cost, most) = (
        MEMORY.peak_usage().saturating_sub(before),
        MEMORY_BASE + MEMORY_PER_BYTE * bytes.len(),
    );
    assert!(
        cost <= most,
        "decoding {} bytes took {cost} bytes of memory, {most} at most",
        bytes.len()
    );
    (decoder.check)(bytes);
}
