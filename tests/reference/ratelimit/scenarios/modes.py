"""Shadow and quota, of a rule and of the whole server; counting only what was let through."""

from written import MINUTE, UNLIMITED, Sequence, ask, config, entries, per, rule

ONE = per(1, "minute")
TWO = per(2, "minute")
FIVE = per(5, "minute")
QUOTAS = config(
    rule("service", "one", ONE, quota_mode=True),
    rule("service", "two", TWO, quota_mode=True),
    rule("user", None, FIVE),
    rule("free", None, UNLIMITED),
    rule("soft", None, ONE, shadow_mode=True),
)


def sequences():
    return [*shadow(), *quota(), *all_quota(), *all_shadow(), *admitted_only()]


def shadow():
    yield Sequence("a rule in shadow is measured and never over", config(rule("k", None, TWO, shadow_mode=True)), ask(MINUTE, "k=v", times=4) + ask(MINUTE, "k=v", hits=100))
    yield Sequence("shadow and plain in one call", config(rule("k", None, ONE, shadow_mode=True), rule("l", None, TWO)), ask(MINUTE, "k=v", "l=v", times=4))
    yield Sequence("shadow of 0", config(rule("k", None, per(0, "minute"), shadow_mode=True)), ask(MINUTE, "k=v", times=2))
    yield Sequence(
        "shadow is not handed down to children",
        config(rule("k", None, ONE, shadow_mode=True, below=[rule("p", None, ONE)])),
        ask(MINUTE, "k=v,p=x", times=2) + ask(MINUTE, "k=v", times=2),
    )
    yield Sequence("shadow of a child only", config(rule("k", None, ONE, below=[rule("p", "x", ONE, shadow_mode=True)])), ask(MINUTE, "k=v,p=x", times=2) + ask(MINUTE, "k=v", times=2))
    yield Sequence("shadow of an unlimited rule means nothing", config(rule("k", None, UNLIMITED, shadow_mode=True)), ask(MINUTE, "k=v"))
    yield Sequence("shadow false enforces", config(rule("k", None, ONE, shadow_mode=False)), ask(MINUTE, "k=v", times=2))


def quota():
    yield Sequence("a quota alone denies like any limit", QUOTAS, ask(MINUTE, "service=one", times=2) + ask(MINUTE + 60, "service=one"))
    yield Sequence("one of two quotas used up does not deny", QUOTAS, ask(MINUTE, "service=one", "service=two", times=4))
    yield Sequence("a quota used up beside a plain limit denies", QUOTAS, ask(MINUTE, "service=one", "user=u", times=2))
    yield Sequence("a plain limit over beside a quota denies", QUOTAS, ask(MINUTE, "user=u", hits=5) + ask(MINUTE, "service=two", "user=u"))
    yield Sequence("a quota beside what nothing limits", QUOTAS, ask(MINUTE, "service=one", "no=1", times=2))
    yield Sequence("a quota beside an unlimited rule", QUOTAS, ask(MINUTE, "service=one", "free=1", times=2))
    yield Sequence("the same quota twice in one call", QUOTAS, ask(MINUTE, "service=one", "service=one", times=2))
    yield Sequence("looks at quotas", QUOTAS, ask(MINUTE, "service=one", "service=two", times=2) + ask(MINUTE, entries("service=one", hits=0), entries("service=two", hits=0)) + ask(MINUTE, entries("service=one", hits=0)))
    yield Sequence(
        "a quota in shadow is never used up",
        config(rule("a", None, ONE, quota_mode=True, shadow_mode=True), rule("b", None, ONE, quota_mode=True)),
        ask(MINUTE, "a=1", "b=1", times=3) + ask(MINUTE, "b=1"),
    )
    yield Sequence("three quotas", config(*[rule("q", f"{n}", per(n, "minute"), quota_mode=True) for n in (1, 2, 3)]), ask(MINUTE, "q=1", "q=2", "q=3", times=5))
    yield Sequence("a limit of the request is no quota", QUOTAS, ask(MINUTE, entries("service=one", limit=(1, "minute")), "service=two", times=2))
    yield Sequence("quota is not handed down", config(rule("k", None, ONE, quota_mode=True, below=[rule("p", None, ONE)]), rule("x", None, FIVE, quota_mode=True)), ask(MINUTE, "k=v,p=1", "x=1", times=2) + ask(MINUTE, "k=v", "x=1", times=2))


def all_quota():
    on = {"QUOTA_MODE": "true"}
    yield Sequence("QUOTA_MODE: one of two plain limits over does not deny", QUOTAS, ask(MINUTE, "service=one", "user=u", times=7), on)
    yield Sequence("QUOTA_MODE: a single limit denies", QUOTAS, ask(MINUTE, "user=u", times=6), on)
    yield Sequence("QUOTA_MODE: one descriptor without a limit keeps the code fine", QUOTAS, ask(MINUTE, "service=one", "no=1", times=3), on)
    yield Sequence("QUOTA_MODE: an unlimited one does not", QUOTAS, ask(MINUTE, "service=one", "free=1", times=3), on)
    yield Sequence("QUOTA_MODE: only unlimited ones", QUOTAS, ask(MINUTE, "free=1", "free=2"), on)
    yield Sequence("QUOTA_MODE: a limit of the request is a quota", QUOTAS, ask(MINUTE, entries("x=1", limit=(1, "minute")), "user=u", times=2), on)
    yield Sequence("QUOTA_MODE: an unknown domain", QUOTAS, ask(MINUTE, "user=u", domain="other", times=2), on)
    yield Sequence(
        "QUOTA_MODE: a replaced limit counts as one with room",
        config(rule("a", None, FIVE, name="a"), rule("b", None, ONE, replaces=["a"])),
        ask(MINUTE, "a=1", "b=1", times=3) + ask(MINUTE, "b=1"),
        on,
    )


def all_shadow():
    on = {"SHADOW_MODE": "true"}
    yield Sequence("SHADOW_MODE: the overall code is fine, the statuses say the truth", QUOTAS, ask(MINUTE, "user=u", "service=one", times=7), on)
    yield Sequence("SHADOW_MODE: a rule in shadow stays fine in its status", QUOTAS, ask(MINUTE, "soft=1", "service=one", times=2), on)
    yield Sequence("SHADOW_MODE: what is over is counted", config(rule("k", None, TWO)), ask(MINUTE, "k=v", times=4) + ask(MINUTE, entries("k=v", hits=1, back=True)) + ask(MINUTE, entries("k=v", hits=0)), on)
    yield Sequence("SHADOW_MODE and QUOTA_MODE", QUOTAS, ask(MINUTE, "service=one", times=3), {**on, "QUOTA_MODE": "true"})
    yield Sequence("SHADOW_MODE: a limit of the request", QUOTAS, ask(MINUTE, entries("x=1", limit=(1, "hour")), times=3), on)
    yield Sequence("SHADOW_MODE false", QUOTAS, ask(MINUTE, "service=one", times=2), {"SHADOW_MODE": "false"})


def admitted_only():
    on = {"STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT": "true"}
    plain = config(rule("service", None, ONE), rule("user", None, FIVE))
    yield Sequence("STOP_CACHE: a denied request takes nothing from the others", plain, ask(MINUTE, "service=one", "user=u", times=5) + ask(MINUTE, "user=u"), on)
    yield Sequence("STOP_CACHE: a request that a quota denies takes nothing from the others", QUOTAS, ask(MINUTE, "service=one", "user=u", times=5) + ask(MINUTE, "user=u"), on)
    yield Sequence("STOP_CACHE: hits that do not fit stay counted", config(rule("k", None, FIVE)), ask(MINUTE, "k=v", hits=3, times=2) + ask(MINUTE, "k=v", hits=2) + ask(MINUTE, "k=v"), on)
    yield Sequence("STOP_CACHE: the next window", config(rule("k", None, ONE), rule("l", None, per(3, "hour"))), [step for at in (0, 1, 2, 60, 61) for step in ask(MINUTE + at, "k=v", "l=v")], on)
    yield Sequence("STOP_CACHE: a limit of 0 spares the others", config(rule("k", "bad", per(0, "minute")), rule("l", None, TWO)), ask(MINUTE, "k=bad", "l=v", times=3) + ask(MINUTE, "l=v", times=3), on)
    yield Sequence("STOP_CACHE: a rule in shadow that is over spares the others too", QUOTAS, ask(MINUTE, "soft=1", "user=u", times=7), on)
    yield Sequence("STOP_CACHE: one of two quotas used up spares the other", QUOTAS, ask(MINUTE, "service=one", "service=two", times=4), on)
    yield Sequence("STOP_CACHE: quotas with more hits than one", QUOTAS, [step for hits in (3, 3, 2) for step in ask(MINUTE, entries("service=one", hits=hits), "service=two")], on)
    yield Sequence("STOP_CACHE: a shadow with more hits than one", QUOTAS, [step for hits in (3, 3, 2) for step in ask(MINUTE, entries("soft=1", hits=hits), "user=u")], on)
    yield Sequence("STOP_CACHE and SHADOW_MODE", plain, ask(MINUTE, "service=one", "user=u", times=4), {**on, "SHADOW_MODE": "true"})
    yield Sequence("STOP_CACHE and QUOTA_MODE", plain, ask(MINUTE, "service=one", "user=u", times=4), {**on, "QUOTA_MODE": "true"})
    yield Sequence("STOP_CACHE: one counter three times", config(rule("k", None, TWO)), ask(MINUTE, "k=v", "k=v", "k=v", times=2), on)
    yield Sequence("STOP_CACHE: a look spares nothing and is spared", plain, ask(MINUTE, "service=one", times=2) + ask(MINUTE, entries("service=one", hits=0), "user=u", times=2), on)
    yield Sequence("STOP_CACHE: a limit of the request", QUOTAS, ask(MINUTE, entries("x=1", limit=(1, "minute")), "user=u", times=4) + ask(MINUTE, "user=u"), on)
