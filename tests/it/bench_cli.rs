//! `tollgate bench` against a server in the test: what it counts is what the server did.
//!
//! The server's clock stands still, so a daily limit lets through exactly its amount.

use std::convert::Infallible;

use ::http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tollgate::socket::Address;

use crate::support::*;

const FIFTY_A_DAY: &str = "\
domain: shop
rules:
  - name: per-tenant
    per: [tenant]
    limits: [50/day]
";

/// Runs `tollgate bench` while the server of the test goes on.
async fn bench(target: String, arguments: &'static [&'static str]) -> (i32, String, String) {
    let run = move || outcome(tollgate(&["bench", "--target", &target]).args(arguments));
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// The figure of a line of the text report.
fn figure<'r>(report: &'r str, name: &str) -> &'r str {
    let line = report.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no `{name}` in:\n{report}")).trim()
}

#[tokio::test]
async fn every_request_is_counted_by_its_answer() {
    let server = TestServer::start(FIFTY_A_DAY).await;
    let arguments = &[
        "--domain",
        "shop",
        "--descriptor",
        "tenant=acme",
        "--requests",
        "200",
        "--connections",
        "2",
        "--streams",
        "8",
    ];
    let (code, report, errors) = bench(server.grpc[0].to_string(), arguments).await;
    assert_eq!((code, errors.as_str()), (0, ""), "{report}");
    assert!(figure(&report, "requests").starts_with("200 in "), "{report}");
    assert_eq!(figure(&report, "ok"), "50");
    assert_eq!(figure(&report, "over_limit"), "150");
    assert_eq!(figure(&report, "failed"), "0");
    assert!(figure(&report, "latency").contains("p99.9 "), "{report}");
}

#[tokio::test]
async fn keys_hits_and_an_open_loop_reach_the_server_as_asked() {
    let server = TestServer::start(FIFTY_A_DAY).await;
    let arguments = &[
        "--domain",
        "shop",
        "--descriptor",
        "tenant=t{key},method=GET",
        "--descriptor",
        "region=eu",
        "--keys",
        "4",
        "--distribution",
        "sequential",
        "--hits",
        "5",
        "--requests",
        "200",
        "--rate",
        "20000",
        "--streams",
        "16",
        "--format",
        "json",
    ];
    let (code, report, errors) = bench(server.grpc[0].to_string(), arguments).await;
    assert_eq!((code, errors.as_str()), (0, ""), "{report}");
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    // Each of 4 tenants has room for 10 of its 50 requests.
    assert_eq!(report["requests"], 200);
    assert_eq!(report["ok"], 40);
    assert_eq!(report["over_limit"], 160);
    assert_eq!(report["failed"], 0);
    assert_eq!(report["unsent"], 0);
    let latency = |name: &str| report["latency_microseconds"][name].as_f64().unwrap();
    assert!(latency("p50") > 0.0 && latency("p50") <= latency("max"));
}

#[tokio::test]
async fn a_unix_socket_is_driven_for_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let address = Address::Unix(folder.path().join("tollgate.sock"));
    let target = address.to_string();
    let server =
        TestServer::start_with(FIFTY_A_DAY, |settings| settings.grpc = vec![address]).await;
    let arguments = &[
        "--domain",
        "shop",
        "--descriptor",
        "tenant=acme",
        "--duration",
        "100ms",
        "--warmup",
        "20ms",
    ];
    let (code, report, errors) = bench(target, arguments).await;
    assert_eq!((code, errors.as_str()), (0, ""), "{report}");
    // How many calls fit into the time is the machine's affair; that all are accounted for is not.
    let count = |name: &str| figure(&report, name).parse::<u64>().unwrap();
    let requests: u64 = figure(&report, "requests").split(' ').next().unwrap().parse().unwrap();
    assert_eq!(count("ok") + count("over_limit") + count("failed"), requests);
    server.shut_down().await;
}

#[tokio::test]
async fn failed_calls_are_told_by_status_and_fail_the_run() {
    let server = TestServer::start(FIFTY_A_DAY).await;
    let arguments = &["--domain", "", "--descriptor", "a=b", "--requests", "3"];
    let (code, report, errors) = bench(server.grpc[0].to_string(), arguments).await;
    assert_eq!(code, 1, "{report}");
    assert_eq!(figure(&report, "failed"), "3");
    assert!(figure(&report, "  INVALID_ARGUMENT:").starts_with("3, the first: `domain` is empty"));
    assert!(errors.contains("3 of 3 calls failed"), "{errors}");
}

/// The first frame of the answer says OK both times; what the call came to stands behind it.
#[tokio::test]
async fn an_answer_counts_by_the_status_behind_it() {
    let internal = [("grpc-status", "13"), ("grpc-message", "on second thought")];
    for (trailers, status) in [(&[][..], "  UNKNOWN:"), (&internal, "  INTERNAL:")] {
        let target = server_that_ends_with(trailers).await;
        let arguments = &["--domain", "shop", "--descriptor", "a=b", "--requests", "3"];
        let (code, report, errors) = bench(target, arguments).await;
        assert_eq!(code, 1, "{report}");
        assert_eq!(figure(&report, "ok"), "0");
        assert!(figure(&report, status).starts_with("3, the first: "), "{report}");
        assert!(errors.contains("3 of 3 calls failed"), "{errors}");
    }
}

/// Answers OK to every call, and ends each answer with these trailers.
async fn server_that_ends_with(trailers: &[(&'static str, &'static str)]) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    let trailers: HeaderMap = trailers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let answer = service_fn(|_| {
            // A frame of 2 bytes: `overall_code: OK`.
            let frame = Full::new(Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1]));
            let trailers = (!trailers.is_empty()).then(|| Ok(trailers.clone()));
            let mut response = Response::new(frame.with_trailers(async { trailers }));
            let grpc = HeaderValue::from_static("application/grpc");
            response.headers_mut().insert(header::CONTENT_TYPE, grpc);
            async { Ok::<_, Infallible>(response) }
        });
        let connection = http2::Builder::new(TokioExecutor::new());
        connection.serve_connection(TokioIo::new(stream), answer).await
    });
    target
}

#[tokio::test]
async fn a_port_that_speaks_no_grpc_is_named() {
    let server = TestServer::start(FIFTY_A_DAY).await;
    let arguments = &["--domain", "shop", "--descriptor", "a=b", "--requests", "3"];
    let (code, report, errors) = bench(server.http.to_string(), arguments).await;
    assert_eq!(code, 1, "{report}");
    assert!(
        errors.contains("does not look like the gRPC port of a rate limit service"),
        "{report}{errors}"
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_one_clear_line() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().to_string();
    drop(listener);
    let (code, _, errors) = bench(target, &["--domain", "shop", "--descriptor", "a=b"]).await;
    assert_eq!(code, 1);
    assert!(errors.starts_with("error: cannot connect to `127.0.0.1:"), "{errors}");
    assert!(errors.contains("refused") && errors.contains("`--target`"), "{errors}");
}

#[test]
fn wrong_usage_names_what_is_wrong() {
    let always = ["bench", "--domain", "shop"];
    for (arguments, part) in [
        (&["--descriptor", "tenant"][..], "`tenant` is not `key=value`"),
        (&["--descriptor", "a=b", "--keys", "9"], "no value of a `--descriptor` has `{key}`"),
        (&["--descriptor", "a=b", "--keys", "0"], "a whole number of at least 1"),
        (&["--descriptor", "a=b", "--duration", "soon"], "`soon` is not a time"),
        (&["--descriptor", "a=b", "--target", "nowhere"], "`nowhere` is not an address"),
        (&["--descriptor", "a=b", "--streams", "0"], "0 is not in 1..=1024"),
        (&["--descriptor", "a=b", "--requests", "1", "--duration", "1s"], "cannot be used with"),
        (&[], "--descriptor"),
    ] {
        let (code, _, errors) = outcome(tollgate(&always).args(arguments));
        assert_eq!(code, 2, "{arguments:?}: {errors}");
        assert!(errors.contains(part), "{arguments:?}: `{part}` is not in:\n{errors}");
    }
}
