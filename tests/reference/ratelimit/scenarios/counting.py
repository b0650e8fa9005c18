"""Hits: counted first and judged then; many, none, given back."""

from written import HOUR, MINUTE, UNLIMITED, Sequence, ask, config, entries, per, rule


def k(hits=None, back=False, value="v"):
    return entries(f"k={value}", hits=hits, back=back)


def of(amount, unit="minute", **more):
    return config(rule("k", None, per(amount, unit), **more))


def sequences():
    return [*amounts(), *many(), *none(), *given_back()]


def amounts():
    for amount in (1, 2, 7):
        yield Sequence(f"a limit of {amount} admits {amount}", of(amount), ask(MINUTE, "k=v", times=amount + 2))
    yield Sequence("a limit of 0 admits nothing", of(0), ask(MINUTE, "k=v", times=2) + ask(MINUTE + 60, "k=v"))
    yield Sequence(
        "requests_per_unit left out is 0",
        config(rule("k", None, {"unit": "minute", "requests_per_unit": 0})),
        ask(MINUTE, "k=v", times=2),
        text="domain: d\ndescriptors:\n  - key: k\n    rate_limit: { unit: minute }\n",
    )
    yield Sequence("the largest limit", of(2**32 - 1), ask(MINUTE, "k=v", times=2) + ask(MINUTE, k(hits=2**32 - 4)) + ask(MINUTE, "k=v", times=3))
    yield Sequence("what was denied was counted, and shows after a give-back", of(2), ask(MINUTE, "k=v", times=5) + ask(MINUTE, k(1, True)) + ask(MINUTE, k(0)) + ask(MINUTE, k(2, True)) + ask(MINUTE, k(0)))


def many():
    yield Sequence("hits of the request", of(10), ask(MINUTE, "k=v", hits=3, times=4) + ask(MINUTE, "k=v"))
    yield Sequence("hits of 0 in the request are one", of(2), ask(MINUTE, "k=v", hits=0, times=3))
    yield Sequence("hits that fill the limit to the last one", of(10), ask(MINUTE, "k=v", hits=10) + ask(MINUTE, "k=v"))
    yield Sequence(
        "hits larger than what is left are counted all the same",
        of(5),
        ask(MINUTE, "k=v", hits=3) + ask(MINUTE, "k=v", hits=4) + ask(MINUTE, "k=v", hits=2) + ask(MINUTE, "k=v"),
    )
    yield Sequence("hits larger than the limit use it up", of(5), ask(MINUTE, "k=v", hits=6) + ask(MINUTE, "k=v") + ask(MINUTE + 60, "k=v"))
    yield Sequence("a descriptor's own hits win", of(10), ask(MINUTE, k(hits=4), hits=9, times=2) + ask(MINUTE, "k=v", hits=2) + ask(MINUTE, "k=v"))
    yield Sequence(
        "hits of the request go to each descriptor without its own",
        of(10),
        ask(MINUTE, k(), k(hits=2, value="w"), k(value="x"), hits=5, times=2) + ask(MINUTE, k(), k(value="w"), k(value="x")),
    )
    yield Sequence("a million hits at once", of(1_000), ask(MINUTE, k(hits=1_000_000)) + ask(MINUTE, "k=v") + ask(MINUTE + 60, k(hits=1_000)))


def none():
    yield Sequence(
        "hits of 0 look without counting",
        of(2),
        ask(MINUTE, k(0), times=2) + ask(MINUTE, "k=v") + ask(MINUTE, k(0)) + ask(MINUTE, "k=v") + ask(MINUTE, k(0), times=2),
    )
    yield Sequence("a look beyond the limit is over it", of(2), ask(MINUTE, "k=v", times=3) + ask(MINUTE, k(0)) + ask(MINUTE + 60, k(0)))
    yield Sequence("a look at a limit of 0 is fine", of(0), ask(MINUTE, k(0), times=2) + ask(MINUTE, "k=v") + ask(MINUTE, k(0)))
    yield Sequence("a look before the first hit begins nothing", of(1, "hour"), ask(HOUR, k(0)) + ask(HOUR + 3_599, "k=v") + ask(HOUR + 3_600, "k=v"))
    yield Sequence(
        "check at the request, pay at its end",
        of(10),
        [step for cost in (4, 5, 3, 2) for step in ask(MINUTE, k(0)) + ask(MINUTE + 1, k(cost))],
    )
    yield Sequence("a look does not hide the hits of another descriptor", of(1), ask(MINUTE, k(0), k(value="w")) + ask(MINUTE, k(0), k(value="w")))


def given_back():
    yield Sequence("hits are given back", of(3), ask(MINUTE, "k=v", times=3) + ask(MINUTE, k(2, True)) + ask(MINUTE, "k=v", times=3))
    yield Sequence("never below zero", of(3), ask(MINUTE, "k=v") + ask(MINUTE, k(100, True)) + ask(MINUTE, "k=v", times=4))
    yield Sequence("a give-back to a fresh counter", of(3), ask(MINUTE, k(1, True)) + ask(MINUTE, "k=v", times=4))
    yield Sequence("a give-back is always fine", of(2), ask(MINUTE, "k=v", times=5) + ask(MINUTE, k(1, True), times=3) + ask(MINUTE, "k=v", times=2))
    yield Sequence("a give-back without a number is of one", of(2), ask(MINUTE, "k=v", times=2) + ask(MINUTE, k(None, True)) + ask(MINUTE, "k=v", times=2))
    yield Sequence("a give-back of the request's hits", of(9), ask(MINUTE, "k=v", hits=9) + ask(MINUTE, k(None, True), hits=4) + ask(MINUTE, k(0)))
    yield Sequence("a give-back of none is a look that is always fine", of(1), ask(MINUTE, "k=v", times=2) + ask(MINUTE, k(0, True)) + ask(MINUTE, k(0)))
    yield Sequence("a give-back in the next window finds nothing", of(2), ask(MINUTE, "k=v", times=2) + ask(MINUTE + 60, k(2, True)) + ask(MINUTE + 60, "k=v", times=3))
    yield Sequence("a give-back to a limit of 0", of(0), ask(MINUTE, "k=v") + ask(MINUTE, k(5, True)) + ask(MINUTE, k(0)))
    yield Sequence(
        "a give-back beside a hit",
        of(2),
        ask(MINUTE, k(), k(value="w"), times=2) + ask(MINUTE, k(1, True), k(value="w")) + ask(MINUTE, k(), k(1, True, "w")) + ask(MINUTE, k(0), k(0, value="w")),
    )
    yield Sequence(
        "a give-back where nothing is limited",
        config(rule("k", "free", UNLIMITED)),
        ask(MINUTE, k(3, True, "free")) + ask(MINUTE, k(3, True, "x")) + ask(MINUTE, k(3, True), domain="other"),
    )
    yield Sequence("a give-back to a rule in shadow", of(1, shadow_mode=True), ask(MINUTE, "k=v", times=3) + ask(MINUTE, k(2, True)) + ask(MINUTE, k(1, True)) + ask(MINUTE, "k=v"))
