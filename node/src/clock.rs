//! This machine's clock, where nothing waits by it; what waits goes by [`crate::engine::Now`].

use ssid_protocol::id::UnixMillis;

use crate::engine::Now;

/// What the machine's clock shows, right or wrong. Before 1970 it counts as 1970.
pub fn now() -> UnixMillis {
    Now::read().wall
}
