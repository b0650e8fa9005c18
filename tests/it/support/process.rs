//! Child processes whose log is read line by line, and which never outlive their test.
//!
//! Waiting means reading the log until a line says so: no sleeping, and a failure shows the whole log.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Far above what a loaded machine needs; only a process that hangs meets it.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
    log: Vec<String>,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let stderr = child.stderr.take().expect("stderr is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines, log: Vec::new() }
    }

    /// The next line of the log that has `text` in it.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.log.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(error) => {
                    panic!("no line with `{text}` ({error}); the log:\n{}", self.log.join("\n"))
                }
            }
        }
    }

    /// What tollgate says it listens on.
    fn wait_for_address(&mut self, name: &str) -> String {
        let field = format!("listening {name}=");
        let line = self.wait_for(&field);
        let (_, address) = line.split_once(&field).expect("the line has it");
        address.trim().to_owned()
    }

    /// Ends the process as a crash would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Folders of our containers that hold policies or a socket.
const MOUNTS: [&str; 2] = ["/etc/tollgate/policies", "/run/tollgate"];

/// The real binary, with the addresses that it chose.
#[derive(Debug)]
pub(crate) struct Tollgate {
    pub(crate) process: Process,
    /// As `--grpc` takes it, so that a second one can come back there.
    pub(crate) grpc: String,
    pub(crate) http: SocketAddr,
}

impl Tollgate {
    pub(crate) fn start(policies: &Path, grpc: &str) -> Self {
        let policies = policies.to_str().expect("a readable path");
        let mut command = super::tollgate(&["serve", "--policies", policies, "--grpc", grpc]);
        command.args(["--http", "127.0.0.1:0", "--store", "memory"]);
        Self::start_with(command)
    }

    /// Starts what a container would start: its mounted folders are all `folder` here, its ports
    /// any free ones.
    pub(crate) fn start_as_container(
        arguments: &[&str],
        environment: &[(&str, &str)],
        folder: &Path,
    ) -> Self {
        let folder = folder.to_str().expect("a readable path");
        let mut command = super::tollgate(&[]);
        for argument in arguments {
            command.arg(match *argument {
                "0.0.0.0:8080" | "0.0.0.0:8081" | "[::]:8080" | "[::]:8081" => "127.0.0.1:0".into(),
                argument => MOUNTS
                    .iter()
                    .fold(argument.to_owned(), |argument, mount| argument.replace(mount, folder)),
            });
        }
        command.envs(environment.iter().copied());
        Self::start_with(command)
    }

    /// Waits until it has said where it listens, first for gRPC, then for HTTP.
    fn start_with(command: Command) -> Self {
        let mut process = Process::start(command);
        let grpc = process.wait_for_address("grpc");
        let http = process.wait_for_address("http");
        let http = http.parse().unwrap_or_else(|error| panic!("`{http}`: {error}"));
        Self { process, grpc, http }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
