//! A network that can be switched on: connections to one port of loopback go to another once it is
//! open.

use std::io::{self, copy};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, spawn};

/// What stands between a node's address and the node. Closed at first: connections are refused.
#[derive(Debug)]
pub struct Relay {
    from: u16,
    to: u16,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Between two ports of loopback.
    pub fn closed(from: u16, to: u16) -> Self {
        Self {
            from,
            to,
            ends: Arc::default(),
            thread: None,
        }
    }

    /// From now on connections go through.
    ///
    /// # Panics
    /// If the port is taken.
    pub fn open(&mut self) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.from)).unwrap();
        let (to, ends) = (self.to, self.ends.clone());
        self.thread = Some(spawn(move || {
            for connection in listener.incoming() {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                // one that cannot be passed on is dropped, as a network would
                let _ = connection.and_then(|here| pass(here, to));
            }
        }));
    }
}

fn pass(here: TcpStream, to: u16) -> io::Result<()> {
    let there = TcpStream::connect((Ipv4Addr::LOCALHOST, to))?;
    for (mut from, mut to) in [(here.try_clone()?, there.try_clone()?), (there, here)] {
        spawn(move || {
            // the end of either side is the end of both
            let _ = copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
    Ok(())
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // wakes it
            let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.from));
            let _ = thread.join();
        }
    }
}
