"""Configurations and calls drawn by chance, the same ones every time."""

import random

from written import HOUR, MINUTE, UNLIMITED, Sequence, ask, config, entries, per, rule

COUNT = 120
KEYS = ["a", "b", "c"]
VALUES = ["x", "y", "xy", "x/y", "yx"]
WILDCARDS = ["x*", "*y", "*", "x*y", "*x*"]
UNITS = ["second", "minute", "minute", "minute", "hour", "day", "week", "month", "year"]
SWITCHES = ["SHADOW_MODE", "QUOTA_MODE", "LIMIT_RESPONSE_HEADERS_ENABLED", "RESPONSE_DYNAMIC_METADATA"]


def sequences():
    for number in range(COUNT):
        chance = random.Random(f"tollgate {number}")
        kind = ["plain", "modes", "brought"][number % 3]
        yield drawn(chance, f"random walk {number}, {kind}", kind)


def drawn(chance, name, kind):
    rules = draw_rules(chance, kind, KEYS, depth=chance.choice([1, 2, 3]))
    settings = {}
    if kind == "modes":
        settings = {switch: "true" for switch in SWITCHES if chance.random() < 0.3}
    steps = []
    at = chance.choice([MINUTE, HOUR]) + chance.randrange(60)
    for _ in range(chance.randrange(6, 13)):
        descriptors = [draw_descriptor(chance, kind, rules) for _ in range(chance.choice([1, 1, 1, 2, 3]))]
        # Of one call tollgate counts what is taken before what is given back, so no call does both.
        back = [it for it in descriptors if "is_negative_hits" in it]
        descriptors = back[:1] or descriptors
        hits = chance.choice([None, None, None, 0, 1, 2, 3])
        steps += ask(at, *descriptors, hits=hits, domain=chance.choice(["d"] * 15 + ["other"]))
        at += chance.choice([0, 0, 0, 0, 0.5, 1, 30, 60, 3_600])
    return Sequence(name, config(*rules), steps, settings)


def draw_rules(chance, kind, keys, depth):
    """Rules of one level. Keys do not repeat on a path, so that most of these convert."""
    made, taken = [], set()
    for _ in range(chance.randrange(1, 5)):
        key = chance.choice(keys)
        value = chance.choice([None, *VALUES, *WILDCARDS])
        if (key, value) in taken:
            continue
        taken.add((key, value))
        more = draw_marks(chance, kind, value)
        left = [other for other in keys if other != key]
        below = draw_rules(chance, kind, left, depth - 1) if depth > 1 and left and chance.random() < 0.6 else None
        made.append(rule(key, value, draw_limit(chance, below), below, **more))
    return made


def draw_limit(chance, below):
    if chance.random() < (0.4 if below else 0.1):
        return None
    if chance.random() < 0.1:
        return UNLIMITED
    return per(chance.choice([0, 1, 1, 2, 2, 3, 5]), chance.choice(UNITS))


def draw_marks(chance, kind, value):
    marks = {}
    if chance.random() < 0.15:
        marks["shadow_mode"] = True
    if value in WILDCARDS and chance.random() < 0.4:
        marks["share_threshold"] = True
    if chance.random() < 0.2:
        marks["name"] = chance.choice(["one", "two"])
    if chance.random() < 0.2:
        marks["replaces"] = [it for it in ["one", "two"] if it != marks.get("name")][:1]
    if kind == "modes":
        if chance.random() < 0.4:
            marks["quota_mode"] = True
        if chance.random() < 0.4:
            marks["metadata"] = {chance.choice(["m", "n"]): {chance.choice(["p", "q"]): chance.randrange(9)}}
    return marks


def draw_descriptor(chance, kind, rules):
    """Mostly down a path of the rules; a sequence of kind plain never leaves their keys."""
    pairs = []
    while rules:
        chosen = chance.choice(rules)
        value = chosen.get("value")
        if value is None or "*" in value or chance.random() < 0.2:
            value = chance.choice(VALUES if kind == "plain" else [*VALUES, ""])
        pairs.append((chosen["key"], value))
        if chance.random() < 0.3:
            break
        rules = chosen.get("descriptors")
    if kind != "plain" and chance.random() < 0.1:
        pairs.append(("zzz", "x"))
    limit = None
    if kind == "brought" and chance.random() < 0.35:
        limit = (chance.choice([0, 1, 2, 4]), chance.choice(["second", "minute", "hour", "day"]))
    hits = chance.choice([None] * 6 + [0, 2, 3])
    back = hits != 0 and chance.random() < 0.1
    return entries(*pairs, hits=hits, back=back, limit=limit)
