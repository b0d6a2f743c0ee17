//! The operating system's word that a file was touched, so that lines of other tools are noticed at
//! once. A hint, not a promise: network file systems send none, so whoever uses it polls besides.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

/// Watches the directory in which a file stands: the file itself may be replaced, or not be there
/// yet.
#[derive(Debug)]
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    /// The directory that is watched, once it could be.
    directory: Option<PathBuf>,
}

impl Watch {
    /// Wakes `touched` whenever the file at `path` is made, written, replaced or removed.
    pub(super) fn of(path: &Path, touched: Arc<Notify>) -> Self {
        let name = path.file_name().map(OsStr::to_owned);
        let tell = move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| is_about(&event, name.as_deref())) {
                touched.notify_one();
            }
        };
        let watcher = notify::recommended_watcher(tell)
            .inspect_err(|error| tracing::debug!(%error, "no file notifications: the registry file is polled"))
            .ok();
        let mut watch = Self {
            watcher,
            directory: None,
        };
        watch.renew(path);
        watch
    }

    /// Begins to watch once the directory is there.
    pub(super) fn renew(&mut self, path: &Path) {
        let Some(parent) = path.parent().filter(|_| self.directory.is_none()) else {
            return;
        };
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        if watcher.watch(parent, RecursiveMode::NonRecursive).is_ok() {
            self.directory = Some(parent.to_owned());
        }
    }
}

/// Whether an event may have changed the file: reading it, which this node does all the time, does
/// not.
fn is_about(event: &Event, name: Option<&OsStr>) -> bool {
    let is_read = matches!(event.kind, EventKind::Access(_));
    !is_read && event.paths.iter().any(|path| path.file_name() == name)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn writing_wakes_and_reading_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("later").join("log");
        let touched = Arc::new(Notify::new());
        let mut watch = Watch::of(&path, touched.clone());
        assert!(watch.directory.is_none(), "there is nothing to watch yet");
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        watch.renew(&path);
        assert!(watch.directory.is_some());
        std::fs::write(path.with_file_name("other"), "x").unwrap();
        std::fs::write(&path, "x").unwrap();
        touched.notified().await;
        // whatever writing said is said by now; reading adds nothing
        while tokio::time::timeout(Duration::from_millis(200), touched.notified())
            .await
            .is_ok()
        {}
        std::fs::read(&path).unwrap();
        let woken = tokio::time::timeout(Duration::from_millis(200), touched.notified()).await;
        assert!(woken.is_err(), "reading is no change");
    }
}
