"""A slow model of envoyproxy/ratelimit, and what it answers to the sequences beside it.

Written from what that server is known to do, never from tollgate's code, so that a mistake would
have to be made twice. `python3 tests/reference/ratelimit/model.py` writes all recordings anew, with `--check` it
says which differ; the same sequences always give the same bytes.

Where tollgate differs on purpose (docs/compatibility.md) the model is of tollgate: keys and values are
compared and counted apart, units never share a counter, the metadata of a limit is never lost, a
star in a key is a star.
No sequence takes hits and gives hits of the same counter back in one call: there tollgate takes first.
"""

import math
import sys

UNIT_SECONDS = {
    "SECOND": 1,
    "MINUTE": 60,
    "HOUR": 3_600,
    "DAY": 86_400,
    "WEEK": 7 * 86_400,
    "MONTH": 30 * 86_400,
    "YEAR": 365 * 86_400,
}

HEADER_NAMES = [
    ("LIMIT_LIMIT_HEADER", "RateLimit-Limit"),
    ("LIMIT_REMAINING_HEADER", "RateLimit-Remaining"),
    ("LIMIT_RESET_HEADER", "RateLimit-Reset"),
]

LARGEST = 2**32 - 1


class Refused(Exception):
    """A request that gets an error instead of an answer."""


class Limit:
    """What is in force for one descriptor of one request."""

    def __init__(self, amount, unit):
        self.amount = amount
        self.unit = unit
        self.name = ""
        self.replaces = []
        self.is_unlimited = False
        self.is_shadow = False
        self.is_quota = False
        self.metadata = {}
        # By the position of an entry: the text that is counted in place of its value.
        self.patterns = {}


def wildcard_matches(pattern, value):
    """Each star stands for zero or more characters; the texts around the stars may not overlap."""
    first, *middle, last = pattern.split("*")
    if not value.startswith(first):
        return False
    at = len(first)
    for text in middle:
        found = value.find(text, at)
        if found < 0:
            return False
        at = found + len(text)
    return len(value) - at >= len(last) and value.endswith(last)


def choose(rules, key, value):
    """The rule of one level for one entry: as written, else the first wildcard, else the key alone."""
    of_key = [rule for rule in rules if rule["key"] == key]
    written = [rule for rule in of_key if text_of(rule) and text_of(rule) == value]
    wildcards = [rule for rule in of_key if "*" in text_of(rule)]
    wildcards = [rule for rule in wildcards if wildcard_matches(text_of(rule), value)]
    alone = [rule for rule in of_key if not text_of(rule)]
    return next(iter(written + wildcards + alone), None)


def text_of(rule):
    return str(rule.get("value") or "")


def find(rules, entries):
    """The limit of the rule that the last entry ends on. There is no way back in the walk."""
    patterns = {}
    for position, (key, value) in enumerate(entries):
        rule = choose(rules, key, value)
        if rule is None:
            return None
        if rule.get("share_threshold"):
            patterns[position] = text_of(rule)
        if position == len(entries) - 1:
            return limit_of(rule, patterns)
        rules = rule.get("descriptors") or []
    return None


def limit_of(rule, patterns):
    written = rule.get("rate_limit")
    if written is None:
        return None
    limit = Limit(int(written.get("requests_per_unit") or 0), str(written.get("unit")).upper())
    limit.is_unlimited = bool(written.get("unlimited"))
    limit.name = str(written.get("name") or "")
    limit.replaces = [str(replaced["name"]) for replaced in written.get("replaces") or []]
    limit.is_shadow = bool(rule.get("shadow_mode"))
    limit.is_quota = bool(rule.get("quota_mode"))
    limit.metadata = rule.get("metadata") or {}
    limit.patterns = patterns
    return limit


class Server:
    """One server with one configuration, and its counters."""

    def __init__(self, documents, settings):
        self.settings = settings
        self.domains = {}
        for document in documents:
            rules = document.get("descriptors") or []
            domain = str(document["domain"])
            if domain in self.domains and not self.has("MERGE_DOMAIN_CONFIG"):
                raise ValueError(f"the domain {domain} stands twice")
            self.domains.setdefault(domain, []).extend(rules)
        self.counters = {}

    def has(self, setting):
        return self.settings.get(setting) == "true"

    def ask(self, at, request):
        """The answer to a request at a moment in Unix seconds."""
        if not request["domain"]:
            raise Refused("INVALID_ARGUMENT")
        if not request["descriptors"]:
            raise Refused("INVALID_ARGUMENT")
        now = math.floor(at)
        limits = [self.limit_for(request["domain"], it) for it in request["descriptors"]]
        unlimited = [limit is not None and limit.is_unlimited for limit in limits]
        limits = [self.unless_replaced(limit, limits) for limit in limits]
        quota = [self.is_quota(*pair) for pair in zip(limits, unlimited)]
        statuses = self.count(now, request, limits, quota)
        for position, is_unlimited in enumerate(unlimited):
            if is_unlimited:
                statuses[position] = bare_status(LARGEST)
        answer = {"overall": self.overall(statuses, quota), "statuses": statuses}
        if self.has("LIMIT_RESPONSE_HEADERS_ENABLED"):
            answer["headers"] = self.headers(statuses, quota)
        if self.has("RESPONSE_DYNAMIC_METADATA"):
            answer["metadata"] = metadata(request, limits, statuses)
        return answer

    def limit_for(self, domain, descriptor):
        if domain not in self.domains:
            return None
        if "limit" in descriptor:
            brought = descriptor["limit"]
            return Limit(brought["requests_per_unit"], brought["unit"])
        return find(self.domains[domain], descriptor["entries"])

    @staticmethod
    def unless_replaced(limit, limits):
        """None where nothing is counted: no limit, an unlimited one, one that another replaces."""
        if limit is None or limit.is_unlimited:
            return None
        replaced = {name for other in limits if other is not None for name in other.replaces}
        return None if limit.name and limit.name in replaced else limit

    def count(self, now, request, limits, quota):
        """Counts first, then judges, each descriptor by itself and in order."""
        pairs = list(zip(request["descriptors"], limits))
        spared = [False] * len(pairs)
        if self.has("STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT"):
            over = [self.goes_over(now, request, *pair) for pair in pairs]
            spared = [any(over) and not is_over for is_over in over]
        return [self.count_one(now, request, *pair, is_spared) for pair, is_spared in zip(pairs, spared)]

    def goes_over(self, now, request, descriptor, limit):
        """Looked at before anything is counted, each descriptor by itself."""
        if limit is None or descriptor.get("is_negative_hits", False):
            return False
        key = counter_key(now, request["domain"], descriptor, limit)
        return self.counters.get(key, 0) + hits_of(request, descriptor) > limit.amount

    def count_one(self, now, request, descriptor, limit, is_spared):
        if limit is None:
            return bare_status(0)
        is_given_back = descriptor.get("is_negative_hits", False)
        hits = 0 if is_spared and not is_given_back else hits_of(request, descriptor)
        key = counter_key(now, request["domain"], descriptor, limit)
        value = self.counters.get(key, 0) + (-hits if is_given_back else hits)
        self.counters[key] = max(value, 0)
        is_over = self.counters[key] > limit.amount and not is_given_back and not limit.is_shadow
        length = UNIT_SECONDS[limit.unit]
        return {
            "code": "OVER_LIMIT" if is_over else "OK",
            "limit": {"requests_per_unit": limit.amount, "unit": limit.unit, "name": limit.name},
            "remaining": max(limit.amount - self.counters[key], 0),
            "reset": length - now % length,
        }

    def is_quota(self, limit, is_unlimited):
        if is_unlimited:
            return False
        return self.has("QUOTA_MODE") or (limit is not None and limit.is_quota)

    def overall(self, statuses, quota):
        over = [status["code"] == "OVER_LIMIT" for status in statuses]
        of_quota = [is_over for is_over, is_quota in zip(over, quota) if is_quota]
        is_plain_over = any(is_over for is_over, is_quota in zip(over, quota) if not is_quota)
        is_over = is_plain_over or (bool(of_quota) and all(of_quota))
        return "OVER_LIMIT" if is_over and not self.has("SHADOW_MODE") else "OK"

    def headers(self, statuses, quota):
        """Of the limit with the least left, the first of several; the last plain one that is over wins."""
        told, least = None, LARGEST
        for status, is_quota in zip(statuses, quota):
            if status["limit"] is None:
                continue
            is_plain_over = status["code"] == "OVER_LIMIT" and not is_quota
            if status["remaining"] < least or is_plain_over:
                told, least = status, status["remaining"]
        if told is None:
            return {}
        values = [told["limit"]["requests_per_unit"], told["remaining"], told["reset"]]
        names = [self.settings.get(setting, name) for setting, name in HEADER_NAMES]
        return {name: str(value) for name, value in zip(names, values)}


def counter_key(now, domain, descriptor, limit):
    entries = []
    for position, (key, value) in enumerate(descriptor["entries"]):
        entries.append((key, limit.patterns.get(position, value)))
    return domain, tuple(entries), limit.unit, now // UNIT_SECONDS[limit.unit]


def hits_of(request, descriptor):
    return descriptor.get("hits_addend", request.get("hits_addend", 0) or 1)


def bare_status(remaining):
    return {"code": "OK", "limit": None, "remaining": remaining, "reset": None}


def metadata(request, limits, statuses):
    told = {"domain": request["domain"], "descriptors": [told_descriptor(it) for it in request["descriptors"]]}
    if request.get("hits_addend"):
        told["hitsAddend"] = request["hits_addend"]
    merged = {}
    for limit, status in zip(limits, statuses):
        if limit is not None and status["code"] == "OK":
            merge(merged, limit.metadata)
    if merged:
        told["metadata"] = merged
    return told


def told_descriptor(descriptor):
    told = {"entries": [f"{key}={value}" for key, value in descriptor["entries"]]}
    if "limit" in descriptor:
        brought = descriptor["limit"]
        amount = brought["requests_per_unit"]
        fields = [f"requests_per_unit:{amount}"] if amount else []
        told["limit"] = " ".join([*fields, f"unit:{brought['unit']}"])
    if "hits_addend" in descriptor:
        told["hitsAddend"] = descriptor["hits_addend"]
    return told


def merge(into, added):
    """The first value of a key wins; two mappings become one."""
    for key, value in added.items():
        if key not in into:
            into[key] = merge_copy(value)
        elif isinstance(into[key], dict) and isinstance(value, dict):
            merge(into[key], value)


def merge_copy(value):
    return {key: merge_copy(it) for key, it in value.items()} if isinstance(value, dict) else value


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    import record

    sys.exit(record.check() if "--check" in sys.argv else record.write_all())
