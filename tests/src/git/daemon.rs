//! `git daemon`: no password, pushes allowed.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{git, git_command};
use crate::federation::free_port;
use crate::{SOON, eventually};

/// Serves the repositories of one directory.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    port: u16,
}

impl Daemon {
    /// Starts it and waits until it takes connections.
    ///
    /// # Panics
    /// If it does not.
    pub fn start(root: &Path) -> Self {
        let port = free_port();
        // the program itself: `git daemon` would leave a process in between
        let program = Path::new(&git(root, &["--exec-path"])).join("git-daemon");
        let mut command: Command = git_command(root);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut own = Command::new(program);
        own.envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .env("PATH", path);
        own.args([
            "--listen=127.0.0.1",
            &format!("--port={port}"),
            "--export-all",
            "--enable=receive-pack",
        ]);
        own.arg("--reuseaddr")
            .arg(format!("--base-path={}", root.display()));
        command = own;
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Self { child, port };
        eventually("git daemon listens", SOON, || {
            std::net::TcpStream::connect(("127.0.0.1", port)).map(drop)
        });
        daemon
    }

    /// The address of a repository.
    pub fn url(&self, name: &str) -> String {
        format!("git://127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // it may have ended
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
