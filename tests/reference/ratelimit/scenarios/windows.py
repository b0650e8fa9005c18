"""Units, where their windows begin and end, and the time that is left."""

from written import DAY, HOUR, MINUTE, Sequence, ask, config, per, rule

LENGTHS = {
    "second": 1,
    "minute": 60,
    "hour": 3_600,
    "day": 86_400,
    "week": 604_800,
    "month": 2_592_000,
    "year": 31_536_000,
}


def sequences():
    return [*ends(), *begins(), *spellings(), *parts(), *others()]


def ends():
    for unit, length in LENGTHS.items():
        begin = DAY // length * length
        last = begin + length - 1
        yield Sequence(
            f"the last {'moment' if unit == 'second' else 'second'} of a window of a {unit}, and the next",
            config(rule("k", None, per(2, unit))),
            ask(begin, "k=v", times=2)
            + ask(last, "k=v")
            + ask(last + 1, "k=v", times=3)
            + ask(last + length, "k=v")
            + ask(last + length + 1, "k=v"),
        )
        yield Sequence(
            f"a {unit} that nobody used leaves nothing behind",
            config(rule("k", None, per(1, unit))),
            ask(begin, "k=v", times=2) + ask(begin + 3 * length, "k=v", times=2) + ask(begin + 10 * length, "k=v"),
        )


def begins():
    # 2026-11-19 is a Thursday, 1970-01-01 was one.
    thursday = 1_795_046_400
    yield Sequence(
        "a week begins on a Thursday at midnight",
        config(rule("k", None, per(1, "week"))),
        ask(thursday - 1, "k=v", times=2) + ask(thursday, "k=v", times=2) + ask(thursday + 7 * 86_400, "k=v"),
    )
    month = 30 * 86_400
    yield Sequence(
        "a month is thirty days from the epoch",
        config(rule("k", None, per(1, "month"))),
        [step for at in (660 * month - 1, 660 * month, 661 * month - 1, 661 * month) for step in ask(at, "k=v", times=2)],
    )
    year = 365 * 86_400
    yield Sequence(
        "a year is 365 days from the epoch",
        config(rule("k", None, per(1, "year"))),
        [step for at in (56 * year - 1, 56 * year, 57 * year - 1, 57 * year) for step in ask(at, "k=v", times=2)],
    )
    yield Sequence(
        "a calendar month and a calendar year begin nothing",
        config(rule("m", None, per(1, "month")), rule("y", None, per(1, "year"))),
        # 2026-12-01 and 2027-01-01.
        [step for at in (1_796_083_199, 1_796_083_200, 1_798_761_599, 1_798_761_600) for step in ask(at, "m=v", "y=v")],
    )
    yield Sequence(
        "just after the epoch",
        config(rule("k", None, per(1, "day"))),
        ask(1, "k=v", times=2) + ask(86_399, "k=v") + ask(86_400, "k=v"),
    )


def spellings():
    for written in ("MINUTE", "Minute", "mInUtE"):
        yield Sequence(
            f"the unit may be written {written}",
            config(rule("k", None, per(1, written))),
            ask(MINUTE, "k=v", times=2) + ask(MINUTE + 60, "k=v"),
        )


def parts():
    yield Sequence(
        "parts of a second belong to the second that has begun",
        config(rule("k", None, per(2, "second"))),
        [step for at in (0.0, 0.25, 0.999, 1.0, 1.5, 1.75, 2.125) for step in ask(MINUTE + at, "k=v")],
    )
    yield Sequence(
        "the time left is whole seconds, never less than what is left",
        config(rule("k", None, per(9, "minute"))),
        [step for at in (0, 0.001, 0.5, 10.25, 58.999, 59, 59.001, 59.999, 60) for step in ask(MINUTE + at, "k=v")],
    )
    yield Sequence(
        "a denial names the whole seconds left",
        config(rule("k", None, per(0, "hour"))),
        [step for at in (0.125, 1_800.5, 3_599.5) for step in ask(HOUR + at, "k=v")],
    )


def others():
    yield Sequence(
        "limits of two units in one call reset apart",
        config(rule("s", None, per(1, "second")), rule("h", None, per(3, "hour"))),
        [step for at in (0, 0, 1, 2, 3, 3_600) for step in ask(HOUR + at, "s=v", "h=v")],
    )
    yield Sequence(
        "rules of one key with other units count apart",
        config(rule("k", "a", per(1, "second")), rule("k", "b", per(1, "hour")), rule("k", None, per(1, "day"))),
        [step for at in (0, 1, 3_600) for value in "abc" for step in ask(DAY + at, f"k={value}", times=2)],
    )
    yield Sequence(
        "the first hour after midnight",
        config(rule("h", None, per(2, "hour")), rule("d", None, per(3, "day"))),
        [step for at in (0, 1, 3_599, 3_600) for step in ask(DAY + at, "h=v", "d=v")],
    )
