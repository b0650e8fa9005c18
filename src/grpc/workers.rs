//! The threads that answer calls, each with connections of its own.
//!
//! Nothing else runs on them, so what takes long delays no call. A runtime of several threads
//! would wake a connection for every single answer, which takes half as much CPU again:
//! `docs/decisions/0001-runtime.md` has the figures.

use std::io;
use std::sync::Arc;
use std::thread;

use smallvec::SmallVec;
use tokio::runtime::{self, Runtime};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection;
use super::front::Front;
use crate::socket::{Connection, Detached};

/// More than any machine has use for.
pub const WORKERS_MAX: usize = 64;

/// Threads that wait for connections, until all is dropped.
#[derive(Debug)]
pub struct Workers {
    doors: Vec<Door>,
    ends: Ends,
}

/// How threads end, and that they have.
#[derive(Clone, Debug)]
pub struct Ends {
    /// Told to end at once, whatever is on its way.
    pub abort: CancellationToken,
    /// Nothing is decided any more.
    pub ended: CancellationToken,
}

/// Held by every thread until it has ended.
#[derive(Debug)]
struct AtWork(CancellationToken);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.cancel();
    }
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
        let ends = Ends { abort: CancellationToken::new(), ended: CancellationToken::new() };
        let at_work = Arc::new(AtWork(ends.ended.clone()));
        let mut doors = Vec::with_capacity(count);
        for number in 0..count.max(1) {
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            let (sender, connections) = mpsc::unbounded_channel();
            let worker = Worker {
                front: Arc::new(front.clone()),
                connections,
                abort: ends.abort.clone(),
                at_work: Arc::clone(&at_work),
            };
            let name = format!("tollgate-work-{number}");
            thread::Builder::new().name(name).spawn(move || worker.run(runtime))?;
            doors.push(Door { sender, open: Arc::default() });
        }
        Ok(Self { doors, ends })
    }

    pub fn ends(&self) -> Ends {
        self.ends.clone()
    }

    /// Whoever hands out connections.
    pub(super) fn dealer(&self) -> Dealer {
        Dealer { doors: self.doors.clone() }
    }

    /// Waits until all calls that were on their way have their answers, once no dealer is left.
    pub(super) async fn finish(mut self) {
        self.doors.clear();
        self.ends.ended.cancelled().await;
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.ends.abort.cancel();
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
        let mut connection = match connection.detach() {
            Ok(connection) => connection,
            Err(error) => return tracing::debug!(%error, "a connection broke down"),
        };
        let mut doors: SmallVec<[&Door; 4]> = self.doors.iter().collect();
        doors.sort_by_key(|door| Arc::strong_count(&door.open));
        for door in doors {
            let dealt = Dealt { connection, open: Arc::clone(&door.open) };
            match door.sender.send(dealt) {
                Ok(()) => return,
                // A thread that is gone takes none; whoever is left does.
                Err(mpsc::error::SendError(dealt)) => connection = dealt.connection,
            }
        }
    }
}

struct Worker {
    front: Arc<Front>,
    connections: mpsc::UnboundedReceiver<Dealt>,
    abort: CancellationToken,
    at_work: Arc<AtWork>,
}

impl Worker {
    fn run(self, runtime: Runtime) {
        let Self { front, connections, abort, at_work } = self;
        runtime.block_on(abort.run_until_cancelled(serve(&front, connections)));
        // With it go the calls that are on their way.
        drop(runtime);
        drop(at_work);
    }
}

/// Serves connections until no more are dealt and all are closed.
async fn serve(front: &Arc<Front>, mut connections: mpsc::UnboundedReceiver<Dealt>) {
    let (open, leaving) = (TaskTracker::new(), CancellationToken::new());
    while let Some(dealt) = connections.recv().await {
        match dealt.connection.attach() {
            Ok(connection) => {
                let serving = connection::serve(Arc::clone(front), connection, leaving.clone());
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

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::UnixStream;

    use super::*;
    use crate::grpc::rls::tests::rls;
    use crate::readiness::Readiness;

    fn workers(count: usize) -> Workers {
        let policy = "domain: d\nrules: [{ name: r, per: [user], limits: [2/day] }]";
        let front = crate::grpc::services(rls(policy), Readiness::default(), 1_000).unwrap();
        Workers::start(count, &front).unwrap()
    }

    fn connection() -> (Connection, UnixStream) {
        let (ours, peer) = UnixStream::pair().unwrap();
        (ours.into(), peer)
    }

    #[tokio::test]
    async fn connections_are_dealt_evenly_and_all_end_with_the_workers() {
        let workers = workers(3);
        let mut peers = Vec::new();
        for _ in 0..6 {
            let (ours, peer) = connection();
            workers.dealer().deal(ours);
            peers.push(peer);
        }
        for door in &workers.doors {
            assert_eq!(Arc::strong_count(&door.open), 3, "two connections, and the door's own");
        }
        let ended = workers.ends().ended;
        drop(workers);
        ended.cancelled().await;
        for mut peer in peers {
            let mut rest = Vec::new();
            // Closed by the other side, with or without a word.
            let _ = peer.read_to_end(&mut rest).await;
        }
    }

    #[tokio::test]
    async fn a_thread_that_is_gone_is_dealt_nothing() {
        let mut workers = workers(2);
        let (gone, _) = mpsc::unbounded_channel();
        workers.doors[0].sender = gone;
        for _ in 0..3 {
            workers.dealer().deal(connection().0);
        }
        assert_eq!(Arc::strong_count(&workers.doors[0].open), 1);
    }

    #[tokio::test]
    async fn workers_without_connections_finish_at_once() {
        let workers = workers(2);
        let ended = workers.ends().ended;
        workers.finish().await;
        assert!(ended.is_cancelled());
    }
}
