//! Git over SSH with a throw-away key: a real `sshd` without privileges, before `git-shell`.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::git;
use crate::federation::free_port;
use crate::{SOON, eventually};

/// Serves the repositories of one directory to whoever has its key.
#[derive(Debug)]
pub struct SshServer {
    child: Child,
    port: u16,
    root: PathBuf,
    keys: PathBuf,
}

impl SshServer {
    /// Starts it with keys in `keys`, and waits until it takes connections; `None`, said on
    /// standard error, if this machine has no `sshd` that runs.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(root: &Path, keys: &Path) -> Option<Self> {
        let Some(program) = find() else {
            skipped("no sshd; apt-get install openssh-server, or name one with SSID_TEST_SSHD");
            return None;
        };
        let port = free_port();
        fs::create_dir_all(keys).unwrap();
        for name in ["host", "client"] {
            let made = Command::new("ssh-keygen")
                .args([
                    "-q",
                    "-t",
                    "ed25519",
                    "-N",
                    "",
                    "-f",
                    keys.join(name).to_str().unwrap(),
                ])
                .status();
            assert!(made.unwrap().success());
        }
        let read = |name: &str| fs::read_to_string(keys.join(name)).unwrap();
        let shell = Path::new(&git(root, &["--exec-path"])).join("git-shell");
        let shell = if shell.exists() {
            shell
        } else {
            "/usr/bin/git-shell".into()
        };
        let forced = format!(
            "restrict,command=\"{} -c \\\"$SSH_ORIGINAL_COMMAND\\\"\" ",
            shell.display()
        );
        fs::write(keys.join("authorized_keys"), forced + &read("client.pub")).unwrap();
        let host: Vec<_> = read("host.pub")
            .split_whitespace()
            .take(2)
            .map(str::to_owned)
            .collect();
        fs::write(
            keys.join("known_hosts"),
            format!("[127.0.0.1]:{port} {}\n", host.join(" ")),
        )
        .unwrap();
        let at = |name: &str| keys.join(name).display().to_string();
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nPidFile none\nAuthorizedKeysFile {}\nStrictModes no\n\
             UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n",
            at("host"),
            at("authorized_keys")
        );
        fs::write(keys.join("sshd_config"), config).unwrap();
        // sshd wants it when it runs as root; as anybody else it does not
        let _ = fs::create_dir_all("/run/sshd");
        let log = fs::File::create(keys.join("sshd.log")).unwrap();
        let mut command = Command::new(program);
        command
            .args(["-D", "-e", "-f", &at("sshd_config")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let mut server = Self {
            child: command.spawn().unwrap(),
            port,
            root: root.to_owned(),
            keys: keys.to_owned(),
        };
        let is_up = eventually("sshd listens or ends", SOON, || {
            if server.child.try_wait().unwrap().is_some() {
                return Ok(false);
            }
            std::net::TcpStream::connect(("127.0.0.1", port)).map(|_| true)
        });
        if !is_up {
            skipped(&format!(
                "sshd does not run here: {}",
                read("sshd.log").trim()
            ));
        }
        is_up.then_some(server)
    }

    /// The address of a repository.
    ///
    /// # Panics
    /// If this machine has no user name.
    pub fn url(&self, name: &str) -> String {
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let user = String::from_utf8_lossy(&user).trim().to_owned();
        format!(
            "ssh://{user}@127.0.0.1:{}{}",
            self.port,
            self.root.join(name).display()
        )
    }

    /// What a client's Git configuration says to be let in.
    pub fn client_config(&self) -> String {
        let at = |name: &str| self.keys.join(name).display().to_string();
        let options = "-o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes";
        let (key, hosts) = (at("client"), at("known_hosts"));
        format!(
            "[core]\n\tsshCommand = ssh -F /dev/null -i {key} {options} -o UserKnownHostsFile={hosts}\n"
        )
    }
}

/// Not through the macro: what that writes is shown of failed tests only.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: Git over SSH: {why}");
}

fn find() -> Option<PathBuf> {
    let named = std::env::var_os("SSID_TEST_SSHD").map(PathBuf::from);
    let usual = ["/usr/sbin/sshd", "/usr/local/sbin/sshd"].map(PathBuf::from);
    named.into_iter().chain(usual).find(|path| path.exists())
}

impl Drop for SshServer {
    fn drop(&mut self) {
        // it may have ended
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
