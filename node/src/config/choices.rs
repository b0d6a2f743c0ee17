//! The words among which settings choose.

use serde::{Deserialize, Serialize};

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// Every name, as in the file.
            pub const NAMES: &'static [&'static str] = &[$($text),*];

            /// The name, as in the file.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

choice!(
    /// What this node is in its federation.
    Mode {
        /// Votes, and may propose changes to the federation.
        Coordinator = "coordinator",
        /// A member that votes.
        Participant = "participant",
        /// Receives and verifies everything, and counts for nothing.
        Observer = "observer",
    }
);

choice!(
    /// How candidates are told apart when none has a quorum.
    TieBreaking {
        /// The earliest event.
        TimestampPriority = "timestamp_priority",
        /// A coordinator's choice.
        CoordinatorPriority = "coordinator_priority",
        /// The choice with the most weight.
        TrustWeighted = "trust_weighted",
        /// Not at all: people decide.
        ManualReview = "manual_review",
    }
);

choice!(
    /// Which events of others this node votes for when it has not seen them itself.
    Endorsement {
        /// Those announced by members with a trust of at least 25.
        Trusted = "trusted",
        /// Those whose commit exists in the announcing member's repository.
        Commit = "commit",
        /// Those that a person confirms.
        Operator = "operator",
        /// No event of others is endorsed.
        Observed = "observed",
    }
);

choice!(
    /// How conflicting events are decided.
    ConflictStrategy {
        /// By the federation's votes.
        HashMajorityVoting = "hash_majority_voting",
    }
);

choice!(
    /// How a Git remote may be reached.
    GitProtocol {
        /// Addresses that begin with `https://`.
        Https = "https",
        /// `ssh://…` and `user@host:path`.
        Ssh = "ssh",
        /// A directory of this machine.
        File = "file",
        /// `http://…`: neither secret nor known to come from the server; signatures hold all the
        /// same.
        Http = "http",
        /// `git://…`: as `http`.
        Git = "git",
    }
);

choice!(
    /// Where notifications go; how, says `telemetry_config.json`.
    Channel {
        /// A Slack webhook.
        Slack = "slack",
        /// A Discord webhook.
        Discord = "discord",
        /// Any webhook: JSON, signed if there is a secret.
        Webhook = "webhook",
        /// Mail over an SMTP server.
        Email = "email",
    }
);

choice!(
    /// Where content is put on IPFS.
    IpfsProvider {
        /// The IPFS node on this machine.
        Local = "local",
        /// An IPFS node elsewhere, with a token.
        Remote = "remote",
        /// A service that pins what another provider was given: Pinata, Filebase and others.
        Pinning = "pinning",
        /// Web3.Storage, whose upload API was switched off: named in errors with what to use
        /// instead.
        Web3 = "web3",
    }
);
