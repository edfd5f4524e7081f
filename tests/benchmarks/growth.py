"""What things cost as a vault grows: ``python -m tests.benchmarks.growth [SECRETS[xENTRIES] ...]``.

Each size is measured in a process of its own, so that its memory is its own: lease and put (durable), opening, and
verifying everything. Entries beyond the secrets are leases. Prints a table, keeps the figures in ``docs/growth.json``
and draws those of as many secrets as entries in ``docs/growth.svg``.
"""

import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ironsecrets
from properties.worlds import MASTER_KEY
from tests.benchmarks.bulk import ENVIRONMENT, grown, leased, name_of

SIZES = ("100", "10000", "1000000", "100000", "1000x1000000")
WORK = ("lease", "put", "open", "verify")
DOCS = Path(__file__).parents[2] / "docs"


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _split(size: str) -> tuple[int, int]:
    secrets, _, entries = size.partition("x")
    return int(secrets), int(entries or secrets)


def _measured(path: Path, secrets: int) -> dict[str, float]:
    before, began = _peak(), time.perf_counter()
    vault = ironsecrets.open_vault(path, master_key=MASTER_KEY)
    opened = time.perf_counter() - began
    memory = _peak()
    agent, operator = vault.acting_for("agent_one"), vault.operator("olga")

    def each(act: str, count: int = 200) -> float:
        began = time.perf_counter()
        for number in range(count):
            name = name_of(number * 7919 % secrets)
            if act == "lease":
                agent.lease(name, environment=ENVIRONMENT).release()
            else:
                operator.put(name, b"x" * 64, environment=ENVIRONMENT)
        return (time.perf_counter() - began) / count

    times = {"open": opened, "lease": each("lease"), "put": each("put")}
    state = _peak()
    entries = vault.state.log.size
    began = time.perf_counter()
    vault.verify().unwrap()
    times["verify"] = time.perf_counter() - began
    vault.close()
    times["verified/s"] = entries / times["verify"]
    return {**times, "open MiB": memory, "verify MiB more": _peak() - state, "start MiB": before}


def measured(size: str) -> dict[str, float]:
    """The figures of one size, each stage in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="ironsecrets-growth-") as folder:
        path = Path(folder) / "vault"
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "tests.benchmarks.growth", "make", str(path), size], check=True)
        made = time.perf_counter() - began
        command = [sys.executable, "-m", "tests.benchmarks.growth", "measure", str(path), size]
        told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        return {**told, "make": made, "file MiB": path.stat().st_size / 2**20}


def plot(figures: dict[int, dict[str, float]]) -> str:
    """Both axes logarithmic, one line for each kind of work."""
    width, height, left, bottom = 760, 420, 70, 40
    colours = dict(zip(WORK, ("#2f6fb0", "#c0392b", "#2e8b57", "#8e5aa8"), strict=True))
    seconds = [figures[size][work] for size in figures for work in WORK]
    low, high = math.floor(math.log10(min(seconds))), math.ceil(math.log10(max(seconds)))
    first, last = math.log10(min(figures)), math.log10(max(figures))

    def x(size: float) -> float:
        return left + (width - left - 110) * (math.log10(size) - first) / max(last - first, 1)

    def y(value: float) -> float:
        return (height - bottom) - (height - bottom - 20) * (math.log10(value) - low) / max(high - low, 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for power in range(low, high + 1):
        at = y(10.0**power)
        text = (
            f"{10**power:g} s"
            if power >= 0
            else f"{10 ** (power + 3):g} ms"
            if power >= -3
            else f"{10 ** (power + 6):g} us"
        )
        parts.append(f'<path d="M{left} {at:.1f}H{width - 110}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 8}" y="{at + 4:.1f}" text-anchor="end">{text}</text>')
    for size in figures:
        parts.append(f'<text x="{x(size):.1f}" y="{height - 16}" text-anchor="middle">{size:,}</text>')
    parts.append(f'<text x="{(width - 40) / 2}" y="{height - 2}" text-anchor="middle">secrets, and entries</text>')
    for work in WORK:
        points = [(x(size), y(figures[size][work])) for size in sorted(figures)]
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colours[work]}" stroke-width="2"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colours[work]}"/>' for a, b in points]
        parts.append(
            f'<text x="{points[-1][0] + 10:.1f}" y="{points[-1][1] + 4:.1f}" fill="{colours[work]}">{work}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def main(arguments: list[str]) -> None:
    """One of the three: make, measure, or all sizes."""
    if arguments[:1] == ["make"]:
        secrets, entries = _split(arguments[2])
        vault = grown(Path(arguments[1]), secrets=secrets, entries=secrets)
        leased(vault, entries - vault.state.log.size)
        vault.close()
        return
    if arguments[:1] == ["measure"]:
        sys.stdout.write(json.dumps(_measured(Path(arguments[1]), _split(arguments[2])[0])))
        return
    kept = DOCS / "growth.json"
    figures: dict[str, dict[str, float]] = json.loads(kept.read_text()) if kept.exists() else {}
    for size in arguments or SIZES:
        figures[size] = {name: float(f"{value:.4g}") for name, value in measured(size).items()}
        told = ", ".join(f"{name} {value:g}" for name, value in figures[size].items())
        sys.stdout.write(f"{size:>12}: {told}\n")
        sys.stdout.flush()
        kept.write_text(json.dumps(dict(sorted(figures.items(), key=lambda one: _split(one[0]))), indent=2) + "\n")
    square = {_split(size)[0]: told for size, told in figures.items() if "x" not in size}
    (DOCS / "growth.svg").write_text(plot(square))


if __name__ == "__main__":
    main(sys.argv[1:])
