"""What loads: documents, files, merged domains, settings of rules that only metrics know."""

from written import MINUTE, UNLIMITED, Sequence, ask, config, per, rule

ONE = per(1, "minute")
TWO = per(2, "minute")
FIVE = per(5, "minute")
MERGE = {"MERGE_DOMAIN_CONFIG": "true"}
OF_A_AND_B = ask(MINUTE, "a=1", "b=1", times=3)


def sequences():
    return [*yaml(), *merged(), *without_effect()]


def yaml():
    both = config(rule("a", None, ONE), rule("b", None, TWO))
    flow = "{domain: d, descriptors: [{key: a, rate_limit: {unit: minute, requests_per_unit: 1}}, {key: b, rate_limit: {unit: minute, requests_per_unit: 2}}]}\n"
    yield Sequence("written in braces", both, OF_A_AND_B, text=flow)
    yield Sequence("with the marks of begin and end", both, OF_A_AND_B, text=f"---\n{flow}...\n")
    comments = "# first\n\ndomain: d # second\ndescriptors:\n\n- key: a\n  # third\n  rate_limit:\n    requests_per_unit: 1\n    unit: minute\n- rate_limit: { requests_per_unit: 2, unit: minute }\n  key: b\n"
    yield Sequence("with comments, and in any order", both, OF_A_AND_B, text=comments)
    anchors = "domain: d\ndescriptors:\n  - key: a\n    rate_limit: &limit { unit: minute, requests_per_unit: 1 }\n  - key: b\n    rate_limit: *limit\n"
    yield Sequence("with an alias", config(rule("a", None, ONE), rule("b", None, ONE)), OF_A_AND_B, text=anchors)
    merge = "domain: d\ndescriptors:\n  - key: a\n    rate_limit: &limit { unit: minute, requests_per_unit: 1 }\n  - key: b\n    rate_limit: { <<: *limit, requests_per_unit: 2 }\n"
    yield Sequence("with a merge key", both, OF_A_AND_B, text=merge)
    quoted = 'domain: "d"\ndescriptors:\n  - key: \'a\'\n    value: "x y"\n    rate_limit: { unit: "minute", requests_per_unit: 1 }\n'
    yield Sequence("with quotes", config(rule("a", "x y", ONE)), ask(MINUTE, "a=x y", times=2), text=quoted)
    json = '{"domain": "d", "descriptors": [{"key": "a", "rate_limit": {"unit": "minute", "requests_per_unit": 1}}]}\n'
    yield Sequence("written as JSON", config(rule("a", None, ONE)), OF_A_AND_B, text=json)
    windows = "domain: d\r\ndescriptors:\r\n  - key: a\r\n    rate_limit:\r\n      unit: minute\r\n      requests_per_unit: 1\r\n"
    yield Sequence("with the line ends of Windows", config(rule("a", None, ONE)), OF_A_AND_B, text=windows)
    yield Sequence("descriptors left out", config(), OF_A_AND_B, text="domain: d\n")


def merged():
    files = {"1.yaml": config(rule("a", None, ONE)), "2.yaml": config(rule("b", None, TWO))}
    yield Sequence("MERGE: two files of one domain are one", files, OF_A_AND_B, MERGE)
    more = {**files, "3.yaml": config(rule("c", "x", FIVE), rule("a", "x", FIVE)), "4.yaml": config(rule("a", None, TWO), domain="other")}
    yield Sequence("MERGE: three files, and one of another domain", more, OF_A_AND_B + ask(MINUTE, "a=x", "c=x", "c=y", times=2) + ask(MINUTE, "a=1", domain="other", times=3), MERGE)
    names = {"1.yaml": config(rule("a", None, ONE, name="a")), "2.yaml": config(rule("b", None, TWO, replaces=["a"]))}
    yield Sequence("MERGE: limits replace those of another file", names, OF_A_AND_B + ask(MINUTE, "a=1"), MERGE)
    values = {"1.yaml": config(rule("k", None, ONE)), "2.yaml": config(rule("k", "v", TWO)), "3.yaml": config(rule("k", "w*", FIVE))}
    yield Sequence("MERGE: one key in several files", values, ask(MINUTE, "k=v", times=3) + ask(MINUTE, "k=wx", times=2) + ask(MINUTE, "k=x", times=2), MERGE)
    yield Sequence("MERGE: a single file", {"1.yaml": files["1.yaml"]}, OF_A_AND_B, MERGE)
    yield Sequence("MERGE: a file without rules", {**files, "3.yaml": config()}, OF_A_AND_B, MERGE)


def without_effect():
    for flag in ("detailed_metric", "value_to_metric"):
        yield Sequence(f"{flag} changes no decision", config(rule("a", None, ONE, **{flag: True}), rule("b", "1*", TWO, **{flag: True})), OF_A_AND_B)
    yield Sequence("metadata changes no decision", config(rule("a", None, ONE, metadata={"x": {"key": 1}}), rule("b", None, TWO, metadata={})), OF_A_AND_B)
    yield Sequence("an unreachable wildcard loads", config(rule("a", "*", ONE), rule("a", "1*", FIVE), rule("b", None, UNLIMITED)), OF_A_AND_B)
    yield Sequence("share_threshold false without a star loads", config(rule("a", "1", ONE, share_threshold=False)), OF_A_AND_B)
