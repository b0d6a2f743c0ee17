//! The epoch that this node is in, for tasks that go by its members.

use std::sync::Arc;

use ssid_protocol::epoch::{EpochContext, Epochs};
use ssid_protocol::id::Epoch;
use tokio::sync::watch;

/// Tells a task once of each epoch that is entered, the one at its start too.
#[derive(Clone, Debug)]
pub(crate) struct EpochWatch {
    epochs: watch::Receiver<Arc<Epochs>>,
    entered: Option<Epoch>,
}

impl EpochWatch {
    pub(crate) fn new(epochs: watch::Receiver<Arc<Epochs>>) -> Self {
        Self {
            epochs,
            entered: None,
        }
    }

    /// The epoch, if it is another than at the last look.
    pub(crate) fn entered(&mut self) -> Option<Arc<EpochContext>> {
        let epoch = self.epochs.borrow_and_update().current().clone();
        let before = self.entered.replace(epoch.number());
        (before != Some(epoch.number())).then_some(epoch)
    }

    /// Waits until it is worth looking again; false once the engine has ended.
    pub(crate) async fn changed(&mut self) -> bool {
        self.epochs.changed().await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use ssid_protocol::testing;

    use super::*;

    #[tokio::test]
    async fn each_epoch_is_told_once_also_if_it_was_entered_before_the_first_look() {
        let genesis = EpochContext::genesis(testing::manifest(4)).unwrap();
        let (federation, policies) = (*genesis.federation(), genesis.policies().clone());
        let manifest = testing::successor(genesis.manifest());
        let next = EpochContext::new(federation, policies, manifest).unwrap();
        let known = Epochs::new(genesis);
        let (epochs, receiver) = watch::channel(Arc::new(known));
        let mut watch = EpochWatch::new(receiver.clone());
        let mut late = EpochWatch::new(receiver);
        let number = |watch: &mut EpochWatch| watch.entered().map(|epoch| epoch.number());
        assert_eq!(number(&mut watch), Some(Epoch(0)));
        assert_eq!(number(&mut watch), None);
        let change = |change: &dyn Fn(&mut Epochs)| {
            epochs.send_modify(|known| change(Arc::make_mut(known)));
        };
        // one that is known is not entered yet
        change(&|known| known.add(next.clone()));
        assert!(watch.changed().await);
        assert_eq!(number(&mut watch), None);
        change(&|known| assert!(known.enter(Epoch(1))));
        assert!(watch.changed().await);
        assert_eq!(number(&mut watch), Some(Epoch(1)));
        assert_eq!(number(&mut late), Some(Epoch(1)));
        drop(epochs);
        assert!(!watch.changed().await);
    }
}
