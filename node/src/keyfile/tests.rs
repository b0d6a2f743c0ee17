#![allow(clippy::unwrap_used, reason = "tests")]

use ssid_protocol::id::Sha256Hash;

use super::*;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn key(&self) -> PathBuf {
        self.0.path().join("voting.key")
    }

    /// Puts `text` there, with the mode of a key file.
    fn put(&self, text: &str) -> PathBuf {
        let path = self.key();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

/// A file with another body but a fitting check.
fn rechecked(text: &str, from: &str, to: &str) -> String {
    let body = text[..text.find("check ").unwrap()].replace(from, to);
    let check = Sha256Hash::of(&[body.as_bytes()]).to_string();
    format!("{body}check {}\n", &check[..16])
}

#[test]
fn what_is_written_is_read() {
    let place = Place::new();
    let seed = generate_seed().unwrap();
    assert_ne!(*seed, *generate_seed().unwrap());
    write(&place.key(), &seed, None).unwrap();
    assert_eq!(
        fs::metadata(place.key()).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(*read(&place.key(), None).unwrap(), *seed);
    assert!(!needs_passphrase(&place.key()).unwrap());
    let text = fs::read_to_string(place.key()).unwrap();
    assert!(text.starts_with(&format!(
        "ssid-key/1\npublic {}\nseed ",
        VotingKey::from_seed(&seed).node_id()
    )));
    assert!(matches!(
        write(&place.key(), &seed, None),
        Err(KeyFileError::Exists(_))
    ));
    assert_eq!(fs::read_to_string(place.key()).unwrap(), text);
}

#[test]
fn a_passphrase_is_needed_and_must_be_right() {
    let place = Place::new();
    write(&place.key(), &[7; 32], Some("correct horse")).unwrap();
    let text = fs::read_to_string(place.key()).unwrap();
    assert!(!text.contains(&"07".repeat(32)));
    assert!(needs_passphrase(&place.key()).unwrap());
    assert_eq!(*read(&place.key(), Some("correct horse")).unwrap(), [7; 32]);
    assert!(matches!(
        read(&place.key(), Some("correct hose")),
        Err(KeyFileError::WrongPassphrase(_))
    ));
    let none = read(&place.key(), None).unwrap_err();
    assert!(none.to_string().contains("SSID_KEY_PASSPHRASE"));
    // the parameters are authenticated: cheaper ones do not open it
    place.put(&rechecked(&text, "t=3", "t=1"));
    assert!(matches!(
        read(&place.key(), Some("correct horse")),
        Err(KeyFileError::WrongPassphrase(_))
    ));
}

#[test]
fn a_missing_or_open_file_says_what_to_do() {
    let place = Place::new();
    assert!(
        read(&place.key(), None)
            .unwrap_err()
            .to_string()
            .contains("ssid init")
    );
    write(&place.key(), &[7; 32], None).unwrap();
    for mode in [0o640, 0o604, 0o660] {
        fs::set_permissions(place.key(), fs::Permissions::from_mode(mode)).unwrap();
        let refused = read(&place.key(), None).unwrap_err().to_string();
        assert!(
            refused.contains(&format!("mode 0{mode:o}")) && refused.contains("chmod 600"),
            "{refused}"
        );
    }
    fs::set_permissions(place.key(), fs::Permissions::from_mode(0o400)).unwrap();
    read(&place.key(), None).unwrap();
    assert!(write(&place.0.path().join("none/voting.key"), &[7; 32], None).is_err());
}

#[test]
fn every_damage_is_named_as_damage() {
    let place = Place::new();
    let plain = plain_text(&[7; 32]);
    let sealed = sealed_text(&[7; 32], "pass", Cost::LEAST).unwrap();
    let refused = |text: &str| match read(&place.put(text), Some("pass")) {
        Err(KeyFileError::Corrupt { what, .. }) => what,
        other => other.unwrap_err().to_string(),
    };
    for text in [&plain, &sealed] {
        for cut in 0..text.len() {
            refused(&text[..cut]);
            let mut flipped = text.as_bytes().to_vec();
            flipped[cut] ^= 1;
            let _ = refused(std::str::from_utf8(&flipped).unwrap());
        }
        assert!(refused(&format!("{}more\n", text.as_str())).contains("check"));
        refused(&text.replace('\n', "\r\n"));
    }
    assert!(
        refused(&rechecked(&plain, "seed 07", "seed 08"))
            .contains("does not belong to its public key")
    );
    assert!(refused(&rechecked(&plain, "seed", "sead")).contains("neither a line `seed`"));
    assert!(refused(&rechecked(&plain, "ssid-key/1", "ssid-key/2")).contains("first line"));
    for (from, to) in [
        ("m=8192", "m=4194304"),
        ("m=8192", "m=8"),
        ("t=1", "t=100"),
        ("p=1", "p=0"),
        ("p=1", "p=1 x=1"),
    ] {
        let what = refused(&rechecked(&sealed, from, to));
        assert!(
            what.contains("outside") || what.contains("neither"),
            "{what}"
        );
    }
    assert!(refused(&"x".repeat(5000)).contains("too large"));
    let path = place.put("");
    fs::write(&path, [0xff; 100]).unwrap();
    assert!(
        read(&path, None)
            .unwrap_err()
            .to_string()
            .contains("no text")
    );
    assert!(
        read(place.0.path(), None)
            .unwrap_err()
            .to_string()
            .contains("not a regular file")
    );
}

#[test]
fn a_key_file_takes_the_place_of_another_which_is_erased() {
    let place = Place::new();
    let next = place.0.path().join("voting.next.key");
    let [old, new] = [[1; 32], [2; 32]];
    write(&place.key(), &old, None).unwrap();
    write(&next, &new, None).unwrap();
    // a second name for the old file shows what becomes of its bytes
    let other_name = place.0.path().join("other-name");
    fs::hard_link(place.key(), &other_name).unwrap();
    take_place(&next, &place.key()).unwrap();
    assert_eq!(*read(&place.key(), None).unwrap(), new);
    assert!(!next.exists());
    assert!(fs::read(&other_name).unwrap().iter().all(|byte| *byte == 0));
    // again, after a crash
    take_place(&next, &place.key()).unwrap();
    assert_eq!(*read(&place.key(), None).unwrap(), new);
    erase(&place.key()).unwrap();
    assert!(!place.key().exists());
}
