//! Which subjects wait for this node's operator.

use std::collections::BTreeMap;

use ssid_engine::InstanceView;
use ssid_protocol::id::SubjectId;

use crate::engine::EngineHandle;

/// Looks after which those reviews are listed again whose number has not changed.
const EVERY: u32 = 30;
/// Open instances asked for at once.
const PAGE: usize = 256;

/// The reviews as they were listed last.
#[derive(Default)]
pub(super) struct Reviews {
    pub(super) waiting: BTreeMap<SubjectId, InstanceView>,
    /// Looks since they were listed.
    looks: u32,
}

impl Reviews {
    /// Lists them again when their number changes, and now and then while there are some. By the
    /// engine's status there are `count`.
    pub(super) async fn list(&mut self, engine: &EngineHandle, count: u64) {
        self.looks += 1;
        let is_unchanged = count == self.waiting.len() as u64;
        if is_unchanged && (self.waiting.is_empty() || self.looks < EVERY) {
            return;
        }
        self.looks = 0;
        self.waiting.clear();
        let mut after = None;
        while let Ok(page) = engine.instances(after, PAGE).await {
            after = page.last().map(|view| view.subject_id);
            let waiting = page.into_iter().filter(|view| view.awaiting_review);
            self.waiting
                .extend(waiting.map(|view| (view.subject_id, view)));
            if after.is_none() {
                break;
            }
        }
    }
}
