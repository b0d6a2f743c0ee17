//! Finding a thing by the start of its id, or by its name, and saying what was meant when there is
//! none.

use strsim::levenshtein;

use super::error::Failure;
use crate::view::Problem;

/// How many near ones an unknown name is answered with.
const NEAREST: usize = 3;

/// One thing that can be named.
pub(super) struct Named<T> {
    /// Its id in hex.
    pub(super) id: String,
    /// What people call it; empty if nothing.
    pub(super) name: String,
    /// The one thing that was found.
    pub(super) item: T,
}

/// The one of `all` whose name is `text` or whose id begins with it; else the one whose name begins
/// with it, in upper or lower case.
pub(super) fn resolve<T>(what: &str, text: &str, mut all: Vec<Named<T>>) -> Result<T, Failure> {
    let wanted = text.to_ascii_lowercase();
    // an id or the whole name wins over what begins with it, or a short name could never be said
    let is_exact = |n: &Named<T>| n.id == wanted || (!n.name.is_empty() && n.name == text);
    let mut exact = all
        .iter()
        .enumerate()
        .filter(|(_, n)| is_exact(n))
        .map(|(place, _)| place);
    // exactly one: names are not unique, and none of two is guessed
    if let (Some(place), None) = (exact.next(), exact.next()) {
        return Ok(all.swap_remove(place).item);
    }
    drop(exact);
    let fits = |n: &Named<T>| !wanted.is_empty() && n.id.starts_with(&wanted);
    // ids before names: a name that looks like the beginning of another's id hides nobody
    let (fitting, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|n| fits(n) || is_exact(n));
    let (fitting, rest) = if fitting.is_empty() {
        begins_so(text, rest)
    } else {
        (fitting, rest)
    };
    if fitting.len() > 1 {
        return Err(Failure::ambiguous(
            &format!("{what} {text:?}"),
            fitting.iter().take(10).map(label).collect(),
        ));
    }
    fitting
        .into_iter()
        .next()
        .map(|n| n.item)
        .ok_or_else(|| unknown(what, text, &rest))
}

/// Those whose name is `text` but for upper and lower case, else those whose name begins so; and
/// the others.
fn begins_so<T>(text: &str, all: Vec<Named<T>>) -> (Vec<Named<T>>, Vec<Named<T>>) {
    let wanted = text.to_lowercase();
    if wanted.is_empty() {
        return (Vec::new(), all);
    }
    let is_same = |n: &Named<T>| n.name.to_lowercase() == wanted;
    if all.iter().any(is_same) {
        return all.into_iter().partition(is_same);
    }
    all.into_iter()
        .partition(|n| n.name.to_lowercase().starts_with(&wanted))
}

fn label<T>(named: &Named<T>) -> String {
    if named.name.is_empty() {
        named.id.clone()
    } else {
        format!("{} {}", named.id, named.name)
    }
}

fn unknown<T>(what: &str, text: &str, all: &[Named<T>]) -> Failure {
    // shown and compared: a caller may send a name of any length
    let shown: String = text.chars().take(80).collect();
    let wanted = shown.to_lowercase();
    let mut near: Vec<_> = all.iter().map(|n| (distance(&wanted, n), n)).collect();
    near.sort_by_key(|(distance, _)| *distance);
    let candidates: Vec<String> = near
        .into_iter()
        .take(NEAREST)
        .map(|(_, n)| label(n))
        .collect();
    Failure::unknown(&format!("there is no {what} {shown:?}"), candidates)
}

impl Failure {
    /// 404, with what may have been meant.
    pub(super) fn unknown(detail: &str, candidates: Vec<String>) -> Self {
        let problem = *Self::not_found(detail).0;
        let problem = if candidates.is_empty() {
            problem
        } else {
            problem.hint(format!("the nearest: {}", candidates.join(", ")))
        };
        Self::from(Problem {
            candidates,
            ..problem
        })
    }
}

/// Edits from what was typed to the name, or to as many digits of the id, whichever is less; both
/// sides are at most 80 characters.
fn distance<T>(wanted: &str, named: &Named<T>) -> usize {
    let id: String = named.id.chars().take(wanted.chars().count()).collect();
    let name: String = named.name.to_lowercase().chars().take(80).collect();
    levenshtein(wanted, &id).min(levenshtein(wanted, &name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Named<u8>> {
        let named = |id: &str, name: &str, item| Named {
            id: id.into(),
            name: name.into(),
            item,
        };
        vec![
            named("aa11", "Berlin", 0),
            named("aa22", "Bern", 1),
            named("bb33", "Paris", 2),
        ]
    }

    #[test]
    fn names_and_unique_prefixes_are_found() {
        assert_eq!(resolve("node", "Bern", all()).unwrap(), 1);
        assert_eq!(resolve("node", "aa1", all()).unwrap(), 0);
        assert_eq!(resolve("node", "BB", all()).unwrap(), 2);
    }

    #[test]
    fn names_are_found_as_people_type_them() {
        assert_eq!(resolve("node", "bern", all()).unwrap(), 1);
        assert_eq!(resolve("node", "PAR", all()).unwrap(), 2);
        let many = *resolve("node", "ber", all()).unwrap_err().0;
        assert_eq!((many.status, many.candidates.len()), (409, 2));
        let mut all = all();
        all.push(Named {
            id: "cc44".into(),
            name: "berlin".into(),
            item: 3,
        });
        assert_eq!(resolve("node", "berlin", all).unwrap(), 3);
    }

    #[test]
    fn others_are_told_what_there_is() {
        let many = *resolve("node", "aa", all()).unwrap_err().0;
        assert_eq!(
            (many.status, many.candidates),
            (409, vec!["aa11 Berlin".into(), "aa22 Bern".into()])
        );
        let none = *resolve("node", "pariss", all()).unwrap_err().0;
        assert_eq!(
            (none.status, none.candidates[0].as_str()),
            (404, "bb33 Paris")
        );
        assert_eq!(resolve("node", "", all()).unwrap_err().0.status, 404);
    }
}
