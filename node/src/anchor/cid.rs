//! Content identifiers as `ipfs add` has always given them, computed here: what a server answers is
//! compared with this, never believed.
//!
//! A file is cut into chunks; each is a leaf, and every [`Import::links`] nodes get a node above
//! them until one is left (UnixFS, balanced layout). With CIDv0 leaves are wrapped as dag-pb, with
//! CIDv1 they are the bytes themselves. Memory does not grow with the file: one chunk, and at most
//! `links` links a level.

use std::io::{self, Read};

use crate::place::Place;
use ::cid::Cid;
use ::cid::multihash::Multihash;
use sha2::{Digest as _, Sha256};
use ssid_protocol::id::Sha256Hash;

/// Multicodec of dag-pb.
const DAG_PB: u64 = 0x70;
/// Multicodec of raw bytes.
const RAW: u64 = 0x55;
/// Multihash code of SHA-256.
const SHA2_256: u64 = 0x12;
/// Bytes read from a file at once.
const READ_BYTES: usize = 64 * 1024;

/// Which form of CID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CidVersion {
    /// `Qm…`: dag-pb leaves. What the registry's manifests hold.
    #[default]
    V0,
    /// `bafy…` and `bafk…`: raw leaves.
    V1,
}

/// How a file is cut and put together; the same bytes have another CID with another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Import {
    /// The form of its CIDs.
    pub version: CidVersion,
    /// Bytes of a chunk.
    pub chunk: usize,
    /// Links of a node at most.
    pub links: usize,
}

impl Import {
    /// What this node sends and asks for: 256 KiB chunks, 174 links.
    pub const fn of(version: CidVersion) -> Self {
        Self {
            version,
            chunk: 256 * 1024,
            links: 174,
        }
    }

    /// The profile `unixfs-v1-2025`, which newer servers may use unasked: 1 MiB chunks, 1024 links,
    /// raw leaves.
    pub const LARGE: Self = Self {
        version: CidVersion::V1,
        chunk: 1024 * 1024,
        links: 1024,
    };

    /// The imports that may have given this CID.
    pub fn candidates(cid: &Cid) -> Vec<Self> {
        match cid.version() {
            ::cid::Version::V0 => vec![Self::of(CidVersion::V0)],
            ::cid::Version::V1 => vec![Self::of(CidVersion::V1), Self::LARGE],
        }
    }
}

/// What a sequence of bytes is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// SHA-256 of the bytes themselves.
    pub sha256: Sha256Hash,
    /// How many bytes.
    pub bytes: u64,
    /// Its CID under each import asked for, in that order.
    pub cids: Vec<Cid>,
}

/// Names bytes as they come.
#[derive(Clone, Debug)]
pub struct ContentHasher {
    whole: Sha256,
    bytes: u64,
    trees: Vec<Tree>,
}

impl ContentHasher {
    /// Names them under each of these imports.
    pub fn new(imports: &[Import]) -> Self {
        Self {
            whole: Sha256::new(),
            bytes: 0,
            trees: imports.iter().copied().map(Tree::new).collect(),
        }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.whole.update(bytes);
        self.bytes += bytes.len() as u64;
        self.trees.iter_mut().for_each(|tree| tree.update(bytes));
    }

    /// How many bytes it has taken.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The names of all bytes taken.
    pub fn finish(self) -> Content {
        Content {
            sha256: Sha256Hash(self.whole.finalize().into()),
            bytes: self.bytes,
            cids: self.trees.into_iter().map(Tree::finish).collect(),
        }
    }
}

/// Names what a reader gives.
///
/// # Errors
/// If it cannot be read.
pub fn of_reader(mut from: impl Read, imports: &[Import]) -> io::Result<Content> {
    let mut hasher = ContentHasher::new(imports);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Names a file's content.
///
/// # Errors
/// If it cannot be opened or read.
pub fn of_file(place: impl Into<Place>, imports: &[Import]) -> io::Result<Content> {
    of_reader(place.into().open_to_publish()?, imports)
}

/// A node that its parent will link to.
#[derive(Clone, Debug)]
struct Link {
    cid: Cid,
    /// Bytes of the file under it.
    content: u64,
    /// Bytes of all blocks under it, its own among them.
    total: u64,
}

/// One tree while it grows: complete nodes of each level that have no parent yet.
#[derive(Clone, Debug)]
struct Tree {
    import: Import,
    chunk: Vec<u8>,
    levels: Vec<Vec<Link>>,
}

impl Tree {
    fn new(import: Import) -> Self {
        Self {
            import,
            chunk: Vec::new(),
            levels: Vec::new(),
        }
    }

    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) =
                bytes.split_at(bytes.len().min(self.import.chunk - self.chunk.len()));
            self.chunk.extend_from_slice(now);
            bytes = later;
            if self.chunk.len() == self.import.chunk {
                self.end_chunk();
            }
        }
    }

    fn end_chunk(&mut self) {
        let leaf = self.leaf(&self.chunk);
        self.chunk.clear();
        self.push(0, leaf);
    }

    fn leaf(&self, chunk: &[u8]) -> Link {
        let content = chunk.len() as u64;
        match self.import.version {
            CidVersion::V1 => Link {
                cid: cid_of(CidVersion::V1, RAW, &[chunk]),
                content,
                total: content,
            },
            CidVersion::V0 => {
                let (before, after) = wrapped_leaf(content);
                let total = (before.len() + after.len()) as u64 + content;
                Link {
                    cid: cid_of(CidVersion::V0, DAG_PB, &[&before, chunk, &after]),
                    content,
                    total,
                }
            }
        }
    }

    /// Adds a node to a level; a full level becomes one node of the level above first.
    fn push(&mut self, level: usize, link: Link) {
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        if self.levels[level].len() == self.import.links {
            let children = std::mem::take(&mut self.levels[level]);
            let parent = self.parent(&children);
            self.push(level + 1, parent);
        }
        self.levels[level].push(link);
    }

    fn parent(&self, children: &[Link]) -> Link {
        let block = node(children);
        let total = block.len() as u64 + children.iter().map(|child| child.total).sum::<u64>();
        let content = children.iter().map(|child| child.content).sum();
        Link {
            cid: cid_of(self.import.version, DAG_PB, &[&block]),
            content,
            total,
        }
    }

    /// Every leaf is equally deep, so also a single node of a lower level gets its parent.
    fn finish(mut self) -> Cid {
        if !self.chunk.is_empty() || self.levels.is_empty() {
            self.end_chunk();
        }
        let mut level = 0;
        loop {
            let nodes = std::mem::take(&mut self.levels[level]);
            match nodes.as_slice() {
                [root] if level + 1 == self.levels.len() => return root.cid,
                _ => {
                    let parent = self.parent(&nodes);
                    self.push(level + 1, parent);
                }
            }
            level += 1;
        }
    }
}

fn cid_of(version: CidVersion, codec: u64, parts: &[&[u8]]) -> Cid {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    let digest: [u8; 32] = hasher.finalize().into();
    // cannot fail: 32 bytes fit a multihash of 64, and a SHA-256 of dag-pb is what a CIDv0 is
    let hash = Multihash::wrap(SHA2_256, &digest).unwrap_or_default();
    match version {
        CidVersion::V0 => Cid::new_v0(hash).unwrap_or_default(),
        CidVersion::V1 => Cid::new_v1(codec, hash),
    }
}

/// What stands before and after the bytes of a dag-pb leaf.
fn wrapped_leaf(content: u64) -> (Vec<u8>, Vec<u8>) {
    let mut inner = vec![0x08, 0x02]; // type: file
    if content > 0 {
        inner.push(0x12); // data
        varint(&mut inner, content);
    }
    let mut after = vec![0x18]; // file size
    varint(&mut after, content);
    let mut before = vec![0x0a]; // the node's data
    varint(&mut before, (inner.len() + after.len()) as u64 + content);
    before.extend(inner);
    (before, after)
}

/// A dag-pb node above `children`: its links first, then its UnixFS data.
fn node(children: &[Link]) -> Vec<u8> {
    let mut block = Vec::with_capacity(children.len() * 64);
    let mut data = vec![0x08, 0x02, 0x18];
    varint(&mut data, children.iter().map(|child| child.content).sum());
    for child in children {
        let cid = child.cid.to_bytes();
        let mut link = vec![0x0a];
        varint(&mut link, cid.len() as u64);
        link.extend(cid);
        link.extend([0x12, 0x00, 0x18]); // no name; size
        varint(&mut link, child.total);
        block.push(0x12);
        varint(&mut block, link.len() as u64);
        block.extend(link);
        data.push(0x20); // block size
        varint(&mut data, child.content);
    }
    block.push(0x0a);
    varint(&mut block, data.len() as u64);
    block.extend(data);
    block
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests;
