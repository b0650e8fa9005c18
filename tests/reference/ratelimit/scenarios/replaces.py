"""Limits that give way to others of the same call."""

from written import MINUTE, UNLIMITED, Sequence, ask, config, entries, per, rule

ONE = per(1, "minute")
TWO = per(2, "minute")
FIVE = per(5, "minute")


def sequences():
    read = rule("class", "read", TWO, name="reads")
    wide = rule("endpoint", "/wide", FIVE, replaces=["reads"])
    yield Sequence("a replaced limit neither counts nor denies", config(read, wide), ask(MINUTE, "class=read", "endpoint=/wide", times=6) + ask(MINUTE, "class=read", times=3))
    yield Sequence("whichever comes first", config(read, wide), ask(MINUTE, "endpoint=/wide", "class=read", times=3) + ask(MINUTE, "class=read"))
    yield Sequence("without the one that replaces the limit stays", config(read, wide), ask(MINUTE, "class=read", "endpoint=/other", times=3))
    yield Sequence("a named limit is told by its name", config(read), ask(MINUTE, "class=read", times=3))
    yield Sequence(
        "one replaces several",
        config(rule("a", None, ONE, name="a"), rule("b", None, ONE, name="b"), rule("c", None, FIVE, replaces=["a", "b"])),
        ask(MINUTE, "a=1", "b=1", "c=1", times=2) + ask(MINUTE, "a=1", "b=1", times=2),
    )
    yield Sequence(
        "several replace one",
        config(rule("a", None, ONE, name="a"), rule("b", None, TWO, replaces=["a"]), rule("c", None, FIVE, replaces=["a"])),
        ask(MINUTE, "a=1", "b=1", "c=1", times=3) + ask(MINUTE, "a=1"),
    )
    yield Sequence(
        "two limits of one name are replaced together",
        config(rule("a", None, ONE, name="same"), rule("b", None, ONE, name="same"), rule("c", None, FIVE, replaces=["same"])),
        ask(MINUTE, "a=1", "b=1", "c=1", times=2) + ask(MINUTE, "a=1", "b=1", times=2),
    )
    yield Sequence(
        "one that is replaced itself replaces all the same",
        config(rule("a", None, ONE, name="a"), rule("b", None, ONE, name="b", replaces=["a"]), rule("c", None, FIVE, replaces=["b"])),
        ask(MINUTE, "a=1", "b=1", "c=1", times=2) + ask(MINUTE, "a=1", "b=1", times=2) + ask(MINUTE, "a=1"),
    )
    yield Sequence(
        "two that replace each other are both off",
        config(rule("a", None, ONE, name="a", replaces=["b"]), rule("b", None, ONE, name="b", replaces=["a"])),
        ask(MINUTE, "a=1", "b=1", times=3) + ask(MINUTE, "a=1", times=2),
    )
    yield Sequence(
        "an unlimited rule replaces",
        config(rule("source", "probe", UNLIMITED, replaces=["all"]), rule("path", None, ONE, name="all")),
        ask(MINUTE, "path=/", "source=probe", times=3) + ask(MINUTE, "path=/", "source=x", times=2),
    )
    yield Sequence(
        "an unlimited rule is not replaced",
        config(rule("a", None, UNLIMITED, name="a"), rule("b", None, TWO, replaces=["a"])),
        ask(MINUTE, "a=1", "b=1", times=3),
    )
    yield Sequence("a name that nobody has", config(rule("a", None, ONE, name="a", replaces=["nobody"])), ask(MINUTE, "a=1", times=2))
    yield Sequence(
        "a limit of 0 that is replaced denies nothing",
        config(rule("user", "banned", per(0, "minute"), name="ban"), rule("pass", "day", FIVE, replaces=["ban"])),
        ask(MINUTE, "user=banned") + ask(MINUTE, "user=banned", "pass=day", times=2),
    )
    yield Sequence(
        "rules of other domains are not replaced",
        {"a.yaml": config(rule("a", None, ONE, name="x"), domain="a"), "b.yaml": config(rule("b", None, FIVE, replaces=["x"]), domain="b")},
        ask(MINUTE, "a=1", "b=1", domain="a", times=2) + ask(MINUTE, "a=1", "b=1", domain="b"),
    )
    yield Sequence(
        "a rule whose limit the request brings along neither replaces nor is replaced",
        config(rule("a", None, ONE, name="a"), rule("b", None, FIVE, name="b", replaces=["a"])),
        ask(MINUTE, "a=1", entries("b=1", limit=(9, "minute")), times=2)
        + ask(MINUTE, entries("a=1", limit=(9, "minute")), "b=1", times=2),
    )
    yield Sequence(
        "a shadow rule replaces and can be replaced",
        config(rule("a", None, ONE, name="a"), rule("b", None, ONE, name="b", replaces=["a"], shadow_mode=True), rule("c", None, TWO, replaces=["b"])),
        ask(MINUTE, "a=1", "b=1", times=3) + ask(MINUTE, "b=1", "c=1", times=3) + ask(MINUTE, "b=1"),
    )
    yield Sequence(
        "a replaced quota is out of the count of quotas",
        config(rule("a", None, ONE, name="a", quota_mode=True), rule("b", None, ONE, quota_mode=True, replaces=["a"])),
        ask(MINUTE, "a=1", "b=1", times=2) + ask(MINUTE, "a=1", times=2),
    )
    yield Sequence(
        "a look and a give-back replace too",
        config(rule("a", None, ONE, name="a"), rule("b", None, ONE, replaces=["a"])),
        ask(MINUTE, "a=1", entries("b=1", hits=0), times=2) + ask(MINUTE, "a=1", entries("b=1", back=True)) + ask(MINUTE, "a=1", times=2),
    )
