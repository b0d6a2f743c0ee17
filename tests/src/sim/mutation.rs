//! Faults put in on purpose, to show that the checks can fail.

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mutation {
    /// Everything as it is.
    #[default]
    None,
    /// A restart forgets the batches in which it precommitted, and with them its locks.
    DropsLocks,
    /// A tick's messages leave before its writes are synced.
    SendsBeforeFlush,
    /// A death loses what the last tick wrote, and has sent.
    LosesWhatWasSent,
    /// A restart finds the journal and the database as they were some time ago.
    RestoresOldDisk,
    /// More than a third lie.
    TooManyLiars,
}
