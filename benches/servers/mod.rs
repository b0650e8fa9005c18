//! The servers that are measured, each in a process of its own, which ends with its value.
//!
//! Those that are not tollgate are the bench's own program, started once more with `--serve`. All
//! say where they listen as tollgate does.

mod bare;
pub(crate) mod counted;
mod no_op;
mod ordinary;
pub(crate) mod shapes;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpListener;
use tokio::runtime;
use tollgate::pb::rls::RateLimitResponse;
use tollgate::pb::rls::rate_limit_response::{Code, DescriptorStatus};
use tollgate::socket::Address;

/// Makes the bench's program one of the servers.
const SERVE: &str = "--serve";
/// Limits that no run reaches: what is measured is the way of a request that is let through.
const POLICY: &str = "\
domain: bench
rules:
  - { name: per-tenant, match: { method: GET }, per: [tenant], limits: [1000000000/day] }
  - { name: per-app, match: { endpoint: /v1/orders }, per: [app], limits: [1000000000/day] }
  - { name: per-user, match: { region: eu }, per: [user], limits: [1000000000/day] }
";
const HEADERS: &str = "respond: { headers: [x-ratelimit] }\n";
/// Of the kernel's account; the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A tonic server that decodes with prost and answers OK: the floor.
    NoOp,
    /// The same on tokio's runtime of several threads.
    NoOpAllThreads,
    /// hyper alone, which reads no message.
    Bare,
    /// What one would write without a library for it.
    Ordinary,
    Tollgate,
    TollgateHeaders,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [
        Self::NoOp,
        Self::NoOpAllThreads,
        Self::Bare,
        Self::Ordinary,
        Self::Tollgate,
        Self::TollgateHeaders,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NoOp => "no-op tonic",
            Self::NoOpAllThreads => "no-op tonic, all threads",
            Self::Bare => "bare hyper",
            Self::Ordinary => "tonic and governor",
            Self::Tollgate => "tollgate",
            Self::TollgateHeaders => "tollgate, headers",
        }
    }

    /// The policies of tollgate lie in the folder.
    pub(crate) fn command(self, folder: &Path) -> anyhow::Result<Command> {
        let rules = match self {
            Self::Tollgate => POLICY.to_owned(),
            Self::TollgateHeaders => format!("{POLICY}{HEADERS}"),
            Self::NoOp | Self::NoOpAllThreads | Self::Bare | Self::Ordinary => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args([SERVE, self.name()]);
                return Ok(command);
            }
        };
        let path = folder.join(format!("{}.yaml", self.name().replace(", ", "-")));
        fs::write(&path, rules)?;
        let mut command = tollgate(&path);
        command.args(["--store", "memory"]);
        Ok(command)
    }
}

pub(crate) fn tollgate(policies: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.env_clear().arg("serve").arg("--policies").arg(policies);
    command.args(["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    command
}

/// So many rules of which a request meets one.
pub(crate) fn write_rules(folder: &Path, count: u32) -> anyhow::Result<PathBuf> {
    let rule = |rule: u32| {
        format!(
            "  - {{ name: r{rule}, match: {{ method: m{rule} }}, per: [tenant], limits: \
             [1000000000/day] }}\n"
        )
    };
    let rules: String = (0..count).map(rule).collect();
    let path = folder.join(format!("{count}-rules.yaml"));
    fs::write(&path, format!("domain: bench\nrules:\n{rules}"))?;
    Ok(path)
}

/// Serves until it is killed, where this process was started for that.
pub(crate) fn serve_if_asked() -> anyhow::Result<bool> {
    let arguments: Vec<String> = std::env::args().collect();
    let Some(place) = arguments.iter().position(|argument| argument == SERVE) else {
        return Ok(false);
    };
    let name = arguments.get(place + 1).context("`--serve` names a server")?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    let kind = kind.with_context(|| format!("there is no server `{name}`"))?;
    let mut builder = match kind {
        Kind::NoOp | Kind::Bare => runtime::Builder::new_current_thread(),
        Kind::NoOpAllThreads | Kind::Ordinary => runtime::Builder::new_multi_thread(),
        Kind::Tollgate | Kind::TollgateHeaders => bail!("tollgate has a program of its own"),
    };
    builder.enable_all().build()?.block_on(async {
        let listener = listen().await?;
        match kind {
            Kind::Bare => bare::serve(listener).await,
            Kind::Ordinary => ordinary::serve(listener).await,
            _ => no_op::serve(listener).await,
        }
    })?;
    Ok(true)
}

#[expect(clippy::print_stderr, reason = "says where it listens, as the product does")]
async fn listen() -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    eprintln!("listening grpc={}", listener.local_addr()?);
    Ok(listener)
}

/// What servers that decide nothing answer.
fn fixed_answer() -> RateLimitResponse {
    let code = Code::Ok.into();
    let status = DescriptorStatus { code, ..Default::default() };
    RateLimitResponse { overall_code: code, statuses: vec![status], ..Default::default() }
}

/// A server that listens.
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) address: Address,
    child: Child,
}

impl Server {
    /// Ports are the kernel's choice, so the server's log says where it listens.
    pub(crate) fn start(name: &str, mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("`{name}` cannot be started"))?;
        let stderr = child.stderr.take().context("standard error is piped")?;
        match announced(stderr) {
            Ok(address) => Ok(Self { name: name.to_owned(), address, child }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error.context(format!("`{name}` does not start")))
            }
        }
    }

    /// User and system time of the whole process so far.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name in brackets may hold spaces; behind it are 11 fields, then the two.
        let (_, fields) = stat.rsplit_once(')').context("a process name in brackets")?;
        let mut ticks = 0.0;
        for field in fields.split_whitespace().skip(11).take(2) {
            ticks += field.parse::<f64>()?;
        }
        Ok(ticks / TICKS_PER_SECOND)
    }

    pub(crate) fn resident_mebibytes(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(kibibytes.context("`VmRSS: … kB`")?.parse::<f64>()? / 1024.0)
    }

    /// Asks it to end, and waits for that.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM)?;
        let status = self.child.wait()?;
        // Those of ours have no more to do than die.
        let is_ended = status.success() || status.code().is_none();
        ensure!(is_ended, "`{}` ended with {status}", self.name);
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn announced(stderr: ChildStderr) -> anyhow::Result<Address> {
    let mut lines = BufReader::new(stderr).lines();
    let mut log = String::new();
    for line in lines.by_ref() {
        let line = line?;
        if let Some((_, address)) = line.split_once("listening grpc=") {
            let address = Address::parse(address.trim())?;
            // What else the server says must not fill the pipe.
            thread::spawn(move || lines.for_each(drop));
            return Ok(address);
        }
        log.push_str(&line);
        log.push('\n');
    }
    bail!("it ended without saying where it listens:\n{log}")
}
