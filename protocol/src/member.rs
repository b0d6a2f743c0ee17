//! Members of a federation, as manifests and member cards name them (SPEC §4).

mod keys;

pub use keys::{PublicKeys, PublicKeysError};

use crate::id::NodeId;
use crate::json::{Fields, Json, JsonError};

/// Text that is none of the names that may stand in its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found}")]
pub struct NameError {
    /// The names, separated by `|`.
    pub expected: String,
    /// What stood there, quoted and cut to 80 characters.
    pub found: String,
}

/// An enum whose variants have a fixed text form, in documents and messages alike.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Every variant, in order of declaration.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in documents.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::member::NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|name| name.as_str() == text).ok_or_else(|| $crate::member::NameError {
                    expected: [$($text),+].join("|"),
                    found: $crate::json::excerpt(text),
                })
            }
        }
    };
}
pub(crate) use named;

named!(
    /// What a member does in its federation.
    Role {
        /// Votes, and may announce epoch changes.
        Coordinator = "coordinator",
        /// Votes and announces events.
        Participant = "participant",
        /// Receives and verifies everything and counts for nothing.
        Observer = "observer",
    }
);

named!(
    /// Whether a member takes part in an epoch.
    Status {
        /// It takes part: as a voter, unless it observes.
        Active = "active",
        /// It does not, by its own wish.
        Inactive = "inactive",
        /// It does not, by the others'.
        Suspended = "suspended",
    }
);

/// One organisation's node, as a manifest names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its voting key.
    pub node_id: NodeId,
    /// Its libp2p identity, which the manifest binds to the voting key.
    pub peer_id: String,
    /// What people call the node.
    pub node_name: String,
    /// Who runs it.
    pub organization: String,
    /// What it does.
    pub role: Role,
    /// Whether it takes part.
    pub status: Status,
    /// 1 to 100: its trust when the epoch was drawn up.
    pub weight: u64,
    /// Multiaddresses at which it can be reached.
    pub addresses: Vec<String>,
    /// Its governance repository, empty if none.
    pub git_remote: String,
    /// Its HTTP API, empty if none.
    pub api_endpoint: String,
    /// Further public keys, by purpose.
    pub keys: PublicKeys,
}

impl Member {
    /// Whether it votes: an active coordinator or participant.
    pub fn is_voter(&self) -> bool {
        self.status == Status::Active && self.role != Role::Observer
    }

    /// The object with the eleven keys of the specification.
    pub fn to_json(&self) -> Json {
        Json::object([
            ("node_id", Json::Text(self.node_id.to_string())),
            ("peer_id", Json::from(self.peer_id.as_str())),
            ("node_name", Json::from(self.node_name.as_str())),
            ("organization", Json::from(self.organization.as_str())),
            ("role", Json::from(self.role.as_str())),
            ("status", Json::from(self.status.as_str())),
            ("weight", Json::from(self.weight)),
            ("addresses", Json::texts(&self.addresses)),
            ("git_remote", Json::from(self.git_remote.as_str())),
            ("api_endpoint", Json::from(self.api_endpoint.as_str())),
            ("keys", self.keys.to_json()),
        ])
    }

    /// Takes the eleven keys of the specification; what else stands there is the caller's.
    ///
    /// # Errors
    /// If a key is missing or of the wrong type.
    pub fn take_from(fields: &mut Fields) -> Result<Self, JsonError> {
        Ok(Self {
            node_id: fields.parsed("node_id")?,
            peer_id: fields.text("peer_id")?,
            node_name: fields.text("node_name")?,
            organization: fields.text("organization")?,
            role: fields.parsed("role")?,
            status: fields.parsed("status")?,
            weight: fields.number("weight")?,
            addresses: fields.texts("addresses")?,
            git_remote: fields.text("git_remote")?,
            api_endpoint: fields.text("api_endpoint")?,
            keys: PublicKeys::take_from(fields, "keys")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::manifest;

    #[test]
    fn names_are_exact() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(*role));
            assert_eq!(serde_json::to_string(role).unwrap(), format!("\"{role}\""));
        }
        let refusal = "Observer".parse::<Role>().unwrap_err().to_string();
        assert_eq!(
            refusal,
            "expected coordinator|participant|observer, found \"Observer\""
        );
    }

    #[test]
    fn a_member_reads_back_and_each_key_is_needed() {
        let member = manifest(2).members.remove(1);
        let read = |json: Json| {
            let mut fields = json.into_fields("")?;
            Member::take_from(&mut fields).and_then(|member| fields.finish().map(|()| member))
        };
        assert_eq!(read(member.to_json()).as_ref(), Ok(&member));
        let Json::Object(keys) = member.to_json() else {
            unreachable!()
        };
        assert_eq!(keys.len(), 11);
        for key in keys.keys() {
            let mut less = keys.clone();
            less.remove(key);
            assert_eq!(
                read(Json::Object(less)),
                Err(JsonError::Missing { path: key.clone() })
            );
        }
    }

    #[test]
    fn active_members_vote_but_observers() {
        let mut member = manifest(2).members.remove(1);
        assert!(member.is_voter());
        member.status = Status::Inactive;
        assert!(!member.is_voter());
        (member.status, member.role) = (Status::Active, Role::Observer);
        assert!(!member.is_voter());
    }
}
