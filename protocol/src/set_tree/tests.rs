//! Roots of the specification's samples, parts that are none, and walks through other sets.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::id::{SubjectId, sha256};

type Entry = [u8; CertifiedEntry::LEN];

/// `H("s" i) ‖ H("h" i) ‖ H("d" i)`, `i` in decimal.
fn entry(i: usize) -> Entry {
    let hash = |letter: &str| sha256(&[format!("{letter}{i}").as_bytes()]);
    let mut bytes = [0; CertifiedEntry::LEN];
    for (place, letter) in bytes.chunks_exact_mut(32).zip(["s", "h", "d"]) {
        place.copy_from_slice(&hash(letter));
    }
    bytes
}

fn sample(count: usize) -> EntrySet<{ CertifiedEntry::LEN }> {
    EntrySet::of((0..count).map(entry).collect()).unwrap()
}

/// So many entries whose subjects share their first ten digits.
fn crowded(count: usize) -> EntrySet<{ CertifiedEntry::LEN }> {
    let alike = |i| {
        let mut entry = entry(i);
        entry[..5].copy_from_slice(&[0xab; 5]);
        entry
    };
    EntrySet::of((0..count).map(alike).collect()).unwrap()
}

/// Walks from `own` through `other`, asking for a few parts at a time; what is missing and how many
/// parts were asked for.
fn walk(
    own: &EntrySet<{ CertifiedEntry::LEN }>,
    other: &EntrySet<{ CertifiedEntry::LEN }>,
) -> Result<(Vec<Entry>, usize), WalkError> {
    let mut walk = Walk::new(Arc::new(own.clone()), other.len() as u64, other.root())?;
    let mut asked = 0;
    while !walk.is_done() {
        let wanted = walk.wanted(7);
        assert!(!wanted.is_empty(), "a walk that neither ends nor asks");
        for prefix in wanted {
            asked += 1;
            walk.take(prefix, other.part(&prefix))?;
        }
    }
    assert_eq!(walk.set().as_ref(), Some(other));
    let mut missing = walk.missing().to_vec();
    missing.sort_unstable();
    Ok((missing, asked))
}

#[test]
fn roots_are_those_of_the_specification() {
    let starts = [
        (0, "18125209", "0264f4"),
        (1, "ed73455a", "bd9a2b7c5"),
        (32, "2f915944", "426cf3a2"),
        (33, "6bc88e6a", "4344aae5"),
        (1000, "c33a03b5", "b496b2e1c"),
    ];
    for (count, start, end) in starts {
        let root = sample(count).root().to_string();
        assert!(root.starts_with(start) && root.ends_with(end), "{root}");
    }
    // what falls to 32 is a leaf again
    let less = (0..33).filter(|i| *i != 7).map(entry).collect();
    let root = EntrySet::of(less).unwrap().root().to_string();
    assert!(
        root.starts_with("f8612a95") && root.ends_with("567ab37092f"),
        "{root}"
    );
}

#[test]
fn a_shared_prefix_makes_the_tree_deep_and_nothing_else() {
    let set = crowded(33);
    let mut prefix = Prefix::ROOT;
    for at in 0..10 {
        let Part::Inner(children) = set.part(&prefix) else {
            panic!("33 entries under {prefix:?}")
        };
        let empty = leaf_digest::<{ CertifiedEntry::LEN }>(&[]);
        assert_eq!(children.iter().filter(|child| **child != empty).count(), 1);
        prefix = prefix.child([0xa, 0xb][at % 2]).unwrap();
    }
    assert!(matches!(set.part(&prefix), Part::Inner(_)));
    assert_eq!(set.under(&prefix).len(), 33);
    assert_eq!(walk(&sample(40), &set).unwrap().0, set.entries());
}

#[test]
fn two_entries_of_one_subject_are_no_set() {
    let mut twin = entry(3);
    twin[40] ^= 1;
    let subject = SubjectId(twin[..32].try_into().unwrap());
    let both = (0..40).map(entry).chain([twin]).collect();
    assert_eq!(EntrySet::of(both), Err(SetError(subject)));
}

#[test]
fn a_part_is_refused_unless_it_is_what_its_parent_names() {
    let set = sample(1000);
    let Part::Inner(children) = set.part(&Prefix::ROOT) else {
        panic!("1000 entries")
    };
    let place = Prefix::ROOT.child(7).unwrap();
    assert_eq!(set.part(&place).check(&place, &children[7]), Ok(()));
    // the part of another place
    let other = Prefix::ROOT.child(8).unwrap();
    assert!(matches!(
        set.part(&other).check(&place, &children[7]),
        Err(PartError::Digest { .. })
    ));
    let named = |part: &Part<{ CertifiedEntry::LEN }>| part.check(&place, &part.digest());
    let under = set.under(&place).to_vec();
    assert!(under.len() > 33);
    let leaf = |range: std::ops::Range<usize>| Part::Leaf(under[range].to_vec());
    assert_eq!(named(&leaf(0..32)), Ok(()));
    assert_eq!(named(&leaf(0..33)), Err(PartError::Entries(33)));
    let mut unsorted = under[..9].to_vec();
    unsorted.swap(4, 5);
    assert_eq!(named(&Part::Leaf(unsorted)), Err(PartError::Order(5)));
    let twice = vec![under[0], under[0]];
    assert_eq!(named(&Part::Leaf(twice)), Err(PartError::Order(1)));
    let strange = set.under(&other)[..2].to_vec();
    assert_eq!(named(&Part::Leaf(strange)), Err(PartError::Prefix(0)));
    let deepest = (0..64).fold(Prefix::ROOT, |prefix, _| prefix.child(1).unwrap());
    assert_eq!(deepest.child(1), None);
    let inner: Part<{ CertifiedEntry::LEN }> = Part::Inner(children);
    assert_eq!(
        inner.check(&deepest, &inner.digest()),
        Err(PartError::Depth)
    );
}

#[test]
fn a_tree_of_another_form_has_another_root() {
    let set = sample(33);
    let entries = set.entries().as_flattened();
    let Part::Inner(children) = set.part(&Prefix::ROOT) else {
        panic!("33 entries")
    };
    let flat: Vec<u8> = children.iter().flat_map(|child| child.0).collect();
    let zeros: Vec<u8> = children
        .iter()
        .flat_map(|child| {
            let is_empty = *child == leaf_digest::<{ CertifiedEntry::LEN }>(&[]);
            if is_empty { [0; 32] } else { child.0 }
        })
        .collect();
    let others = [
        // a leaf of 33, with and without its domain
        sha256(&[LEAF, entries]),
        sha256(&[entries]),
        sha256(&[&[1], &flat]),
        // inner nodes and leaves have one domain
        sha256(&[LEAF, &flat]),
        // the empty child as zeros
        sha256(&[INNER, &zeros]),
    ];
    assert_eq!(sha256(&[INNER, &flat]), set.root().0);
    assert!(!others.contains(&set.root().0));
    let full = sample(32);
    let split: [SetHash; 16] =
        std::array::from_fn(|digit| full.digest(&Prefix::ROOT.child(digit as u8).unwrap()));
    assert_ne!(
        inner_digest(&split),
        full.root(),
        "a leaf of 32 that is split"
    );
}

/// 32 entries that their closer split although they fit one leaf: 31 and 1, say.
#[test]
fn an_inner_node_over_what_fits_a_leaf_ends_the_walk() {
    let full = sample(32);
    let place = |digit: u8| Prefix::ROOT.child(digit).unwrap();
    let split: [SetHash; 16] = std::array::from_fn(|digit| full.digest(&place(digit as u8)));
    let own = Arc::new(sample(0));
    // told so, it is not even entered
    let mut honest = Walk::new(own.clone(), 32, inner_digest(&split)).unwrap();
    assert!(matches!(
        honest.take(Prefix::ROOT, Part::Inner(Box::new(split))),
        Err(WalkError::Count { .. })
    ));
    let mut lying = Walk::new(own.clone(), 33, inner_digest(&split)).unwrap();
    lying
        .take(Prefix::ROOT, Part::Inner(Box::new(split)))
        .unwrap();
    let mut last = Ok(());
    for prefix in lying.wanted(16) {
        last = lying.take(prefix, full.part(&prefix));
    }
    assert_eq!(last, Err(WalkError::TooFew(32)));
    assert!(!lying.is_done());
}

#[test]
fn a_wrong_count_is_noticed_also_where_the_roots_are_equal() {
    let set = Arc::new(sample(100));
    for count in [99, 101] {
        assert!(matches!(
            Walk::new(set.clone(), count, set.root()),
            Err(WalkError::Count { .. })
        ));
    }
    // parts with equal counts and other entries are walked
    let mut other = set.entries().to_vec();
    other[50][95] ^= 1;
    let other = EntrySet::of(other).unwrap();
    assert_eq!(walk(&set, &other).unwrap().0, [other.entries()[50]]);
}

#[test]
fn what_was_not_asked_for_or_is_another_part_leaves_the_walk_as_it_was() {
    let (own, other) = (Arc::new(sample(40)), sample(1000));
    let mut walk = Walk::new(own.clone(), 1000, other.root()).unwrap();
    let far = Prefix::ROOT.child(3).unwrap();
    assert_eq!(walk.take(far, other.part(&far)), Err(WalkError::Unasked));
    assert!(matches!(
        walk.take(Prefix::ROOT, own.part(&Prefix::ROOT)),
        Err(WalkError::Part(PartError::Digest { .. }))
    ));
    assert_eq!(walk.wanted(9), [Prefix::ROOT]);
    assert_eq!(walk.take(Prefix::ROOT, other.part(&Prefix::ROOT)), Ok(()));
}

/// Each node has one child that differs, and that child is an inner node again.
#[test]
fn a_tree_that_never_ends_does() {
    let own = Arc::new(sample(0));
    let mut parts = Vec::new();
    let mut below = SetHash([7; 32]);
    for _ in 0..=64 {
        let mut children = [leaf_digest::<{ CertifiedEntry::LEN }>(&[]); 16];
        children[0] = below;
        below = inner_digest(&children);
        parts.push(children);
    }
    let mut walk = Walk::new(own.clone(), 1 << 20, below).unwrap();
    let mut steps = 0;
    let error = loop {
        let prefix = walk.wanted(1)[0];
        let children = parts.pop().unwrap();
        steps += 1;
        if let Err(error) = walk.take(prefix, Part::Inner(Box::new(children))) {
            break error;
        }
    };
    assert_eq!((steps, error), (65, WalkError::Part(PartError::Depth)));
}

#[test]
fn only_what_differs_is_walked() {
    let own = EntrySet::of((0..2000).map(entry).collect()).unwrap();
    let other = EntrySet::of((1..2001).map(entry).collect()).unwrap();
    let (missing, asked) = walk(&own, &other).unwrap();
    assert_eq!(missing, [entry(2000)]);
    assert!(asked <= 9, "{asked} parts for two that differ");
    assert_eq!(walk(&own, &own).unwrap(), (vec![], 0));
}

#[test]
fn locks_have_their_own_layout() {
    let lock = LockEntry {
        subject: SubjectId([1; 32]),
        at: crate::vote::RoundId {
            epoch: crate::id::Epoch(2),
            round: crate::id::Round(3),
        },
        choice: crate::testing::event("release", "1").choice(),
    };
    let expected = [
        &[1; 32][..],
        &[0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3],
        &lock.choice.to_bytes(),
    ];
    assert_eq!(lock.to_bytes()[..], expected.concat());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever two sets are, one finds what it lacks of the other; few bits make deep trees.
    #[test]
    fn a_walk_finds_what_is_missing(
        own in proptest::collection::btree_map(proptest::collection::vec(0..3_u8, 32), any::<u8>(), 0..200),
        other in proptest::collection::btree_map(proptest::collection::vec(0..3_u8, 32), any::<u8>(), 0..200),
        shared in 0..400_usize,
    ) {
        let make = |random: &std::collections::BTreeMap<Vec<u8>, u8>| {
            let random = random.iter().map(|(id, value)| {
                let mut entry = [*value; CertifiedEntry::LEN];
                entry[..32].copy_from_slice(id);
                entry
            });
            EntrySet::of(random.chain((0..shared).map(entry)).collect()).unwrap()
        };
        let (own, other) = (make(&own), make(&other));
        let expected: Vec<_> =
            other.entries().iter().filter(|entry| !own.contains(entry)).copied().collect();
        prop_assert_eq!(walk(&own, &other).unwrap().0, expected);
        prop_assert_eq!(own.root() == other.root(), own == other);
    }
}
