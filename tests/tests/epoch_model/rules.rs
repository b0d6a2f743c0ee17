//! Which rules hold, and the faults that the model must find.

/// Who holds the keys of epochs that have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// Their owners, for ever. The rules are then the plainer ones: what an earlier epoch proves
    /// counts like what the current one does, and who did not enter an epoch may close it.
    Kept,
    /// Anybody: D proves whatever it likes by the voters of epochs before the one that is closed.
    /// The rules are R1–R12 as they are to be built.
    Stolen,
}

/// One thing done wrong. Each has a test that finds a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    // --- R6, closing ---
    /// A voter that has signed its close goes on voting.
    VotesAfterClose,
    /// It goes on voting on subjects that its close does not name.
    VotesOnWhatItsCloseLacks,
    /// The sets of a close are drawn up before the last precommit is signed.
    CloseBeforeLastVote,
    /// One honest voter closes without its lock: it closed before the start-up check.
    CloseLosesLock,
    /// What is certified stands in neither set of a close.
    CertifiedLeftOut,
    /// Locks that were inherited and are still uncertified are not in the next close.
    InheritedNotPassedOn,
    /// Who did not enter an epoch closes it.
    AbsentCloses,
    /// Who did not enter an epoch votes on the change that ends it (R4).
    AbsentDecidesTheChange,
    // --- R8, entering ---
    /// Nothing is inherited.
    NothingInherited,
    /// The earliest lock that closes name is inherited, not the latest.
    EarliestInherited,
    /// Locks are compared by their round, whatever their epoch.
    ComparedByRoundOnly,
    /// Half of the closers suffice.
    FewCloses,
    /// A lock in a close counts without its polka.
    LockWithoutPolka,
    /// A certified entry of a close counts without its certificate.
    CertifiedUnproven,
    /// What only an earlier epoch proves is in force if one close names it.
    OneNamesWhatIsOld,
    /// A certificate of an earlier epoch is believed only for what the closes list as certified.
    LateOnlyIfCertified,
    /// A new voter votes without having entered.
    NewcomerEntersFree,
    /// A voter that comes late enters by a close that was minted with a former key.
    LateEntersByMinted,
    /// A voter that comes late keeps a certificate of the epoch that it leaves, which may have been
    /// minted since, if any close names that choice, in either set.
    LateKeepsWhatItHolds,
    // --- R9, earlier epochs ---
    /// D proves by stolen keys, and the rules are those for keys that are kept.
    StolenClaims,
    /// The same, by polkas in the next epoch.
    StolenPolkasRelease,
    /// A certificate of an earlier epoch certifies what a voter is locked on.
    StolenCertificatesCertify,
    /// An inherited lock is released by nothing but a polka.
    NobodyReleased,
    /// An inherited lock is released by one other voter's prevote, which may be D's.
    OneReleases,
    /// Who entered with a subject certified does not take part in it.
    CertifiedDoNotVote,
    /// A polka of an earlier epoch releases no inherited lock, and no prevotes do either.
    EarlierPolkaReleasesNothing,
    // --- voting ---
    /// Prevotes of round 0 are not held to the inherited lock.
    Round0Ungated,
    /// A restart resumes in round 0.
    RestartInRound0,
    /// A restart forgets what was precommitted.
    RestartForgetsPrecommit,
    /// A restart forgets what was inherited.
    RestartForgetsInherited,
}

/// The rules of one exploration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Rounds of each epoch, as many epochs as there are: 1 or 2 rounds each.
    pub(crate) rounds: &'static [usize],
    pub(crate) keys: Keys,
    /// A voter that lost its database enters again, by whatever closes it is given.
    pub(crate) enters_again: bool,
    /// Which subject is the change of members itself: no voter closes before it is certified.
    /// Without one, the change is certified at any time after two honest voters have entered.
    pub(crate) change: Option<usize>,
    /// How many choices each subject has, 1 or 2.
    pub(crate) choices: usize,
    pub(crate) fault: Fault,
}

impl Rules {
    /// The rules as they are to be built, keys of ended epochs stolen.
    pub(crate) fn current(rounds: &'static [usize]) -> Self {
        Self {
            rounds,
            keys: Keys::Stolen,
            enters_again: false,
            change: None,
            choices: 2,
            fault: Fault::None,
        }
    }

    /// The plainer rules, which are enough while nobody steals keys of ended epochs.
    pub(crate) fn keys_kept(rounds: &'static [usize]) -> Self {
        Self {
            keys: Keys::Kept,
            ..Self::current(rounds)
        }
    }

    pub(crate) fn with(self, fault: Fault) -> Self {
        Self { fault, ..self }
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    pub(crate) fn epochs(&self) -> usize {
        self.rounds.len()
    }

    /// Whether D can prove anything by voters of epochs before the one that is closed.
    pub(crate) fn old_keys_are_stolen(&self) -> bool {
        self.keys == Keys::Stolen || self.has(Fault::StolenClaims)
    }

    /// R6: only who entered an epoch closes it.
    pub(crate) fn absent_close(&self) -> bool {
        self.keys == Keys::Kept || self.has(Fault::AbsentCloses)
    }

    /// R9: who entered with a subject certified takes part in it.
    pub(crate) fn certified_vote(&self) -> bool {
        self.keys == Keys::Stolen && !self.has(Fault::CertifiedDoNotVote)
    }
}
