"""Writes the recordings: one JSON file for each group of sequences."""

import importlib
import json
import pathlib

import model

FOLDER = pathlib.Path(__file__).parent

GROUPS = [
    "matching",
    "wildcards",
    "windows",
    "counting",
    "several",
    "replaces",
    "modes",
    "brought",
    "answers",
    "documents",
    "published",
    "random_walks",
]


def write_all():
    for path, text in recordings():
        path.write_text(text)


def check():
    """What stands there and is not what would be written; None if nothing does."""
    stale = [path.name for path, text in recordings() if not path.exists() or path.read_text() != text]
    return f"run `python3 tests/reference/ratelimit/model.py`, these differ: {', '.join(stale)}" if stale else None


def recordings():
    """Each file and its text."""
    names = set()
    for group in GROUPS:
        module = importlib.import_module(f"scenarios.{group}")
        sequences = list(module.sequences())
        for sequence in sequences:
            assert sequence.name not in names, f"two sequences are called {sequence.name}"
            names.add(sequence.name)
        about = module.__doc__.strip().split("\n")[0]
        yield FOLDER / f"{group}.json", written(about, [recorded(it) for it in sequences])
    refused = importlib.import_module("scenarios.refused")
    about = refused.__doc__.strip().split("\n")[0]
    yield FOLDER / "refused.json", written(about, refused.refused())


def recorded(sequence):
    server = model.Server(sequence.documents, sequence.settings)
    steps = []
    for step in sequence.steps:
        try:
            answer = server.ask(step["at"], step["request"])
        except model.Refused as refused:
            answer = {"error": str(refused)}
        steps.append({**step, "answer": answer})
    made = {"name": sequence.name, "files": sequence.files}
    if sequence.settings:
        made["settings"] = sequence.settings
    if converts(sequence):
        made["converts"] = True
    return {**made, "steps": steps}


def converts(sequence):
    """Whether a native policy can say the same, for all that these steps ask."""
    if sequence.settings or not all(fits(rules_of(it), ()) for it in sequence.documents):
        return False
    if any(has_reordered(paths(rules_of(it), ())) for it in sequence.documents):
        return False
    keys = {str(it["domain"]): keys_by_depth(rules_of(it)) for it in sequence.documents}
    return all(
        is_plain(descriptor, keys.get(step["request"]["domain"]))
        for step in sequence.steps
        for descriptor in step["request"]["descriptors"]
    )


def rules_of(document):
    return document.get("descriptors") or []


def fits(rules, above):
    """No quota, no key twice on a path, no wildcard of which a native rule takes more."""
    return all(
        not rule.get("quota_mode")
        and rule["key"] not in above
        and (str(rule.get("value")).count("*") < 2 or sum(map(bool, rule["value"].split("*"))) < 2)
        and fits(rules_of(rule), (*above, rule["key"]))
        for rule in rules
    )


def paths(rules, above):
    made = {(*above, rule["key"]) for rule in rules}
    return made.union(*(paths(rules_of(rule), (*above, rule["key"])) for rule in rules))


def has_reordered(paths):
    """Whether two paths have the same keys: native rules know no order of entries."""
    return len({frozenset(path) for path in paths}) < len(paths)


def keys_by_depth(rules):
    depths = []
    while rules:
        depths.append({rule["key"] for rule in rules})
        rules = [below for rule in rules for below in rules_of(rule)]
    return depths


def is_plain(descriptor, keys):
    """No limit of its own, no empty texts, no star, no key that the policy does not know at that depth."""
    pairs = descriptor["entries"]
    return (
        "limit" not in descriptor
        and all(key and value and "*" not in value for key, value in pairs)
        and (keys is None or all(at < len(keys) and key in keys[at] for at, (key, _) in enumerate(pairs)))
    )


def written(about, sequences):
    """One line for each step, so that a difference of two versions reads well."""
    lines = ["{", f' "about": {json.dumps(about)},', ' "sequences": [']
    for sequence in sequences:
        head = {name: value for name, value in sequence.items() if name != "steps"}
        text = "  " + json.dumps(head)
        if "steps" in sequence:
            steps = ",\n".join("   " + json.dumps(step) for step in sequence["steps"])
            text = text[:-1] + ', "steps": [\n' + steps + "\n  ]}"
        lines.append(text + ",")
    lines[-1] = lines[-1][:-1]
    lines += [" ]", "}"]
    return "\n".join(lines) + "\n"
