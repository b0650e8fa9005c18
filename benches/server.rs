//! What a request costs tollgate's server, as a ratio to a gRPC server that does nothing.
//!
//! The ratio is between servers that took turns within one run, under one generator: a busy
//! machine slows both. CPU time is the kernel's account of the whole process, so threads, locks
//! and system calls are all in it.
//!
//! ```text
//! cargo bench --bench server                 all rounds
//! cargo bench --bench server -- --quick      a short run that shows that it works
//! ```
#![expect(clippy::print_stdout, reason = "a bench prints its result")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitCode, Stdio};
use std::thread;

use anyhow::{Context as _, bail};
use tokio::net::TcpListener;
use tokio::runtime::{self, Runtime};
use tollgate::bench::drive::{End, Load, drive};
use tollgate::bench::keys::Distribution;
use tollgate::bench::report::Report;
use tollgate::bench::template::{DescriptorTemplate, RequestTemplate};
use tollgate::clock::Clock;
use tollgate::pb::rls::rate_limit_response::{Code, DescriptorStatus};
use tollgate::pb::rls::rate_limit_service_server::{RateLimitService, RateLimitServiceServer};
use tollgate::pb::rls::{RateLimitRequest, RateLimitResponse};
use tollgate::socket::Address;
use tollgate::time::Span;
use tonic::transport::server::TcpIncoming;

/// The same allocator as in the product, so that the ratio is not about allocators.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Makes this binary the server that does nothing.
const NO_OP: &str = "--no-op";
const DESCRIPTORS: [&str; 3] =
    ["tenant=t{n},method=GET", "app=a{n},endpoint=/v1/orders", "user=u{n},region=eu"];
const KEYS: u64 = 100_000;
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

/// How long all of it takes.
struct Effort {
    rounds: usize,
    turn: Span,
    warmup: Span,
}

struct Shape {
    name: &'static str,
    connections: usize,
    streams: usize,
}

const SHAPES: [Shape; 2] = [
    Shape { name: "c1m1", connections: 1, streams: 1 },
    Shape { name: "c2m32", connections: 2, streams: 32 },
];

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if let Some(place) = arguments.iter().position(|argument| argument == NO_OP) {
        serve_nothing(arguments.get(place + 1).map_or("", String::as_str))?;
        return Ok(ExitCode::SUCCESS);
    }
    if has("--list") {
        return Ok(ExitCode::SUCCESS);
    }
    // `cargo bench` says `--bench`; `cargo test --benches` does not, and wants a smoke test.
    let effort = if has("--bench") && !has("--quick") {
        Effort { rounds: 9, turn: Span::from_seconds(2), warmup: Span::from_seconds(1) }
    } else {
        Effort { rounds: 1, turn: Span::from_millis(300), warmup: Span::from_millis(50) }
    };
    compare(&effort)?;
    Ok(ExitCode::SUCCESS)
}

fn compare(effort: &Effort) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let plain = write(folder.path(), "plain.yaml", POLICY)?;
    let with_headers = write(folder.path(), "headers.yaml", &format!("{POLICY}{HEADERS}"))?;
    let servers = [
        Server::no_op("no-op, one thread", "one")?,
        Server::no_op("no-op, all threads", "all")?,
        Server::tollgate("tollgate", &plain)?,
        Server::tollgate("tollgate, headers", &with_headers)?,
    ];
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    println!(
        "{:<6} {:<20} {:>7} {:>7} {:>15} {:>7} {:>7} {:>8}",
        "load", "server", "CPU µs", "ratio", "(spread)", "p50 µs", "p99 µs", "per s"
    );
    for shape in &SHAPES {
        for server in &servers {
            server.turn(&runtime, shape, effort.warmup)?;
        }
        let mut rounds = Vec::new();
        for _ in 0..effort.rounds {
            let turn = |server: &Server| server.turn(&runtime, shape, effort.turn);
            rounds.push(servers.iter().map(turn).collect::<Result<Vec<_>, _>>()?);
        }
        for (place, server) in servers.iter().enumerate() {
            print_row(shape, server.name, place, &rounds);
        }
    }
    println!("ratio: to `{}` in the same round; median, and from least to most", servers[0].name);
    Ok(())
}

/// Medians over the rounds, of which each has one turn of every server.
fn print_row(shape: &Shape, name: &str, place: usize, rounds: &[Vec<Turn>]) {
    let sorted = |figure: &dyn Fn(&[Turn]) -> f64| {
        let mut figures: Vec<f64> = rounds.iter().map(|round| figure(round)).collect();
        figures.sort_by(f64::total_cmp);
        figures
    };
    let median = |figure: &dyn Fn(&[Turn]) -> f64| sorted(figure)[rounds.len() / 2];
    let ratios = sorted(&|round| round[place].cpu_micros / round[0].cpu_micros);
    let spread = format!("({:.2}-{:.2})", ratios[0], ratios[ratios.len() - 1]);
    println!(
        "{:<6} {name:<20} {:>7.1} {:>7.2} {spread:>15} {:>7.0} {:>7.0} {:>8.0}",
        shape.name,
        median(&|round| round[place].cpu_micros),
        ratios[ratios.len() / 2],
        median(&|round| round[place].p50_micros),
        median(&|round| round[place].p99_micros),
        median(&|round| round[place].per_second),
    );
}

fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, text)?;
    Ok(path)
}

/// What one server showed in one turn.
struct Turn {
    /// Of the server, for each request.
    cpu_micros: f64,
    p50_micros: f64,
    p99_micros: f64,
    per_second: f64,
}

/// A server in a process of its own, which ends with this value.
struct Server {
    name: &'static str,
    child: Child,
    address: Address,
}

impl Server {
    fn no_op(name: &'static str, threads: &str) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([NO_OP, threads]);
        Self::start(name, command)
    }

    fn tollgate(name: &'static str, policies: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command.env_clear().arg("serve").arg("--policies").arg(policies);
        command.args(["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--store", "memory"]);
        Self::start(name, command)
    }

    /// Ports are the kernel's choice, so the server's log says where it listens.
    fn start(name: &'static str, mut command: Command) -> anyhow::Result<Self> {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let stderr = child.stderr.take().context("standard error is piped")?;
        match announced(stderr) {
            Ok(address) => Ok(Self { name, child, address }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error.context(format!("`{name}` does not start")))
            }
        }
    }

    fn turn(&self, runtime: &Runtime, shape: &Shape, length: Span) -> anyhow::Result<Turn> {
        let before = self.cpu_seconds()?;
        let report = runtime.block_on(drive(self.load(shape, length)?, Clock::system()))?;
        let cpu_seconds = self.cpu_seconds()? - before;
        if report.tally.ok == 0 || report.tally.ok != report.tally.call_count() {
            bail!("`{}` did not answer OK to everything:\n{}", self.name, report.text());
        }
        Ok(turn_of(&report, cpu_seconds))
    }

    fn load(&self, shape: &Shape, length: Span) -> anyhow::Result<Load> {
        let descriptors = DESCRIPTORS.iter().map(|text| DescriptorTemplate::parse(text));
        Ok(Load {
            target: self.address.clone(),
            template: RequestTemplate {
                domain: "bench".into(),
                descriptors: descriptors.collect::<Result<_, _>>()?,
                hits: 1,
            },
            keys: KEYS,
            distribution: Distribution::Zipf,
            seed: 1,
            connections: shape.connections,
            streams: shape.streams,
            end: End::After(length),
            warmup: Span::ZERO,
            rate: None,
            timeout: Span::from_seconds(5),
        })
    }

    /// User and system time of the whole process so far.
    fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name in brackets may hold spaces; behind it are 11 fields, then the two.
        let (_, fields) = stat.rsplit_once(')').context("a process name in brackets")?;
        let mut ticks = 0.0;
        for field in fields.split_whitespace().skip(11).take(2) {
            ticks += field.parse::<f64>()?;
        }
        Ok(ticks / TICKS_PER_SECOND)
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

#[expect(clippy::cast_precision_loss, reason = "counts and times of a bench are small")]
fn turn_of(report: &Report, cpu_seconds: f64) -> Turn {
    let micros = |quantile| report.tally.latency(quantile).as_nanos() as f64 / 1e3;
    Turn {
        cpu_micros: cpu_seconds * 1e6 / report.tally.call_count() as f64,
        p50_micros: micros(0.5),
        p99_micros: micros(0.99),
        per_second: report.requests_per_second(),
    }
}

/// The floor: decodes a request with prost, and answers OK with one status.
#[derive(Debug)]
struct NoOp;

#[tonic::async_trait]
impl RateLimitService for NoOp {
    async fn should_rate_limit(
        &self,
        call: tonic::Request<RateLimitRequest>,
    ) -> Result<tonic::Response<RateLimitResponse>, tonic::Status> {
        std::hint::black_box(call.into_inner());
        let code = Code::Ok.into();
        let status = DescriptorStatus { code, ..Default::default() };
        let response =
            RateLimitResponse { overall_code: code, statuses: vec![status], ..Default::default() };
        Ok(tonic::Response::new(response))
    }
}

#[expect(clippy::print_stderr, reason = "says where it listens, as the product does")]
fn serve_nothing(threads: &str) -> anyhow::Result<()> {
    let mut builder = match threads {
        "one" => runtime::Builder::new_current_thread(),
        _ => runtime::Builder::new_multi_thread(),
    };
    builder.enable_all().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        eprintln!("listening grpc={}", listener.local_addr()?);
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        tonic::transport::Server::builder()
            .add_service(RateLimitServiceServer::new(NoOp))
            .serve_with_incoming(incoming)
            .await?;
        Ok(())
    })
}
