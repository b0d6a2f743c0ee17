//! A member that speaks the protocol badly, over the real network and with its own keys: what the
//! honest others must withstand (SPEC §1, §10, §12). Built on libp2p directly, since a node's own
//! network refuses to say most of this.
//!
//! ```text
//! let mallory = Adversary::of(&data_directory)?;   its node must not run
//! mallory.link(0).gossip("votes", rubbish);         what one victim hears, the others do not
//! Misdeed::Garbage.commit(&mallory, length);        a named misdeed, for as long
//! ```

mod codec;
mod forgery;
mod link;
mod member;
mod misdeeds;
mod schemes;

use std::path::Path;

use anyhow::Result;
use tokio::runtime::Runtime;

pub use codec::{After, frame};
pub use forgery::{forged_certificates, heartbeat, liar};
pub use link::{Answering, Link};
pub use member::{Member, Victim};
pub use misdeeds::Misdeed;
pub use schemes::Scheme;

/// A member without a node, with one connection to each other member.
#[derive(Debug)]
pub struct Adversary {
    links: Vec<Link>,
    victims: Vec<Victim>,
    member: Member,
    runtime: Runtime,
}

impl Adversary {
    /// With the keys of a data directory; connected to all others when this returns.
    ///
    /// # Errors
    /// If the directory is not that of a member, or no thread can be started.
    pub fn of(data: &Path) -> Result<Self> {
        let member = Member::load(data)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let victims = member.victims()?;
        let links: Vec<_> = victims
            .iter()
            .map(|victim| Link::open(runtime.handle(), &member, victim))
            .collect();
        links.iter().for_each(Link::wait_connected);
        Ok(Self {
            links,
            victims,
            member,
            runtime,
        })
    }

    /// Its connection to the victim of that place among the other members.
    pub fn link(&self, victim: usize) -> &Link {
        &self.links[victim]
    }

    /// All its connections.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// The other members.
    pub fn victims(&self) -> &[Victim] {
        &self.victims
    }

    /// Who it is.
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// One more connection to a victim, under the same keys.
    pub fn another_link(&self, victim: usize) -> Link {
        Link::open(self.runtime.handle(), &self.member, &self.victims[victim])
    }
}
