//! Every bound of the protocol in one place (SPEC §12). What is past a limit is refused with the
//! limit's name.

/// Statements in one signed batch.
pub const BATCH_STATEMENTS: usize = 4096;
/// Bytes of one gossip message or one sync frame.
pub const MESSAGE_BYTES: usize = 1024 * 1024;
/// Bytes of an event's fields together.
pub const EVENT_BYTES: usize = 4096;
/// Bytes of each of an event's three unhashed fields.
pub const FREE_FIELD_BYTES: usize = 256;
/// Members of a federation.
pub const MEMBERS: usize = 1000;
/// Further public keys of a member.
pub const MEMBER_KEYS: usize = 16;
/// Hex digits of each of them.
pub const MEMBER_KEY_DIGITS: usize = 256;
/// Bytes of a manifest of epoch 1 or later in its canonical form.
pub const SUCCESSOR_BYTES: usize = 1_000_000;
/// Bytes of the reason in it.
pub const REASON_BYTES: usize = 512;
/// Rules of a manifest.
pub const RULES: usize = 16;
/// Members that an invite names.
pub const INVITE_PEERS: usize = 16;
/// Addresses of each of them.
pub const INVITE_ADDRESSES: usize = 16;
/// Bytes of each text of one of them.
pub const INVITE_TEXT_BYTES: usize = 256;
/// Open voting instances a node holds; one origin may hold this divided by the number of members.
pub const OPEN_INSTANCES: usize = 100_000;
/// Candidates of one subject, one per origin.
pub const CANDIDATES: usize = 64;
/// Buffered votes for unknown subjects, per voter.
pub const UNKNOWN_VOTES: usize = 10_000;
/// Of those for one subject: more than all rounds of its current life need.
pub const UNKNOWN_VOTES_OF_SUBJECT: usize = 64;
/// Bytes of one signer's batches that a node keeps whole in memory. Past that a statement whose
/// batch says little else of use is kept alone, with its proof.
pub const WHOLE_BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of a manifest, card or certificate in its JSON form.
pub const DOCUMENT_BYTES: usize = 4 * 1024 * 1024;
/// Automatic (and likewise operator) rounds of one instance.
pub const ROUNDS: u32 = 10;
/// Bytes of each text in a heartbeat, its addresses included.
pub const HEARTBEAT_TEXT_BYTES: usize = 256;
/// Addresses in a heartbeat.
pub const HEARTBEAT_ADDRESSES: usize = 16;
/// Names in a heartbeat's `more`.
pub const HEARTBEAT_MORE: usize = 16;
/// Bytes of a heartbeat's `more` as JCS.
pub const HEARTBEAT_MORE_BYTES: usize = 1024;
