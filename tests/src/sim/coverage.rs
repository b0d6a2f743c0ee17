//! What seeds covered: counts by name, added up.

use std::collections::BTreeMap;
use std::fmt;

/// Counts of what happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<String, u64>);

impl Coverage {
    pub(super) fn add(&mut self, what: &str, count: u64) {
        if count == 0 {
            return;
        }
        match self.0.get_mut(what) {
            Some(known) => *known += count,
            None => {
                self.0.insert(what.to_owned(), count);
            }
        }
    }

    pub(super) fn count(&mut self, what: &str) {
        self.add(what, 1);
    }

    /// Keeps the largest.
    pub(super) fn most(&mut self, what: &str, value: u64) {
        let known = self.0.entry(format!("most: {what}")).or_default();
        *known = value.max(*known);
    }

    /// Takes another's counts in.
    pub fn merge(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            match what.strip_prefix("most: ") {
                Some(name) => self.most(name, *count),
                None => self.add(what, *count),
            }
        }
    }

    /// How often that happened.
    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }

    /// As a JSON object.
    pub fn to_json(&self) -> serde_json::Value {
        self.0
            .iter()
            .map(|(what, count)| (what.clone(), serde_json::Value::from(*count)))
            .collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|(what, count)| writeln!(f, "{count:>12}  {what}"))
    }
}
