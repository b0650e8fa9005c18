//! The published table of the inventory's rolling limits, each row proved over gRPC with the shipped
//! policy. The rows are listed here again, so that no number is taken from the policy.

use tollgate::time::Span;

use crate::support::shipped::*;
use crate::support::*;

/// API, method, template, requests, seconds.
const ROWS: [(&str, &str, &str, u32, u32); 37] = [
    ("availability", "POST", "/availability-records/actions/batch-update", 100, 10),
    ("availability", "POST", "/availability-records/actions/get-deltas", 500, 10),
    ("availability", "POST", "/availability-records/actions/get-availability", 10_000, 10),
    (
        "availability",
        "DELETE",
        "/locations/{locationId}/availability-records/skus/{sku}/{requestId}",
        12_000,
        10,
    ),
    (
        "availability",
        "PUT",
        "/locations/{locationId}/availability-records/skus/{sku}/{requestId}",
        100,
        10,
    ),
    (
        "availability",
        "PATCH",
        "/locations/{locationId}/availability-records/skus/{sku}/{requestId}",
        100,
        10,
    ),
    ("impex", "POST", "/availability-records/exports", 40, 60),
    ("impex", "DELETE", "/availability-records/exports/{exportId}", 40, 60),
    ("impex", "GET", "/availability-records/exports/{exportId}/file-content", 40, 60),
    ("impex", "GET", "/availability-records/exports/{exportId}/status", 20, 10),
    ("impex", "POST", "/availability-records/imports", 2, 10),
    ("impex", "GET", "/availability-records/imports", 2, 10),
    ("impex", "DELETE", "/availability-records/imports/{importId}", 2, 10),
    ("impex", "GET", "/availability-records/imports/{importId}/status", 20, 10),
    ("impex", "GET", "/availability-records/imports/{importId}/file-content", 2, 10),
    ("impex", "POST", "/availability-records/imports/uploadlink/{uploadLinkId}", 2, 10),
    ("impex", "POST", "/event-log/exports", 40, 60),
    ("impex", "GET", "/event-log/exports/{exportId}/status", 40, 60),
    ("impex", "GET", "/event-log/exports/{exportId}/file-content", 40, 60),
    ("impex", "POST", "/location-graph/exports", 2, 60),
    ("impex", "DELETE", "/location-graph/exports/{exportId}", 2, 60),
    ("impex", "GET", "/location-graph/exports/{exportId}/status", 20, 10),
    ("impex", "POST", "/product-segmentation/imports", 2, 60),
    ("impex", "DELETE", "/product-segmentation/imports/{importId}", 2, 60),
    ("impex", "GET", "/product-segmentation/imports/{importId}/file-content", 40, 60),
    ("impex", "GET", "/product-segmentation/imports/{importId}/status", 20, 10),
    ("impex", "POST", "/product-segmentation/imports/uploadLink/{uploadLinkId}", 2, 60),
    ("impex", "POST", "/product-segmentation/exports", 40, 60),
    ("impex", "DELETE", "/product-segmentation/exports/{exportId}", 40, 60),
    ("impex", "GET", "/product-segmentation/exports/{exportId}/file-content", 40, 60),
    ("impex", "GET", "/product-segmentation/exports/{exportId}/status", 20, 10),
    ("impex", "GET", "/transfers/location-graph/exports/{exportId}/file-content", 2, 60),
    ("reservation", "POST", "/fulfillments", 10_000, 10),
    ("reservation", "POST", "/releases", 10_000, 10),
    ("reservation", "PUT", "/reservation-documents/{reservationId}", 10_000, 10),
    ("reservation", "PATCH", "/reservation-documents/{reservationId}", 10_000, 10),
    ("reservation", "POST", "/transfers", 10_000, 10),
];

/// The path of a template in an organization; its other segments are made up.
fn path(api: &str, organization: &str, template: &str) -> String {
    let made_up = template.replace('{', "a-").replace('}', "-1");
    format!("/inventory/{api}/v1/organizations/{organization}{made_up}")
}

/// How long hits of the start count: to the end of that 64th of the window, and one window more.
fn leaves_after(window: u32) -> Span {
    match window {
        10 => Span::from_nanos(10_156_250_000),
        60 => Span::from_nanos(60_312_500_000),
        other => panic!("no row has {other} seconds"),
    }
}

#[tokio::test]
async fn each_row_admits_what_the_page_says_and_rows_do_not_share() {
    let mut oci = Shipped::start("scapi.yaml", "scapi-oci").await;
    for (api, method, template, amount, window) in ROWS {
        let endpoint = path(api, "acme", template);
        let request = [("method", method), ("endpoint", endpoint.as_str())];
        let rule = format!("{api} {method} {template}");
        let denied = oci.use_up(&request, amount).await;
        assert_denied(&denied, &rule, (amount, window), leaves_after(window));
        assert_eq!(metadata(&denied, "reason"), "over_limit");
        let other = path(api, "globex", template);
        let other = told(&oci.take(&[("method", method), ("endpoint", &other)], 1).await);
        let left = amount - 1;
        let reset = other.reset.unwrap();
        assert_eq!(other, Told::ok(&rule, (amount, window), left, reset), "another organization");
    }
}

#[tokio::test]
async fn each_row_stays_blocked_while_its_usage_is_over_and_is_free_after() {
    for (api, method, template, amount, window) in ROWS {
        let mut oci = Shipped::start("scapi.yaml", "scapi-oci").await;
        let endpoint = path(api, "acme", template);
        let request = [("method", method), ("endpoint", endpoint.as_str())];
        assert!(oci.passes(&request, amount).await, "{endpoint}");
        // Half a window later as many are denied, and count.
        let half = Span::from_seconds(u64::from(window) / 2);
        oci.at(half);
        assert!(!oci.passes(&request, amount).await, "{endpoint}");
        oci.at(leaves_after(window));
        let blocked = told(&oci.take(&request, 1).await);
        assert!(!blocked.ok, "{endpoint}: {blocked:?}");
        let free = leaves_after(window).as_nanos() + blocked.reset.unwrap().as_nanos();
        oci.at(Span::from_nanos(free - 1));
        assert!(!oci.passes(&request, 0).await, "{endpoint}: a look takes nothing");
        oci.at(Span::from_nanos(free));
        assert!(oci.passes(&request, 1).await, "{endpoint}");
        // Silence makes the whole amount free.
        oci.at(Span::from_seconds(1_000));
        assert!(oci.passes(&request, amount).await, "{endpoint}");
        assert!(!oci.passes(&request, 1).await, "{endpoint}");
    }
}

#[tokio::test]
async fn the_row_without_a_limit_and_what_is_no_row_are_never_denied() {
    let mut oci = Shipped::start("scapi.yaml", "scapi-oci").await;
    let no_row = Told::unlimited();
    let row = Told { left: u32::MAX, ..Told::unlimited() };
    let batch_update = "/product-segmentation/actions/batch-update";
    for (method, endpoint, expected) in [
        ("POST", path("availability", "acme", batch_update), &row),
        ("GET", path("availability", "acme", batch_update), &no_row),
        ("POST", path("impex", "acme", "/availability-records/imports/uploadLink/u-1"), &no_row),
        ("POST", path("impex", "acme", "/product-segmentation/imports/uploadlink/u-1"), &no_row),
        ("DELETE", path("reservation", "acme", "/transfers"), &no_row),
    ] {
        let request = [("method", method), ("endpoint", endpoint.as_str())];
        for hits in [1, 1_000, u32::MAX, u32::MAX] {
            let answer = oci.take(&request, hits).await;
            assert_eq!(&told(&answer), expected, "{method} {endpoint}");
            assert_eq!(header(&answer, "retry-after"), None);
        }
    }
}
