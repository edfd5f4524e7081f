"""The report as one HTML page: a table and a timeline, no script, nothing loaded from anywhere."""

from collections.abc import Iterable
from html import escape
from string import Template

from interpreters.conversions import when
from ironsecrets.reach import Attempt, Denied, Reach

WIDTH, LEFT, ROW = 1100, 330, 22

_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
body { font: 14px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1140px; color: #1b1f24; padding: 0 1rem }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th { text-align: left; border-bottom: 2px solid #1b1f24 } th, td { padding: .25rem .6rem .25rem 0; vertical-align: top }
tr + tr td { border-top: 1px solid #e3e6ea } .open { fill: #2f6fb0 } .ended { fill: #9bb8d3 } .use { fill: #123 }
.refused { fill: #c0392b } text { font: 12px system-ui, sans-serif; fill: #1b1f24 } .dim { fill: #68707a }
svg { width: 100%; height: auto }
</style></head><body>
<h1>$title</h1><p>$summary</p>
<h2>Timeline</h2><p>Bars: when the agent could lease the secret (dark: still can). Ticks: leases. Red: refused.</p>
$timeline
<h2>Who could reach what, and who did</h2>
<table><thead><tr>$head</tr></thead><tbody>
$rows
</tbody></table>
<h2>Refused</h2>
<table><thead><tr><th>Time</th><th>Agent</th><th>Environment</th><th>Secret</th><th>Why</th></tr></thead><tbody>
$attempts
</tbody></table></body></html>
""")

COLUMNS = ("Agent", "Environment", "Secret", "From", "Until", "Ended by", "Leases", "Last lease", "Refused", "Grant")


def row(reach: Reach) -> tuple[str, ...]:
    """A reach as :data:`COLUMNS` has it."""
    return (
        reach.agent,
        reach.environment,
        reach.name,
        when(reach.since),
        when(reach.until),
        reach.ended,
        str(len(reach.leases)),
        when(reach.leases[-1]) if reach.leases else "",
        str(reach.refused),
        reach.grant,
    )


def denied_row(one: Denied) -> tuple[str, ...]:
    """What no grant gave, and was asked for all the same, as :data:`COLUMNS` has it."""
    return (one.agent, one.environment, one.name, "", "", "never", "0", "", str(one.times), "")


def _cells(cells: Iterable[str]) -> str:
    return "".join(f"<td>{escape(cell)}</td>" for cell in cells)


def page(
    *,
    title: str,
    summary: str,
    rows: list[tuple[str, ...]],
    reaches: tuple[Reach, ...],
    attempts: tuple[Attempt, ...],
    until: int,
) -> str:
    """The whole page. Times after ``until`` do not exist yet."""
    return _PAGE.substitute(
        title=escape(title),
        summary=escape(summary),
        timeline=_timeline(reaches, attempts, until),
        head="".join(f"<th>{column}</th>" for column in COLUMNS),
        rows="\n".join(f"<tr>{_cells(cells)}</tr>" for cells in rows),
        attempts="\n".join(
            f"<tr>{_cells((when(one.at), one.agent, one.environment, one.name, one.verdict))}</tr>" for one in attempts
        ),
    )


def _timeline(reaches: tuple[Reach, ...], attempts: tuple[Attempt, ...], until: int) -> str:
    lanes = sorted(
        {(one.agent, one.environment, one.name) for one in reaches}
        | {(one.agent, one.environment, one.name) for one in attempts}
    )
    times = [one.since for one in reaches] + [one.at for one in attempts]
    if not lanes:
        return "<p>Nothing to show.</p>"
    first, last = min(times), max([until, *times])

    def x(at: int) -> float:
        return LEFT + (WIDTH - LEFT) * (min(max(at, first), last) - first) / max(last - first, 1)

    parts: list[str] = []
    for number, lane in enumerate(lanes):
        y = number * ROW
        name = f"{lane[0]}  {lane[1]}/{lane[2]}"
        label = name if len(name) <= 52 else f"{name[:51]}…"
        parts.append(f'<text x="0" y="{y + 15}">{escape(label)}</text>')
        for one in reaches:
            if (one.agent, one.environment, one.name) == lane:
                end = last if one.until is None else one.until
                kind, width = ("open" if one.until is None else "ended"), max(x(end) - x(one.since), 1.5)
                tip = f"{one.grant}: {when(one.since)} to {when(one.until) or 'now'}, {len(one.leases)} leases"
                parts.append(
                    f'<rect class="{kind}" x="{x(one.since):.1f}" y="{y + 5}" width="{width:.1f}" height="10">'
                    f"<title>{escape(tip)}</title></rect>"
                )
                ticks = sorted({round(x(at)) for at in one.leases})
                parts += [f'<rect class="use" x="{tick}" y="{y + 2}" width="1" height="16"/>' for tick in ticks]
        marks = {round(x(one.at)) for one in attempts if (one.agent, one.environment, one.name) == lane}
        parts += [f'<circle class="refused" cx="{mark}" cy="{y + 10}" r="3"/>' for mark in sorted(marks)]
    height = len(lanes) * ROW + 24
    parts.append(f'<text class="dim" x="{LEFT}" y="{height - 6}">{when(first)}</text>')
    parts.append(f'<text class="dim" x="{WIDTH}" y="{height - 6}" text-anchor="end">{when(last)}</text>')
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Timeline">{"".join(parts)}</svg>'
