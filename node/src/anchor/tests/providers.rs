use super::super::error::ProviderError;
use super::*;

fn reason(session: &Session) -> String {
    assert_eq!(session.anchored, []);
    assert!(session.must_retry());
    session.failed[0].reason.clone()
}

/// An address where nobody listens.
fn nowhere() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn refused(settings: &Anchoring, lookup: &dyn Fn(&str) -> Option<String>) -> String {
    Providers::configured(settings, lookup)
        .unwrap_err()
        .to_string()
}

#[tokio::test]
async fn every_import_option_is_sent_for_either_version() {
    let server = Server::start().await;
    for (cid_version, raw_leaves, prefix) in [(0, "false", "Qm"), (1, "true", "bafk")] {
        let settings = Anchoring {
            cid_version,
            ..server.settings()
        };
        let session = session(vec![document("a", "some content")], &settings).await;
        assert!(
            session.anchored[0].ipfs_cid.starts_with(prefix),
            "{session:?}"
        );
        let options = server.held().adds.pop().unwrap();
        let version = cid_version.to_string();
        for (name, value) in [
            ("cid-version", version.as_str()),
            ("raw-leaves", raw_leaves),
            ("chunker", "size-262144"),
            ("max-file-links", "174"),
            ("hash", "sha2-256"),
            ("pin", "true"),
            ("progress", "false"),
        ] {
            assert_eq!(options[name], value, "{name}");
        }
    }
}

#[tokio::test]
async fn providers_are_tried_in_order_and_a_failed_one_is_not_asked_for_every_file() {
    let (first, second) = (Server::start().await, Server::start().await);
    first.mood(Mood::Refuses(403, "403 - Forbidden"));
    let settings = Anchoring {
        providers: vec![IpfsProvider::Local, IpfsProvider::Remote],
        remote_api: second.address.clone(),
        parallel_uploads: 1,
        ..first.settings()
    };
    let items = || vec![document("a", "1"), document("b", "2"), document("c", "3")];
    let session = session(items(), &settings).await;
    assert_eq!(
        (
            session.anchored.len(),
            first.held().adds.len(),
            second.held().adds.len()
        ),
        (3, 1, 3)
    );
    assert!(
        session
            .anchored
            .iter()
            .all(|record| record.storage_provider.as_deref() == Some("remote"))
    );
    assert!(
        session.remarks[0].contains("HTTP 403"),
        "{:?}",
        session.remarks
    );
    assert!(
        second
            .held()
            .tokens
            .iter()
            .all(|token| *token == format!("Bearer {TOKEN}"))
    );
    assert!(
        first.held().tokens.is_empty(),
        "the local node gets no token"
    );

    let swapped = Anchoring {
        providers: vec![IpfsProvider::Remote, IpfsProvider::Local],
        ..settings
    };
    super::session(items(), &swapped).await;
    assert_eq!(first.held().adds.len(), 1);
}

#[tokio::test]
async fn a_node_that_is_down_is_named_with_the_next_step() {
    let server = Server::start().await;
    let settings = Anchoring {
        local_api: nowhere(),
        ..server.settings()
    };
    let said = reason(&session(vec![document("a", "1")], &settings).await);
    for word in [
        "`local`",
        &settings.local_api,
        "cannot be reached",
        "efused",
        "ipfs daemon",
    ] {
        assert!(said.contains(word), "{word} is not in {said}");
    }
}

#[tokio::test]
async fn other_content_garbage_and_refusals_are_never_recorded() {
    let server = Server::start().await;
    for (mood, words) in [
        (
            Mood::NamesOther,
            vec!["answered Qm", "but the content is Qm"],
        ),
        (Mood::Garbage, vec!["names no CID", "port 5001"]),
        (
            Mood::Refuses(500, r#"{"Message":"no space left","Code":0}"#),
            vec!["HTTP 500", "no space left"],
        ),
        (
            Mood::Refuses(401, "s3cret"),
            vec!["HTTP 401", "token is wrong"],
        ),
        (Mood::Refuses(302, ""), vec!["HTTP 302"]),
    ] {
        server.mood(mood);
        let said = reason(&session(vec![document("a", "1")], &server.settings()).await);
        words
            .iter()
            .for_each(|word| assert!(said.contains(word), "{word} is not in {said}"));
        assert!(!said.contains(TOKEN));
    }
}

#[tokio::test]
async fn silence_ends_after_the_configured_time() {
    let server = Server::start().await;
    server.mood(Mood::NeverAnswers);
    for timeout_seconds in [1, 2] {
        let settings = Anchoring {
            timeout_seconds,
            ..server.settings()
        };
        let begun = std::time::Instant::now();
        let said = reason(&session(vec![document("a", "1")], &settings).await);
        assert!(
            said.contains(&format!("did not answer within {timeout_seconds} s")),
            "{said}"
        );
        assert!(begun.elapsed().as_secs() >= timeout_seconds);
    }
}

#[tokio::test]
async fn a_token_is_taken_to_no_other_server_by_a_redirect() {
    use axum::http::{HeaderMap, StatusCode, Uri};
    let (local, other) = (Server::start().await, Server::start().await);
    for status in [301, 302, 303, 307, 308] {
        let away = other.address.replace("127.0.0.1", "localhost");
        let status = StatusCode::from_u16(status).unwrap();
        let (asked, mut was_asked) = tokio::sync::mpsc::unbounded_channel();
        let leads_away = async move |uri: Uri, headers: HeaderMap| {
            asked.send(headers.contains_key("authorization")).unwrap();
            (status, [("location", format!("{away}{uri}"))])
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new().fallback(leads_away);
        tokio::spawn(async move { axum::serve(listener, router).await });
        for providers in [
            vec![IpfsProvider::Remote],
            vec![IpfsProvider::Local, IpfsProvider::Pinning],
        ] {
            let settings = Anchoring {
                providers,
                remote_api: place.clone(),
                pinning_api: format!("{place}/psa"),
                ..local.settings()
            };
            session(vec![document("a", &status.to_string())], &settings).await;
            assert_eq!(was_asked.recv().await, Some(true), "{settings:?}");
        }
    }
    let held = other.held();
    assert!(held.tokens.is_empty() && held.adds.is_empty() && held.pins.is_empty());
}

#[tokio::test]
async fn a_pinning_service_keeps_what_a_node_was_given() {
    let server = Server::start().await;
    let settings = Anchoring {
        providers: vec![IpfsProvider::Local, IpfsProvider::Pinning],
        pinning_api: format!("{}/psa", server.address),
        ..server.settings()
    };
    let first = session(vec![document("dir/a", "1")], &settings).await;
    let record = &first.anchored[0];
    let kept = (
        record.storage_provider.as_deref(),
        record.pin_service.as_deref(),
        record.pinned,
    );
    assert_eq!(kept, (Some("local"), Some("pinning"), Some(true)));
    {
        let held = server.held();
        let order = serde_json::json!({ "cid": record.ipfs_cid, "name": "a", "origins": ["/ip4/192.0.2.1/tcp/4001/p2p/12D3"] });
        assert_eq!(
            (held.pins.as_slice(), held.connected.len()),
            (&[order][..], 1)
        );
        assert!(
            held.tokens
                .iter()
                .all(|token| *token == format!("Bearer {TOKEN}"))
                && !held.tokens.is_empty()
        );
    }
    session(vec![document("dir/a", "1")], &settings).await;
    assert_eq!(server.held().pins.len(), 1, "an order is never given twice");
}

#[tokio::test]
async fn a_service_that_failed_is_asked_again_for_content_that_lacks_it() {
    let (server, service) = (Server::start().await, Server::start().await);
    service.mood(Mood::Refuses(409, ""));
    let settings = Anchoring {
        providers: vec![IpfsProvider::Local, IpfsProvider::Pinning],
        pinning_api: format!("{}/psa", service.address),
        ..server.settings()
    };
    let first = session(vec![document("a", "1")], &settings).await;
    assert_eq!(
        (first.anchored[0].pin_service.clone(), first.failed.len()),
        (None, 1)
    );
    let said = &first.failed[0].reason;
    assert!(
        said.contains("it is on local, but `pinning`") && said.contains("the plan is full"),
        "{said}"
    );
    assert!(first.must_retry());
    let known = Known::of(&first.anchored);
    let second = session_after(vec![document("a", "1")], &known, &settings).await;
    assert_eq!(
        (second.anchored.len(), second.failed.len()),
        (0, 1),
        "what stands there is not recorded again"
    );
    service.mood(Mood::Works);
    let second = session_after(vec![document("a", "1")], &known, &settings).await;
    assert_eq!(second.anchored[0].pin_service.as_deref(), Some("pinning"));
    let without = Anchoring {
        providers: vec![IpfsProvider::Local],
        ..settings
    };
    assert_eq!(
        session_after(vec![document("a", "1")], &known, &without)
            .await
            .unchanged,
        1
    );
}

#[tokio::test]
async fn a_service_that_has_it_already_or_answers_null_keeps_it() {
    for (nulls, duplicate, listed) in [
        (true, None, true),
        (false, Some((400, "DUPLICATE_OBJECT")), false),
        (false, Some((409, "DUPLICATE_OBJECT")), true),
        (true, Some((409, "CID is already pinned")), false),
    ] {
        let server = Server::start().await;
        {
            let mut held = server.held();
            (held.nulls, held.duplicate, held.lists_duplicates) = (nulls, duplicate, listed);
            held.pin_states = ("pinned", "pinned");
        }
        let settings = Anchoring {
            providers: vec![IpfsProvider::Local, IpfsProvider::Pinning],
            pinning_api: format!("{}/psa", server.address),
            ..server.settings()
        };
        let done = session(vec![document("a", "1")], &settings).await;
        assert!(
            done.failed.is_empty() && done.remarks.is_empty(),
            "{duplicate:?}: {done:?}"
        );
        assert_eq!(
            done.anchored[0].pin_service.as_deref(),
            Some("pinning"),
            "{duplicate:?}"
        );
    }
}

#[tokio::test]
async fn a_service_alone_must_have_the_content() {
    let server = Server::start().await;
    let settings = Anchoring {
        providers: vec![IpfsProvider::Pinning],
        pinning_api: format!("{}/psa", server.address),
        timeout_seconds: 1,
        ..server.settings()
    };
    server.held().pin_states = ("queued", "pinning");
    let said = reason(&session(vec![document("a", "1")], &settings).await);
    assert!(
        said.contains("queued") && said.contains("`local` or `remote` before it"),
        "{said}"
    );
    server.held().pin_states = ("queued", "failed");
    let said = reason(&session(vec![document("b", "2")], &settings).await);
    assert!(said.contains("gave the pin up"), "{said}");
    server.held().pin_states = ("pinned", "pinned");
    assert_eq!(
        session(vec![document("c", "3")], &settings)
            .await
            .anchored
            .len(),
        1
    );
}

#[tokio::test]
async fn web3_storage_says_what_to_use_instead_and_others_are_tried() {
    let server = Server::start().await;
    let web3 = Anchoring {
        providers: vec![IpfsProvider::Web3],
        ..server.settings()
    };
    let said = reason(&session(vec![document("a", "1")], &web3).await);
    for word in [
        "2024",
        "WEB3_STORAGE_TOKEN",
        "Pinning Service API",
        "anchoring.pinning_api",
    ] {
        assert!(said.contains(word), "{word} is not in {said}");
    }
    let both = Anchoring {
        providers: vec![IpfsProvider::Web3, IpfsProvider::Local],
        ..server.settings()
    };
    assert_eq!(
        session(vec![document("a", "1")], &both).await.anchored[0]
            .storage_provider
            .as_deref(),
        Some("local")
    );
}

#[test]
fn what_is_missing_in_the_configuration_is_named() {
    let of = |providers: Vec<IpfsProvider>| Anchoring {
        providers,
        ..Anchoring::default()
    };
    assert_eq!(
        refused(&of(vec![]), &with_tokens),
        ProviderError::NoProvider.to_string()
    );
    assert!(
        refused(&of(vec![IpfsProvider::Remote]), &with_tokens)
            .contains("anchoring.remote_api is empty")
    );
    assert!(
        refused(&of(vec![IpfsProvider::Pinning]), &with_tokens)
            .contains("anchoring.pinning_api is empty")
    );
    let local = Anchoring {
        local_api: String::new(),
        ..Anchoring::default()
    };
    assert!(refused(&local, &with_tokens).contains("anchoring.local_api is empty"));
    let remote = Anchoring {
        remote_api: "https://a.example".to_owned(),
        ..of(vec![IpfsProvider::Remote])
    };
    assert!(refused(&remote, &|_| None).contains("SSID_IPFS_TOKEN is not set"));
    let named = Anchoring {
        remote_token_env: "SSID_MY_TOKEN".to_owned(),
        ..remote
    };
    assert!(refused(&named, &|_| None).contains("SSID_MY_TOKEN is not set"));
    let token = |name: &str| (name == "SSID_MY_TOKEN").then(|| "t".to_owned());
    assert!(refused(&named, &token).contains("SSID_MY_TOKEN_HOST=a.example:443"));
    let both = |name: &str| {
        token(name).or_else(|| (name == "SSID_MY_TOKEN_HOST").then(|| "a.example".to_owned()))
    };
    assert!(Providers::configured(&named, &both).is_ok());
    let pinning = Anchoring {
        pinning_api: "https://a.example".to_owned(),
        ..of(vec![IpfsProvider::Pinning])
    };
    assert!(refused(&pinning, &|_| None).contains("SSID_PINNING_TOKEN is not set"));
    let named = Anchoring {
        pinning_token_env: "SSID_MY_TOKEN".to_owned(),
        ..pinning
    };
    assert!(refused(&named, &|_| None).contains("SSID_MY_TOKEN is not set"));
}
