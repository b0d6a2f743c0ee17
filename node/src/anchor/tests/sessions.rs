use std::sync::Mutex;

use super::super::run::{Progress, SESSION_FILES};
use super::*;

#[tokio::test]
async fn content_is_anchored_once_and_again_when_it_has_changed() {
    let (server, home) = (Server::start().await, tempfile::tempdir().unwrap());
    let settings = server.settings();
    let first = session(vec![file(home.path(), "log", b"one\n")], &settings).await;
    let record = &first.anchored[0];
    assert_eq!(
        (
            record.file_path.as_str(),
            record.storage_provider.as_deref()
        ),
        ("log", Some("local"))
    );
    assert_eq!(
        record.ipfs_gateway_url,
        format!("{}/ipfs/{}", server.address, record.ipfs_cid)
    );
    assert_eq!(
        (record.event_type.as_str(), record.pinned),
        ("blueprint_tagged", Some(true))
    );
    assert_eq!(server.held().content[&record.ipfs_cid], b"one\n");

    let known = Known::of(&first.anchored);
    let again = session_after(vec![file(home.path(), "log", b"one\n")], &known, &settings).await;
    assert_eq!((again.anchored.len(), again.unchanged), (0, 1));
    let copy = session_after(vec![file(home.path(), "copy", b"one\n")], &known, &settings).await;
    assert_eq!(
        (copy.anchored.len(), copy.unchanged),
        (0, 1),
        "the same content under another name"
    );
    let changed = session_after(
        vec![file(home.path(), "log", b"one\ntwo\n")],
        &known,
        &settings,
    )
    .await;
    assert_eq!((changed.anchored.len(), server.held().adds.len()), (1, 2));
    assert_ne!(changed.anchored[0].ipfs_cid, record.ipfs_cid);
}

#[tokio::test]
async fn a_session_has_a_hundred_uploads_and_says_what_is_left() {
    let (server, home) = (Server::start().await, tempfile::tempdir().unwrap());
    let settings = Anchoring {
        parallel_uploads: 16,
        ..server.settings()
    };
    let items = || {
        (0..120)
            .map(|n| file(home.path(), &format!("f{n}"), n.to_string().as_bytes()))
            .collect::<Vec<_>>()
    };
    let told = Mutex::new(Vec::new());
    let providers = Providers::configured(&settings, &with_tokens).unwrap();
    let progress = |progress: Progress| told.lock().unwrap().push(progress);
    let first = run::session(items(), &Known::default(), &providers, None, &progress).await;
    assert_eq!(
        (first.anchored.len(), first.left, first.failed.len()),
        (SESSION_FILES, 20, 0)
    );
    let told = told.into_inner().unwrap();
    assert_eq!(
        (told.first().unwrap().done, *told.last().unwrap()),
        (
            0,
            Progress {
                done: 100,
                total: 100
            }
        )
    );
    let second = session_after(items(), &Known::of(&first.anchored), &settings).await;
    assert_eq!(
        (second.anchored.len(), second.unchanged, second.left),
        (20, 100, 0)
    );
}

#[tokio::test]
async fn uploads_are_parallel_as_configured_and_no_more() {
    for parallel_uploads in [1, 3] {
        let (server, home) = (Server::start().await, tempfile::tempdir().unwrap());
        let settings = Anchoring {
            parallel_uploads,
            ..server.settings()
        };
        let items = (0..9)
            .map(|n| file(home.path(), &format!("f{n}"), n.to_string().as_bytes()))
            .collect();
        assert_eq!(session(items, &settings).await.anchored.len(), 9);
        assert_eq!(server.held().at_once as u64, parallel_uploads);
    }
}

#[tokio::test]
async fn an_unreadable_file_fails_alone_and_an_empty_one_is_a_file() {
    let (server, home) = (Server::start().await, tempfile::tempdir().unwrap());
    let mut gone = file(home.path(), "gone", b"x");
    gone.source = Source::File(home.path().join("nowhere").into());
    let items = vec![
        gone,
        file(home.path(), "empty", b""),
        document("consensus/records", "{}\n"),
    ];
    let session = session(items, &server.settings()).await;
    assert_eq!((session.anchored.len(), session.failed.len()), (2, 1));
    assert!(
        session.failed[0].reason.contains("cannot be read") && !session.must_retry(),
        "{session:?}"
    );
    let empty = session
        .anchored
        .iter()
        .find(|record| record.file_path == "empty")
        .unwrap();
    assert_eq!(
        empty.ipfs_cid,
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"
    );
}

#[tokio::test]
async fn what_is_not_to_be_kept_is_uploaded_without_a_pin() {
    let server = Server::start().await;
    let settings = Anchoring {
        providers: vec![IpfsProvider::Local, IpfsProvider::Pinning],
        pinning_api: format!("{}/psa", server.address),
        ..server.settings()
    };
    let item = Item {
        pin: false,
        ..document("consensus/certificates", "{}\n")
    };
    let session = session(vec![item], &settings).await;
    assert_eq!(
        (
            session.anchored[0].pinned,
            server.held().adds[0]["pin"].as_str()
        ),
        (Some(false), "false")
    );
    assert!(server.held().pins.is_empty());
}

#[tokio::test]
async fn a_large_file_is_streamed_under_its_right_name() {
    let (server, home) = (Server::start().await, tempfile::tempdir().unwrap());
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let session = session(
        vec![file(home.path(), "bundle.zip", &bytes)],
        &server.settings(),
    )
    .await;
    assert_eq!(session.failed, []);
    assert_eq!(server.held().content[&session.anchored[0].ipfs_cid], bytes);
}

#[tokio::test]
async fn rows_for_storage_name_the_content_and_who_has_it() {
    let server = Server::start().await;
    let session = session(vec![document("a", "x")], &server.settings()).await;
    let rows = session.rows(ssid_protocol::id::UnixMillis(7));
    assert_eq!(rows[0].0.to_string(), session.anchored[0].file_hash);
    assert_eq!(
        (rows[0].1.name.as_str(), rows[0].1.services.as_slice()),
        ("a", &["local".to_owned()][..])
    );
}
