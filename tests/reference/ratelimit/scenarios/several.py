"""Several descriptors in one call: each by itself, all together one code."""

from written import HOUR, MINUTE, UNLIMITED, Sequence, ask, config, entries, per, rule

USERS = config(rule("user", None, per(3, "minute")), rule("tenant", None, per(5, "minute")), rule("vip", None, UNLIMITED))


def sequences():
    yield Sequence("each descriptor is counted by itself", USERS, ask(MINUTE, "user=u", "tenant=t", times=4))
    yield Sequence(
        "the others are counted although one is over",
        USERS,
        ask(MINUTE, "user=u", "tenant=t", times=6) + ask(MINUTE, "tenant=t") + ask(MINUTE, "user=w", "tenant=t2"),
    )
    yield Sequence("one over is enough, wherever it stands", USERS, ask(MINUTE, "user=u", times=3) + ask(MINUTE, "user=u", "tenant=t") + ask(MINUTE, "tenant=t", "user=u"))
    yield Sequence("all over", USERS, ask(MINUTE, entries("user=u", hits=9), entries("tenant=t", hits=9)))
    yield Sequence("the same descriptor twice counts twice, in order", USERS, ask(MINUTE, "user=u", "user=u", times=3))
    yield Sequence("the same descriptor five times", USERS, ask(MINUTE, *["user=u"] * 5) + ask(MINUTE + 60, *["user=u"] * 2))
    yield Sequence("descriptors that match nothing say so in their place", USERS, ask(MINUTE, "no=1", "user=u", "no=2", "tenant=t", times=2))
    yield Sequence("unlimited beside limited", USERS, ask(MINUTE, "vip=v", "user=u", times=4))
    yield Sequence("unlimited alone and twice", USERS, ask(MINUTE, "vip=v", "vip=w"))
    yield Sequence("different values of one key in one call", USERS, ask(MINUTE, "user=a", "user=b", times=3) + ask(MINUTE, "user=a", "user=c"))
    yield Sequence("hits of their own, none among them", USERS, ask(MINUTE, entries("user=u", hits=2), entries("tenant=t", hits=0), times=2) + ask(MINUTE, "tenant=t"))
    yield Sequence("one over and one looked at", USERS, ask(MINUTE, "user=u", times=4) + ask(MINUTE, entries("user=u", hits=0), "tenant=t"))
    yield Sequence("over in one domain, fine in another", USERS, ask(MINUTE, "user=u", times=4) + ask(MINUTE, "user=u", "tenant=t", domain="other"))
    tree = config(rule("tenant", None, per(4, "minute"), below=[rule("path", None, per(2, "minute"))]))
    yield Sequence("a parent and its child are two counters", tree, ask(MINUTE, "tenant=t", "tenant=t,path=/a", times=3) + ask(MINUTE, "tenant=t", "tenant=t,path=/b", times=2))
    yield Sequence(
        "ten descriptors",
        config(*[rule(f"k{n}", None, per(n, "hour")) for n in range(10)]),
        ask(HOUR, *[f"k{n}=v" for n in range(1, 10)], times=2) + ask(HOUR, *[f"k{n}=v" for n in range(9, -1, -1)]),
    )
    yield Sequence("limits of every unit in one call", config(*[rule(unit, None, per(2, unit)) for unit in UNITS]), ask(HOUR + 7, *[f"{unit}=v" for unit in UNITS], times=3))


UNITS = ("second", "minute", "hour", "day", "week", "month", "year")
