"""Which rule a descriptor ends on: a walk entry by entry, without a way back."""

from written import HOUR, MINUTE, UNLIMITED, Bare, Sequence, ask, config, entries, per, rule

TWO = per(2, "minute")
FIVE = per(5, "minute")

TREE = config(
    rule("tenant", "acme", FIVE, below=[rule("path", "/a", per(1, "minute")), rule("path", None, TWO)]),
    rule("tenant", None, TWO, below=[rule("user", None, per(3, "minute"))]),
)


def sequences():
    return [*domains(), *levels(), *exemptions(), *hidden_by_the_walk(), *texts(), *apart()]


def domains():
    yield Sequence(
        "a domain that no policy has is not limited",
        config(rule("k", None, per(0, "minute"))),
        ask(MINUTE, "k=v") + ask(MINUTE, "k=v", domain="D") + ask(MINUTE, "k=v", domain="other", times=2),
    )
    yield Sequence(
        "a domain is compared to the letter",
        config(rule("k", None, per(0, "minute")), domain="Edge.Proxy/1"),
        ask(MINUTE, "k=v", domain="Edge.Proxy/1")
        + ask(MINUTE, "k=v", domain="edge.proxy/1")
        + ask(MINUTE, "k=v", domain="Edge.Proxy/1 ")
        + ask(MINUTE, "k=v", domain="Edge.Proxy"),
    )
    yield Sequence(
        "a domain without rules limits nothing",
        config(),
        ask(MINUTE, "k=v") + ask(MINUTE, "k=v", "k=w"),
    )
    yield Sequence(
        "domains of two files count by themselves",
        {
            "a.yaml": config(rule("k", None, per(1, "hour")), domain="a"),
            "b.yaml": config(rule("k", None, TWO), domain="b"),
        },
        [step for at in (0, 1, 2, 61) for name in "ab" for step in ask(HOUR + at, "k=v", domain=name)],
    )


def levels():
    yield Sequence(
        "a key alone gives every value a counter of its own",
        config(rule("k", None, TWO)),
        ask(MINUTE, "k=a", times=3) + ask(MINUTE + 1, "k=b", times=3) + ask(MINUTE + 2, "k=a"),
    )
    yield Sequence(
        "an exact value comes before the key alone, in either order of writing",
        {
            "a.yaml": config(rule("k", None, FIVE), rule("k", "v", per(1, "minute")), domain="a"),
            "b.yaml": config(rule("k", "v", per(1, "minute")), rule("k", None, FIVE), domain="b"),
        },
        [step for name in "ab" for it in ("k=v", "k=v", "k=w") for step in ask(MINUTE, it, domain=name)],
    )
    yield Sequence(
        "only the limit of the last entry's rule applies",
        TREE,
        ask(MINUTE, "tenant=acme,path=/a", times=3)
        + ask(MINUTE + 1, "tenant=acme", times=6)
        + ask(MINUTE + 2, "tenant=acme,path=/b", times=3),
    )
    yield Sequence(
        "a request deeper than the tree is not limited",
        TREE,
        ask(MINUTE, "tenant=acme,path=/a,method=GET", times=3) + ask(MINUTE, "tenant=x,user=u,role=r", times=3),
    )
    yield Sequence(
        "a request that stops on a rule without limit is not limited",
        config(rule("a", "x", below=[rule("b", None, per(0, "minute"))])),
        ask(MINUTE, "a=x") + ask(MINUTE, "a=x,b=y"),
    )
    yield Sequence(
        "a leaf before the last entry ends the walk",
        config(rule("a", None, per(1, "minute"))),
        ask(MINUTE, "a=x", times=2) + ask(MINUTE, "a=x,b=y", times=2) + ask(MINUTE, "a=x"),
    )
    yield Sequence(
        "the order of entries matters",
        config(rule("a", None, below=[rule("b", None, per(1, "minute"))])),
        ask(MINUTE, "a=1,b=2", times=2) + ask(MINUTE, "b=2,a=1", times=2) + ask(MINUTE, "b=2"),
    )
    yield Sequence(
        "five levels deep",
        config(
            rule("a", "1", below=[rule("b", None, below=[rule("c", "3", below=[rule("d", None, below=[
                rule("e", "5", TWO),
            ])])])]),
        ),
        ask(MINUTE, "a=1,b=2,c=3,d=4,e=5", times=3)
        + ask(MINUTE, "a=1,b=2,c=3,d=9,e=5")
        + ask(MINUTE, "a=1,b=2,c=3,d=4")
        + ask(MINUTE, "a=1,b=2,c=0,d=4,e=5")
        + ask(MINUTE, "a=1,b=2,c=3,d=4,e=5,f=6"),
    )
    yield Sequence(
        "the same key on two levels",
        config(rule("k", "a", TWO, below=[rule("k", "b", per(1, "minute")), rule("k", None, FIVE)])),
        ask(MINUTE, "k=a", times=3)
        + ask(MINUTE, "k=a,k=b", times=2)
        + ask(MINUTE, "k=a,k=a", times=2)
        + ask(MINUTE, "k=b,k=b"),
    )
    yield Sequence(
        "values above the last one choose the counter too",
        config(rule("tenant", None, below=[rule("path", "/x", TWO)])),
        ask(MINUTE, "tenant=a,path=/x", times=3) + ask(MINUTE, "tenant=b,path=/x", times=3),
    )


def exemptions():
    yield Sequence(
        "a listed value without limit is exempt from the default of its key",
        config(rule("k", None, per(1, "minute")), rule("k", "vip")),
        ask(MINUTE, "k=vip", times=3) + ask(MINUTE, "k=x", times=2),
    )
    yield Sequence(
        "an unlimited rule says so with the largest number",
        config(rule("k", "vip", UNLIMITED), rule("k", None, per(1, "minute"))),
        ask(MINUTE, "k=vip", times=3) + ask(MINUTE, "k=x", times=2) + ask(MINUTE, entries("k=vip", hits=1_000_000)),
    )
    yield Sequence(
        "an unlimited rule below a limited one",
        config(rule("k", None, per(0, "hour"), below=[rule("p", "/health", UNLIMITED), rule("p", None, TWO)])),
        ask(MINUTE, "k=x") + ask(MINUTE, "k=x,p=/health", times=3) + ask(MINUTE, "k=x,p=/", times=3),
    )
    yield Sequence(
        "a number or an unknown unit beside unlimited changes nothing",
        config(rule("k", None, {"unlimited": True, "requests_per_unit": 1}), rule("l", None, {"unlimited": True, "unit": "fortnight"})),
        ask(MINUTE, "k=v", times=2) + ask(MINUTE, "l=v", times=2),
    )
    yield Sequence(
        "unlimited false is as if it were not there",
        config(rule("k", None, {"unlimited": False, **per(1, "minute")})),
        ask(MINUTE, "k=v", times=2),
    )
    yield Sequence(
        "a blank rate_limit is none",
        config(rule("k", "free"), rule("k", None, per(1, "minute"))),
        ask(MINUTE, "k=free", times=2) + ask(MINUTE, "k=x", times=2),
        text="domain: d\ndescriptors:\n  - key: k\n    value: free\n    rate_limit:\n"
        "  - key: k\n    rate_limit: { unit: minute, requests_per_unit: 1 }\n",
    )
    yield Sequence(
        "blank descriptors, values and replaces are none",
        config(rule("k", None, per(1, "minute"))),
        ask(MINUTE, "k=x", times=2) + ask(MINUTE, "k=y"),
        text="domain: d\ndescriptors:\n  - key: k\n    value:\n    descriptors:\n    rate_limit:\n"
        "      unit: minute\n      requests_per_unit: 1\n      name:\n      replaces:\n",
    )


def hidden_by_the_walk():
    yield Sequence(
        "a listed parent hides the parent that has the wanted child",
        config(rule("a", "x", below=[rule("c", None, FIVE)]), rule("a", None, below=[rule("b", None, per(1, "minute"))])),
        ask(MINUTE, "a=x,b=1", times=3) + ask(MINUTE, "a=y,b=1", times=2) + ask(MINUTE, "a=x,c=1"),
    )
    yield Sequence(
        "a listed leaf hides the parent that has children",
        config(rule("a", "x", FIVE), rule("a", None, below=[rule("b", None, per(1, "minute"))])),
        ask(MINUTE, "a=x,b=1", times=2) + ask(MINUTE, "a=x") + ask(MINUTE, "a=y,b=1", times=2),
    )
    yield Sequence(
        "a wildcard parent hides the parent of the key alone",
        config(
            rule("a", "x*", below=[rule("b", "1", per(1, "minute"))]),
            rule("a", None, below=[rule("b", None, TWO)]),
        ),
        ask(MINUTE, "a=xx,b=1", times=2) + ask(MINUTE, "a=xx,b=2", times=3) + ask(MINUTE, "a=y,b=2", times=3),
    )


def texts():
    yield Sequence(
        "a descriptor without entries matches nothing",
        config(rule("k", None, per(0, "minute"))),
        ask(MINUTE, entries()) + ask(MINUTE, entries(), "k=v"),
    )
    yield Sequence(
        "an empty value falls to the rule of the key alone",
        config(rule("k", "v", per(0, "minute")), rule("k", None, TWO)),
        ask(MINUTE, "k=", times=3) + ask(MINUTE, "k=v") + ask(MINUTE, "k=x"),
    )
    yield Sequence(
        "a rule with an empty value is a rule of the key alone",
        config(rule("k", "", TWO)),
        ask(MINUTE, "k=", times=3) + ask(MINUTE, "k=x", times=3),
    )
    yield Sequence(
        "an empty key matches nothing",
        config(rule("k", None, per(0, "minute"))),
        ask(MINUTE, "=v") + ask(MINUTE, "="),
    )
    yield Sequence(
        "keys and values are compared to the letter",
        config(rule("Key", "Value", per(0, "minute"))),
        [step for it in ("Key=Value", "key=Value", "Key=value", "Key= Value", "Key=Value ") for step in ask(MINUTE, it)],
    )
    yield Sequence(
        "values are any text",
        config(rule("path", "/a b?c=d&e", per(1, "minute")), rule("name", "żółw", per(1, "minute")), rule("k", "a:b|c", TWO)),
        ask(MINUTE, entries(("path", "/a b?c=d&e")), times=2)
        + ask(MINUTE, "name=żółw", times=2)
        + ask(MINUTE, "name=żółwie")
        + ask(MINUTE, "k=a:b|c", times=3),
    )
    bare = [("010", "8"), ("yes", "true"), ("0x1F", "31"), ("2026-11-01", "2026-11-1"), ("1_000", "1000"), ("null-ish", "")]
    for written, other in bare:
        yield Sequence(
            f"an unquoted {written} matches as written",
            config(rule("k", Bare(written), per(1, "minute"))),
            ask(MINUTE, f"k={written}", times=2) + ask(MINUTE, f"k={other}", times=2),
        )
    yield Sequence(
        "numbers as keys and domains are texts",
        config(rule(Bare("42"), Bare("7"), per(1, "minute")), domain=Bare("2026")),
        ask(MINUTE, "42=7", domain="2026", times=2) + ask(MINUTE, "42=8", domain="2026"),
    )


def apart():
    yield Sequence(
        "a key that looks like a key and a value joined is another key",
        config(rule("a_b", None, per(0, "minute")), rule("a", None, TWO)),
        ask(MINUTE, "a=b", times=3) + ask(MINUTE, "a_b=c") + ask(MINUTE, "a_b=", times=1),
    )
    yield Sequence(
        "a wildcard keeps to its key",
        config(rule("svc", "a*", per(0, "minute"))),
        ask(MINUTE, "svc_a=x") + ask(MINUTE, "svc=_a") + ask(MINUTE, "svc=ab"),
    )
    yield Sequence(
        "entries that join to the same text have counters of their own",
        config(rule("a", None, TWO, below=[rule("c", None, TWO)])),
        ask(MINUTE, "a=b_c_d", times=2) + ask(MINUTE, "a=b,c=d", times=3) + ask(MINUTE, "a=b_c_d", times=2),
    )
