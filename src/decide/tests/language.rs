//! What native policies can say beyond patterns and plain limits: tables, formulas, shares,
//! overrides, conditions, costs, tables of endpoints.

use super::*;

const PLANS: &str = "
domain: d
tables:
  tenant:
    default: { plan: test, units: 0 }
    acme: { plan: production, units: 400 }
    globex: { plan: production, units: 2.5 }
    boxed: { units: 1 }
rules:
  - { name: test, match: { tenant.plan: test }, per: [tenant], limits: [30_000/day] }
  - name: production
    match: { tenant.plan: production }
    per: [tenant]
    limits: [\"150_000 + 1500 * tenant.units / day\"]
";

#[test]
fn amounts_are_worked_out_from_the_row_of_the_tenant() {
    let gate = Gate::new(PLANS);
    for (tenant, rule, amount) in [
        ("acme", "production", 750_000),
        // Rounded down.
        ("globex", "production", 153_750),
        ("unheard-of", "test", 30_000),
        // What a row does not say, it has from the default row.
        ("boxed", "test", 30_000),
    ] {
        let told = gate.one(&[("tenant", tenant)]);
        let (_, limit) = &told.statuses[0];
        let (told_rule, told_amount, remaining, _) = limit.clone().unwrap();
        assert_eq!((told_rule.as_str(), told_amount, remaining), (rule, amount, amount - 1));
    }
    assert_eq!(gate.one(&[("other", "acme")]).statuses[0].1, None, "no tenant has no row");
}

#[test]
fn amounts_may_depend_on_several_tables_and_on_what_a_path_captures() {
    let gate = Gate::new(
        "
domain: d
tables:
  plan: { default: { rate: 1 }, gold: { rate: 10 }, lead: { rate: 1000 } }
  region: { eu: { factor: 2 }, us: { factor: 3 }, moon: { factor: 0.5 } }
rules:
  - name: both
    match: { endpoint: \"/{region}/**\" }
    per: [region, plan]
    limits: [\"plan.rate * region.factor / minute\"]
",
    );
    for (plan, path, amount) in [
        ("gold", "/eu/x", Some(20)),
        ("gold", "/us", Some(30)),
        ("lead", "/moon/x/y", Some(500)),
        ("tin", "/us/x", Some(3)),
        ("gold", "/mars/x", None),
    ] {
        let told = gate.one(&[("plan", plan), ("path", path)]);
        assert_eq!(told.statuses[0].1.as_ref().map(|limit| limit.1), amount, "{plan} {path}");
    }
    // An entry of the captured name does not choose the row.
    let told = gate.one(&[("plan", "gold"), ("path", "/eu/x"), ("region", "us")]);
    assert_eq!(told.statuses[0].1.as_ref().unwrap().1, 20);
}

#[test]
fn fields_are_attributes_in_match_per_and_conditions() {
    let gate = Gate::new(
        "
domain: d
tables:
  tenant:
    default: { plan: free, seats: 1, beta: false }
    acme: { plan: paid, seats: 10, beta: true }
    init: { plan: paid, seats: 5, beta: false }
rules:
  - { name: per-plan, match: { tenant: present }, per: [tenant.plan], limits: [3/day] }
  - { name: beta, match: { tenant.beta: \"true\" }, per: [tenant], limits: [1/hour] }
  - { name: seats, when: tenant.seats > 4 && tenant.beta == false, per: [tenant], limits: [1/minute] }
",
    );
    let rules =
        |told: &Told| -> Vec<String> { told.rules.iter().map(|(name, ..)| name.clone()).collect() };
    assert_eq!(rules(&gate.one(&[("tenant", "acme")])), ["per-plan", "beta"]);
    let told = gate.one(&[("tenant", "init")]);
    assert_eq!(rules(&told), ["per-plan", "seats"]);
    // One counter of the plan for both tenants: of its 3 two are taken.
    let look = gate.ask_with("d", &[&[("tenant", "new"), ("x", "y")]], Hits::Take(0), None);
    assert_eq!((rules(&look), look.remaining()), (vec!["per-plan".to_owned()], 3));
    let look = gate.ask_with("d", &[&[("tenant", "acme")]], Hits::Take(0), None);
    assert_eq!(look.statuses[0].1.as_ref().unwrap().2, 0, "the hour of acme");
    assert_eq!(gate.one(&[("tenant", "acme")]).code, Code::OverLimit);
}

#[test]
fn a_share_follows_the_rule_it_is_of_with_its_rows_and_overrides() {
    let gate = Gate::new(
        "
domain: d
tables: { organization: { default: { calls: 15_000 }, acme: { calls: 100_001 } } }
rules:
  - name: total
    per: [organization]
    limits: [{ amount: organization.calls, window: 24h, kind: rolling }, 10/s]
    overrides: [{ match: { organization: big }, limits: [{ amount: 1_000_000, window: 24h, kind: rolling }] }]
  - { name: backup, match: { app: backup }, per: [organization], limits: [80% of total/24h] }
  - { name: half, match: { app: half }, per: [organization], limits: [50% of backup] }
",
    );
    let limit = |organization: &str, app: &str, rule: &str| {
        let entries = [("organization", organization), ("app", app)];
        let request =
            Request { domain: b"d", descriptors: [descriptor(&entries)].into_iter().collect() };
        let plan = plan(&gate.set, &request, gate.now, |_| None);
        let own = plan.charges.iter().filter(|it| it.rule.is_some_and(|it| &*it.name == rule));
        own.map(|charge| charge.limit.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(limit("acme", "backup", "backup"), ["80000 per 24 hours, rolling"]);
    assert_eq!(limit("new", "backup", "backup"), ["12000 per 24 hours, rolling"]);
    assert_eq!(limit("big", "backup", "backup"), ["800000 per 24 hours, rolling"]);
    assert_eq!(limit("acme", "half", "half"), ["40000 per 24 hours, rolling"]);
    assert_eq!(limit("big", "half", "half"), ["400000 per 24 hours, rolling"]);
    assert_eq!(limit("acme", "other", "total").len(), 2);
}

#[test]
fn overrides_stand_in_for_limits_until_they_end_and_counters_go_on() {
    // The gate's clock stands at 2026-11-18T11:07:00Z.
    let mut gate = Gate::new(
        "
domain: d
rules:
  - name: r
    per: [tenant]
    limits: [2/day]
    overrides:
      - { match: { tenant: old }, limits: [9/day], until: 2026-11-17 }
      - { match: { tenant: [acme, old] }, limits: [4/day], until: 2026-11-18T12:00:00Z, reason: launch }
      - { match: { tenant: acme }, limits: [3/day], until: 2026-11-18 }
      - { match: { tenant: free }, unlimited: true }
      - { match: { ip: 10.0.0.0/8 }, limits: [7/day] }
",
    );
    let limit = |gate: &Gate, entries: &[(&str, &str)]| {
        let told = gate.ask_with("d", &[entries], Hits::Take(0), None);
        told.statuses[0].1.as_ref().map(|limit| (limit.1, limit.2))
    };
    assert_eq!(limit(&gate, &[("tenant", "x")]), Some((2, 2)));
    assert_eq!(limit(&gate, &[("tenant", "old")]), Some((4, 4)));
    assert_eq!(limit(&gate, &[("tenant", "x"), ("remote_address", "10.1.2.3")]), Some((7, 7)));
    assert_eq!(limit(&gate, &[("tenant", "free")]), None);
    assert_eq!(gate.one(&[("tenant", "free")]).rules, [("r".to_owned(), 1, RuleCode::Ok)]);
    for _ in 0..3 {
        assert_eq!(gate.one(&[("tenant", "acme")]).code, Code::Ok);
    }
    assert_eq!(limit(&gate, &[("tenant", "acme")]), Some((4, 1)));
    gate.wait(3_600);
    assert_eq!(limit(&gate, &[("tenant", "acme")]), Some((3, 0)), "the day counts whole");
    assert_eq!(limit(&gate, &[("tenant", "old")]), Some((2, 2)));
    assert_eq!(gate.one(&[("tenant", "acme")]).code, Code::OverLimit);
    gate.wait(86_400);
    assert_eq!(limit(&gate, &[("tenant", "acme")]), Some((2, 2)));
}

#[test]
fn a_cost_multiplies_hits_and_is_one_where_it_cannot_be_worked_out() {
    let gate = Gate::new(
        "
domain: d
tables: { tenant: { default: { weight: 1 }, heavy: { weight: 3 } } }
rules:
  - { name: rows, per: [tenant], cost: ceil(rows / 100) * tenant.weight, limits: [100/day] }
",
    );
    let mut left = 100;
    for (rows, tenant, hits, cost) in [
        (Some("1"), "a", 1, 1),
        (Some("100"), "a", 1, 1),
        (Some("101"), "a", 1, 2),
        (Some("250.5"), "a", 2, 6),
        (Some("0"), "a", 5, 0),
        (Some("-5"), "a", 1, 0),
        (Some("many"), "a", 1, 1),
        (Some("-500"), "a", 1, 1),
        (None, "a", 2, 2),
    ] {
        let mut entries = vec![("tenant", tenant)];
        entries.extend(rows.map(|rows| ("rows", rows)));
        let told = gate.ask_with("d", &[&entries], Hits::Take(hits), None);
        left -= cost;
        assert_eq!(told.remaining(), left, "{rows:?} x {hits}");
    }
    let told = gate.one(&[("tenant", "heavy"), ("rows", "1000")]);
    assert_eq!(told.remaining(), 70);
    assert_eq!(gate.failures(&[("tenant", "a"), ("rows", "many")]), ["rows"]);
    assert_eq!(gate.failures(&[("tenant", "a"), ("rows", "1")]), Vec::<String>::new());
}

#[test]
fn a_condition_that_cannot_be_worked_out_does_not_match_and_is_counted() {
    let gate = Gate::new(
        "
domain: d
rules:
  - { name: large, when: int(rows) > 100, limits: [5/day] }
  - { name: guarded, when: has(attributes.rows) && rows == \"x\", limits: [5/hour] }
",
    );
    for (entries, limited, failed) in [
        (vec![("rows", "101")], true, vec![]),
        (vec![("rows", "100")], false, vec![]),
        (vec![("rows", "many")], false, vec!["large"]),
        (vec![], false, vec!["large"]),
        (vec![("rows", "x")], true, vec!["large"]),
    ] {
        let told = gate.one(&entries);
        assert_eq!(told.statuses[0].1.is_some(), limited, "{entries:?}");
        assert_eq!(gate.failures(&entries), failed, "{entries:?}");
    }
}

const TABLE: &str = "
domain: d
base: /v1/{organization}
rules:
  - name: api
    per: [organization]
    endpoints:
      - [GET, /orders, 3/minute]
      - [GET, \"/orders/{id}\", 5/minute]
      - [GET, /orders/latest, unlimited]
      - [[POST, PUT], /orders, 2/minute, 10/day]
      - [\"*\", /**, 7/minute]
  - { name: other, match: { endpoint: /health }, limits: [9/minute] }
  - { name: exempt, match: { app: monitor }, unlimited: true, replaces: [api] }
";

#[test]
fn of_a_table_of_endpoints_the_most_specific_row_applies() {
    let gate = Gate::new(TABLE);
    for (method, path, rule, amount) in [
        ("GET", "/v1/o/orders", "api GET /orders", 3),
        ("GET", "/v1/o/orders/7?x=1", "api GET /orders/{id}", 5),
        ("POST", "/v1/o/orders", "api POST,PUT /orders", 2),
        ("PUT", "/v1/o/orders", "api POST,PUT /orders", 2),
        ("DELETE", "/v1/o/orders", "api * /**", 7),
        ("GET", "/v1/o", "api * /**", 7),
        ("GET", "/v1/o/orders/7/lines", "api * /**", 7),
        ("GET", "/v1/health", "api * /**", 7),
    ] {
        let entries = [("method", method), ("path", path)];
        let told = gate.ask_with("d", &[&entries], Hits::Take(0), None);
        let limit = told.statuses[0].1.clone().unwrap();
        assert_eq!((limit.0.as_str(), limit.1), (rule, amount), "{method} {path}");
    }
    for path in ["/v1/o/orders/latest", "/v2/o/orders"] {
        let told = gate.one(&[("method", "GET"), ("path", path)]);
        assert_eq!(told.statuses[0].1, None, "{path}");
    }
    let monitor = [("method", "GET"), ("path", "/v1/o/orders"), ("app", "monitor")];
    assert_eq!(gate.one(&monitor).statuses[0].1, None);
}

#[test]
fn each_row_counts_by_itself_and_per_captured_value() {
    let gate = Gate::new(TABLE);
    let ask = |method: &str, path: &str| gate.one(&[("method", method), ("path", path)]).code;
    assert_eq!(
        [(); 3].map(|()| ask("POST", "/v1/a/orders")),
        [Code::Ok, Code::Ok, Code::OverLimit]
    );
    assert_eq!(ask("PUT", "/v1/a/orders"), Code::OverLimit, "one row, one counter");
    assert_eq!(ask("POST", "/v1/b/orders"), Code::Ok);
    assert_eq!(ask("GET", "/v1/a/orders"), Code::Ok);
    assert_eq!(ask("GET", "/v1/a/orders/1"), Code::Ok);
}

#[test]
fn a_paused_rule_says_so_and_goes_on_below_its_share() {
    let mut gate = Gate::new(
        "
domain: d
rules:
  - { name: jobs, per: [app], resume_below: 50%, limits: [{ amount: 10, window: 100s, kind: rolling }] }
respond: { body: { why: \"{reason}\", wait: \"{reset_seconds}\" } }
",
    );
    for _ in 0..10 {
        assert_eq!(gate.one(&[("app", "a")]).code, Code::Ok);
        gate.wait(5);
    }
    // Ten hits at 0, 5, .. 45 s; now at 50 s. Below half when the sixth has left, at 125 s.
    let told = gate.one(&[("app", "a")]);
    assert_eq!(told.body, r#"{"why":"over_limit","wait":75}"#);
    gate.wait(74);
    let told = gate.one(&[("app", "a")]);
    assert_eq!((told.code, told.remaining()), (Code::OverLimit, 5));
    assert_eq!(told.body, r#"{"why":"paused","wait":1}"#);
    gate.wait(1);
    assert_eq!(gate.one(&[("app", "a")]).code, Code::Ok);
}

#[test]
fn a_pause_begun_by_two_charges_of_one_counter_waits_for_neither_of_them() {
    let mut gate = Gate::new(
        "
domain: d
rules:
  - { name: drops, resume_below: 1%, limits: [{ amount: 16, window: 90s, kind: bucket, burst: 9 }] }
",
    );
    let both: [&[(&str, &str)]; 2] = [&[("a", "x")], &[("a", "x")]];
    assert_eq!(gate.ask_with("d", &both[..1], Hits::Take(2), None).code, Code::Ok);
    let told = gate.ask_with("d", &both, Hits::Take(4), None);
    let (_, limit) = told.statuses[1].clone();
    // Empty when the two hits taken before have drained, at 16 in 90 s: after 11.25 s.
    assert_eq!((told.code, limit.unwrap().3), (Code::OverLimit, 12));
    gate.wait(11);
    assert_eq!(gate.ask_with("d", &both, Hits::Take(4), None).code, Code::OverLimit);
    gate.wait(1);
    assert_eq!(gate.ask_with("d", &both, Hits::Take(4), None).code, Code::Ok);
}

#[test]
fn a_rule_may_want_no_other_entries_than_it_names() {
    let gate = Gate::new(
        "
domain: d
attributes: { caller: [user, client_id] }
tables: { plan: { gold: { rate: 5 } } }
rules:
  - { name: alone, others: absent, per: [tenant], limits: [9/day] }
  - name: more
    match: { caller: present, plan.rate: present, endpoint: \"/{id}/**\", app: absent }
    others: absent
    when: has(attributes.zone) || size(caller) > 0
    per: [id]
    cost: rows
    limits: [9/day]
",
    );
    let rules = |entries: &[(&str, &str)]| {
        let told = gate.one(entries);
        told.rules.into_iter().map(|(rule, _, _)| rule).collect::<Vec<_>>()
    };
    assert_eq!(rules(&[("tenant", "a")]), ["alone"]);
    for entries in [
        [("tenant", "a"), ("zone", "x")],
        [("tenant", "a"), ("nobody", "knows")],
        [("tenant", "a"), ("tenant", "a")],
        [("unknown", "a"), ("tenant", "a")],
    ] {
        assert!(rules(&entries).is_empty(), "{entries:?}");
    }
    let whole = [("user", "u"), ("plan", "gold"), ("path", "/7/x"), ("rows", "1"), ("zone", "z")];
    assert_eq!(rules(&whole), ["more"]);
    assert_eq!(rules(&whole[..4]), ["more"], "what is asked for may be absent");
    // Both keys of one attribute are two entries, of which the rule reads one.
    assert!(rules(&[whole.as_slice(), &[("client_id", "c")]].concat()).is_empty());
    assert!(rules(&[whole.as_slice(), &[("id", "7")]].concat()).is_empty());
}
