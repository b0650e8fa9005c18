"""Configurations that envoyproxy/ratelimit refuses to load, with what its message begins with."""


def limited(text="unit: minute, requests_per_unit: 1"):
    return f"domain: d\ndescriptors:\n  - key: k\n    rate_limit: {{ {text} }}\n"


def with_rule(*lines):
    text = "domain: d\ndescriptors:\n  - key: k\n"
    return text + "".join(f"    {line}\n" for line in lines)


RULE = "    rate_limit: { unit: minute, requests_per_unit: 1 }\n"
LOADING = "error loading config file"
CHECKING = "error checking config"
UNKNOWN = "config error, unknown key"
NOT_TEXT = "config error, key is not of type string"
NOT_MAPPING = "config error, yaml file contains list of type other than map"
EMPTY_DOMAIN = "config file cannot have empty domain"
DUPLICATE_DOMAIN = "duplicate domain"
EMPTY_KEY = "descriptor has empty key"
DUPLICATE = "duplicate descriptor composite key"
UNIT = "invalid rate limit unit"
UNLIMITED = "should not specify rate limit unit when unlimited"
EMPTY_REPLACES = "should not have an empty replaces entry"
OWN_NAME = "replaces should not contain name of same descriptor"
SHARED = "share_threshold can only be used with wildcard values"

TEXTS = [
    ("a bracket that is not closed", "domain: d\ndescriptors: [{ key: k\n", LOADING),
    ("a tab as indentation", "domain: d\ndescriptors:\n\t- key: k\n", LOADING),
    ("a text at the root", "domain\n", LOADING),
    ("a list at the root", "- domain: d\n", LOADING),
    ("an alias without anchor", "domain: d\ndescriptors: *none\n", LOADING),
    ("descriptors that are a mapping", "domain: d\ndescriptors: { key: k }\n", LOADING),
    ("descriptors that are a text", "domain: d\ndescriptors: k\n", LOADING),
    ("a negative limit", limited("unit: minute, requests_per_unit: -1"), LOADING),
    ("a limit above 32 bits", limited("unit: minute, requests_per_unit: 4294967296"), LOADING),
    ("a limit that is a word", limited("unit: minute, requests_per_unit: many"), LOADING),
    ("a shadow_mode that is a word", with_rule("shadow_mode: maybe"), LOADING),
    ("an unlimited that is a number", limited("unlimited: 3"), LOADING),
    ("a rate_limit that is a list", with_rule("rate_limit: [{ unit: minute }]"), LOADING),
    ("a rate_limit that is a text", with_rule("rate_limit: 5/minute"), LOADING),
    ("a replaces that is a text", limited("unit: minute, requests_per_unit: 1, replaces: x"), LOADING),
    ("a value that is a list of texts", with_rule("value: [a]"), NOT_MAPPING),
    ("a mapping key that is a number", "domain: d\n1: x\ndescriptors: []\n", NOT_TEXT),
    ("a mapping key that is a boolean", with_rule("true: x"), NOT_TEXT),
    ("a misspelt key at the root", "domain: d\ndescriptor:\n  - key: k\n", UNKNOWN),
    ("a misspelt key of a rule", with_rule("ratelimit: { unit: minute }"), UNKNOWN),
    ("a misspelt key of a limit", limited("unit: minute, request_per_unit: 1"), UNKNOWN),
    ("the old name shadowmode", with_rule("shadowmode: true"), UNKNOWN),
    ("a key in capitals", "Domain: d\ndescriptors: []\n", UNKNOWN),
    ("a unit_multiplier", limited("unit: minute, requests_per_unit: 1, unit_multiplier: 5"), UNKNOWN),
    ("an unknown key deep below", with_rule("descriptors:", "  - key: p", "    limit: 5"), UNKNOWN),
    ("a list of texts for descriptors", "domain: d\ndescriptors: [k]\n", NOT_MAPPING),
    ("a list of lists for descriptors", "domain: d\ndescriptors: [[{ key: k }]]\n", NOT_MAPPING),
    ("a list of texts for replaces", limited("unit: minute, requests_per_unit: 1, replaces: [x]"), NOT_MAPPING),
    ("an unquoted fraction as value", with_rule("value: 1.5"), CHECKING),
    ("an unquoted fraction as limit", limited("unit: minute, requests_per_unit: 1.5"), CHECKING),
    ("an unquoted integer above 64 bits", with_rule("value: 18446744073709551616"), CHECKING),
    ("an unquoted power of ten", with_rule("value: 1.0e3"), CHECKING),
    ("no domain", "descriptors:\n  - key: k\n", EMPTY_DOMAIN),
    ("an empty domain", "domain: ''\ndescriptors: []\n", EMPTY_DOMAIN),
    ("a blank domain", "domain:\ndescriptors: []\n", EMPTY_DOMAIN),
    ("an empty file", "", EMPTY_DOMAIN),
    ("a file of comments", "# nothing here\n", EMPTY_DOMAIN),
    ("a rule without key", "domain: d\ndescriptors:\n  - value: v\n" + RULE, EMPTY_KEY),
    ("a rule with an empty key", "domain: d\ndescriptors:\n  - key: ''\n" + RULE, EMPTY_KEY),
    ("a child without key", with_rule("descriptors:", "  - value: v"), EMPTY_KEY),
    ("one key twice", "domain: d\ndescriptors:\n  - key: k\n" + RULE + "  - key: k\n" + RULE, DUPLICATE),
    ("one value twice", "domain: d\ndescriptors:\n  - { key: k, value: v }\n  - { key: k, value: v }\n", DUPLICATE),
    ("one wildcard twice", "domain: d\ndescriptors:\n  - { key: k, value: v* }\n  - { key: k, value: v* }\n", DUPLICATE),
    ("one child twice", with_rule("descriptors:", "  - key: p", "  - key: p"), DUPLICATE),
    ("a key alone and one with an empty value", "domain: d\ndescriptors:\n  - key: k\n  - { key: k, value: '' }\n", DUPLICATE),
    ("no unit", limited("requests_per_unit: 1"), UNIT),
    ("an unknown unit", limited("unit: fortnight, requests_per_unit: 1"), UNIT),
    ("the unit unknown", limited("unit: unknown, requests_per_unit: 1"), UNIT),
    ("a unit in the plural", limited("unit: minutes, requests_per_unit: 1"), UNIT),
    ("an empty unit", limited("unit: '', requests_per_unit: 1"), UNIT),
    ("an empty rate_limit", with_rule("rate_limit: {}"), UNIT),
    ("unlimited with a unit", limited("unlimited: true, unit: day, requests_per_unit: 25"), UNLIMITED),
    ("unlimited with a unit in capitals", limited("unlimited: true, unit: SECOND"), UNLIMITED),
    ("a replaces without name", limited("unit: minute, requests_per_unit: 1, replaces: [{}]"), EMPTY_REPLACES),
    ("a replaces with an empty name", limited("unit: minute, requests_per_unit: 1, replaces: [{ name: '' }]"), EMPTY_REPLACES),
    ("a limit that replaces itself", limited("unit: minute, requests_per_unit: 1, name: a, replaces: [{ name: a }]"), OWN_NAME),
    ("a limit that replaces others and itself", limited("unit: minute, requests_per_unit: 1, name: a, replaces: [{ name: b }, { name: a }]"), OWN_NAME),
    ("share_threshold without a value", with_rule("share_threshold: true"), SHARED),
    ("share_threshold with an exact value", with_rule("value: v", "share_threshold: true"), SHARED),
    ("metadata that is a text", with_rule("metadata: text"), LOADING),
    ("metadata that is a list", with_rule("metadata: [{ a: b }]"), LOADING),
    ("quota_mode that is a number", with_rule("quota_mode: 2"), LOADING),
]


def files():
    one = limited()
    other = one.replace("key: k", "key: l")
    return [
        ("two files of one domain", {"1.yaml": one, "2.yaml": other}, {}, DUPLICATE_DOMAIN),
        ("three files, two of one domain", {"1.yaml": one, "2.yaml": other.replace("domain: d", "domain: e"), "3.yaml": other}, {}, DUPLICATE_DOMAIN),
        ("merged files with one key twice", {"1.yaml": one, "2.yaml": one}, {"MERGE_DOMAIN_CONFIG": "true"}, DUPLICATE),
        ("a good file beside a bad one", {"1.yaml": one, "2.yaml": "domain: e\nrules_of_mine: []\n"}, {}, UNKNOWN),
        ("a good file beside an empty one", {"1.yaml": one, "2.yaml": ""}, {}, EMPTY_DOMAIN),
    ]


def refused():
    made = [(name, {"config.yaml": text}, {}, says) for name, text, says in TEXTS] + files()
    return [
        {"name": name, "files": texts, "settings": settings, "reference_says": says}
        for name, texts, settings, says in made
    ]
