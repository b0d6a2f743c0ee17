//! Whether this node may still sign at all, and why not if it may not: reasons that hold for good.

/// Why a node signs nothing more, if it does not.
#[derive(Debug)]
pub(super) struct Standing {
    abstaining: Option<String>,
    /// Why the journal itself says that it was rolled back, if it does.
    rolled_back: Option<String>,
    read_only: Option<String>,
}

impl Standing {
    /// Of a node that abstains from its start, for this reason, or does not.
    pub(super) fn new(abstaining: Option<String>) -> Self {
        Self {
            abstaining,
            rolled_back: None,
            read_only: None,
        }
    }

    /// Why it abstains: its vote history is incomplete, or contradicts what others hold of it.
    pub(super) fn abstaining(&self) -> Option<&str> {
        self.abstaining.as_deref()
    }

    /// What the journal says, or is to say, of its having been rolled back.
    pub(super) fn rolled_back(&self) -> Option<&str> {
        self.rolled_back.as_deref()
    }

    /// Why it is read-only: its storage failed, or two certificates of one subject are known.
    pub(super) fn read_only(&self) -> Option<&str> {
        self.read_only.as_deref()
    }

    /// The journal was rolled back: the node abstains, if it does not for another reason already.
    pub(super) fn note_rolled_back(&mut self, reason: String) {
        self.abstaining.get_or_insert_with(|| reason.clone());
        self.rolled_back = Some(reason);
    }

    /// It takes part again, in an epoch in which its former life signed nothing.
    pub(super) fn end_abstaining(&mut self) {
        (self.abstaining, self.rolled_back) = (None, None);
    }

    /// Nothing more is written or signed before a restart.
    pub(super) fn make_read_only(&mut self, reason: String) {
        self.read_only = Some(reason);
    }
}
