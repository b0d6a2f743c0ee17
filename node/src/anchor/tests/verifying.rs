use super::*;

async fn check(settings: &Anchoring, targets: &[Target], everywhere: bool) -> Vec<Checked> {
    let mut verifier = Verifier::configured(settings).unwrap();
    verifier.everywhere = everywhere;
    verifier.check(targets.to_vec(), &|| ()).await
}

async fn anchored(server: &Server, content: &str) -> Target {
    let session = session(vec![document("a", content)], &server.settings()).await;
    Target::from(&session.anchored[0])
}

fn verdicts(checked: &[Checked]) -> Vec<Verdict> {
    checked.iter().map(|c| c.verdict).collect()
}

#[tokio::test]
async fn what_was_anchored_is_proven_also_after_the_file_has_changed() {
    let server = Server::start().await;
    let old = anchored(&server, "old").await;
    let new = anchored(&server, "new").await;
    let checked = check(&server.settings(), &[old, new], false).await;
    assert_eq!(verdicts(&checked), [Verdict::Proven, Verdict::Proven]);
    assert_eq!(
        (checked[0].from.as_deref(), checked[0].notes.len()),
        (Some(server.address.as_str()), 0)
    );
}

#[tokio::test]
async fn other_bytes_are_found_out_whoever_delivers_them() {
    let (server, liar) = (Server::start().await, Server::start().await);
    let target = anchored(&server, "true").await;
    liar.held()
        .content
        .insert(target.cid.clone(), b"false".to_vec());
    let lied = check(&liar.settings(), std::slice::from_ref(&target), false).await;
    assert_eq!(verdicts(&lied), [Verdict::Differs]);
    assert!(lied[0].notes[0].contains("delivered SHA-256"), "{lied:?}");
    // an honest local node is enough, unless everybody is asked
    let both = Anchoring {
        gateways: vec![format!("{}/ipfs/", liar.address)],
        ..server.settings()
    };
    assert_eq!(
        verdicts(&check(&both, std::slice::from_ref(&target), false).await),
        [Verdict::Proven]
    );
    assert_eq!(
        verdicts(&check(&both, std::slice::from_ref(&target), true).await),
        [Verdict::Differs]
    );
}

#[tokio::test]
async fn a_record_whose_cid_is_of_other_content_differs() {
    let server = Server::start().await;
    let (one, two) = (anchored(&server, "1").await, anchored(&server, "2").await);
    let mixed = Target {
        sha256: two.sha256.clone(),
        ..one.clone()
    };
    // the server delivers under the first CID what has the second's SHA-256
    let content = server.held().content[&two.cid].clone();
    server.held().content.insert(one.cid.clone(), content);
    let unreadable = Target {
        cid: "QmNothing".to_owned(),
        ..two
    };
    let checked = check(&server.settings(), &[mixed, unreadable], false).await;
    assert_eq!(verdicts(&checked), [Verdict::Differs, Verdict::Differs]);
    assert!(
        checked[0].notes[0].contains("but not this CID"),
        "{checked:?}"
    );
    assert!(
        checked[1].notes[0].contains("no readable CID"),
        "{checked:?}"
    );
}

#[tokio::test]
async fn gateways_are_asked_when_the_local_node_does_not_deliver() {
    let (server, empty) = (Server::start().await, Server::start().await);
    let target = anchored(&server, "x").await;
    let gateway = Anchoring {
        local_api: empty.address.clone(),
        ..server.settings()
    };
    let checked = check(&gateway, std::slice::from_ref(&target), false).await;
    assert_eq!(
        (verdicts(&checked), checked[0].from.as_deref()),
        (vec![Verdict::Proven], Some("127.0.0.1"))
    );
    let no_local = Anchoring {
        local_api: String::new(),
        ..gateway
    };
    assert_eq!(
        verdicts(&check(&no_local, std::slice::from_ref(&target), false).await),
        [Verdict::Proven]
    );
    let nobody = Anchoring {
        gateways: vec![],
        ..empty.settings()
    };
    let lost = check(&nobody, std::slice::from_ref(&target), false).await;
    assert_eq!(verdicts(&lost), [Verdict::Unreachable]);
    assert!(lost[0].notes[0].contains("request timed out"), "{lost:?}");
    empty.mood(Mood::NeverAnswers);
    let silent = check(
        &Anchoring {
            timeout_seconds: 1,
            ..nobody.clone()
        },
        &[target],
        false,
    )
    .await;
    assert!(
        silent[0].notes[0].contains("nothing within 1 s"),
        "{silent:?}"
    );
    let none = Anchoring {
        local_api: String::new(),
        ..nobody
    };
    assert!(
        Verifier::configured(&none)
            .unwrap_err()
            .to_string()
            .contains("anchoring.gateways")
    );
}
