//! Child processes whose log is read line by line, and which never outlive their test.
//!
//! Waiting means reading the log until a line says so: no sleeping, and a failure shows the whole log.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
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

    /// What follows `name` in the next line of the log that has it, up to a blank.
    pub(crate) fn value_logged(&mut self, name: &str) -> String {
        let line = self.wait_for(name);
        let (_, value) = line.split_once(name).expect("the line has it");
        value.split_whitespace().next().unwrap_or_default().to_owned()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that was logged until now; until the end, if the process has ended.
    pub(crate) fn log(&mut self) -> String {
        if self.ended().is_some() {
            while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
                self.log.push(line);
            }
        }
        self.log.extend(self.lines.try_iter());
        self.log.join("\n")
    }

    /// How it ended; `None` while it runs.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours")
    }

    pub(crate) fn signal(&self, name: &str) {
        let process = self.id().to_string();
        let sent = Command::new("kill").args([name, &process]).status().expect("`kill` runs");
        assert!(sent.success(), "signal {name}: {sent}");
    }

    /// Waits for the end.
    pub(crate) fn exit_code(&mut self) -> i32 {
        let status = self.child.wait().expect("a child of ours");
        status.code().unwrap_or_else(|| panic!("a signal ended it: {status}\n{}", self.log()))
    }

    /// Ends the process as a crash would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
