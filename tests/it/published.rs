//! The published numbers of the shipped policies, each proved over gRPC; the inventory's, which are
//! a table, in `inventory`, SAP Service Manager's in `service_manager`.

use serde_json::json;
use tollgate::time::Span;

use crate::support::shipped::*;
use crate::support::*;

/// The server starts 10 seconds after midnight.
const REST_OF_MINUTE: Span = Span::from_seconds(50);
const REST_OF_QUARTER: Span = Span::from_seconds(890);
const REST_OF_DAY: Span = Span::from_seconds(86_390);
const HALF_AN_HOUR: Span = Span::from_seconds(1_800);

const A_DAY: u32 = 86_400;
const A_QUARTER: u32 = 900;

#[tokio::test]
async fn a_tenant_of_sales_and_service_cloud_has_so_many_calls_a_day() {
    let mut cloud = Shipped::start("sap-sales-service-cloud.yaml", "sap-sales-service-cloud").await;
    for (tenant, rule, amount) in [
        ("acme-test", "test-tenants", 30_000),
        ("nobody-knows", "test-tenants", 30_000),
        ("acme", "production-tenants", 150_000 + 1_500 * 400),
        ("esm", "production-tenants", 750_000),
    ] {
        let limit = (amount, A_DAY);
        let tenant = [("tenant", tenant)];
        let first = told(&cloud.take(&tenant, 7).await);
        assert_eq!(first, Told::ok(rule, limit, amount - 7, REST_OF_DAY));
        let too_many = cloud.take(&tenant, amount - 6).await;
        assert_eq!(
            told(&too_many),
            Told { left: amount - 7, ..Told::denied(rule, limit, REST_OF_DAY) }
        );

        cloud.at(REST_OF_DAY);
        let denied = cloud.use_up(&tenant, amount).await;
        assert_denied(&denied, rule, limit, Span::from_seconds(86_400));
        assert_eq!(metadata(&denied, "reason"), "over_limit");
        assert_eq!(header(&denied, "content-type"), Some("application/problem+json"));
        assert_eq!(body(&denied)["status"], 429);

        cloud.at(Span::from_seconds(86_390 + 86_399));
        assert_denied(&cloud.take(&tenant, 1).await, rule, limit, Span::from_seconds(1));
        cloud.at(Span::from_seconds(86_390 + 86_400));
        assert!(cloud.passes(&tenant, amount).await, "{tenant:?}: the next day");
        cloud.at(Span::ZERO);
    }
    assert!(cloud.passes(&[("tenant", "untouched")], 30_000).await);
    let exceeding = cloud.take(&[("tenant", "another")], 30_001).await;
    assert_eq!(metadata(&exceeding, "reason"), "exceeds_amount");
}

fn login<'t>(tenant: &'t str, endpoint: &'t str) -> [(&'t str, &'t str); 3] {
    [("tenant", tenant), ("method", "GET"), ("endpoint", endpoint)]
}

#[tokio::test]
async fn a_tenant_of_shopper_login_has_so_many_requests_a_minute() {
    let mut slas = Shipped::start("scapi.yaml", "scapi-slas").await;
    for (tenant, rule, amount) in [
        ("acme", "production", 24_000),
        ("acme-dev", "non-production", 500),
        ("nobody-knows", "non-production", 500),
    ] {
        let limit = (amount, 60);
        let token = login(tenant, "/shopper/auth/v1/organizations/o-1/oauth2/token");
        let denied = slas.use_up(&token, amount).await;
        assert_denied(&denied, rule, limit, REST_OF_MINUTE);
        let elsewhere = slas.take(&login(tenant, "/oauth2/logout"), 1).await;
        assert_denied(&elsewhere, rule, limit, REST_OF_MINUTE);
        slas.at(REST_OF_MINUTE);
        let next = told(&slas.take(&token, 1).await);
        assert_eq!(next, Told::ok(rule, limit, amount - 1, Span::from_seconds(60)));
        slas.at(Span::ZERO);
    }
    assert!(slas.passes(&login("untouched", "/oauth2/token"), 500).await);
}

#[tokio::test]
async fn two_endpoints_of_shopper_login_have_25_a_minute_for_each_tenant() {
    const PREFIX: &str = "/shopper/auth/v1/organizations/f_ecom_zzte_053";
    let mut slas = Shipped::start("scapi.yaml", "scapi-slas").await;
    for (endpoint, rule) in [
        ("/oauth2/jwks", "get-jwks-uri"),
        ("/.well-known/openid-configuration", "get-wellknown-openid-configuration"),
    ] {
        let below = format!("{PREFIX}{endpoint}");
        for (tenant, endpoint, other) in [
            ("acme", endpoint, below.as_str()),
            ("acme-dev", &below, endpoint),
            ("nobody-knows", endpoint, &below),
        ] {
            let denied = slas.use_up(&login(tenant, endpoint), 25).await;
            assert_denied(&denied, rule, (25, 60), REST_OF_MINUTE);
            let denied = slas.take(&login(tenant, other), 1).await;
            assert_denied(&denied, rule, (25, 60), REST_OF_MINUTE);
            assert!(slas.passes(&login(tenant, "/oauth2/token"), 1).await);
        }
    }
    // 25 of each kind and one token have passed, and what was denied took nothing.
    let rest = told(&slas.take(&login("acme-dev", "/oauth2/token"), 448).await);
    assert_eq!((rest.ok, rest.left), (true, 0));
    slas.at(REST_OF_MINUTE);
    assert!(slas.passes(&login("acme", "/oauth2/jwks"), 25).await);
}

#[tokio::test]
async fn shopper_apis_tell_their_load_and_shed_what_is_more_but_no_checkout() {
    let mut shopper = Shipped::start("scapi.yaml", "scapi-shopper").await;
    let products = [("method", "GET"), ("endpoint", "/shopper-products/v1/products")];
    let baskets = [("method", "POST"), ("endpoint", "/shopper-baskets/v1/baskets")];
    let orders = [("method", "POST"), ("endpoint", "/shopper-orders/v1/orders")];
    // The capacity in the policy is 1000 a second: ten requests are a percent.
    for request in 1..=1_000_u32 {
        if request.is_multiple_of(5) {
            let checkout = if request.is_multiple_of(10) { &baskets } else { &orders };
            let answer = shopper.take(checkout, 1).await;
            assert!(is_ok(&answer));
            assert_eq!(
                (header(&answer, "sfdc_load"), header(&answer, "sfdc_load_status")),
                (None, None)
            );
            continue;
        }
        let answer = shopper.take(&products, 1).await;
        let status = match request {
            ..800 => None,
            800..900 => Some("WARN"),
            _ => Some("THROTTLE"),
        };
        assert!(is_ok(&answer), "request {request}");
        assert_eq!(header(&answer, "sfdc_load"), Some((request / 10).to_string().as_str()));
        assert_eq!(header(&answer, "sfdc_load_status"), status, "request {request}");
    }
    let shed = shopper.take(&products, 1).await;
    assert!(!is_ok(&shed));
    assert_eq!(
        (metadata(&shed, "reason"), metadata(&shed, "status")),
        ("shed".into(), 503.0.into())
    );
    assert_eq!(header(&shed, "sfdc_load"), Some("100"));
    assert_eq!(header(&shed, "sfdc_load_status"), Some("THROTTLE"));
    assert_eq!(body(&shed)["status"], 503);
    let kind = body(&shed)["type"].as_str().unwrap().to_owned();
    assert!(kind.ends_with("#temporary-reduced-capacity"), "{kind}");
    assert!(shopper.passes(&baskets, 1).await && shopper.passes(&orders, 1).await);
    shopper.at(Span::from_seconds(2));
    assert!(shopper.passes(&products, 1).await);
}

#[tokio::test]
async fn the_load_that_an_instance_reports_decides_as_long_as_it_says() {
    let mut shopper = Shipped::start("scapi.yaml", "scapi-shopper").await;
    let products = [("method", "GET"), ("endpoint", "/shopper-products/v1/products")];
    let baskets = [("method", "POST"), ("endpoint", "/shopper-baskets/v1/baskets")];
    for (percent, status, passes) in [
        (79, None, true),
        (80, Some("WARN"), true),
        (89, Some("WARN"), true),
        (90, Some("THROTTLE"), true),
        (99, Some("THROTTLE"), true),
        (100, Some("THROTTLE"), false),
    ] {
        let report = json!({
            "domain": "scapi-shopper", "percent": percent, "who": "instance", "why": "measured",
            "until": "2026-01-01T00:05:00Z",
        });
        assert_eq!(shopper.server.post_json("/api/v1/load", &report).await.0, 200);
        let answer = shopper.take(&products, 1).await;
        assert_eq!(is_ok(&answer), passes, "{percent}");
        assert_eq!(header(&answer, "sfdc_load"), Some(percent.to_string().as_str()));
        assert_eq!(header(&answer, "sfdc_load_status"), status, "{percent}");
        let checkout = shopper.take(&baskets, 1).await;
        assert!(is_ok(&checkout));
        assert_eq!(header(&checkout, "sfdc_load"), None);
    }
    shopper.at(Span::from_seconds(290));
    let after = shopper.take(&products, 1).await;
    assert_eq!((is_ok(&after), header(&after, "sfdc_load")), (true, Some("0")));
}

fn of<'t>(organization: &'t str, app: &'t str, api: &'t str) -> [(&'t str, &'t str); 3] {
    [("organization", organization), ("app", app), ("api", api)]
}

/// In a rolling window of 24 hours, hits of the start leave at the end of its 64th part.
const A_DAY_LATER: Span = Span::from_seconds(86_400 + 1_340);

#[tokio::test]
async fn an_organization_has_requests_of_its_own_and_the_backup_80_percent_of_them() {
    let mut salesforce = Shipped::start("force-backup.yaml", "force-backup").await;
    for (organization, total, backup) in [("acme", 100_000, 80_000), ("newcomer", 15_000, 12_000)] {
        let denied = salesforce.use_up(&of(organization, "backup", "rest"), backup).await;
        assert_denied(&denied, "backup-requests", (backup, A_DAY), HALF_AN_HOUR);
        assert_eq!(metadata(&denied, "reason"), "over_limit");
        let denied = salesforce.use_up(&of(organization, "crm", "rest"), total - backup).await;
        assert_denied(&denied, "total-requests", (total, A_DAY), HALF_AN_HOUR);

        let just_before = Span::from_nanos(A_DAY_LATER.as_nanos() - 1);
        salesforce.at(just_before);
        assert!(!salesforce.passes(&of(organization, "crm", "rest"), 1).await);
        salesforce.at(A_DAY_LATER);
        let denied = salesforce.use_up(&of(organization, "crm", "rest"), total).await;
        assert_denied(&denied, "total-requests", (total, A_DAY), HALF_AN_HOUR);
        let denied = salesforce.take(&of(organization, "backup", "rest"), 1).await;
        assert_denied(&denied, "total-requests", (total, A_DAY), HALF_AN_HOUR);
        salesforce.at(Span::ZERO);
    }
    let untouched = told(&salesforce.take(&of("untouched", "crm", "rest"), 15_000).await);
    assert_eq!((untouched.ok, untouched.left), (true, 0));
}

#[tokio::test]
async fn batches_are_counted_apart_15000_and_80_percent_of_them_for_the_backup() {
    let mut salesforce = Shipped::start("force-backup.yaml", "force-backup").await;
    for organization in ["acme", "newcomer"] {
        let denied = salesforce.use_up(&of(organization, "backup", "bulk"), 12_000).await;
        assert_denied(&denied, "backup-bulk-batches", (12_000, A_DAY), HALF_AN_HOUR);
        let denied = salesforce.use_up(&of(organization, "crm", "bulk"), 3_000).await;
        assert_denied(&denied, "bulk-batches", (15_000, A_DAY), HALF_AN_HOUR);
        let requests = told(&salesforce.take(&of(organization, "crm", "rest"), 1).await);
        let total = if organization == "acme" { 100_000 } else { 15_000 };
        assert_eq!((requests.amount, requests.left), (total, total - 1));
    }
    salesforce.at(A_DAY_LATER);
    assert!(salesforce.passes(&of("acme", "backup", "bulk"), 12_000).await);
    assert!(salesforce.passes(&of("acme", "crm", "bulk"), 3_000).await);
}

#[tokio::test]
async fn a_backup_pauses_until_more_than_a_tenth_is_free() {
    let mut salesforce = Shipped::start("force-backup.yaml", "force-backup").await;
    for (api, rule, amount) in
        [("rest", "backup-requests", 80_000), ("bulk", "backup-bulk-batches", 12_000)]
    {
        let backup = of("acme", "backup", api);
        // The tenth and one more leave at different times.
        for (minutes, hits) in [(0, amount / 10), (60, 1), (120, amount - amount / 10 - 1)] {
            salesforce.at(Span::from_seconds(minutes * 60));
            assert!(salesforce.passes(&backup, hits).await);
        }
        let denied = salesforce.take(&backup, 1).await;
        assert_eq!(metadata(&denied, "reason"), "over_limit");

        salesforce.at(A_DAY_LATER);
        let paused = salesforce.take(&backup, 1).await;
        assert_eq!(
            told(&paused),
            Told { left: amount / 10, ..Told::denied(rule, (amount, A_DAY), HALF_AN_HOUR) }
        );
        assert_eq!(metadata(&paused, "reason"), "paused");
        assert_eq!(metadata(&paused, "status"), 429.0);
        assert_eq!(header(&paused, "retry-after"), Some("1800"));
        assert!(salesforce.passes(&of("acme", "crm", api), 1).await, "others are not paused");

        // 3,610 s after midnight is in the third slot of 1,350 s, which ends at 4,050.
        let resumes = Span::from_seconds(86_400 + 4_040);
        salesforce.at(Span::from_nanos(resumes.as_nanos() - 1));
        assert!(!salesforce.passes(&backup, 1).await);
        salesforce.at(resumes);
        assert!(salesforce.passes(&backup, amount / 10 + 1).await);
        assert!(!salesforce.passes(&backup, 1).await);
        salesforce.at(Span::ZERO);
    }
}

fn of_service<'t>(service: &'t str, ip: &'t str, app: &'t str) -> [(&'t str, &'t str); 3] {
    [("service", service), ("ip", ip), ("app", app)]
}

#[tokio::test]
async fn services_of_salestim_have_so_many_requests_in_15_minutes() {
    for (service, amount, app_counts) in
        [("template-store", 2_000, false), ("catalog", 1_000, true)]
    {
        let mut salestim = Shipped::start("salestim.yaml", "salestim").await;
        let limit = (amount, A_QUARTER);
        let caller = of_service(service, "192.0.2.1", "app-1");
        let first = salestim.take(&caller, 1).await;
        assert_eq!(told(&first), Told::ok(service, limit, amount - 1, REST_OF_QUARTER));
        assert_eq!(header(&first, "x-ratelimit-limit"), Some(amount.to_string().as_str()));
        assert_eq!(
            header(&first, "x-ratelimit-remaining"),
            Some((amount - 1).to_string().as_str())
        );
        assert_eq!(header(&first, "retry-after"), None);
        assert!(first.raw_body.is_empty());

        salestim.at(REST_OF_QUARTER);
        let denied = salestim.use_up(&caller, amount).await;
        assert_denied(&denied, service, limit, Span::from_seconds(900));
        assert_eq!(header(&denied, "x-ratelimit-limit"), Some(amount.to_string().as_str()));
        assert_eq!(header(&denied, "x-ratelimit-remaining"), Some("0"));
        assert_eq!(
            body(&denied),
            json!({
                "message": "Too many requests, please try again later...",
                "body": { "rateLimitExceeded": { "rateLimitWindow": 900_000, "ratelimitMax": amount } },
            })
        );
        let other_app = of_service(service, "192.0.2.1", "app-2");
        assert_eq!(salestim.passes(&other_app, 1).await, app_counts);
        assert!(salestim.passes(&of_service(service, "192.0.2.2", "app-1"), 1).await);
        salestim.at(Span::from_seconds(890 + 900));
        assert!(salestim.passes(&caller, amount).await);
    }
}

#[tokio::test]
async fn denied_requests_of_salestim_count_too() {
    let mut salestim = Shipped::start("salestim.yaml", "salestim").await;
    for (service, amount) in [("template-store", 2_000), ("catalog", 1_000)] {
        let caller = of_service(service, "192.0.2.1", "app-1");
        assert!(salestim.passes(&caller, amount - 10).await);
        assert!(!salestim.passes(&caller, 11).await);
        assert_denied(
            &salestim.take(&caller, 1).await,
            service,
            (amount, A_QUARTER),
            REST_OF_QUARTER,
        );
    }
    let jobs = of_service("jobs", "192.0.2.1", "app-1");
    assert!(salestim.passes(&jobs, 10).await);
    assert!(!salestim.passes(&jobs, 490).await, "ten are under way");
    salestim.give_back(&jobs, 490 + 10, None).await;
    assert_denied(&salestim.take(&jobs, 1).await, "jobs", (500, A_QUARTER), REST_OF_QUARTER);
}

#[tokio::test]
async fn jobs_of_salestim_are_500_in_15_minutes_and_ten_at_once() {
    let mut salestim = Shipped::start("salestim.yaml", "salestim").await;
    let caller = of_service("jobs", "192.0.2.1", "app-1");
    for round in 1..=50 {
        let mut leases = Vec::new();
        for _ in 0..10 {
            let begun = salestim.take(&caller, 1).await;
            assert_eq!((told(&begun).rule.as_str(), told(&begun).amount), ("jobs", 500));
            assert_eq!(header(&begun, "x-ratelimit-limit"), Some("500"));
            leases.push(metadata(&begun, "lease").as_str().unwrap().to_owned());
        }
        let left = told(&salestim.take(&caller, 0).await).left;
        assert_eq!(left, 500 - 10 * round);
        for lease in leases {
            salestim.give_back(&caller, 1, Some(&lease)).await;
        }
    }
    let denied = salestim.take(&caller, 1).await;
    assert_denied(&denied, "jobs", (500, A_QUARTER), REST_OF_QUARTER);
    assert_eq!(body(&denied)["body"]["rateLimitExceeded"]["rateLimitWindow"], 900_000);
    assert_eq!(body(&denied)["body"]["rateLimitExceeded"]["ratelimitMax"], 500);

    salestim.at(REST_OF_QUARTER);
    let caller = of_service("jobs", "192.0.2.1", "app-2");
    assert!(salestim.passes(&caller, 9).await);
    assert!(salestim.passes(&caller, 1).await);
    let eleventh = salestim.take(&caller, 1).await;
    assert_denied(&eleventh, "concurrent-jobs", (10, 0), Span::from_seconds(3_600));
    assert_eq!(header(&eleventh, "x-ratelimit-limit"), Some("10"));
    assert_eq!(header(&eleventh, "x-ratelimit-remaining"), Some("0"));
    assert_eq!(body(&eleventh)["body"], json!({ "rateLimitExceeded": { "ratelimitMax": 10 } }));
    assert!(salestim.passes(&of_service("jobs", "192.0.2.1", "app-3"), 10).await);
}
