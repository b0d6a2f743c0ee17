//! A web server that knows nothing of Git: it hands out the files of repositories.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::git;
use crate::federation::free_port;
use crate::{SOON, eventually};

/// Serves the files of one directory.
#[derive(Debug)]
pub struct DumbServer {
    child: Child,
    port: u16,
}

impl DumbServer {
    /// Starts it and waits until it takes connections.
    ///
    /// # Panics
    /// If it does not.
    pub fn start(root: &Path) -> Self {
        let port = free_port();
        let mut python = Command::new("python3");
        python
            .args([
                "-m",
                "http.server",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
            ])
            .current_dir(root);
        let silent = python
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let server = Self {
            child: silent.spawn().unwrap(),
            port,
        };
        eventually("the web server listens", SOON, || {
            std::net::TcpStream::connect(("127.0.0.1", port)).map(drop)
        });
        server
    }

    /// The address of a repository, made ready to be read file by file.
    ///
    /// # Panics
    /// If it is none.
    pub fn url(&self, repository: &Path) -> String {
        git(repository, &["update-server-info"]);
        let name = repository.file_name().unwrap().to_str().unwrap();
        format!("http://127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for DumbServer {
    fn drop(&mut self) {
        // it may have ended
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
