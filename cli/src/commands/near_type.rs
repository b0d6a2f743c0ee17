//! Whether an event's type is a slip: `blueprint_taged`. Types are free, so it is a remark only.

use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;
use ssid_node::view::Page;
use strsim::osa_distance;

use crate::context::Context;
use crate::output::clean;

/// The types that registries have from the beginning.
const STANDARD: [&str; 8] = [
    "blueprint_tagged",
    "compliance_audit",
    "governance_bootstrap",
    "governance_release_published",
    "governance_update",
    "policy_update",
    "quarterly_release",
    "root_lock_check",
];
/// The latest certified events that are looked at for types.
const LOOKED_AT: usize = 200;
/// How long the look may hold up the event.
const AT_MOST: Duration = Duration::from_secs(1);

/// The type of an event, which is all that is wanted of it.
#[derive(Deserialize)]
struct Typed {
    event_type: String,
}

/// Says on standard error which type was probably meant, where nothing of this type was ever
/// certified and one that is nearly the same is known.
pub(super) async fn remark(event_type: &str, context: &Context) {
    if STANDARD.contains(&event_type) || context.out.is_quiet() {
        return;
    }
    // a node that cannot be asked does not take the event either, and that is said
    let look = tokio::time::timeout(AT_MOST, types_besides(event_type, context));
    let Ok(Ok(Some(known))) = look.await else {
        return;
    };
    let known = STANDARD.into_iter().chain(known.iter().map(String::as_str));
    if let Some(near) = nearest(event_type, known) {
        let (near, event_type) = (clean(near), clean(event_type));
        context.out.remark(&format!(
            "warning: no event of type {event_type} was certified yet: did you mean {near}?"
        ));
    }
}

/// The types of the latest certified events; `None` if this one is among all of them, or may be.
async fn types_besides(event_type: &str, context: &Context) -> Result<Option<Vec<String>>> {
    let client = context.client()?;
    let page = async |limit: usize, of_type: Option<&str>| -> Result<Page<Typed>> {
        let certified = ("state", "certified".to_owned());
        let mut query = vec![certified, ("limit", limit.to_string())];
        query.extend(of_type.map(|name| ("event_type", name.to_owned())));
        client.get(&["v1", "events"], &query).await
    };
    // an empty page that has another one behind it tells of the latest only
    let same = page(1, Some(event_type)).await?;
    if !same.items.is_empty() || same.next.is_some() {
        return Ok(None);
    }
    let latest = page(LOOKED_AT, None).await?.items.into_iter();
    Ok(Some(latest.map(|one| one.event_type).collect()))
}

/// The type that is one or two slips away, if there is one.
fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = match written.chars().count() {
        0..=3 => 0,
        4..=7 => 1,
        _ => 2,
    };
    // another number is another type, as in blueprint_v4.5_ready
    let letters = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
    known
        .filter(|known| letters(known) != letters(written))
        .map(|known| (osa_distance(written, known), known))
        .filter(|(distance, _)| *distance <= most)
        // of equals the first: those of the beginning come before what members named
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_other_words_are_not() {
        let known = [
            "blueprint_tagged",
            "audit",
            "kyc",
            "governance_update",
            "blueprint_v4.4_ready",
        ];
        let near = |written: &str| nearest(written, known.into_iter());
        for (written, meant) in [
            ("blueprint_taged", "blueprint_tagged"),
            ("bluepritn_tagged", "blueprint_tagged"),
            ("Blueprint_tagged", "blueprint_tagged"),
            ("governance-updates", "governance_update"),
            ("audits", "audit"),
        ] {
            assert_eq!(near(written), Some(meant), "{written}");
        }
        for other in [
            "policy_update",
            "edits",
            "kyb",
            "blueprint_v4.5_ready",
            "blueprint",
        ] {
            assert_eq!(near(other), None, "{other}");
        }
    }
}
