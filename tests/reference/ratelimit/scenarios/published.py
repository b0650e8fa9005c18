"""The configurations that envoyproxy/ratelimit, Istio and Ambassador publish: keys and numbers, typed anew."""

from written import DAY, HOUR, MINUTE, UNLIMITED, Sequence, ask, config, entries, per, rule


def sequences():
    return [*readme(), *examples(), *fixtures(), *integration(), *others()]


def readme():
    name = "README example"
    yield Sequence(
        f"{name} 1",
        config(rule("database", "users", per(500, "second")), rule("database", "default", per(500, "second")), domain="mongo_cps"),
        ask(MINUTE, "database=users", domain="mongo_cps", hits=250, times=3)
        + ask(MINUTE, "database=default", domain="mongo_cps", hits=501)
        + ask(MINUTE + 1, "database=users", "database=other", domain="mongo_cps"),
    )
    marketing = "message_type=marketing,to_number=2061111111"
    yield Sequence(
        f"{name} 2",
        config(
            rule("message_type", "marketing", below=[rule("to_number", None, per(5, "day"))]),
            rule("to_number", None, per(100, "day")),
            domain="messaging",
        ),
        ask(DAY, marketing, "to_number=2061111111", domain="messaging", times=6)
        + ask(DAY, "message_type=marketing,to_number=2062222222", domain="messaging")
        + ask(DAY, "to_number=2061111111", domain="messaging", hits=94, times=2)
        + ask(DAY, "message_type=other,to_number=2061111111", domain="messaging"),
    )
    yield Sequence(
        f"{name} 3",
        config(rule("remote_address", None, per(10, "second")), rule("remote_address", "50.0.0.5", per(0, "second")), domain="edge_proxy_per_ip"),
        ask(MINUTE, "remote_address=50.0.0.1", domain="edge_proxy_per_ip", times=11)
        + ask(MINUTE, "remote_address=50.0.0.5", domain="edge_proxy_per_ip")
        + ask(MINUTE, "remote_address=50.0.0.2", domain="edge_proxy_per_ip"),
    )
    deep = "key=value,subkey=subvalue"
    yield Sequence(
        f"{name} 4, which does not match",
        config(rule("key", "value", per(300, "second")), domain="example4"),
        ask(MINUTE, deep, domain="example4", hits=301) + ask(MINUTE, "key=value", domain="example4", hits=301),
    )
    yield Sequence(
        f"{name} 4, which matches",
        config(rule("key", "value", below=[rule("subkey", None, per(300, "second"))]), domain="example4"),
        ask(MINUTE, deep, domain="example4", hits=300) + ask(MINUTE, deep, domain="example4") + ask(MINUTE, "key=value", domain="example4"),
    )
    yield Sequence(
        f"{name} 5",
        config(rule("ldap", None, UNLIMITED), rule("azure", None, per(100, "minute")), domain="internal"),
        ask(MINUTE, "ldap=x", "azure=y", "other=z", domain="internal") + ask(MINUTE, "azure=y", domain="internal", hits=100) + ask(MINUTE, "ldap=x", domain="internal", hits=1_000),
    )
    yield Sequence(
        f"{name} 6",
        config(
            rule("service", None, below=[rule("user", "user-a", per(10, "second"), shadow_mode=True), rule("user", "user-b", per(20, "second"))]),
            domain="example6",
        ),
        [step for user in "abc" for step in ask(MINUTE, f"service=auth-service,user=user-{user}", domain="example6", hits=10, times=3)],
    )
    one, two = "key_1=value_1,user=bkthomps", "key_2=value_2,user=bkthomps"
    yield Sequence(
        f"{name} 7",
        config(
            rule("key_1", "value_1", below=[rule("user", "bkthomps", per(5, "second"), name="specific_limit")]),
            rule("key_2", "value_2", below=[rule("user", "bkthomps", per(10, "second"), replaces=["specific_limit"])]),
            domain="example7",
        ),
        ask(MINUTE, one, two, domain="example7", hits=9, times=2) + ask(MINUTE, one, domain="example7", hits=5, times=2) + ask(MINUTE + 1, two, domain="example7", hits=10, times=2),
    )
    yield Sequence(
        f"{name} 8",
        config(rule("key1", None, per(10, "minute"), detailed_metric=True), rule("key1", "value1", per(20, "minute")), domain="example8"),
        [step for value in ("unspecified_value", "unspecified_value2", "value1") for step in ask(MINUTE, f"key1={value}", domain="example8", hits=7, times=3)],
    )
    yield Sequence(
        f"{name} 9",
        config(rule("key1", "value*", per(20, "minute")), domain="example9"),
        [step for value in ("value_1", "value_2", "valu") for step in ask(MINUTE, f"key1={value}", domain="example9", hits=15, times=2)],
    )


def examples():
    # Types at a minute of the folder examples/ratelimit/config, its demo behind two Envoys.
    foo = [
        rule("bar", None, per(3, "minute")),
        rule("bar", "bkthomps", per(1, "minute"), name="bkthomps"),
        rule("bar", "banned", per(0, "minute"), name="banned_limit"),
        rule("baz", None, per(1, "second")),
        rule("baz", "not-so-shady", per(3, "minute")),
        rule("baz", "shady", per(3, "minute"), shadow_mode=True),
        rule("bay", None, UNLIMITED),
    ]
    to = [
        rule("destination_cluster", "bkthomps", per(2, "minute"), replaces=["bkthomps"]),
        rule("destination_cluster", "mock", per(1, "minute")),
        rule("destination_cluster", "override", per(2, "minute"), replaces=["banned_limit"]),
        rule("destination_cluster", "fake", per(2, "minute"), name="fake_name"),
    ]
    demo = config(
        rule("category", "account", per(4, "minute"), replaces=["bkthomps", "fake_name"]),
        rule("source_cluster", "proxy", below=to),
        rule("foo", None, per(2, "minute"), below=foo),
        rule("qux", None, UNLIMITED),
        domain="rl",
    )

    def demanded(*descriptors, times=1, at=MINUTE):
        return ask(at, *descriptors, domain="rl", times=times)

    yield Sequence("demo: one header", demo, demanded("foo=foo", times=3) + demanded("foo=foo2") + demanded("foo=foo", at=MINUTE + 60))
    yield Sequence("demo: two headers", demo, demanded("foo=foo", "foo=foo,bar=bar", times=4) + demanded("foo=foo2,bar=bar"))
    yield Sequence("demo: a banned value", demo, demanded("foo=foo,bar=banned", times=2))
    yield Sequence("demo: once a second", demo, [step for at in (0, 0.5, 1, 1.5, 2) for step in demanded("foo=foo,baz=baz", at=MINUTE + at)])
    yield Sequence("demo: shady and not so shady", demo, demanded("foo=foo,baz=shady", "foo=foo,baz=not-so-shady", times=4) + demanded("foo=foo,baz=shady", times=2))
    yield Sequence("demo: unlimited", demo, demanded("qux=1", "foo=foo,bay=1", times=3))
    yield Sequence("demo: between clusters", demo, demanded("source_cluster=proxy,destination_cluster=mock", times=2) + demanded("source_cluster=proxy,destination_cluster=none", times=2))
    yield Sequence("demo: the override of a ban", demo, demanded("foo=foo,bar=banned", "source_cluster=proxy,destination_cluster=override", times=3) + demanded("foo=foo,bar=banned"))
    yield Sequence("demo: a user with more room on one path", demo, demanded("foo=foo,bar=bkthomps", "source_cluster=proxy,destination_cluster=bkthomps", times=3) + demanded("foo=foo,bar=bkthomps", times=2))
    yield Sequence(
        "demo: one replaces two",
        demo,
        demanded("category=account", "source_cluster=proxy,destination_cluster=fake", "foo=foo,bar=bkthomps", times=5) + demanded("source_cluster=proxy,destination_cluster=fake", times=3),
    )
    mongo = config(rule("database", "users", per(5, "minute")), rule("database", "default", per(5, "minute")), domain="mongo_cps")
    yield Sequence("demo: databases", {"config.yaml": mongo, "example.yaml": demo}, ask(MINUTE, "database=users", "database=default", domain="mongo_cps", times=6) + demanded("foo=foo"))
    quota = config(rule("service", "service_1", per(1, "minute"), quota_mode=True), rule("service", "service_2", per(2, "minute"), quota_mode=True), domain="quota")
    yield Sequence("demo: two quotas", quota, ask(MINUTE, "service=service_1", "service=service_2", domain="quota", times=4) + ask(MINUTE, "service=service_1", domain="quota"))


def basic(shadow):
    marks = {"shadow_mode": True} if shadow else {}
    return config(
        rule("key1", "value1", below=[rule("subkey1", None, per(5, "second"), **marks), rule("subkey1", "subvalue1", per(10, "second"))]),
        rule("key2", None, per(20, "minute"), **marks),
        rule("key2", "value2", per(30, "minute")),
        rule("key2", "value3"),
        rule("key3", None, per(1, "hour")),
        rule("key4", None, per(1, "day")),
        rule("key5", "value5", per(15, "day"), below=[rule("subkey5", "subvalue5", per(25, "day"))]),
        domain="test-domain",
    )


FIXTURE = "test-domain"


def asked(*descriptors, hits=None, times=1):
    return ask(MINUTE, *descriptors, domain=FIXTURE, hits=hits, times=times)


def fixtures():
    for shadow in (False, True):
        yield Sequence(
            f"fixture: basic_config{', in shadow' if shadow else ''}",
            basic(shadow),
            asked("key1=value1,subkey1=something", hits=3, times=2)
            + asked("key1=value1,subkey1=subvalue1", hits=6, times=2)
            + asked("key1=value1,subkey1=") + asked("key1=value1") + asked("key1=other,subkey1=x")
            + asked("key2=something", hits=11, times=2)
            + asked("key2=value2", hits=16, times=2)
            + asked("key2=value3", hits=1_000)
            + asked("key2=value2,subkey=subvalue", hits=1_000)
            + asked("key3=foo", "key4=foo", times=2)
            + asked("key5=value5", "key5=value5,subkey5=subvalue5", "key5=value5,subkey5=x", hits=13, times=2)
            + asked("key5=value4", "key5=value5,subkey5=subvalue5,more=x"),
        )
    wild = config(
        rule("wild", "foo*", per(20, "minute")),
        rule("noWild", "foo", per(20, "minute")),
        rule("noVal", None, per(20, "minute")),
        rule("midWild", "bar*b", per(20, "minute")),
        domain=FIXTURE,
    )
    values = ["wild=foo", "wild=foo1", "wild=fo", "noWild=foo", "noWild=foo1", "noVal=foo", "midWild=bar*b", "midWild=barab", "midWild=bar", "midWild=barb"]
    yield Sequence("fixture: wildcard", wild, [step for value in values for step in asked(value, hits=15, times=2)])
    yield Sequence(
        "fixture: metadata",
        config(
            rule("key1", "value1", below=[
                rule("subkey1", None, per(5, "second"), metadata={"name": "service_1"}),
                rule("subkey1", "subvalue1", per(10, "second")),
            ]),
            rule("key2", None, per(20, "minute"), metadata={"service_with_quota": {"name": "service_2"}}),
            domain=FIXTURE,
        ),
        asked("key1=value1,subkey1=x", "key2=y", hits=5, times=2) + asked("key1=value1,subkey1=subvalue1"),
        {"RESPONSE_DYNAMIC_METADATA": "true"},
    )
    one = config(rule("key1", "value1", per(10, "minute")), domain=FIXTURE)
    two = config(rule("key2", "value2", per(20, "minute")), domain=FIXTURE)
    yield Sequence("fixture: merge_domain_key1 and 2", {"1.yaml": one, "2.yaml": two}, asked("key1=value1", "key2=value2", hits=9, times=3), {"MERGE_DOMAIN_CONFIG": "true"})
    yield Sequence("fixture: multiple_1, 2 and 3", {f"{n}.yaml": config(domain=f"test-domain-{n}") for n in (1, 2, 3)}, [step for n in (1, 2, 3, 4) for step in ask(MINUTE, "k=v", domain=f"test-domain-{n}")])
    yield from shared_fixture()


def shared_fixture():
    def shared(key, value, amount=None, below=None, **more):
        return rule(key, value, per(amount, "minute") if amount else None, below, share_threshold=True, **more)

    rules = config(
        shared("files", "files/*", 100),
        rule("nested", "parent", below=[shared("files", "nested/*", 200)]),
        shared("files", "top/*", below=[shared("files", "nested/*", 300)]),
        shared("route", "api/*", below=[rule("method", None, per(60, "minute"))], value_to_metric=True),
        shared("service", "svc/*", below=[rule("endpoint", None, per(80, "minute"), detailed_metric=True)]),
        shared("path", "path/*", below=[rule("file", "file/*", below=[rule("type", None, per(120, "minute"))], share_threshold=False)]),
        shared("user", "user/*", below=[shared("resource", "res/*", below=[rule("action", None, per(150, "minute"))])]),
        rule("file", "test1", per(50, "minute")),
        shared("file", "test*", 100),
        shared("midpath", "/api*v1", 100),
        shared("multiroute", "svc*ep*rpc", 50),
        shared("midroute", "/api*v2", 80, value_to_metric=True),
        shared("tenant", "t*prod", below=[shared("resource", "res*v2", 60)]),
        domain=FIXTURE,
    )
    pairs = [
        ("files=files/a", "files=files/b"),
        ("nested=parent,files=nested/a", "nested=parent,files=nested/b"),
        ("files=top/a,files=nested/a", "files=top/b,files=nested/b"),
        ("route=api/a,method=GET", "route=api/b,method=GET"),
        ("service=svc/a,endpoint=e", "service=svc/b,endpoint=e"),
        ("path=path/a,file=file/1,type=t", "path=path/b,file=file/1,type=t", "path=path/b,file=file/2,type=t"),
        ("user=user/1,resource=res/1,action=a", "user=user/2,resource=res/2,action=a", "user=user/2,resource=res/2,action=b"),
        ("file=test1", "file=test2", "file=test3"),
        ("midpath=/api/1/v1", "midpath=/apiv1", "midpath=/api/1"),
        ("multiroute=svc-ep-rpc", "multiroute=svceprpc"),
        ("midroute=/api/1/v2", "midroute=/api/2/v2"),
        ("tenant=t1prod,resource=res1v2", "tenant=t2prod,resource=res2v2", "tenant=t2,resource=res2v2"),
    ]
    for pair in pairs:
        yield Sequence(f"fixture: share_threshold, {pair[0]}", rules, [step for value in pair for step in asked(value, hits=45, times=2)])


def integration():
    another = config(*[rule(key, None, per(amount, unit)) for key, amount, unit in (
        ("key2", 20, "minute"), ("key3", 10, "hour"), ("key2_local", 20, "minute"), ("key3_local", 10, "hour"), ("key4", 20, "day"), ("key4_local", 20, "day"),
    )], domain="another")
    basic = config(rule("key1", None, per(50, "second")), rule("key1_local", None, per(50, "second")), rule("one_per_minute", None, per(1, "minute")), domain="basic")
    files = {"another.yaml": another, "basic.yaml": basic}
    yield Sequence("integration: an unknown domain", files, ask(MINUTE, "hello=world", domain="foo"))
    yield Sequence("integration: fifty a second", files, ask(MINUTE, "key1=foo", domain="basic", hits=50) + ask(MINUTE, "key1=foo", "one_per_minute=something", domain="basic", times=2))
    yield Sequence("integration: twenty-five calls on twenty a minute", files, ask(MINUTE, "key2=random", domain="another", times=25))
    yield Sequence("integration: twenty a minute and ten an hour together", files, ask(HOUR, "key2=1", "key3=1", domain="another", times=15))
    yield Sequence("integration: local names are other keys", files, ask(HOUR, "key4=1", "key4_local=1", "key2_local=1", "key3_local=1", domain="another", hits=11, times=2))
    yield Sequence("integration: the time left goes down", files, [step for at in (0, 1, 2, 30, 59) for step in ask(MINUTE + at, "key2=t", domain="another")])
    share = config(
        rule("files", "files/*", per(10, "hour"), share_threshold=True),
        rule("files_no_share", "files_no_share/*", per(10, "hour")),
        domain="share-threshold-test",
    )
    names = ["a.pdf", "b.csv", "c.txt"]
    yield Sequence("integration: files that share", share, [step for name in names for step in ask(HOUR, f"files=files/{name}", domain="share-threshold-test", times=5)])
    yield Sequence("integration: files that do not", share, [step for name in names for step in ask(HOUR, f"files_no_share=files_no_share/{name}", domain="share-threshold-test", hits=4, times=3)])
    reload = config(rule("key1", None, per(50, "second")), rule("block", None, per(0, "second")), rule("one_per_minute", None, per(1, "minute")), domain="reload")
    yield Sequence("integration: reload", reload, ask(MINUTE, "block=foo", domain="reload") + ask(MINUTE, "one_per_minute=x", "key1=x", domain="reload", times=2))
    merged = config(rule("key11", None, per(50, "second")), rule("block1", None, per(0, "second")), rule("one_per_minute1", None, per(1, "minute")), domain="basic")
    yield Sequence("integration: one more file of the domain", {"1.yaml": basic, "2.yaml": merged}, ask(MINUTE, "block1=x", "key1=x", domain="basic") + ask(MINUTE, "one_per_minute=x", "one_per_minute1=x", domain="basic", times=2), {"MERGE_DOMAIN_CONFIG": "true"})
    clean = config(rule("grpc_path", None, per(50, "minute"), value_to_metric=True), rule("detailed_path", None, per(50, "minute"), detailed_metric=True), domain="sanitize")
    yield Sequence("integration: names that metrics clean", clean, ask(MINUTE, "grpc_path=/a.B/C:d", "detailed_path=/a.B/C|d", domain="sanitize", hits=30, times=2))
    headers = config(rule("key1", None, per(50, "second")), domain="basic_headers")
    yield Sequence("integration: headers", headers, ask(MINUTE, "key1=foo", domain="basic_headers", hits=25, times=3), {"LIMIT_RESPONSE_HEADERS_ENABLED": "true"})
    legacy = config(rule("key1", None, per(50, "second")), rule("key2_10", None, per(10, "second")), domain="basic_legacy")
    yield Sequence("integration: legacy", legacy, ask(MINUTE, "key1=foo", "key2_10=foo", "key2=10", domain="basic_legacy", hits=9, times=2))


def others():
    istio = config(
        rule("PATH", "/productpage", per(1, "minute")),
        rule("PATH", "api", per(2, "minute")),
        rule("PATH", None, per(100, "minute")),
        domain="ratelimit",
    )
    yield Sequence("Istio's task", istio, [step for path in ("/productpage", "api", "/") for step in ask(MINUTE, f"PATH={path}", domain="ratelimit", times=3)] + ask(MINUTE, "PATH=/", domain="ratelimit", hits=98))
    ambassador = config(
        rule("ip_address", None, per(500, "minute")),
        rule("generic_key", None, per(500, "minute")),
        rule("x-ambassador-test-allow", None, per(20, "second")),
        domain="ambassador",
    )
    yield Sequence("Ambassador's sample", ambassador, ask(MINUTE, "ip_address=10.0.0.1", "generic_key=label", "x-ambassador-test-allow=true", domain="ambassador", hits=15, times=2))
    yield Sequence("three a day for each address", config(rule("remote_address", None, per(3, "day")), domain="edge_proxy_per_ip"), ask(DAY + 5, "remote_address=192.0.2.1", domain="edge_proxy_per_ip", times=4))
    gateway = config(
        rule("generic_key", "httproute/default/backend/rule/0/match/0/*", below=[rule("rule-0-match-0", None, per(3, "hour"))]),
        rule("generic_key", "httproute/default/backend/rule/0/match/0/www_example_com", below=[
            rule("rule-0-match-0", "rule-0-match-0", per(2, "minute"), shadow_mode=True),
            rule("rule-1-match--1", "rule-1-match--1", below=[
                rule("masked_remote_address", "10.0.0.0/8", below=[rule("remote_address", None, per(1, "minute"))]),
            ]),
        ]),
        domain="default/eg/http",
    )
    route = "generic_key=httproute/default/backend/rule/0/match/0/"
    yield Sequence(
        "shapes of Envoy Gateway",
        gateway,
        ask(HOUR, f"{route}www_example_com,rule-0-match-0=rule-0-match-0", f"{route}other,rule-0-match-0=x", domain="default/eg/http", times=4)
        + ask(HOUR, f"{route}www_example_com,rule-1-match--1=rule-1-match--1,masked_remote_address=10.0.0.0/8,remote_address=10.1.2.3", domain="default/eg/http", times=2)
        + ask(HOUR, entries(f"{route}www_example_com", "rule-1-match--1=rule-1-match--1"), domain="default/eg/http"),
    )
