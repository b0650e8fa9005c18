//! The program itself, as an operator runs it.
//!
//! A server is started in one way, whatever it is given, and waited for until it listens.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::process::Process;

/// Where a server may write, gone with it.
const DATA_DIR: &str = "TOLLGATE_DATA_DIR";

/// Folders of our containers that hold policies, a socket or counters, and where they are in ours.
const MOUNTS: [(&str, &str); 3] =
    [("/etc/tollgate/policies", ""), ("/run/tollgate", ""), ("/var/lib/tollgate", "/data")];

/// The program with arguments, without the settings of whoever runs the tests.
pub(crate) fn tollgate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// Runs to the end; gives the exit code, stdout and stderr.
pub(crate) fn outcome(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// A server in a process of its own, with the addresses that it chose.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    pub(crate) process: Process,
    /// The first one, as `--grpc` takes it, so that another server can come back there.
    pub(crate) grpc: String,
    pub(crate) http: SocketAddr,
    /// Where its counters are.
    _data: TempDir,
}

impl ServerProcess {
    /// Serves on free ports.
    pub(crate) fn start(policies: &Path, more: &[&str]) -> Self {
        let free_port = ["--grpc", "127.0.0.1:0"];
        Self::listening(serve(policies, &[&free_port, more].concat()))
    }

    /// Serves gRPC at this address alone.
    pub(crate) fn start_at(policies: &Path, grpc: &str, more: &[&str]) -> Self {
        Self::listening(serve(policies, &[&["--grpc", grpc], more].concat()))
    }

    /// Serves on free ports, with so many file descriptors at most.
    pub(crate) fn start_limited(policies: &Path, descriptors: u32) -> Self {
        let server = serve(policies, &["--grpc", "127.0.0.1:0"]);
        let limited = format!("ulimit -n {descriptors} && exec \"$@\"");
        let mut command = Command::new("sh");
        command.env_clear();
        command.args(["-c", &limited, "sh"]).arg(server.get_program()).args(server.get_args());
        Self::listening(command)
    }

    /// Starts what a container would start: its mounted folders are all `folder` here, its ports
    /// any free ones.
    pub(crate) fn start_as_container(
        arguments: &[&str],
        environment: &[(&str, &str)],
        folder: &Path,
    ) -> Self {
        let folder = folder.to_str().expect("a readable path");
        let mut command = tollgate(&[]);
        for argument in arguments {
            command.arg(match *argument {
                "0.0.0.0:8080" | "0.0.0.0:8081" | "[::]:8080" | "[::]:8081" => "127.0.0.1:0".into(),
                argument => MOUNTS.iter().fold(argument.to_owned(), |argument, (mount, below)| {
                    argument.replace(mount, &format!("{folder}{below}"))
                }),
            });
        }
        command.envs(environment.iter().copied());
        Self::listening(command)
    }

    /// Waits until it has said where it listens, first for gRPC, then for HTTP.
    fn listening(mut command: Command) -> Self {
        let data = tempfile::tempdir().expect("a folder for counters");
        command.env(DATA_DIR, data.path());
        let mut process = Process::start(command);
        let grpc = process.value_logged("listening grpc=");
        let http = process.value_logged("listening http=");
        let http = http.parse().unwrap_or_else(|error| panic!("`{http}`: {error}"));
        Self { process, grpc, http, _data: data }
    }
}

fn serve(policies: &Path, more: &[&str]) -> Command {
    let mut command = tollgate(&["serve", "--http", "127.0.0.1:0", "--policies"]);
    command.arg(policies).args(more);
    command
}
