"""Limits that the request brings along."""

from written import DAY, MINUTE, UNLIMITED, Sequence, ask, config, entries, per, rule

ONE = per(1, "minute")
FIVE = per(5, "minute")


def brings(amount, unit="minute", *pairs):
    return entries(*(pairs or ("k=v",)), limit=(amount, unit))


def sequences():
    rules = config(rule("k", None, FIVE, name="named"), rule("k", "free", UNLIMITED), rule("k", "soft", ONE, shadow_mode=True))
    yield Sequence("a limit of the request is used in place of the rule's", rules, ask(MINUTE, brings(2), times=3))
    yield Sequence("a larger limit of the request too", rules, ask(MINUTE, brings(7), times=8))
    yield Sequence("the rule and the limit of the request share a counter when their unit is the same", rules, ask(MINUTE, "k=v", times=3) + ask(MINUTE, brings(4), times=2) + ask(MINUTE, "k=v", times=2))
    yield Sequence("two limits of requests share a counter when their unit is the same", rules, ask(MINUTE, brings(3), times=2) + ask(MINUTE, brings(4)) + ask(MINUTE, brings(3)) + ask(MINUTE, brings(5), times=2))
    yield Sequence("with another unit they count apart", rules, ask(MINUTE + 3, "k=v", times=2) + ask(MINUTE + 3, brings(2, "hour"), times=3) + ask(MINUTE + 3, "k=v", times=4))
    yield Sequence("a limit of the request needs no rule", rules, ask(MINUTE, brings(1, "minute", "nobody=x"), times=2) + ask(MINUTE, brings(1, "minute", "nobody=x", "knows=y"), times=2))
    yield Sequence("in an unknown domain it is left out", rules, ask(MINUTE, brings(0), domain="other", times=2))
    yield Sequence("in a domain without rules it counts", config(), ask(MINUTE, brings(1), times=2))
    yield Sequence("an unlimited rule does not save from it", rules, ask(MINUTE, "k=free") + ask(MINUTE, brings(1, "minute", "k=free"), times=2))
    yield Sequence("it is never in shadow, and counts with the rule that is", rules, ask(MINUTE, "k=soft", times=2) + ask(MINUTE, brings(1, "minute", "k=soft"), times=2) + ask(MINUTE, "k=soft"))
    yield Sequence("it has no name", rules, ask(MINUTE, "k=v", brings(5)))
    yield Sequence("a limit of 0 in the request", rules, ask(MINUTE, brings(0)) + ask(MINUTE, entries("k=w", hits=0, limit=(0, "minute"))) + ask(MINUTE, entries("k=w", limit=(0, "minute"))))
    yield Sequence("the largest limit in the request", rules, ask(MINUTE, entries("k=v", hits=2**32 - 2, limit=(2**32 - 1, "day"))) + ask(MINUTE, brings(2**32 - 1, "day"), times=2))
    for unit, length in (("second", 1), ("minute", 60), ("hour", 3_600), ("day", 86_400), ("month", 2_592_000), ("year", 31_536_000)):
        begin = DAY // length * length
        yield Sequence(f"a limit per {unit} in the request", rules, ask(begin + length - 1, brings(1, unit), times=2) + ask(begin + length, brings(1, unit)))
    yield Sequence("hits and give-backs against it", rules, ask(MINUTE, entries("k=v", hits=3, limit=(5, "minute")), times=2) + ask(MINUTE, entries("k=v", hits=4, back=True, limit=(5, "minute"))) + ask(MINUTE, "k=v"))
    yield Sequence("one descriptor with it, one without", rules, ask(MINUTE, brings(1, "minute", "k=a"), "k=b", times=2))
    yield Sequence("the same descriptor with and without it in one call", rules, ask(MINUTE, brings(3), "k=v", times=3))
    yield Sequence("it counts by all entries", rules, ask(MINUTE, brings(1, "minute", "a=1", "b=2"), times=2) + ask(MINUTE, brings(1, "minute", "a=1", "b=3")) + ask(MINUTE, brings(1, "minute", "a=1")) + ask(MINUTE, brings(1, "minute", "b=2", "a=1")))
    yield Sequence(
        "beside a shared pattern each value counts alone",
        config(rule("k", "a*", per(2, "minute"), share_threshold=True)),
        ask(MINUTE, "k=a1", times=2) + ask(MINUTE, brings(2, "minute", "k=a1"), times=3) + ask(MINUTE, brings(2, "minute", "k=a2")) + ask(MINUTE, "k=a2"),
    )
    yield Sequence("on a descriptor without entries", config(rule("k", None, ONE)), ask(MINUTE, entries(limit=(1, "minute")), times=2))
