//! Proofs against the definitions of RFC 9162 §2.1, taken literally and slowly.

use proptest::prelude::*;

use super::*;

fn leaves(count: usize) -> Vec<MerkleHash> {
    (0..count)
        .map(|i| leaf_hash(&(i as u32).to_be_bytes()))
        .collect()
}

/// MTH(D), over leaf hashes.
fn naive_root(leaves: &[MerkleHash]) -> MerkleHash {
    match leaves {
        [] => MerkleHash(sha256(&[])),
        [only] => *only,
        _ => {
            let (left, right) = leaves.split_at(naive_split(leaves.len()));
            MerkleHash(sha256(&[&[1], &naive_root(left).0, &naive_root(right).0]))
        }
    }
}

fn naive_split(count: usize) -> usize {
    let mut k = 1;
    while k * 2 < count {
        k *= 2;
    }
    k
}

/// PATH(m, D).
fn naive_path(m: usize, leaves: &[MerkleHash]) -> Vec<MerkleHash> {
    if leaves.len() == 1 {
        return vec![];
    }
    let (left, right) = leaves.split_at(naive_split(leaves.len()));
    if m < left.len() {
        [naive_path(m, left), vec![naive_root(right)]].concat()
    } else {
        [naive_path(m - left.len(), right), vec![naive_root(left)]].concat()
    }
}

/// SUBPROOF(m, D, b).
fn naive_subproof(m: usize, leaves: &[MerkleHash], b: bool) -> Vec<MerkleHash> {
    if m == leaves.len() {
        return if b { vec![] } else { vec![naive_root(leaves)] };
    }
    let (left, right) = leaves.split_at(naive_split(leaves.len()));
    if m <= left.len() {
        [naive_subproof(m, left, b), vec![naive_root(right)]].concat()
    } else {
        [
            naive_subproof(m - left.len(), right, false),
            vec![naive_root(left)],
        ]
        .concat()
    }
}

#[test]
fn every_leaf_of_every_small_tree_is_proven() {
    for size in 0..=70 {
        let leaves = leaves(size);
        let tree = MerkleTree::of(leaves.clone());
        let expected = naive_root(&leaves);
        assert_eq!((root(&leaves), tree.root()), (expected, expected));
        for index in 0..size {
            let path = inclusion_path(&leaves, index).unwrap();
            assert_eq!(path, naive_path(index, &leaves));
            assert_eq!(tree.inclusion_path(index).as_ref(), Some(&path));
            assert_eq!(
                root_from_inclusion(leaves[index], index as u64, size as u64, &path),
                Some(expected)
            );
        }
        assert!(inclusion_path(&leaves, size).is_none() && tree.inclusion_path(size).is_none());
    }
}

#[test]
fn every_pair_of_small_sizes_is_consistent() {
    let leaves = leaves(40);
    for new in 0..=40 {
        let new_root = root(&leaves[..new]);
        for old in 0..=40 {
            let old_root = root(&leaves[..old]);
            let path = consistency_path(&leaves[..new], old);
            if (1..new).contains(&old) {
                assert_eq!(path, naive_subproof(old, &leaves[..new], true));
            } else {
                assert!(path.is_empty());
            }
            let verify = |o: &MerkleHash, n: &MerkleHash, p: &[MerkleHash]| {
                verify_consistency(old as u64, o, new as u64, n, p)
            };
            assert_eq!(verify(&old_root, &new_root, &path), old <= new);
            assert!(!verify(&leaf_hash(b"other"), &new_root, &path));
            assert!(!verify(
                &old_root,
                &new_root,
                &[path, vec![new_root]].concat()
            ));
        }
    }
}

#[test]
fn a_stored_log_proves_without_its_leaves_and_passes_its_errors_on() {
    let leaves = leaves(21);
    let mut asked = Vec::new();
    let mut stored = |range: Range<u64>| {
        asked.push(range.clone());
        Ok::<_, String>(root(&leaves[range.start as usize..range.end as usize]))
    };
    assert_eq!(
        inclusion_path_with(17, 21, &mut stored).ok(),
        inclusion_path(&leaves, 17)
    );
    assert_eq!(asked, [16..17, 18..20, 20..21, 0..16]);
    let mut broken = |_| Err("disk");
    assert_eq!(inclusion_path_with(17, 21, &mut broken), Err("disk"));
    assert_eq!(consistency_path_with(4, 9, &mut broken), Err("disk"));
}

#[test]
fn the_largest_sizes_neither_overflow_nor_prove() {
    let hash = leaf_hash(b"");
    for size in [u64::MAX, u64::MAX - 1, 1 << 63] {
        let path = vec![hash; 64];
        assert_eq!(root_from_inclusion(hash, size, size, &path), None);
        let _ = root_from_inclusion(hash, size - 1, size, &path);
        assert!(!verify_consistency(size - 1, &hash, size, &hash, &path));
        let mut any = |_| Ok::<_, Infallible>(hash);
        let Ok(path) = inclusion_path_with(size - 1, size, &mut any);
        assert!(root_from_inclusion(hash, size - 1, size, &path).is_some());
    }
}

/// Replaces, drops, adds or swaps a node of a path; `None` where that changes nothing.
fn altered(path: &[MerkleHash], how: usize, at: usize) -> Option<Vec<MerkleHash>> {
    let mut path = path.to_vec();
    let before = path.clone();
    match how {
        0 => path.push(leaf_hash(b"more")),
        _ if path.is_empty() => return None,
        1 => {
            path.pop();
        }
        2 => {
            let at = at % path.len();
            path[at].0[at % 32] ^= 1;
        }
        _ => {
            let at = at % path.len();
            path.swap(0, at);
        }
    }
    (path != before).then_some(path)
}

proptest! {
    #[test]
    fn an_altered_inclusion_proof_fails(size in 1..300_usize, pick: usize, how in 0..4_usize, other in 0..600_u64) {
        let leaves = leaves(size);
        let (index, expected) = (pick % size, Some(root(&leaves)));
        let path = inclusion_path(&leaves, index).unwrap();
        let proves = |leaf, index, size, path: &[MerkleHash]| root_from_inclusion(leaf, index, size, path) == expected;
        prop_assert!(proves(leaves[index], index as u64, size as u64, &path));
        prop_assert!(!proves(leaf_hash(b"other"), index as u64, size as u64, &path));
        if let Some(path) = altered(&path, how, pick) {
            prop_assert!(!proves(leaves[index], index as u64, size as u64, &path));
        }
        if other != index as u64 {
            prop_assert!(!proves(leaves[index], other, size as u64, &path));
        }
    }

    #[test]
    fn an_altered_consistency_proof_fails(new in 2..300_usize, pick: usize, how in 0..4_usize, forked: bool) {
        let leaves = leaves(new);
        let old = 1 + pick % (new - 1);
        let (old_root, new_root) = (root(&leaves[..old]), root(&leaves));
        let path = consistency_path(&leaves, old);
        let proves = |o: &MerkleHash, n: &MerkleHash, p: &[MerkleHash]| {
            verify_consistency(old as u64, o, new as u64, n, p)
        };
        prop_assert!(proves(&old_root, &new_root, &path));
        prop_assert!(!proves(&new_root, &old_root, &path));
        if let Some(path) = altered(&path, how, pick) {
            prop_assert!(!proves(&old_root, &new_root, &path));
        }
        if forked {
            let mut rewritten = leaves.clone();
            rewritten[pick % old] = leaf_hash(b"rewritten");
            prop_assert!(!proves(&old_root, &root(&rewritten), &consistency_path(&rewritten, old)));
        }
    }
}
