//! CIDs that three other implementations gave for the same bytes.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

/// The first `length` bytes of SHA-256("fed-fixture" ‖ 0) ‖ SHA-256("fed-fixture" ‖ 1) ‖ …, numbers
/// as big-endian u64.
fn fixture(length: usize) -> Vec<u8> {
    let blocks = (0..length.div_ceil(32) as u64)
        .map(|n| Sha256Hash::of(&[b"fed-fixture", &n.to_be_bytes()]).0);
    let mut bytes: Vec<u8> = blocks.flatten().collect();
    bytes.truncate(length);
    bytes
}

struct Vector {
    bytes: Vec<u8>,
    sha256: &'static str,
    cids: [&'static str; 3],
}

/// js-ipfs, ipfs-unixfs-importer and aleph-cid agree on all columns, Kubo 0.22 on the first.
fn vectors() -> Vec<Vector> {
    let vector = |bytes, sha256, cids| Vector {
        bytes,
        sha256,
        cids,
    };
    let (empty, one) = (
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
        "bafkreigks6arfsq3xxfpvqrrwonchxcnu6do76auprhhfomao6c273sixm",
    );
    let k256 = "bafkreie6mnrmpw4c2g3rqbinhkykdrwbnttxiduvr56ezafzwgegvpsnum";
    vec![
        vector(
            vec![],
            "e3b0c44298fc1c14",
            [
                "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH",
                empty,
                empty,
            ],
        ),
        vector(
            vec![0x61],
            "ca978112ca1bbdca",
            ["QmfDmsHTywy6L9Ne5RXsj5YumDedfBLMvCvmaxjBoe6w4d", one, one],
        ),
        vector(
            fixture(262_144),
            "9e6362c7db82d1b7",
            ["Qme7juxumejKjP5cWEnnGyFhGDuChQRYRa7bGcX9NsWnrJ", k256, k256],
        ),
        vector(
            fixture(262_145),
            "2d0f66d85aa8d0d7",
            [
                "QmbTVMeGjoC8hG6rYSQgfZc15Tuh2Xa8LvJkFKjoK5JDk6",
                "bafybeiad2c3n4yp24mczxutsvjyvsszbx2gtw72mm5qnyk6umrlrxxk2fa",
                "bafkreibnb5tnqwvi2dlupwbilrwyqtqofqumkuc6jjaqzswdpieagzprey",
            ],
        ),
        vector(
            fixture(307_200),
            "a4137bf34c8fb3d9",
            [
                "QmVuFEv36GKP8W5PacYk8cq1cnFGrp78R54PbDPCZvwsyr",
                "bafybeihr66qmd76ri7piv4bo3jmjkloltmy45lt34573iwpc3obzupo7ti",
                "bafkreifecn57gtepwpm37dqerg5nm2kwwh7fpn47oy6n5adgakaxiciejy",
            ],
        ),
        vector(
            fixture(5 << 20),
            "89bcc1ce50ace85b",
            [
                "QmdVitSGei75HJrnQ3z8rNJMRJ9RJKiPwL68qjq2cEjhQG",
                "bafybeifwgodlelm2gysh4e4o5wpgy7c2lqvjgnilb2nixdclznikxy5csm",
                "bafybeihdhbw6rkjol5ngme2t7ctl2l6tyzg4hhyyni65qbwsdgveejetra",
            ],
        ),
        // 175 chunks: a second level
        vector(
            fixture(45_875_200),
            "37813ec5131ff002",
            [
                "QmXVtjp5cf1unKfSYNJm7HtACGeVxdJSEmWYMggjeGkLVM",
                "bafybeiapg45rtjum2pnx46y2jcezkgkywb76hxrxuoialagfqdtgghfxvm",
                "bafybeifunx23hdhwjnmn5kqkgf4vstcweoxpnakm2ppyzdcwobxsmnni7q",
            ],
        ),
    ]
}

#[test]
fn other_implementations_give_the_same_cids() {
    let imports = [
        Import::of(CidVersion::V0),
        Import::of(CidVersion::V1),
        Import::LARGE,
    ];
    for vector in vectors() {
        let content = of_reader(&vector.bytes[..], &imports).unwrap();
        assert_eq!(content.bytes, vector.bytes.len() as u64);
        assert_eq!(content.sha256.to_string()[..16], *vector.sha256);
        let cids: Vec<String> = content.cids.iter().map(Cid::to_string).collect();
        assert_eq!(cids, vector.cids, "{} bytes", content.bytes);
    }
}

#[test]
fn it_does_not_matter_how_the_bytes_come() {
    let bytes = fixture(600_000);
    let whole = of_reader(&bytes[..], &[Import::of(CidVersion::V0)]).unwrap();
    let mut parts = ContentHasher::new(&[Import::of(CidVersion::V0)]);
    bytes.chunks(77_777).for_each(|part| parts.update(part));
    assert_eq!(parts.finish(), whole);
}

#[test]
fn a_cid_says_how_it_may_have_been_made() {
    let v0: Cid = vectors()[4].cids[0].parse().unwrap();
    let v1: Cid = vectors()[4].cids[2].parse().unwrap();
    assert_eq!(Import::candidates(&v0), [Import::of(CidVersion::V0)]);
    assert!(Import::candidates(&v1).contains(&Import::LARGE));
}

/// A tree of many levels holds a chunk and a few links, however long the file is.
#[test]
fn memory_is_flat() {
    let import = Import {
        version: CidVersion::V1,
        chunk: 16,
        links: 2,
    };
    let mut tree = Tree::new(import);
    for n in 0..100_000_u32 {
        tree.update(&n.to_be_bytes().repeat(4));
        assert!(
            tree.levels.iter().map(Vec::len).sum::<usize>() <= import.links * tree.levels.len()
        );
    }
    assert!(tree.levels.len() < 20 && tree.chunk.capacity() <= 64);
}
