//! Chains of test members, good and spoiled.

use super::*;
use crate::certificate::CertificateError;
use crate::identity::VotingKey;
use crate::manifest::Succession;
use crate::member::Status;
use crate::testing::epochs::{certify, documents, links};
use crate::testing::{event, key, manifest, successor};

fn keys(numbers: impl IntoIterator<Item = u8>) -> Vec<VotingKey> {
    numbers.into_iter().map(key).collect()
}

fn proven(genesis: Manifest, links: Vec<Link>) -> Result<Chain, ChainError> {
    let mut chain = Chain::new(genesis)?;
    for link in links {
        chain.extend(link)?;
    }
    Ok(chain)
}

/// Genesis, epoch 1 without member 3, and epoch 2 in which key 9 replaces key 1.
fn changes() -> (Manifest, Vec<Link>) {
    let genesis = manifest(4);
    let mut first = successor(&genesis);
    first.members[3].status = Status::Suspended;
    let mut second = successor(&first);
    second.members[1].node_id = key(9).node_id();
    if let Some(change) = &mut second.change {
        change.succeeds = vec![Succession {
            member: key(9).node_id(),
            former: key(1).node_id(),
        }];
    }
    let link = |before: &Manifest, manifest: &Manifest, signers| Link {
        manifest: manifest.clone(),
        certificate: certify(&genesis, before, manifest.epoch_event(), signers),
    };
    let links = vec![
        link(&genesis, &first, &keys(0..3)),
        link(&first, &second, &keys(1..3)),
    ];
    (genesis, links)
}

#[test]
fn a_chain_proves_every_epoch_from_genesis() {
    let (genesis, links) = changes();
    let chain = proven(genesis.clone(), links.clone()).unwrap();
    let expected: Vec<_> = [&genesis]
        .into_iter()
        .chain(links.iter().map(|link| &link.manifest))
        .collect();
    assert_eq!(chain.manifests().collect::<Vec<_>>(), expected);
    assert_eq!(chain.latest(), expected[2]);
    let alone = Chain::new(genesis.clone()).unwrap();
    assert_eq!(alone.manifests().collect::<Vec<_>>(), [&genesis]);
}

#[test]
fn a_hundred_epochs_are_proven_from_their_file_and_pinned_by_one_hash() {
    let (genesis, file, certificate) = documents(100);
    let mut chain = Chain::new(genesis).unwrap();
    chain.read(file.as_bytes()).unwrap();
    assert_eq!(chain.manifests().count(), 101);
    for manifest in chain.manifests() {
        assert_eq!(chain.check_pin(&manifest.hash()), Ok(()));
    }
    assert_eq!(chain.verify(&certificate), Ok(()));
    let mut pin = chain.latest().hash();
    pin.0[0] ^= 1;
    let refusal = ChainError::Pin {
        pin,
        latest: Epoch(100),
    };
    assert_eq!(chain.check_pin(&pin), Err(refusal));
}

/// The epochs' voters are distinct enough that no certificate is good in two epochs.
#[test]
fn a_certificate_holds_under_the_manifest_of_its_own_epoch_only() {
    let (genesis, links) = changes();
    let chain = proven(genesis.clone(), links).unwrap();
    let manifests: Vec<_> = chain.manifests().cloned().collect();
    let voters = [keys([0, 1, 3]), keys([0, 1]), keys([0, 9])];
    for (place, signers) in voters.iter().enumerate() {
        let certificate = certify(&genesis, &manifests[place], event("release", "1"), signers);
        assert_eq!(chain.verify(&certificate), Ok(()));
        for manifest in &manifests {
            if manifest.epoch == certificate.epoch {
                continue;
            }
            // as if the manifest of epoch k ± 1 were that of k
            let wrong = Manifest {
                epoch: certificate.epoch,
                ..manifest.clone()
            };
            let federation = genesis.federation_id();
            let mut verifier = Verifier::new(federation, &wrong, &genesis.event_policies).unwrap();
            let by_voters = certificate.verify(&mut verifier);
            assert!(by_voters.is_err(), "of {place} by {}", manifest.epoch);
            // as if it were of that epoch
            let relabelled = Certificate {
                epoch: manifest.epoch,
                ..certificate.clone()
            };
            let by_epoch = chain.verify(&relabelled);
            assert!(by_epoch.is_err(), "of {place} as of {}", manifest.epoch);
        }
    }
    let late = Certificate {
        epoch: Epoch(3),
        ..certify(
            &genesis,
            &manifests[2],
            event("release", "1"),
            &keys([0, 9]),
        )
    };
    let refusal = ChainError::NoManifest {
        epoch: Epoch(3),
        latest: Epoch(2),
    };
    assert_eq!(chain.verify(&late), Err(refusal));
}

#[test]
fn a_broken_chain_is_refused_where_it_breaks() {
    type Spoil = fn(&mut Manifest, &mut Vec<Link>);
    type Case = (&'static str, Spoil, fn(&ChainError) -> bool);
    fn is_manifest(error: &ChainError, at: u64) -> bool {
        matches!(error, ChainError::Manifest { epoch, .. } if epoch.0 == at)
    }
    fn certificate(error: &ChainError, at: u64) -> Option<&CertificateError> {
        match error {
            ChainError::Certificate { epoch, source } if epoch.0 == at => Some(source),
            _ => None,
        }
    }
    fn change(link: &mut Link) -> &mut crate::manifest::Change {
        link.manifest.change.as_mut().unwrap()
    }
    /// Certifies the manifest as it is now.
    fn sign(genesis: &Manifest, links: &mut [Link], at: usize, signers: &[VotingKey]) {
        let before = at.checked_sub(1).map_or(genesis, |i| &links[i].manifest);
        let event = links[at].manifest.epoch_event();
        let certificate = certify(genesis, before, event, signers);
        links[at].certificate = certificate;
    }
    let cases: &[Case] = &[
        ("genesis", |g, _| g.threshold_bp = 0, |e| is_manifest(e, 0)),
        (
            "another genesis is another federation",
            |g, c| {
                g.name.push('x');
                change(&mut c[0]).previous = g.hash();
            },
            |e| matches!(certificate(e, 1), Some(CertificateError::Federation { .. })),
        ),
        (
            "a link is missing",
            |_, c| drop(c.remove(0)),
            |e| is_manifest(e, 1),
        ),
        (
            "a link twice",
            |_, c| c.insert(0, c[0].clone()),
            |e| is_manifest(e, 2),
        ),
        ("links swapped", |_, c| c.swap(0, 1), |e| is_manifest(e, 1)),
        (
            "`previous` is another",
            |g, c| {
                change(&mut c[1]).previous.0[5] ^= 1;
                sign(g, c, 1, &keys(1..3));
            },
            |e| is_manifest(e, 2) && e.to_string().contains("`previous`"),
        ),
        (
            "`succeeds` names who was never a member",
            |g, c| {
                change(&mut c[1]).succeeds[0].former = key(7).node_id();
                sign(g, c, 1, &keys(1..3));
            },
            |e| is_manifest(e, 2) && e.to_string().contains("`succeeds[0].former`"),
        ),
        (
            "`succeeds` was changed after it was certified",
            |_, c| change(&mut c[1]).succeeds.clear(),
            |e| {
                matches!(
                    e,
                    ChainError::AnotherEvent {
                        epoch: Epoch(2),
                        field: "commit_hash",
                        ..
                    }
                )
            },
        ),
        (
            "the manifest was changed",
            |_, c| c[1].manifest.name.push('x'),
            |e| {
                matches!(
                    e,
                    ChainError::AnotherEvent {
                        epoch: Epoch(2),
                        field: "commit_hash",
                        ..
                    }
                )
            },
        ),
        (
            "a certificate of the hash at another time",
            |g, c| {
                let mut event = c[1].manifest.epoch_event();
                event.timestamp = "2026-01-01T00:00:00Z".into();
                c[1].certificate = certify(g, &c[0].manifest, event, &keys(1..3));
            },
            |e| {
                matches!(
                    e,
                    ChainError::AnotherEvent {
                        epoch: Epoch(2),
                        field: "timestamp",
                        ..
                    }
                )
            },
        ),
        (
            "a certificate of something else",
            |g, c| c[0].certificate = certify(g, g, event("release", "1"), &keys(0..3)),
            |e| {
                matches!(
                    e,
                    ChainError::AnotherEvent {
                        epoch: Epoch(1),
                        field: "event",
                        ..
                    }
                )
            },
        ),
        (
            "the certificate of another epoch",
            |_, c| c[1].certificate = c[0].certificate.clone(),
            |e| matches!(certificate(e, 2), Some(CertificateError::Epoch { .. })),
        ),
        (
            "signed by who votes from this epoch on",
            |g, c| sign(g, c, 1, &keys([0, 9])),
            |e| matches!(certificate(e, 2), Some(CertificateError::NotAVoter { .. })),
        ),
        (
            "signed by who voted until the epoch before",
            |g, c| sign(g, c, 1, &keys([0, 3])),
            |e| matches!(certificate(e, 2), Some(CertificateError::NotAVoter { .. })),
        ),
        (
            "too few signed",
            |_, c| c[1].certificate.precommits.truncate(1),
            |e| matches!(certificate(e, 2), Some(CertificateError::Signers { .. })),
        ),
    ];
    for (what, spoil, is_right) in cases {
        let (mut genesis, mut links) = changes();
        spoil(&mut genesis, &mut links);
        let error = proven(genesis, links).unwrap_err();
        assert!(is_right(&error), "{what}: {error}");
    }
}

#[test]
fn a_replaced_key_is_refused_in_every_later_manifest() {
    let (genesis, mut links) = changes();
    let mut third = successor(&links[1].manifest);
    third.members[2].weight = 60;
    let mut fourth = successor(&third);
    // key 1, given up in epoch 2
    fourth.members[2].node_id = key(1).node_id();
    for (manifest, before) in [(third.clone(), links[1].manifest.clone()), (fourth, third)] {
        let event = manifest.epoch_event();
        links.push(Link {
            manifest,
            certificate: certify(&genesis, &before, event, &keys([0, 2, 9])),
        });
    }
    let error = proven(genesis, links).unwrap_err();
    assert!(
        matches!(
            error,
            ChainError::Manifest {
                epoch: Epoch(4),
                ..
            }
        ) && error.to_string().contains("never returns"),
        "{error}"
    );
}

#[test]
fn a_refused_link_leaves_the_chain_as_it_was() {
    let (genesis, links) = changes();
    let mut chain = Chain::new(genesis).unwrap();
    let mut spoiled = links[0].clone();
    spoiled.certificate.precommits.clear();
    assert!(chain.extend(spoiled).is_err());
    assert_eq!(chain.manifests().count(), 1);
    links
        .into_iter()
        .for_each(|link| chain.extend(link).unwrap());
    assert_eq!(chain.latest().epoch, Epoch(2));
}

#[test]
fn lines_are_exact() {
    let (genesis, file, certificate) = documents(2);
    let read = |file: &str| Chain::new(genesis.clone()).unwrap().read(file.as_bytes());
    assert_eq!(read(""), Ok(()));
    assert_eq!(read(&file), Ok(()));
    assert_eq!(read(file.trim_end()), Ok(()));
    let alone = ChainLine::Certificate(Box::new(certificate)).to_text();
    for (spoiled, at) in [
        (format!("\n{file}"), 1),
        (format!("{file}\n"), 3),
        (
            file.replacen("{\"certificate\"", "{\"more\":1,\"certificate\"", 1),
            1,
        ),
        (file.replacen("\"manifest\"", "\"Manifest\"", 1), 1),
        (
            file.replacen("ssid-federation/1", "ssid-federation/2", 1),
            1,
        ),
        (format!("{file}{alone}"), 3),
    ] {
        let error = read(&spoiled).unwrap_err();
        assert!(
            matches!(error, ChainError::Line { epoch, .. } if epoch.0 == at),
            "{error}"
        );
    }
}

#[test]
fn a_certificate_travels_with_its_chain() {
    let (genesis, file, certificate) = documents(3);
    let whole = file.clone() + &ChainLine::Certificate(Box::new(certificate.clone())).to_text();
    let mut chain = Chain::new(genesis.clone()).unwrap();
    assert_eq!(
        chain.read_certificate(whole.as_bytes()),
        Ok(certificate.clone())
    );
    assert_eq!(chain.verify(&certificate), Ok(()));
    // again, and with a chain that is known already
    assert_eq!(chain.read_certificate(whole.as_bytes()), Ok(certificate));
    assert_eq!(chain.manifests().count(), 4);
    // another history of the epochs that are known
    let other = ChainLine::Link(Box::new(changes().1.remove(0))).to_text();
    let last = whole.lines().last().unwrap();
    assert_eq!(
        chain.read_certificate(format!("{other}{last}").as_bytes()),
        Err(ChainError::Contradiction { epoch: Epoch(1) })
    );
    for (none, at) in [(file.as_str(), 3), ("", 1), ("{}", 1)] {
        let mut chain = Chain::new(genesis.clone()).unwrap();
        let error = chain.read_certificate(none.as_bytes()).unwrap_err();
        assert!(
            matches!(error, ChainError::Line { epoch, .. } if epoch.0 == at),
            "{error}"
        );
    }
    assert_eq!(links(3).len(), 3);
}
