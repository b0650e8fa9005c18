"""Headers and dynamic metadata, and the two calls that get an error."""

from written import HOUR, MINUTE, UNLIMITED, Sequence, ask, config, entries, per, rule

ONE = per(1, "minute")
FIVE = per(5, "minute")
HEADERS = {"LIMIT_RESPONSE_HEADERS_ENABLED": "true"}
METADATA = {"RESPONSE_DYNAMIC_METADATA": "true"}
RULES = config(
    rule("user", None, FIVE),
    rule("tenant", None, per(3, "hour")),
    rule("quota", None, ONE, quota_mode=True),
    rule("soft", None, ONE, shadow_mode=True),
    rule("free", None, UNLIMITED),
)
TOLD = config(
    rule("user", None, FIVE, metadata={"name": "users", "tier": {"class": "gold", "weight": 2}}),
    rule("tenant", None, ONE, metadata={"name": "tenants", "tier": {"class": "iron", "color": "grey"}, "on": True}),
    rule("quota", None, ONE, quota_mode=True, metadata={"backend": "a", "spare": ["b", "c"]}),
    rule("soft", None, ONE, shadow_mode=True, metadata={"soft": True}),
    rule("free", None, UNLIMITED, metadata={"free": True}),
    rule("plain", None, FIVE),
)


def sequences():
    return [*headers(), *named_headers(), *told(), *merged(), *errors()]


def headers():
    yield Sequence("headers: of the only limit", RULES, ask(MINUTE + 12, "user=u", times=6), HEADERS)
    yield Sequence("headers: none where nothing is limited", RULES, ask(MINUTE, "no=1") + ask(MINUTE, "free=1") + ask(MINUTE, "user=u", domain="other"), HEADERS)
    yield Sequence("headers: of the limit with the least left", RULES, ask(MINUTE, "user=u", "tenant=t", times=3) + ask(MINUTE, "user=u", "tenant=t2", times=2), HEADERS)
    yield Sequence("headers: of the first when as much is left", RULES, ask(MINUTE, "user=u", hits=2) + ask(HOUR, entries("user=w", hits=3), "tenant=t") + ask(HOUR, "tenant=t2", entries("user=x", hits=3)), HEADERS)
    yield Sequence("headers: a limit that is over wins", RULES, ask(HOUR, entries("user=u", hits=6)) + ask(HOUR, entries("tenant=t", hits=3), "user=u"), HEADERS)
    yield Sequence("headers: the last of two that are over", RULES, ask(HOUR, entries("user=u", hits=6), entries("tenant=t", hits=4)) + ask(HOUR, "tenant=t", "user=u"), HEADERS)
    yield Sequence("headers: a used-up quota by what is left", RULES, ask(HOUR, "quota=q", "user=u", times=2) + ask(HOUR, entries("user=w", hits=5), "quota=q"), HEADERS)
    yield Sequence("headers: a shadow rule by what is left", RULES, ask(HOUR, "soft=s", "user=u", times=2), HEADERS)
    yield Sequence("headers: an unlimited rule has none", RULES, ask(HOUR, "free=1", "user=u"), HEADERS)
    yield Sequence("headers: of a limit of the request", RULES, ask(HOUR, entries("x=1", limit=(9, "day")), "user=u"), HEADERS)
    yield Sequence("headers: of a look and a give-back", RULES, ask(HOUR, entries("user=u", hits=0)) + ask(HOUR, entries("user=u", back=True)), HEADERS)
    yield Sequence("headers: with SHADOW_MODE", RULES, ask(HOUR, "user=u", hits=6), {**HEADERS, "SHADOW_MODE": "true"})
    yield Sequence("headers: with QUOTA_MODE", RULES, ask(HOUR, "user=u", "tenant=t", hits=4, times=2), {**HEADERS, "QUOTA_MODE": "true"})
    yield Sequence("headers: whole seconds", RULES, ask(MINUTE + 0.5, "user=u") + ask(MINUTE + 59.75, "user=u"), HEADERS)
    yield Sequence("headers: of a replaced limit are those of the other", config(rule("a", None, ONE, name="a"), rule("b", None, FIVE, replaces=["a"])), ask(MINUTE, "a=1", "b=1"), HEADERS)


def named_headers():
    own = {"LIMIT_LIMIT_HEADER": "X-Quota-Limit", "LIMIT_REMAINING_HEADER": "X-Quota-Left", "LIMIT_RESET_HEADER": "X-Quota-Reset"}
    yield Sequence("headers: with names of their own", RULES, ask(MINUTE, "user=u"), {**HEADERS, **own})
    yield Sequence("headers: one name of its own", RULES, ask(MINUTE, "user=u"), {**HEADERS, "LIMIT_RESET_HEADER": "X-Reset"})
    yield Sequence("headers: names alone turn nothing on", RULES, ask(MINUTE, "user=u"), own)
    yield Sequence("headers and metadata", TOLD, ask(MINUTE, "user=u"), {**HEADERS, **METADATA})


def told():
    yield Sequence("metadata: the request as it was asked", RULES, ask(MINUTE, "user=u,path=/a=b", "no=1", entries()), METADATA)
    yield Sequence("metadata: hits of the request", RULES, ask(MINUTE, "user=u", hits=3) + ask(MINUTE, "user=u", hits=0), METADATA)
    yield Sequence("metadata: hits of a descriptor, 0 too", RULES, ask(MINUTE, entries("user=u", hits=2), entries("user=w", hits=0), hits=7), METADATA)
    yield Sequence("metadata: a limit of the request", RULES, ask(MINUTE, entries("user=u", limit=(5, "hour"))), METADATA)
    yield Sequence("metadata: of an unknown domain", RULES, ask(MINUTE, "user=u", domain="other"), METADATA)
    yield Sequence("metadata: of a denial", RULES, ask(MINUTE, "user=u", hits=6), METADATA)


def merged():
    yield Sequence("metadata: of a limit that passes", TOLD, ask(MINUTE, "user=u"), METADATA)
    yield Sequence("metadata: not of one that is over", TOLD, ask(MINUTE, "tenant=t", times=2), METADATA)
    yield Sequence("metadata: of several, the first value wins", TOLD, ask(MINUTE, "user=u", "tenant=t") + ask(MINUTE, "tenant=t2", "user=u"), METADATA)
    yield Sequence("metadata: only of those that passed", TOLD, ask(MINUTE, "user=u", "tenant=t", times=2), METADATA)
    yield Sequence("metadata: of quotas that have room", TOLD, ask(MINUTE, "quota=a", "quota=b") + ask(MINUTE, "quota=a", "quota=c", "user=u"), METADATA)
    yield Sequence("metadata: a shadow rule that is over passes", TOLD, ask(MINUTE, "soft=s", times=2), METADATA)
    yield Sequence("metadata: an unlimited rule has none", TOLD, ask(MINUTE, "free=1", "plain=1"), METADATA)
    yield Sequence("metadata: with a limit of the request there is none", TOLD, ask(MINUTE, entries("user=u", limit=(5, "minute"))), METADATA)
    yield Sequence("metadata: with SHADOW_MODE what is over is not among it", TOLD, ask(MINUTE, "tenant=t", "user=u", times=2), {**METADATA, "SHADOW_MODE": "true"})
    yield Sequence("metadata: a replaced limit has none", config(rule("a", None, ONE, name="a", metadata={"a": 1}), rule("b", None, ONE, replaces=["a"], metadata={"b": 2})), ask(MINUTE, "a=1", "b=1"), METADATA)
    yield Sequence(
        "metadata: with detailed_metric and value_to_metric it stays",
        config(rule("a", None, FIVE, detailed_metric=True, metadata={"a": "x"}), rule("b", None, FIVE, value_to_metric=True, metadata={"b": "y"})),
        ask(MINUTE, "a=1", "b=1"),
        METADATA,
    )
    yield Sequence(
        "metadata: keys that are rules' elsewhere, numbers, lists, nothing",
        config(rule("a", None, FIVE, metadata={"unit": "minute", "any key": [1, 2, {"x": -3}], "deep": {"er": {"est": False}}, "nothing": None})),
        ask(MINUTE, "a=1"),
        METADATA,
    )
    yield Sequence("metadata: not handed down", config(rule("a", None, FIVE, metadata={"a": "x"}, below=[rule("b", None, FIVE)])), ask(MINUTE, "a=1,b=1") + ask(MINUTE, "a=1"), METADATA)
    yield Sequence("metadata: off unless asked for", TOLD, ask(MINUTE, "user=u"))


def errors():
    yield Sequence("error: an empty domain", RULES, ask(MINUTE, "user=u", domain=""))
    yield Sequence("error: no descriptors", RULES, ask(MINUTE) + ask(MINUTE, domain="other"))
    yield Sequence("error: neither", RULES, ask(MINUTE, domain=""))
