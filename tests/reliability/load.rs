//! The load: calls that are due at a fixed rate, answered or not, and the ledger of them all.
//!
//! Times are those of the test's own clock: an answer counts from when the test has it.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;
use tollgate::pb::rls::rate_limit_service_client::RateLimitServiceClient;
use tonic::transport::Endpoint;

use crate::caller::{DOMAIN, Key};
use crate::support::{Client, call, is_ok, was_not_sent, within};

const CONNECTIONS: usize = 4;

/// With so many calls on their way the next one waits: a bound for a server that hangs.
const IN_FLIGHT_MAX: usize = 4_096;

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Admitted,
    Denied,
    /// The server never had it: nobody listened, or the connection was being closed.
    Unsent,
    Failed(String),
}

/// One call of one hit.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) key: Key,
    /// When it should have been sent, from which its latency counts.
    pub(crate) due: Instant,
    pub(crate) sent: Instant,
    pub(crate) ended: Instant,
    pub(crate) end: End,
}

#[derive(Debug)]
pub(crate) struct Load {
    answered: watch::Receiver<u64>,
    stop: CancellationToken,
    driving: JoinHandle<Vec<Call>>,
}

impl Load {
    pub(crate) async fn start(
        grpc: &str,
        rate: u32,
        choose: impl FnMut() -> Key + Send + 'static,
    ) -> Self {
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            let endpoint = Endpoint::from_shared(format!("http://{grpc}")).expect("an address");
            let channel = within(endpoint.connect()).await.expect("a server");
            clients.push(RateLimitServiceClient::new(channel));
        }
        let (count, answered) = watch::channel(0);
        let stop = CancellationToken::new();
        let pace = Duration::from_secs(1) / rate;
        let driving = tokio::spawn(drive(clients, pace, choose, count, stop.clone()));
        Self { answered, stop, driving }
    }

    /// Waits for so many more answers.
    pub(crate) async fn answers(&mut self, more: u64) {
        let wanted = *self.answered.borrow() + more;
        within(self.answered.wait_for(|count| *count >= wanted)).await.expect("the load runs");
    }

    /// Ends the load; gives the ledger once every call has ended.
    pub(crate) async fn stop(self) -> Vec<Call> {
        self.stop.cancel();
        within(self.driving).await.expect("the load runs")
    }
}

async fn drive(
    clients: Vec<Client>,
    pace: Duration,
    mut choose: impl FnMut() -> Key,
    count: watch::Sender<u64>,
    stop: CancellationToken,
) -> Vec<Call> {
    let mut clients = clients.into_iter().cycle();
    let mut pace = interval(pace);
    let mut flights = JoinSet::new();
    let mut ledger = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            due = pace.tick(), if flights.len() < IN_FLIGHT_MAX => {
                let client = clients.next().expect("clients without end");
                flights.spawn(send(client, choose(), due, count.clone()));
            }
            Some(call) = flights.join_next(), if !flights.is_empty() => {
                ledger.push(call.expect("a call"));
            }
        }
    }
    ledger.extend(flights.join_all().await);
    ledger
}

async fn send(mut client: Client, key: Key, due: Instant, count: watch::Sender<u64>) -> Call {
    let request = call(DOMAIN, vec![key.asking(1)]);
    let sent = Instant::now();
    let answer = client.should_rate_limit(request).await;
    let ended = Instant::now();
    let end = match answer {
        Ok(answer) if is_ok(answer.get_ref()) => End::Admitted,
        Ok(_) => End::Denied,
        Err(error) if was_not_sent(&error) => End::Unsent,
        Err(error) => End::Failed(format!("{error:?}")),
    };
    if matches!(end, End::Admitted | End::Denied) {
        count.send_modify(|count| *count += 1);
    }
    Call { key, due, sent, ended, end }
}

/// The 99th percentile of the latencies of what was answered.
pub(crate) fn p99(calls: &[Call]) -> Duration {
    let answered = calls.iter().filter(|call| matches!(call.end, End::Admitted | End::Denied));
    let mut spans: Vec<Duration> = answered.map(|call| call.ended - call.due).collect();
    spans.sort_unstable();
    spans.get(spans.len() * 99 / 100).copied().unwrap_or_default()
}

/// Calls that failed although the server had them, before a moment.
pub(crate) fn failures(calls: &[Call], before: Instant) -> Vec<&str> {
    let failed = calls.iter().filter(|call| call.ended < before);
    failed
        .filter_map(|call| match &call.end {
            End::Failed(error) => Some(error.as_str()),
            End::Admitted | End::Denied | End::Unsent => None,
        })
        .collect()
}
