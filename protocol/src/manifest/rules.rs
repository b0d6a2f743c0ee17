//! Named, versioned rules of a manifest (SPEC §4): what later versions of the protocol add to an
//! epoch. They are kept and hashed whether known or not; but a manifest with one that is not known
//! is invalid for this node, so that nobody half-understands an epoch.

use std::collections::BTreeMap;

use super::{ManifestError, invalid};
use crate::json::{Fields, Json, JsonError, excerpt};
use crate::limits;
use crate::name::{NAME_RULE, is_name};

/// The rules that this version of the protocol knows, each with its version. There are none yet.
const KNOWN: &[(&str, u64)] = &[];

/// Rules by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(BTreeMap<String, Rule>);

/// One rule: its version and what else it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The version, which says what the other keys mean.
    pub version: u64,
    /// All of the object but `version`.
    pub settings: BTreeMap<String, Json>,
}

impl Rules {
    /// Their names, in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The rule of a name; `None` if the manifest has none.
    pub fn get(&self, name: &str) -> Option<&Rule> {
        self.0.get(name)
    }

    /// Refuses the first rule whose name or version this version of the protocol does not know.
    pub(super) fn check_known(&self) -> Result<(), ManifestError> {
        self.check_among(KNOWN)
    }

    fn check_among(&self, known: &[(&str, u64)]) -> Result<(), ManifestError> {
        for (name, rule) in &self.0 {
            let field = format!("rules.{name}");
            let versions: Vec<_> = known
                .iter()
                .filter(|(one, _)| one == name)
                .map(|(_, version)| version.to_string())
                .collect();
            if versions.is_empty() {
                let why = "a rule that this version of the software knows, which needs a newer one";
                return Err(invalid(&field, why, &format!("version {}", rule.version)));
            }
            if !versions.contains(&rule.version.to_string()) {
                let why = format!("of version {}", versions.join(" or "));
                return Err(invalid(&field, &why, &format!("version {}", rule.version)));
            }
        }
        Ok(())
    }

    /// The object of the specification.
    pub(super) fn to_json(&self) -> Json {
        Json::Object(self.0.iter().map(rule_to_json).collect())
    }

    /// Takes the object under `key`.
    pub(super) fn take_from(fields: &mut Fields, key: &str) -> Result<Self, JsonError> {
        let path = fields.path_of(key);
        let refuse = |reason: String| JsonError::Refused {
            path: path.clone(),
            reason,
        };
        let mut object = fields.object(key)?;
        // counted before any is read: each may be as large as the document
        let names = object.keys();
        if names.len() > limits::RULES {
            let (max, found) = (limits::RULES, names.len());
            return Err(refuse(format!("at most rules = {max}; there are {found}")));
        }
        let mut rules = BTreeMap::new();
        for name in names {
            if !is_name(&name) {
                let shown = excerpt(&name);
                return Err(refuse(format!("a name is {NAME_RULE}; {shown} is not")));
            }
            // unknown rules are read all the same: whether one is known is asked when the manifest
            // is judged
            let rule = take_rule(object.object(&name)?)?;
            rules.insert(name, rule);
        }
        Ok(Self(rules))
    }
}

fn take_rule(mut fields: Fields) -> Result<Rule, JsonError> {
    let version = fields.number("version")?;
    let mut settings = BTreeMap::new();
    for key in fields.keys() {
        let value = fields.value(&key)?;
        settings.insert(key, value);
    }
    Ok(Rule { version, settings })
}

fn rule_to_json((name, rule): (&String, &Rule)) -> (String, Json) {
    let mut object = rule.settings.clone();
    object.insert("version".to_owned(), Json::from(rule.version));
    (name.clone(), Json::Object(object))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rules: &str) -> Result<Rules, JsonError> {
        let text = format!("{{\"rules\":{rules}}}");
        let mut fields = Json::parse(text.as_bytes(), 10_000)?.into_fields("")?;
        Rules::take_from(&mut fields, "rules")
    }

    #[test]
    fn what_a_rule_says_is_kept_whatever_it_is() {
        let text = r#"{"scores":{"a":[{"b":true}],"c":"d","version":3}}"#;
        let rules = read(text).unwrap();
        assert_eq!(rules.get("scores").map(|rule| rule.version), Some(3));
        assert_eq!(rules.to_json().to_jcs(), text);
    }

    #[test]
    fn a_rule_is_an_object_with_a_version_under_a_name() {
        let many = |count: usize| {
            let all: Vec<_> = (0..count)
                .map(|i| format!("\"r{i}\":{{\"version\":1}}"))
                .collect();
            read(&format!("{{{}}}", all.join(",")))
        };
        assert_eq!(many(16).map(|rules| rules.names().len()), Ok(16));
        assert!(many(17).unwrap_err().to_string().contains("rules = 16"));
        for (rules, expected) in [
            ("[]", "`rules`: expected an object"),
            (r#"{"a":1}"#, "`rules.a`: expected an object, found 1"),
            (r#"{"a":{}}"#, "`rules.a.version` is missing"),
            (
                r#"{"a":{"version":"1"}}"#,
                "`rules.a.version`: expected a number",
            ),
            (r#"{"A":{"version":1}}"#, "1 to 32 of a-z"),
            (r#"{"":{"version":1}}"#, "1 to 32 of a-z"),
        ] {
            let error = read(rules).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn an_unknown_name_or_version_makes_the_manifest_invalid() {
        let rules = read(r#"{"scores":{"version":2}}"#).unwrap();
        assert_eq!(rules.check_among(&[("scores", 1), ("scores", 2)]), Ok(()));
        let refusal = |known: &[(&str, u64)]| rules.check_among(known).unwrap_err().to_string();
        assert!(refusal(&[("other", 2)]).contains("`rules.scores` must be a rule that"));
        assert!(refusal(&[("scores", 1), ("scores", 3)]).contains("of version 1 or 3"));
        assert!(rules.check_known().is_err());
        assert_eq!(Rules::default().check_known(), Ok(()));
    }
}
