//! Events and conflicts by the commit that they are about, where nothing else begins so.

use anyhow::Result;
use ssid_node::view::{ConflictView, EventView, Page};

use crate::client::Client;
use crate::error::{CliError, Code};

/// Hex digits of the shortest beginning of a commit hash, as events name commits.
const SHORTEST: usize = 7;
/// Events and conflicts that are looked for at most.
const MOST: usize = 1000;

/// The events of commits that begin with `name`, of which no event's hash is the beginning.
///
/// # Errors
/// With `missing`, that there is no such event, if there are none.
pub(super) async fn events(
    client: &Client,
    name: &str,
    missing: anyhow::Error,
) -> Result<Page<EventView>> {
    if !may_be_commit(name, &missing) {
        return Err(missing);
    }
    let query = [("commit", name.to_owned())];
    let found: Page<EventView> = client.list(&["v1", "events"], &query, MOST).await?;
    if found.items.is_empty() {
        return Err(missing);
    }
    Ok(found)
}

/// The conflicts with a candidate of a commit that begins with `name`, of which no subject's id is
/// the beginning.
///
/// # Errors
/// With `missing`, that there is no such conflict, if there are none.
pub(super) async fn conflicts(
    client: &Client,
    name: &str,
    missing: anyhow::Error,
) -> Result<Page<ConflictView>> {
    if !may_be_commit(name, &missing) {
        return Err(missing);
    }
    let query = [("commit", name.to_owned())];
    let found: Page<ConflictView> = client.list(&["v1", "conflicts"], &query, MOST).await?;
    if found.items.is_empty() {
        return Err(missing);
    }
    Ok(found)
}

/// Whether nothing was found, and `name` may be the beginning of a commit hash.
fn may_be_commit(name: &str, missing: &anyhow::Error) -> bool {
    let is_missing = missing
        .downcast_ref::<CliError>()
        .is_some_and(|error| error.code == Code::Failed);
    is_missing
        && (SHORTEST..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_hexdigit())
}
