//! The threads that answer calls, each with connections of its own.
//!
//! Nothing else runs on them, so nothing but a call delays a call. A runtime of several threads
//! would wake a connection for every single answer, which takes half as much CPU again:
//! `docs/decisions/0001-runtime.md` has the figures.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{self, Runtime};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::front::Front;
use crate::socket::{Connection, Detached};

/// More than any machine has use for.
pub const WORKERS_MAX: usize = 64;

/// Threads that wait for connections, until all is dropped.
#[derive(Debug)]
pub struct Workers {
    doors: Vec<Door>,
    /// Ends when the last thread has.
    at_work: mpsc::Receiver<Infallible>,
    abort: CancellationToken,
}

/// Where one thread gets its connections.
#[derive(Clone, Debug)]
struct Door {
    sender: mpsc::UnboundedSender<Dealt>,
    /// Held once by each connection of the thread, and once here and in each clone.
    open: Arc<()>,
}

#[derive(Debug)]
struct Dealt {
    connection: Detached,
    open: Arc<()>,
}

impl Workers {
    /// Starts so many threads, at least one.
    pub fn start(count: usize, front: &Front) -> io::Result<Self> {
        let (at_work_sender, at_work) = mpsc::channel(1);
        let abort = CancellationToken::new();
        let mut doors = Vec::with_capacity(count);
        for number in 0..count.max(1) {
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            let (sender, connections) = mpsc::unbounded_channel();
            let worker = Worker {
                front: Arc::new(front.clone()),
                connections,
                abort: abort.clone(),
                _at_work: at_work_sender.clone(),
            };
            let name = format!("tollgate-work-{number}");
            thread::Builder::new().name(name).spawn(move || worker.run(&runtime))?;
            doors.push(Door { sender, open: Arc::default() });
        }
        Ok(Self { doors, at_work, abort })
    }

    /// Whoever hands out connections.
    pub(super) fn dealer(&self) -> Dealer {
        Dealer { doors: self.doors.clone() }
    }

    /// Waits until all calls that were on their way have their answers, once no dealer is left.
    pub(super) async fn finish(mut self) {
        self.doors.clear();
        // Nobody ever sends: what comes is that all senders are gone.
        self.at_work.recv().await;
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.abort.cancel();
    }
}

/// Gives each connection to the thread that has the fewest. Envoy opens one for each of its own
/// threads, so a random choice would often leave a thread with none.
#[derive(Clone, Debug)]
pub(super) struct Dealer {
    doors: Vec<Door>,
}

impl Dealer {
    pub(super) fn deal(&self, connection: Connection) {
        let fewest = self.doors.iter().min_by_key(|door| Arc::strong_count(&door.open));
        let Some(door) = fewest else { return };
        match connection.detach() {
            Ok(connection) => {
                // A thread that is gone has been told to abort.
                let _ = door.sender.send(Dealt { connection, open: Arc::clone(&door.open) });
            }
            Err(error) => tracing::debug!(%error, "a connection broke down"),
        }
    }
}

struct Worker {
    front: Arc<Front>,
    connections: mpsc::UnboundedReceiver<Dealt>,
    abort: CancellationToken,
    _at_work: mpsc::Sender<Infallible>,
}

impl Worker {
    fn run(self, runtime: &Runtime) {
        let Self { front, connections, abort, _at_work } = self;
        runtime.block_on(abort.run_until_cancelled(serve(&front, connections)));
    }
}

/// Serves connections until no more are dealt and all are closed.
async fn serve(front: &Arc<Front>, mut connections: mpsc::UnboundedReceiver<Dealt>) {
    let (open, leaving) = (TaskTracker::new(), CancellationToken::new());
    while let Some(dealt) = connections.recv().await {
        match dealt.connection.attach() {
            Ok(connection) => {
                let serving = Arc::clone(front).serve(connection, leaving.clone());
                let counted = dealt.open;
                open.spawn(async move {
                    serving.await;
                    drop(counted);
                });
            }
            Err(error) => tracing::debug!(%error, "a connection broke down"),
        }
    }
    leaving.cancel();
    open.close();
    open.wait().await;
}
