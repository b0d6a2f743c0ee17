//! Certificates of an epoch that is not this node's own (SPEC §4, *Earlier epochs*).

use ssid_protocol::certificate::Certificate;

use crate::engine::{Engine, Tick};

impl Engine {
    /// Whether a certificate decides by itself: of the epoch that this node is in, as long as that
    /// or the one before the next is what ends.
    pub(crate) fn is_of_own_epoch(&self, certificate: &Certificate) -> bool {
        let current = self.epochs.current().number();
        let boundary = self.membership.boundary.as_ref();
        // once this node has taken stock, only what closes list as certified is
        certificate.epoch == current
            && boundary.is_none_or(|boundary| boundary.epoch == current && boundary.sets.is_none())
    }

    /// A certificate of an epoch that is not this node's own: it is kept if closes may put it in
    /// force, and says nothing by itself (SPEC §4, *Earlier epochs*).
    pub(crate) fn take_other_epochs(&mut self, tick: &mut Tick, certificate: Certificate) {
        let subject = certificate.subject.id(self.epochs.current().federation());
        let current = self.epochs.current().number();
        if self.has_decision(&subject) {
            self.compare_certificates(tick, &subject, certificate);
            return;
        }
        if let Some(boundary) = &mut self.membership.boundary {
            if certificate.epoch <= boundary.epoch {
                boundary.certificates.entry(subject).or_insert(certificate);
            }
            return;
        }
        let locked = self
            .open
            .get(&subject)
            .and_then(|open| open.machine.locked());
        let is_bound = locked.is_some_and(|lock| lock.choice == certificate.choice);
        if certificate.epoch < current && !is_bound {
            self.refused.late_certificates += 1;
            tracing::error!(
                %subject,
                epoch = certificate.epoch.0,
                "a certificate of an epoch that has ended, for what nobody held when it did: more of \
                 its voters' weight than F is dishonest, or their old keys were stolen; it counts for nothing"
            );
        }
    }
}
