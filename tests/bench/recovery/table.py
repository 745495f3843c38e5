"""The table in Markdown, and what each row requires of remqtt."""

from __future__ import annotations

from dataclasses import dataclass

from figures import Cell, Figures, ratio

FLOOR, PAHO = "floor", "paho-mqtt"
OURS = ("remqtt Python", "remqtt C")


@dataclass(frozen=True)
class Row:
    title: str
    unit: str = "ms"
    counts: tuple[str, ...] = ()


ROWS = {
    "null": Row("no fault: what the harness adds (a message published at a moment of no fault)"),
    "reset": Row("reset or close, broker up: to the next message"),
    "refused": Row("refused for D: from the reopening of the port to the first message"),
    "silent": Row("accepted, then silent for 1 s: from the end of that second to the first message"),
    "swallowed": Row("swallowed for 2-30 s: from the heal to the first message (floor: keeps the old TCP)"),
    "notice": Row("silence: from the cut to the client's first act (SYN or `down`)", "ms",
                  ("bytes/s", "of pings")),
    "notice: broker goes on": Row("stopped until all have noticed: from SIGCONT to the first message"),
    "alarm": Row("link late by 0-300 ms each way, application that stalls: times given up", "", ("seconds",)),
    "link": Row("link down for 1-4 s, then up: from `up` to the first message"),
    "trip": Row("session kept, 50 ms round trip: from SYN to the first message", "RTT", ("% resumed",)),
    "lost": Row("100 filters on MQTT 5, 50 ms: from SYN to the first message of the last filter", "RTT",
                ("SUBSCRIBE packets",)),
    "drain": Row("2,000 messages wait, 50 ms round trip, MQTT 5: from SYN to the last one"),
    "lost: session kept": Row("100 filters on MQTT 5, a reset: retained messages that came again", ""),
    "fleet": Row("1,000 sessions, one restart of the broker: back, counted from its start", "ms",
                 ("CONNECTs", "peak/mean per 100 ms", "clients")),
    "manners": Row("attempts in a minute", ""),
}  # fmt: skip


def shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def of_row(figures: Figures, name: str) -> str:
    lines: list[str] = []
    for case in figures.cases(name):
        row = ROWS.get(f"{name}: {case}", ROWS[name])
        cells = figures.clients(name, case)
        # Cells whose samples are those of another case hold the account of its messages only.
        if not any(cell.samples for cell in cells.values()):
            continue
        unit = f", {row.unit}" if row.unit else ""
        lines += [f"### {name}{': ' + case if case else ''}", "", row.title + unit, ""]
        lines.append("| client | n | p50 | p95 | max | mean | : floor (95 %) | lost | doubled | repeated |"
                     + "".join(f" {what} |" for what in row.counts))  # fmt: skip
        lines.append("|---|" + "---:|" * (9 + len(row.counts)))
        for client, cell in cells.items():
            lines.append(_line(client, cell, figures.tally(name, case, client), cells.get(FLOOR), row.counts))
        lines.append("")
    return "\n".join(lines)


def _line(client: str, cell: Cell, tally: Cell, floor: Cell | None, counts: tuple[str, ...]) -> str:
    found = ratio(cell, floor) if floor and floor is not cell else None
    against = f"{shown(found[0])} ({shown(found[1])}-{shown(found[2])})" if found else "-"
    number = str(len(cell.samples)) + (f", {cell.missing} never" if cell.missing else "")
    values = [shown(cell.quantile(q)) for q in (0.95, 1.0)]
    extra = "".join(f" {shown(cell.counts.get(what))} |" for what in counts)
    account = (
        f"{tally.lost} of {tally.messages} | {tally.doubled} | {tally.repeated}"
        if tally.messages
        else "- | - | -"
    )
    note = "".join(f" ({what})" for what in ("did not start", "option unknown") if what in cell.counts)
    return (
        f"| {client}{note} | {number} | {shown(cell.median)} | {' | '.join(values)} | {shown(cell.mean)} "
        f"| {against} "
        f"| {account} |{extra}"
    )


def document(figures: Figures, head: str, verdicts: str) -> str:
    parts = [f"# bench-recovery\n\n{head}\n", verdicts, ""]
    parts += [of_row(figures, row) for row in figures.rows()]
    return "\n".join(parts) + "\n"


def verdicts(figures: Figures) -> str:
    """A line for each requirement: what it asks, what was measured, whether it is met."""
    lines = ["| row | client | required | measured | met |", "|---|---|---|---|---|"]
    for row in figures.rows():
        for case in figures.cases(row):
            cells = figures.clients(row, case)
            for name in OURS:
                if name in cells:
                    lines += [f"| {row} {case} | {name} | {asked} | {got} | {'yes' if met else 'NO'} |"
                              for asked, got, met in _required(row, case, name, cells)]  # fmt: skip
    return "\n".join(lines)


Verdict = tuple[str, str, bool]


def _required(row: str, case: str, name: str, cells: dict[str, Cell]) -> list[Verdict]:
    cell, found = cells[name], []
    if cell.samples:
        found += _timed(row, case, name, cells)
    if cell.messages:
        kept = cell.lost == 0 and cell.doubled == 0
        found.append(("lost 0, doubled 0", f"{cell.lost}, {cell.doubled}", kept))
    return found


def _timed(row: str, case: str, name: str, cells: dict[str, Cell]) -> list[Verdict]:
    cell, found = cells[name], []
    for (of, of_case), (what, limit) in LIMITS.items():
        if of == row and of_case in ("", case):
            value = cell.median if what == "p50" else cell.quantile(QUANTILES[what])
            met = value is not None and value <= limit
            unit = ROWS.get(f"{row}: {case}", ROWS[row]).unit
            found.append((f"{what} <= {limit:g} {unit}".strip(), shown(value), met))
    for (of, of_case), other, what, limit, better in RATIOS:
        peer = cells.get(other)
        if of != row or of_case not in case or peer is None or not peer.samples:
            continue
        ours, theirs = (getattr(c, what) if what != "p95" else c.quantile(0.95) for c in (cell, peer))
        value = None if ours is None or theirs is None else (theirs / ours if better else ours / theirs)
        met = value is not None and (value >= limit if better else value <= limit)
        asked = f"{what}: {limit:g} x sooner than {other}" if better else f"{what} <= {limit:g} x {other}"
        found.append((asked, shown(value), met))
    for of, of_case, what, limit in COUNTS:
        if of == row and of_case in ("", case):
            value = cell.counts.get(what, 0)
            found.append((f"{what} <= {limit:g}", shown(value), value <= limit))
    if (row, case) == ("trip", "TLS 1.3"):
        resumed = cell.counts.get("% resumed", 0)
        found.append(("resumed 100 %", shown(resumed), resumed == 100))
    return found


QUANTILES = {"p95": 0.95, "max": 1.0, "p99": 0.99}

# row, case ("": each) -> statistic, limit.
LIMITS = {
    ("refused", "0.3 s"): ("p50", 60.0),
    ("refused", "1 s"): ("p50", 100.0),
    ("refused", "5 s"): ("p50", 300.0),
    ("refused", "20 s"): ("p50", 600.0),
    ("silent", ""): ("p50", 1500.0),
    ("swallowed", "2-10 s"): ("max", 255.0),  # attempts every 250 ms for 10 s, then every 500 ms
    ("swallowed", "10-30 s"): ("max", 505.0),
    ("swallowed", "2-30 s, all"): ("max", 505.0),
    ("notice", "busy, swallowed"): ("p95", 500.0),
    ("notice", "busy, broker stopped"): ("p95", 500.0),
    ("notice", "broker goes on"): ("max", 300.0),
    ("notice", "idle, swallowed"): ("max", 5000.0),
    ("alarm", ""): ("max", 0.0),
    ("link", ""): ("p50", 55.0),
    ("trip", "plain"): ("p50", 2.1),
    ("trip", "plain, QoS 2"): ("p50", 2.1),
    ("trip", "TLS 1.3"): ("p50", 3.1),
    ("lost", "session lost"): ("p50", 2.1),
    ("lost", "session lost, no slow start"): ("p50", 2.1),
    ("lost", "session kept"): ("max", 0.0),
    ("fleet", ""): ("p99", 3000.0),
    ("manners", ""): ("max", 2.0),
}
# row and what is in the case, other client, statistic, limit, whether the limit says how much sooner.
RATIOS = [
    (("reset", ""), FLOOR, "median", 1.25, False),
    (("reset", ""), PAHO, "median", 100.0, True),
    (("swallowed", ""), FLOOR, "mean", 15.0, True),
    (("swallowed", ""), FLOOR, "p95", 15.0, True),
    (("swallowed", ""), "floor, one connect()", "mean", 15.0, True),
    (("swallowed", ""), "floor, one connect()", "p95", 15.0, True),
    (("drain", ""), FLOOR, "median", 1.3, False),
    (("drain", "no slow start"), PAHO, "median", 50.0, True),
]
# row, case ("": each), count, limit.
COUNTS = [
    ("lost", "session lost", "SUBSCRIBE packets", 1.0),
    ("lost", "session lost, no slow start", "SUBSCRIBE packets", 1.0),
    ("notice", "idle, swallowed", "bytes/s", 30.0),
    ("fleet", "", "CONNECTs", 1050.0),
    ("fleet", "", "peak/mean per 100 ms", 3.0),
]
