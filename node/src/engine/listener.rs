//! Listening to the engine at leisure: what follows it all the time (telemetry, conflict reports)
//! is not woken by each of thousands of events a second, which would take processor time from
//! voting on the same machine.

use std::sync::Arc;
use std::time::Duration;

use ssid_engine::NodeEvent;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::Instant;

use super::handle::EngineHandle;

/// From one waking to the next. Nobody who reads a message or a report notices it, and the engine's
/// channel holds what happens meanwhile at some hundred times the rate that a node certifies at.
const PAUSE: Duration = Duration::from_millis(25);
/// Events handed over together.
const AT_ONCE: usize = 1024;

/// Hears what happens in the engine, in order.
#[derive(Debug)]
pub struct Listener {
    events: Receiver<Arc<NodeEvent>>,
    not_before: Instant,
}

/// What happened since the last time.
#[derive(Debug, Default)]
pub struct Heard {
    /// The events, at most 1,024; the rest comes with the next.
    pub events: Vec<Arc<NodeEvent>>,
    /// Events that are lost to this listener, because it was too slow.
    pub missed: u64,
}

impl Listener {
    /// Hears what happens from now on.
    pub fn new(engine: &EngineHandle) -> Self {
        Self {
            events: engine.subscribe(),
            not_before: Instant::now(),
        }
    }

    /// Waits until something happens; `None` once the engine has ended. Loses nothing if it is
    /// dropped meanwhile.
    pub async fn hear(&mut self) -> Option<Heard> {
        tokio::time::sleep_until(self.not_before).await;
        let mut heard = Heard::default();
        match self.events.recv().await {
            Ok(event) => heard.events.push(event),
            Err(RecvError::Lagged(missed)) => heard.missed = missed,
            Err(RecvError::Closed) => return None,
        }
        self.not_before = Instant::now() + PAUSE;
        while heard.events.len() < AT_ONCE {
            match self.events.try_recv() {
                Ok(event) => heard.events.push(event),
                Err(TryRecvError::Lagged(missed)) => heard.missed += missed,
                // the end is met by the next call
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        Some(heard)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use ssid_protocol::id::NodeId;
    use tokio::sync::broadcast;

    use super::*;

    fn event(score: i32) -> Arc<NodeEvent> {
        Arc::new(NodeEvent::LowTrust {
            member: NodeId([1; 32]),
            score,
        })
    }

    #[tokio::test]
    async fn what_comes_within_the_pause_is_heard_at_once() {
        let (sender, events) = broadcast::channel(4096);
        let mut listener = Listener {
            events,
            not_before: Instant::now(),
        };
        drop(sender.send(event(0)));
        let begun = Instant::now();
        assert_eq!(listener.hear().await.unwrap().events.len(), 1);
        (0..AT_ONCE + 10).for_each(|_| drop(sender.send(event(0))));
        let heard = listener.hear().await.unwrap();
        assert_eq!((heard.events.len(), heard.missed), (AT_ONCE, 0));
        assert!(begun.elapsed() >= PAUSE, "it was woken again at once");
        assert_eq!(listener.hear().await.unwrap().events.len(), 10);
        drop(sender);
        assert!(listener.hear().await.is_none());
    }

    #[tokio::test]
    async fn what_is_lost_is_counted() {
        let (sender, events) = broadcast::channel(4);
        let mut listener = Listener {
            events,
            not_before: Instant::now(),
        };
        (0..7).for_each(|score| drop(sender.send(event(score))));
        let heard = listener.hear().await.unwrap();
        assert_eq!((heard.events.len(), heard.missed), (4, 3));
    }
}
