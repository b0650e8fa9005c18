"""How a sequence is written: a configuration, settings, and steps, all plain data.

Configurations are data; `yaml_text` writes them as the YAML that tollgate reads, so that no YAML
library is needed here. A text that must not be quoted (`value: 010`) is a `Bare`.
"""

import json
import re


class Bare(str):
    """A text that stands in the YAML without quotes and counts as written."""


class Sequence:
    """Steps asked of one server, one after the other."""

    def __init__(self, name, config, steps, settings=None, text=None):
        """`config` is a document, or documents by the name of their file. `text` is the YAML where
        what is written is the point; `config` then says what it means."""
        self.name = name
        files = config if "domain" not in config else {"config.yaml": config}
        self.documents = [files[file] for file in sorted(files)]
        self.files = {file: yaml_text(files[file]) for file in sorted(files)}
        if text is not None:
            self.files = text if isinstance(text, dict) else {"config.yaml": text}
        self.settings = settings or {}
        self.steps = steps


def config(*rules, domain="d"):
    return {"domain": domain, "descriptors": list(rules)}


def rule(key, value=None, limit=None, below=None, **more):
    """`limit` is as `per(5, "minute")` makes it, or `UNLIMITED`."""
    made = {"key": key}
    if value is not None:
        made["value"] = value
    made.update({name: it for name, it in more.items() if name not in ("name", "replaces")})
    if limit is not None:
        limit = dict(limit)
        if "name" in more:
            limit["name"] = more["name"]
        if "replaces" in more:
            limit["replaces"] = [{"name": name} for name in more["replaces"]]
        made["rate_limit"] = limit
    if below is not None:
        made["descriptors"] = below
    return made


def per(amount, unit):
    return {"unit": unit, "requests_per_unit": amount}


UNLIMITED = {"unlimited": True}


def entries(*pairs, hits=None, back=False, limit=None):
    """One descriptor. A pair is written `key=value`, or as a tuple."""
    split = [list(it) if isinstance(it, tuple) else it.split("=", 1) for it in pairs]
    made = {"entries": split}
    if hits is not None:
        made["hits_addend"] = hits
    if back:
        made["is_negative_hits"] = True
    if limit is not None:
        made["limit"] = {"requests_per_unit": limit[0], "unit": limit[1].upper()}
    return made


def ask(at, *descriptors, hits=None, domain="d", times=1):
    """`times` equal steps. A descriptor is made by `entries`, or written `key=value,key=value`."""
    made = [entries(*it.split(",")) if isinstance(it, str) else it for it in descriptors]
    request = {"domain": domain, "descriptors": made}
    if hits is not None:
        request["hits_addend"] = hits
    return [{"at": at, "request": request}] * times


# 2023-11-14 22:13:00 UTC, the begin of a minute and of nothing longer.
MINUTE = 1_699_999_980
# 2023-11-14 22:00:00 UTC.
HOUR = MINUTE - 13 * 60
# 2023-11-14 00:00:00 UTC, a Tuesday.
DAY = HOUR - 22 * 3_600


PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
WORDS = {"true", "false", "yes", "no", "on", "off", "y", "n", "null"}


def yaml_scalar(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, (int, Bare)):
        return str(value)
    if PLAIN.fullmatch(value) and value.lower() not in WORDS:
        return value
    return json.dumps(value)


def yaml_lines(data):
    if isinstance(data, dict):
        for key, value in data.items():
            if isinstance(value, (dict, list)) and value:
                yield f"{yaml_scalar(key)}:"
                yield from (f"  {line}" for line in yaml_lines(value))
            elif isinstance(value, (dict, list)):
                yield f"{yaml_scalar(key)}: {'{}' if isinstance(value, dict) else '[]'}"
            else:
                yield f"{yaml_scalar(key)}: {yaml_scalar(value)}".rstrip()
    else:
        for item in data:
            lines = list(yaml_lines(item)) if isinstance(item, (dict, list)) else [yaml_scalar(item)]
            yield f"- {lines[0]}"
            yield from (f"  {line}" for line in lines[1:])


def yaml_text(data):
    return "\n".join(yaml_lines(data)) + "\n"
