//! The program itself, as an operator runs it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

const FREE_PORTS: [&str; 4] = ["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"];

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

/// A server in a process of its own. Killed when dropped.
pub(crate) struct ServerProcess {
    pub(crate) child: Child,
    stderr: BufReader<ChildStderr>,
    pub(crate) grpc: String,
    pub(crate) http: String,
}

impl ServerProcess {
    /// Serves on free ports, and waits until it listens.
    pub(crate) fn start(policies: &str, more: &[&str]) -> Self {
        let mut command = tollgate(&["serve", "--policies", policies]);
        command.args(FREE_PORTS).args(more);
        Self::listening(command)
    }

    /// Serves with so many file descriptors at most.
    pub(crate) fn start_limited(policies: &str, descriptors: u32) -> Self {
        let mut command = Command::new("sh");
        let limited = format!("ulimit -n {descriptors} && exec \"$@\"");
        let serve = [env!("CARGO_BIN_EXE_tollgate"), "serve", "--policies", policies];
        command.args(["-c", &limited, "sh"]).args(serve).args(FREE_PORTS).stdin(Stdio::null());
        Self::listening(command)
    }

    fn listening(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (grpc, http) = (String::new(), String::new());
        let mut server = Self { child, stderr, grpc, http };
        server.grpc = server.value_logged("grpc=");
        server.http = server.value_logged("http=");
        server
    }

    /// Reads the log up to a line with `name`, and gives what follows it.
    pub(crate) fn value_logged(&mut self, name: &str) -> String {
        let mut log = String::new();
        loop {
            let start = log.len();
            let is_end = self.stderr.read_line(&mut log).unwrap() == 0;
            assert!(!is_end, "the server ended; its log:\n{log}");
            if let Some((_, value)) = log[start..].split_once(name) {
                return value.split_whitespace().next().unwrap_or_default().to_owned();
            }
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let process = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &process]).status().unwrap().success());
    }

    pub(crate) fn exit_code(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
