use ssid_protocol::id::{FederationId, LogId};

use crate::fixtures::{FEDERATION, LOG, certify, node, owner};
use crate::tables;
use crate::{Changes, Owner, StorageError, Store};

#[test]
fn another_federations_or_nodes_data_is_refused_and_not_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path(), owner(), LOG).unwrap());
    let other = Owner {
        federation: FederationId([8; 32]),
        ..owner()
    };
    let error = Store::open_or_set_aside(dir.path(), other, LOG).unwrap_err();
    assert!(matches!(error, StorageError::OtherFederation { .. }));
    assert!(
        error.to_string().contains(&FEDERATION.to_string()),
        "{error}"
    );
    let other = Owner {
        node: node(1),
        ..owner()
    };
    let error = Store::open_or_set_aside(dir.path(), other, LOG).unwrap_err();
    assert!(matches!(error, StorageError::OtherNode { .. }));
    Store::open(dir.path(), owner(), LogId([1; 32])).unwrap();
}

#[test]
fn a_database_goes_over_to_the_key_that_follows() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut writer) = Store::open(dir.path(), owner(), LOG).unwrap();
    writer
        .write(Changes {
            owner: Some(node(1)),
            ..Changes::default()
        })
        .unwrap();
    drop((store, writer));
    let next = Owner {
        node: node(1),
        ..owner()
    };
    let open = |owner| loop {
        match Store::open(dir.path(), owner, LOG) {
            Err(StorageError::InUse(_)) => std::thread::yield_now(),
            opened => return opened.map(drop),
        }
    };
    open(next).unwrap();
    let refused = open(owner()).unwrap_err();
    assert!(
        matches!(refused, StorageError::OtherNode { .. }),
        "{refused}"
    );
}

/// sled gives its lock back from a thread of its own, a moment after the last handle is dropped.
fn eventually(open: impl Fn() -> sled::Result<sled::Db>) -> sled::Db {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        match open() {
            Ok(db) => return db,
            Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_newer_schema_is_named_and_not_set_aside() {
    for newer in ["identity", "state"] {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path(), owner(), LOG).unwrap());
        let config = sled::Config::new()
            .path(dir.path().join("db"))
            .segment_size(2 * 1024 * 1024);
        let db = eventually(|| config.open());
        let key = if newer == "state" {
            tables::STATE.key(&())
        } else {
            tables::IDENTITY.key(&())
        };
        db.insert(key, &[2_u8, 0, 0][..]).unwrap();
        db.flush().unwrap();
        drop(db);
        let error = Store::open_or_set_aside(dir.path(), owner(), LOG).unwrap_err();
        assert!(
            matches!(
                error,
                StorageError::NewerFormat {
                    found: 2,
                    known: 1,
                    ..
                }
            ),
            "{error}"
        );
        assert!(
            error.to_string().contains(newer) && error.to_string().contains("newer schema"),
            "{error}"
        );
    }
}

#[test]
fn one_directory_one_opener() {
    let dir = tempfile::tempdir().unwrap();
    let (store, writer) = Store::open(dir.path(), owner(), LOG).unwrap();
    assert!(matches!(
        Store::open(dir.path(), owner(), LOG),
        Err(StorageError::InUse(_))
    ));
    drop(writer);
    // a reader alone still holds the database
    assert!(matches!(
        Store::open(dir.path(), owner(), LOG),
        Err(StorageError::InUse(_))
    ));
    drop(store);
    Store::open(dir.path(), owner(), LOG).unwrap();
}

#[test]
fn readers_read_while_the_writer_writes() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut writer) = Store::open(dir.path(), owner(), LOG).unwrap();
    let reader = std::thread::spawn(move || {
        loop {
            let head = store.log_head();
            assert_eq!(store.log_root(head.size).unwrap(), Some(head.root));
            assert!(store.verify_log().unwrap() >= head.size);
            if head.size == 200 {
                break;
            }
        }
    });
    for n in 0..20 {
        writer.write(certify(n * 10..n * 10 + 10)).unwrap();
        writer
            .write(Changes {
                journal_sequence: Some(n),
                ..Changes::default()
            })
            .unwrap();
    }
    reader.join().unwrap();
}
