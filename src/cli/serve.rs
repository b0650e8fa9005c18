//! `tollgate serve`: runs the sidecar until a signal.

use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{FAILED, USAGE, complain};
use crate::clock::Clock;
use crate::policy::model::Mode;
use crate::server::{BuildError, Listeners, Server};
use crate::settings::{self, Flags, Gathered, Settings, StoreChoice};
use crate::source::{LoadError, files};
use crate::telemetry;

#[derive(Debug, clap::Args)]
#[command(after_help = "Each setting can be given as flag, as environment variable or in the \
    settings file; a flag wins over a variable, and a variable over the file. After these come the \
    variables of envoyproxy/ratelimit, such as RUNTIME_ROOT and GRPC_PORT.")]
pub(super) struct Arguments {
    #[command(flatten)]
    flags: Flags,

    /// Print every setting with its origin, and exit
    #[arg(long)]
    print_config: bool,
}

/// `stands_in` where the program was started as envoyproxy/ratelimit is.
pub(super) fn run(arguments: &Arguments, stands_in: bool) -> ExitCode {
    let gathered = Gathered::from_process(&arguments.flags, stands_in);
    let checked = gathered.and_then(|gathered| gathered.settings().map(|s| (gathered, s)));
    let (gathered, settings) = match checked {
        Ok(checked) => checked,
        Err(errors) => {
            errors.iter().for_each(|error| complain(error));
            return ExitCode::from(USAGE);
        }
    };
    if arguments.print_config {
        for bad in gathered.bad_variables() {
            anstream::eprintln!("warning: {bad}");
        }
        return super::print_all(&gathered.to_string());
    }
    telemetry::start(&settings.log_level, settings.log_format);
    log_environment(&gathered, &settings);
    // Of all but calls, which have threads of their own. What takes long (reading and compiling
    // policies, rendering metrics) runs beside it.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format_args!("cannot start: {error}"));
            return ExitCode::from(FAILED);
        }
    };
    let ending = runtime.block_on(serve(&settings, gathered.has_reference_policies()));
    // What did not finish draining in its time does not hold up the end.
    runtime.shutdown_timeout(Duration::ZERO);
    ending
}

/// What the environment has that decides, and what it has in vain.
fn log_environment(gathered: &Gathered, settings: &Settings) {
    let names = gathered.reference_variables();
    if !names.is_empty() {
        let names = names.join(", ");
        tracing::info!("variables of envoyproxy/ratelimit are in use: {names}");
    }
    let warnings = gathered.warnings(&settings::variables());
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    if gathered.has_reference_policies() {
        log_unread(settings);
    }
}

/// That server reads every file below its folder, so what stands there may be meant to limit.
fn log_unread(settings: &Settings) {
    for file in settings.policies.iter().flat_map(|folder| files::passed_over(folder)) {
        tracing::warn!("{}", super::unread(&file));
    }
}

async fn serve(settings: &Settings, stands_in: bool) -> ExitCode {
    let started = start(settings, stands_in).await;
    let (server, listeners, mut signals) = match started {
        Ok(started) => started,
        Err(failed) => return failed,
    };
    let stop = CancellationToken::new();
    let running = server.run(listeners, stop.clone());
    let signalled = async {
        signals.stop().await;
        stop.cancel();
        signals.stop().await;
    };
    tokio::select! {
        () = running => ExitCode::SUCCESS,
        () = signalled => {
            tracing::warn!("a second signal: stopping at once");
            ExitCode::from(FAILED)
        }
    }
}

async fn start(
    settings: &Settings,
    // Whether the folder is one of envoyproxy/ratelimit, and what is not read is told already.
    stands_in: bool,
) -> Result<(Server, Listeners, Signals), ExitCode> {
    let failed = |problem: &dyn std::fmt::Display| {
        complain(problem);
        ExitCode::from(FAILED)
    };
    let mode = match settings.mode {
        Mode::Enforce => "enforce",
        Mode::Shadow => "shadow",
    };
    let store = match settings.store {
        StoreChoice::Memory => "memory",
        StoreChoice::Durable => "durable",
    };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), store, mode, "tollgate starts");
    if settings.mode == Mode::Shadow {
        tracing::warn!("in shadow mode every rule is measured and nothing is denied");
    }
    let signals = Signals::new()
        .map_err(|error| failed(&format_args!("cannot listen for signals: {error}")))?;
    let server = Server::build(settings, Clock::system()).map_err(|error| match error {
        BuildError::Load(LoadError::Problems { sources, diagnostics }) => {
            super::check::print_problems(&sources, &diagnostics);
            failed(&"the policies have problems; nothing is served")
        }
        other => failed(&other),
    })?;
    if !stands_in && server.active().current().set.has_descriptors() {
        log_unread(settings);
    }
    let listeners = Listeners::bind(settings).await.map_err(|error| failed(&error))?;
    Ok((server, listeners, signals))
}

/// SIGTERM, as Kubernetes sends it, and SIGINT, as a terminal does. SIGHUP would end the process if
/// nobody listened; whoever sends it wants a reload, which needs no signal here.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal to stop.
    async fn stop(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    tracing::info!("SIGHUP: nothing to do; changed policies are taken without it");
                }
            }
        }
    }
}
