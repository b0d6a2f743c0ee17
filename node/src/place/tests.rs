#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

/// A repository beside a file and a directory that are none of its business, and a data directory.
struct Scene {
    above: tempfile::TempDir,
    root: Arc<Root>,
}

fn scene() -> Scene {
    let above = tempfile::tempdir().unwrap();
    for dir in ["repo/logs", "outside", "data/db"] {
        fs::create_dir_all(above.path().join(dir)).unwrap();
    }
    for (file, text) in [
        ("outside/secret", "TOP"),
        ("data/voting.key", "KEY"),
        ("data/db/rows", "ROWS"),
    ] {
        fs::write(above.path().join(file), text).unwrap();
    }
    let root = Root::new(&above.path().join("repo"), Some(&above.path().join("data")));
    Scene { above, root }
}

impl Scene {
    fn path(&self, path: &str) -> PathBuf {
        self.above.path().join(path)
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }
}

fn refused<T: std::fmt::Debug>(result: io::Result<T>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn nothing_leads_out_neither_for_reading_nor_for_writing() {
    let scene = scene();
    symlink(scene.path("outside/secret"), scene.path("repo/absolute")).unwrap();
    symlink("../outside/secret", scene.path("repo/relative")).unwrap();
    symlink("../outside", scene.path("repo/above")).unwrap();
    symlink("../../outside/new", scene.path("repo/logs/dangling")).unwrap();
    symlink("absolute", scene.path("repo/twice")).unwrap();
    let places = [
        "absolute",
        "relative",
        "above/secret",
        "above/new",
        "above/new/deep",
        "twice",
        "logs/dangling",
    ]
    .into_iter()
    .chain(["../outside/secret", "logs/../../outside/secret"]);
    for path in places {
        let place = scene.root.place(path);
        for said in [
            refused(place.open()),
            refused(place.open_to_append()),
            refused(place.replace(b"x")),
        ] {
            assert!(said.contains("leads out of"), "{path}: {said}");
        }
        assert!(!place.is_file(), "{path}");
    }
    assert!(refused(scene.root.place("above").entries(9)).contains("leads out of"));
    assert!(refused(scene.root.place("above/sub").make()).contains("leads out of"));
    assert!(
        refused(scene.root.place(scene.path("outside/secret")).open()).contains("leads out of")
    );
    assert_eq!(scene.text("outside/secret"), "TOP");
    assert_eq!(fs::read_dir(scene.path("outside")).unwrap().count(), 1);
}

#[test]
fn the_nodes_own_data_is_never_opened_wherever_it_is() {
    let scene = scene();
    // the data directory in the repository: a link to it leads out of nothing
    let data = scene.path("repo/node");
    fs::create_dir_all(data.join("db")).unwrap();
    for name in ["voting.key", "db/rows"] {
        fs::write(data.join(name), "OWN").unwrap();
    }
    let root = Root::new(&scene.path("repo"), Some(&data));
    symlink("node/voting.key", scene.path("repo/link")).unwrap();
    symlink("node/db", scene.path("repo/dir")).unwrap();
    fs::hard_link(data.join("voting.key"), scene.path("repo/hard")).unwrap();
    for path in ["link", "dir/rows", "node/voting.key", "hard"] {
        for said in [
            refused(root.place(path).open()),
            refused(root.place(path).replace(b"x")),
        ] {
            assert!(said.contains("neither read nor written"), "{path}: {said}");
        }
    }
    assert!(refused(root.place("dir").entries(9)).contains("data directory"));
    // registry files in the data directory itself
    let own = Root::new(&data, Some(&data));
    symlink("voting.key", data.join("dashboard_data.csv")).unwrap();
    assert!(refused(own.place("dashboard_data.csv").open()).contains("a key"));
    own.place("registry_events.log").open_to_append().unwrap();
}

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    let scene = scene();
    let pipe = scene.path("repo/pipe");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let _socket = std::os::unix::net::UnixListener::bind(scene.path("repo/socket")).unwrap();
    symlink("pipe", scene.path("repo/to_pipe")).unwrap();
    symlink("/dev/zero", scene.path("zero")).unwrap();
    let inside = ["pipe", "socket", "to_pipe", "logs"].map(|path| scene.root.place(path));
    for place in inside
        .into_iter()
        .chain([Place::from(scene.path("zero")), Place::from(pipe)])
    {
        for said in [
            refused(place.open()),
            refused(place.open_to_append()),
            refused(place.replace(b"x")),
        ] {
            assert!(said.contains("not a regular file"), "{place:?}: {said}");
        }
    }
}

#[test]
fn links_that_stay_inside_are_followed_and_kept() {
    let scene = scene();
    fs::write(scene.path("repo/logs/real"), "one").unwrap();
    symlink("logs/real", scene.path("repo/link")).unwrap();
    let place = scene.root.place("link");
    assert_eq!(place.read(3).unwrap(), b"one");
    assert_eq!(
        place.read(2).unwrap_err().kind(),
        io::ErrorKind::FileTooLarge
    );
    place.replace(b"two").unwrap();
    assert_eq!(scene.text("repo/logs/real"), "two");
    assert!(scene.path("repo/link").is_symlink());
    place.open_to_append().unwrap().write_all(b"!").unwrap();
    assert_eq!(scene.text("repo/logs/real"), "two!");
    assert_eq!(
        fs::read_dir(scene.path("repo/logs")).unwrap().count(),
        1,
        "nothing is left beside it"
    );
}

#[test]
fn directories_are_made_and_modes_are_kept() {
    let scene = scene();
    let place = scene.root.place("a/b/c.log");
    assert_eq!(place.open().unwrap_err().kind(), io::ErrorKind::NotFound);
    place.open_to_append().unwrap().write_all(b"1").unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o640)).unwrap();
    place.replace(b"2").unwrap();
    assert_eq!(
        (place.mode().unwrap(), scene.text("repo/a/b/c.log").as_str()),
        (0o640, "2")
    );
    place.replace_secret(b"3").unwrap();
    assert_eq!(place.mode().unwrap(), 0o600);
    let names: Vec<_> = scene
        .root
        .place("")
        .entries(9)
        .unwrap()
        .into_iter()
        .map(|e| (e.name, e.is_directory))
        .collect();
    assert_eq!(names, [("a".to_owned(), true), ("logs".to_owned(), true)]);
    assert!(scene.root.place("").entries(1).is_err());
    place.directory().open_directory().unwrap().lock().unwrap();
}

#[test]
fn a_file_that_the_operator_named_may_be_a_link_anywhere() {
    let scene = scene();
    symlink(scene.path("outside/secret"), scene.path("link")).unwrap();
    symlink(scene.path("nowhere"), scene.path("dangling")).unwrap();
    let place = Place::from(scene.path("link"));
    assert_eq!(place.read(9).unwrap(), b"TOP");
    place.replace(b"NEW").unwrap();
    assert_eq!(scene.text("outside/secret"), "NEW");
    let dangling = Place::from(scene.path("dangling"));
    assert_eq!(dangling.open().unwrap_err().kind(), io::ErrorKind::NotFound);
    assert!(refused(dangling.replace(b"x")).contains("leads nowhere"));
    Place::from(scene.path("new/deep/file"))
        .open_to_append()
        .unwrap();
    assert!(scene.path("new/deep/file").is_file());
}

#[test]
fn what_is_gits_own_is_never_opened_whatever_leads_there() {
    let scene = scene();
    for dir in ["repo/.git/hooks", "repo/sub/.GIT", "repo/kept.git"] {
        fs::create_dir_all(scene.path(dir)).unwrap();
    }
    fs::write(scene.path("repo/.git/config"), "[http] login").unwrap();
    fs::write(scene.path("repo/sub/.GIT/config"), "[http] login").unwrap();
    fs::write(scene.path("repo/kept.git/config"), "ours").unwrap();
    symlink("../.git/config", scene.path("repo/logs/file")).unwrap();
    symlink(".git/hooks", scene.path("repo/dir")).unwrap();
    symlink(
        "../.git/hooks/post-commit",
        scene.path("repo/logs/dangling"),
    )
    .unwrap();
    for path in [
        ".git/config",
        "sub/.GIT/config",
        "logs/file",
        "dir/post-commit",
        "logs/dangling",
    ] {
        let place = scene.root.place(path);
        let said = refused(place.open_to_append());
        assert!(said.contains("Git's own directory"), "{path}: {said}");
        // a link that leads nowhere is refused as that
        assert!(place.replace(b"x").is_err(), "{path}");
        assert!(place.open().is_err(), "{path}");
    }
    assert!(refused(scene.root.place("logs/file").open()).contains("Git's own"));
    assert!(refused(scene.root.place("dir").entries(9)).contains("Git's own"));
    assert!(refused(scene.root.place("dir/new").make()).contains("Git's own"));
    assert_eq!(
        fs::read_dir(scene.path("repo/.git/hooks")).unwrap().count(),
        0
    );
    let kept = scene.root.place("kept.git/config");
    assert_eq!(kept.read(9).unwrap(), b"ours");
}

#[test]
fn what_is_gits_own_is_known_also_where_a_file_says_that_it_is() {
    let scene = scene();
    let git = |dir: &str, args: &[&str]| {
        let mut git = std::process::Command::new("git");
        let output = git
            .args(args)
            .current_dir(scene.path(dir))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    fs::create_dir_all(scene.path("repo/sub/deep")).unwrap();
    git("repo", &["init", "-q", "--separate-git-dir", "kept"]);
    git(
        "repo/sub",
        &["init", "-q", "--separate-git-dir", "deep/apart"],
    );
    // beside the root, for a work tree that holds the root
    fs::write(scene.path(".git"), "gitdir: repo/held\n").unwrap();
    fs::create_dir_all(scene.path("repo/held")).unwrap();
    fs::write(scene.path("repo/held/config"), "[http] login").unwrap();
    symlink("../kept/config", scene.path("repo/logs/file")).unwrap();
    for path in [
        "kept/config",
        "kept/hooks/post-commit",
        "sub/deep/apart/config",
        "held/config",
        "logs/file",
    ] {
        let said = refused(scene.root.place(path).open_to_append());
        assert!(said.contains("Git's own directory"), "{path}: {said}");
        assert!(scene.root.place(path).open().is_err(), "{path}");
        assert!(scene.root.place(path).replace(b"x").is_err(), "{path}");
    }
    for dir in ["kept", "kept/refs", "sub/deep/apart"] {
        assert!(
            refused(scene.root.place(dir).entries(9)).contains("Git's own"),
            "{dir}"
        );
    }
    let file = scene.root.place("sub/deep/file");
    file.open_to_append().unwrap();
    assert_eq!(file.read(9).unwrap(), b"");
    // what names nothing, or the root itself, hides nothing
    for named in [
        "gitdir: gone",
        "gitdir: .",
        "gitdir: ..",
        "kept",
        "gitdir: ",
    ] {
        fs::write(scene.path("repo/.git"), named).unwrap();
        assert!(scene.root.place("kept/config").open().is_ok(), "{named}");
    }
}

#[test]
fn nothing_new_is_made_in_the_data_directory_through_a_link() {
    let scene = scene();
    let data = scene.path("repo/node");
    fs::create_dir_all(&data).unwrap();
    symlink("node", scene.path("repo/linked")).unwrap();
    symlink("node/new", scene.path("repo/dangling")).unwrap();
    let root = Root::new(&scene.path("repo"), Some(&data));
    let place = root.place("linked/votes.abstain");
    for said in [
        refused(place.open_to_append()),
        refused(place.replace(b"x")),
        refused(root.place("linked/new").make()),
        refused(root.place("dangling").open_to_append()),
    ] {
        assert!(said.contains("data directory"), "{said}");
    }
    assert_eq!(fs::read_dir(data).unwrap().count(), 0);
}

#[test]
fn a_link_to_what_only_its_owner_may_read_is_not_published() {
    let scene = scene();
    for name in ["repo/.env", "repo/private.csv", "repo/open.csv"] {
        fs::write(scene.path(name), "TOKEN=1").unwrap();
        let mode = if name.ends_with("open.csv") {
            0o644
        } else {
            0o600
        };
        fs::set_permissions(scene.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    symlink("../.env", scene.path("repo/logs/linked")).unwrap();
    symlink(".", scene.path("repo/here")).unwrap();
    symlink("../open.csv", scene.path("repo/logs/open")).unwrap();
    for path in ["logs/linked", "here/private.csv"] {
        let place = scene.root.place(path);
        assert_eq!(place.read(9).unwrap(), b"TOKEN=1");
        assert!(refused(place.open_to_publish()).contains("only its owner"));
        assert!(place.read_to_publish(9).is_err());
    }
    // with a strict umask a repository's own files are so
    for path in ["private.csv", "logs/open"] {
        scene.root.place(path).open_to_publish().unwrap();
    }
}
