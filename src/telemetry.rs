//! Logging to stderr, and what becomes of panics.
//!
//! Our own lines follow the level that is set; the libraries' only warn. No request makes a line
//! at `info`.

use tracing_subscriber::EnvFilter;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Sets up logging for the process; a second call changes nothing.
pub fn start(level: &str, format: LogFormat) {
    let filter = EnvFilter::new(format!("warn,tollgate={level}"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    let _ = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    std::panic::set_hook(Box::new(log_panic));
}

/// A panic is a fault of ours: it is logged with its place, in the format of all other lines.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(message, place, "internal error: please report it");
}
