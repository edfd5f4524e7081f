"""Coverage-guided fuzzing of every parser: ``python -m tests.faults.fuzz SECONDS`` (needs atheris)."""

import sys

import atheris  # type: ignore

with atheris.instrument_imports(include=["ironsecrets", "interpreters"]):
    from tests.faults.parsers import answered, parsers

ALL = parsers()


def one(raw: bytes) -> None:
    """The first byte says which parser gets the rest, or the rest bent into its good input."""
    if len(raw) < 3:
        return
    parser = ALL[raw[0] % len(ALL)]
    answered(parser, raw[2:])
    at = raw[1] * len(parser.good) // 256
    answered(parser, parser.good[:at] + raw[2:] + parser.good[at + len(raw[2:]) :])


if __name__ == "__main__":
    seconds = sys.argv[1] if len(sys.argv) > 1 else "60"
    atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", "-max_len=4096"], one)
    atheris.Fuzz()
