//! What tests of configuration files share.

use std::collections::BTreeSet;

use serde_json::Value;

/// The key of everything that can be set in a document, with the sections it is in. What has one of
/// the names `whole` is set as a whole.
pub(crate) fn leaves(document: &Value, whole: &[&str]) -> BTreeSet<String> {
    let Value::Object(members) = document else {
        return BTreeSet::new();
    };
    let mut found = BTreeSet::new();
    for (name, member) in members {
        if member.is_object() && !whole.contains(&name.as_str()) {
            let below = leaves(member, whole);
            found.extend(below.into_iter().map(|key| format!("{name}.{key}")));
        } else {
            found.insert(name.clone());
        }
    }
    found
}
