"""Values with stars, and counters that all values of a pattern share."""

from written import HOUR, MINUTE, Sequence, ask, config, per, rule

ONE = per(1, "minute")
TWO = per(2, "minute")
FIVE = per(5, "minute")


def each(values, times=1, key="k", at=MINUTE):
    return [step for value in values for step in ask(at, f"{key}={value}", times=times)]


def sequences():
    return [*patterns(), *order(), *shared()]


def patterns():
    shapes = [
        ("a*", ["a", "ab", "a/b/c", "b", "ba", "A", ""]),
        ("*a", ["a", "ba", "ab", "aba", ""]),
        ("*", ["", "a", "a/b", "*"]),
        ("**", ["", "a"]),
        ("a*b", ["ab", "axb", "a/b", "abx", "a", "b", "aab", "abb"]),
        ("a*a", ["a", "aa", "aba", "ab"]),
        ("*mid*", ["mid", "xmidx", "mi", "midmid", "m-id"]),
        ("a*b*c", ["abc", "aXbYc", "acb", "abbc", "ac", "abcb", "abcbc"]),
        ("ab*bc", ["abc", "abbc", "ab-bc", "abcbc"]),
        ("/api/*/items/*", ["/api/1/items/2", "/api//items/", "/api/items/2", "/api/1/2/items/3/4", "/x/api/1/items/2"]),
        ("a.c*", ["a.c", "abc", "a.cd"]),
        ("[a]*?", ["[a]?", "[a]x?", "a?", "[a]"]),
        ("*-prod", ["eu-prod", "-prod", "prod", "eu-prod-1"]),
        ("ż*w", ["żółw", "żw", "zw"]),
    ]
    for pattern, values in shapes:
        yield Sequence(f"what the wildcard {pattern} takes", config(rule("k", pattern, per(0, "minute"))), each(values))
    yield Sequence(
        "each value of a wildcard has a counter of its own",
        config(rule("k", "a*", TWO)),
        each(["a1"], 3) + each(["a2"], 3) + each(["a"], 3),
    )


def order():
    yield Sequence(
        "an exact value comes before a wildcard, that before the key alone",
        config(rule("k", None, FIVE), rule("k", "a*", TWO), rule("k", "ab", ONE)),
        each(["ab", "ac", "b"], 3),
    )
    yield Sequence(
        "the first wildcard in the file wins, not the longest",
        config(rule("k", "a*", FIVE), rule("k", "abc*", ONE)),
        each(["abcd", "abc", "a"], 2),
    )
    yield Sequence(
        "a longer wildcard that stands first is met first",
        config(rule("k", "abc*", ONE), rule("k", "a*", FIVE)),
        each(["abcd", "abc", "ab"], 2),
    )
    yield Sequence(
        "a wildcard without limit exempts what it takes",
        config(rule("k", None, per(0, "minute")), rule("k", "health*")),
        each(["health", "healthz", "heal"]),
    )
    yield Sequence(
        "a value that is the very text of a wildcard is an exact match of it",
        config(rule("k", "*", FIVE), rule("k", "a*", ONE)),
        each(["a*"], 2) + each(["ab"], 2),
    )
    yield Sequence(
        "wildcards on two levels",
        config(rule("h", "*.example.com", below=[rule("p", "/v1/*", ONE), rule("p", "/v*", TWO)])),
        ask(MINUTE, "h=a.example.com,p=/v1/x", times=2)
        + ask(MINUTE, "h=b.example.com,p=/v1/x")
        + ask(MINUTE, "h=a.example.com,p=/v2/x", times=3)
        + ask(MINUTE, "h=example.com,p=/v1/x")
        + ask(MINUTE, "h=a.example.com"),
    )
    yield Sequence(
        "what a wildcard took does not fall back to the key alone below",
        config(rule("k", "a*", below=[rule("p", "x", ONE)]), rule("k", None, below=[rule("p", None, TWO)])),
        ask(MINUTE, "k=a1,p=y", times=3) + ask(MINUTE, "k=a1,p=x", times=2) + ask(MINUTE, "k=b,p=y", times=3),
    )


def shared():
    yield Sequence(
        "values of a shared pattern have one counter",
        config(rule("files", "files/*", per(10, "hour"), share_threshold=True)),
        each([f"files/{n}.pdf" for n in range(12)], key="files", at=HOUR),
    )
    yield Sequence(
        "without share_threshold each value of the pattern counts alone",
        config(rule("files", "files/*", TWO, share_threshold=False)),
        each(["files/a", "files/b", "files/a", "files/a", "files/b"], key="files"),
    )
    yield Sequence(
        "an exact value beside a shared pattern counts alone",
        config(rule("file", "test1", ONE), rule("file", "test*", TWO, share_threshold=True)),
        each(["test1", "test2", "test1", "test3", "test4"], key="file"),
    )
    yield Sequence(
        "two shared patterns have a counter each",
        config(rule("k", "a*", TWO, share_threshold=True), rule("k", "b*", TWO, share_threshold=True)),
        each(["a1", "b1", "a2", "b2", "a3", "b3"]),
    )
    yield Sequence(
        "a shared pattern on the first of two levels",
        config(rule("svc", "svc/*", share_threshold=True, below=[rule("m", None, TWO)])),
        ask(MINUTE, "svc=svc/a,m=GET") + ask(MINUTE, "svc=svc/b,m=GET", times=2) + ask(MINUTE, "svc=svc/c,m=PUT"),
    )
    yield Sequence(
        "a shared pattern on the second of two levels",
        config(rule("t", None, below=[rule("p", "/a/*", TWO, share_threshold=True)])),
        ask(MINUTE, "t=1,p=/a/x") + ask(MINUTE, "t=1,p=/a/y", times=2) + ask(MINUTE, "t=2,p=/a/z"),
    )
    yield Sequence(
        "shared patterns on both levels",
        config(rule("u", "user/*", share_threshold=True, below=[rule("r", "res/*", TWO, share_threshold=True)])),
        ask(MINUTE, "u=user/1,r=res/1") + ask(MINUTE, "u=user/2,r=res/2") + ask(MINUTE, "u=user/3,r=res/3"),
    )
    yield Sequence(
        "one level shared, the next one not",
        config(rule("p", "path/*", share_threshold=True, below=[rule("f", "file/*", below=[rule("t", None, ONE)])])),
        ask(MINUTE, "p=path/1,f=file/1,t=x")
        + ask(MINUTE, "p=path/2,f=file/1,t=x")
        + ask(MINUTE, "p=path/2,f=file/2,t=x")
        + ask(MINUTE, "p=path/2,f=file/2,t=y"),
    )
    yield Sequence(
        "shared patterns with stars in the middle",
        config(rule("a", "/api*v1", TWO, share_threshold=True), rule("m", "svc*ep*rpc", TWO, share_threshold=True)),
        each(["/api/x/v1", "/api/y/v1", "/apiv1"], key="a") + each(["svc1ep1rpc", "svc2ep2rpc", "svceprpc", "svcrpc"], key="m"),
    )
    yield Sequence(
        "two descriptors of one call share one counter",
        config(rule("k", "a*", per(3, "minute"), share_threshold=True)),
        ask(MINUTE, "k=a1", "k=a2") + ask(MINUTE, "k=a3", "k=a4") + ask(MINUTE, "k=a5"),
    )
    yield Sequence(
        "a shared pattern begins anew with each window",
        config(rule("k", "a*", ONE, share_threshold=True)),
        each(["a1", "a2"], at=MINUTE + 59) + each(["a3", "a4"], at=MINUTE + 60),
    )
