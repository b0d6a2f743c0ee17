//! How far a command is, on standard error: a bar on a terminal, elsewhere a line every second, and
//! every ten seconds of what takes longer than ten. With `--json` and `--quiet` nothing.

use std::io::{self, IsTerminal as _, Write as _};
use std::ops::Deref;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Output;

/// What takes less is over before anybody asks.
const SECOND: Duration = Duration::from_secs(1);
/// For so many seconds there is a line every second.
const OFTEN: u64 = 10;

/// Something under way. What is shown of it ends with the last clone of it.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    /// Its thread ends once the last clone of this is dropped.
    alive: Option<Arc<Sender<()>>>,
}

impl Deref for Progress {
    type Target = ProgressBar;

    fn deref(&self) -> &ProgressBar {
        &self.bar
    }
}

impl Progress {
    /// Of so many steps; of an unknown number of them without `length`.
    pub(crate) fn start(out: Output, length: Option<u64>, what: &str) -> Self {
        hide_command();
        Self::shown(out, length, what)
    }

    fn shown(out: Output, length: Option<u64>, what: &str) -> Self {
        if out.is_json() || out.is_quiet() {
            return Self::hidden(length);
        }
        if io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
        {
            return Self {
                bar: bar(length, what),
                alive: None,
            };
        }
        let mut progress = Self::hidden(length);
        let (alive, ended) = channel();
        let bar = progress.bar.clone();
        let what = what.to_owned();
        // without a thread nothing is said, and everything works
        let _ = std::thread::Builder::new()
            .name("progress".to_owned())
            .spawn(move || tell(&bar, &what, &ended));
        progress.alive = Some(Arc::new(alive));
        progress
    }

    fn hidden(length: Option<u64>) -> Self {
        Self {
            bar: ProgressBar::with_draw_target(length, ProgressDrawTarget::hidden()),
            alive: None,
        }
    }
}

fn bar(length: Option<u64>, what: &str) -> ProgressBar {
    let form = match length {
        Some(_) => "{msg} [{bar:30}] {pos}/{len} {per_sec} {eta}",
        None => "{spinner} {msg} {pos} {elapsed}",
    };
    let style = ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
    bar.set_style(style.progress_chars("=> "));
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Says how far it is until it has ended.
fn tell(bar: &ProgressBar, what: &str, ended: &Receiver<()>) {
    let mut seconds = 0;
    while ended.recv_timeout(SECOND) == Err(RecvTimeoutError::Timeout) && !bar.is_finished() {
        seconds += 1;
        if is_told(seconds) {
            let line = line(what, bar.position(), bar.length(), seconds);
            // standard error closed: there is nobody left to tell
            let _ = writeln!(io::stderr().lock(), "{line}");
        }
    }
}

fn is_told(seconds: u64) -> bool {
    seconds <= OFTEN || seconds.is_multiple_of(OFTEN)
}

fn line(what: &str, done: u64, length: Option<u64>, seconds: u64) -> String {
    match length.filter(|length| *length > 0) {
        Some(length) => format!("{what}: {done} of {length} after {seconds} s"),
        None if done > 0 => format!("{what}: {done} after {seconds} s"),
        None => format!("{what}: {seconds} s"),
    }
}

/// The command as a whole, for what it does without a bar of its own.
static COMMAND: Mutex<Option<Running>> = Mutex::new(None);

struct Running {
    end: Sender<()>,
    thread: JoinHandle<()>,
}

/// Shows that the command is at work once it has taken a second, until it says or shows something
/// itself.
pub(crate) fn show_command(out: Output) {
    let (end, ended) = channel();
    let wait = move || {
        let mut shown = None;
        if ended.recv_timeout(SECOND) == Err(RecvTimeoutError::Timeout) {
            shown = Some(Progress::shown(out, None, "working"));
            // ends when it is to end, in whichever way
            let _ = ended.recv();
        }
        if let Some(shown) = shown {
            shown.finish_and_clear();
        }
    };
    let spawned = std::thread::Builder::new()
        .name("working".to_owned())
        .spawn(wait);
    if let Ok(thread) = spawned {
        *COMMAND.lock().unwrap_or_else(PoisonError::into_inner) = Some(Running { end, thread });
    }
}

/// Takes away what [`show_command`] shows: something else is about to be said.
pub(crate) fn hide_command() {
    let running = COMMAND
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    if let Some(Running { end, thread }) = running {
        drop(end);
        // gone from the terminal before anything else is there
        let _ = thread.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_every_second_and_after_ten_every_ten() {
        let told: Vec<u64> = (1..=40).filter(|seconds| is_told(*seconds)).collect();
        assert_eq!(told, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 30, 40]);
    }

    #[test]
    fn lines_say_how_far_it_is_as_far_as_that_is_known() {
        assert_eq!(
            line("verifying", 3, Some(10), 2),
            "verifying: 3 of 10 after 2 s"
        );
        assert_eq!(line("certified", 7, None, 1), "certified: 7 after 1 s");
        assert_eq!(line("syncing", 0, Some(0), 4), "syncing: 4 s");
    }

    #[test]
    fn what_is_shown_of_a_command_ends_when_it_is_hidden() {
        let out = Output::new(false, true, crate::args::Color::Never);
        show_command(out);
        hide_command();
        assert!(COMMAND.lock().unwrap().is_none());
        hide_command();
    }
}
