"""The numbers to watch, and the tables of docs/serving.md, out of a run's figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.serving.repositories import N_PART, ROOT
from qaemb.files import write_text

_Figures = Mapping[str, Any]
_BEGIN, _END = "<!-- serving: begin -->", "<!-- serving: end -->"
_WAYS = {"features_for": "`features_for`, in process", "service": "feature service, in process"}
_PLAIN = f"plain Feast, {N_PART} features, in process"


def headline(figures: _Figures) -> dict[str, float]:
    """Return the numbers to watch; `over_plain`: plain Feast's median over that of `features_for`, 100 x N_PART."""
    shape = f"100 x {N_PART}"
    own, plain = figures["features_for"][shape], figures["plain"][shape]
    one, many = _loads(figures["http"]["few"], 100)
    historical = figures["historical"]
    return {
        "features_for_100x35_p95_ms": own["p95_ms"],
        "features_for_100x35_cpu_ms": own["cpu_ms"],
        "odfv_100x35_p95_ms": figures["service"][shape]["p95_ms"],
        "plain_100x35_p95_ms": plain["p95_ms"],
        "over_plain_100x35": round(plain["p50_ms"] / own["p50_ms"], 2),
        "http_100x35_p95_ms": one["p95_ms"],
        "http_100x35_many_clients_p95_ms": many["p95_ms"],
        "historical_200k_s": _seconds(historical["qaemb_few"]),
        "historical_200k_plain_s": _seconds(historical["plain_few"]),
        "publish_20k_s": _seconds(figures["publish"]["few"]),
        "push_to_readable_p50_ms": figures["push"]["few"]["p50_ms"],
    }


def tables(figures: _Figures, settings: _Figures) -> str:
    """Return the tables in Markdown."""
    return "\n".join([*_online(figures), "", *_http(figures), "", *_others(figures, settings)])


def write_table(figures: _Figures, settings: _Figures) -> None:
    """Put the tables into docs/serving.md."""
    path = ROOT / "docs" / "serving.md"
    text = path.read_text(encoding="utf-8")
    head, tail = text.split(_BEGIN)[0], text.split(_END)[1]
    write_text(path, head + "\n".join([_BEGIN, tables(figures, settings), _END]) + tail)


def _online(figures: _Figures) -> list[str]:
    shapes = list(figures["features_for"])
    lines = [f"| p50 / p95 / p99 (CPU), ms | {' | '.join(shapes)} |", "|---" * (len(shapes) + 1) + "|"]
    for way, name in _WAYS.items():
        lines.append(f"| {name} | {' | '.join(_with_cpu(figures[way][shape]) for shape in shapes)} |")
    plain = (_with_cpu(figures["plain"][shape]) if shape in figures["plain"] else "" for shape in shapes)
    peak = (f"{figures[way][shape]['peak_mb']:,}" for way in _WAYS for shape in shapes)
    return [
        *lines,
        f"| {_PLAIN} | {' | '.join(plain)} |",
        "",
        f"Peak memory of these processes in MB: {', '.join(peak)}.",
    ]


def _http(figures: _Figures) -> list[str]:
    lines = ["| over HTTP | p50 / p95 / p99, ms | requests per second |", "|---|---|---|"]
    names = {"few": "", "many": " (of 674 published)", "plain_few": ", plain Feast"}
    for repo, own in figures["http"].items():
        loads = {name: load for name, load in own.items() if name != "peak_mb"}
        lines += [
            f"| {_load(name)}{names[repo]} | {_latency(load)} | {load['requests_per_s']:.0f} |"
            for name, load in loads.items()
        ]
    peaks = ", ".join(f"{own['peak_mb']:,}" for own in figures["http"].values())
    return [*lines, "", f"Peak memory of the three servers in MB: {peaks}."]


def _others(figures: _Figures, settings: _Figures) -> list[str]:
    n, few, many = f"{settings['n_segments']:,}", settings["few"], settings["many"]
    rows = f"{settings['history_rows']:,}"
    historical, materialise = figures["historical"], figures["materialise"]
    named = {
        f"publish {n} x {few}": figures["publish"]["few"],
        f"publish {n} x {many}": figures["publish"]["many"],
        f"`materialize` {n} x {few} again": materialise["few"],
        f"`materialize` {n} x {many} again": materialise["many"],
        f"`materialize` {n} x {few}, plain Feast": materialise["plain_few"],
        f"join {rows} rows x {few}, `historical_features`": historical["qaemb_few"],
        f"join {rows} rows x {few}, Feast's own call on the service": historical["service_few"],
        f"join {rows} rows x {few}, plain Feast": historical["plain_few"],
        f"join {rows} rows x {many}, `historical_features`": historical["qaemb_many"],
        f"join {rows} rows x {many}, plain Feast": historical["plain_many"],
    }
    lines = ["| once | seconds (CPU) | peak MB |", "|---|---|---|"]
    lines += [
        f"| {name} | {_seconds(own):.1f} ({own['cpu_ms'] / 1000:.1f}) | {own['peak_mb']:,} |"
        for name, own in named.items()
    ]
    lines += ["", "| a new text, until it can be read | p50 / p95 / p99, ms |", "|---|---|"]
    what = {"push": "pushed to Feast's push source", "new_text": "`features_for` with an answerer that takes no time"}
    for way, name in what.items():
        for repo, width in (("few", few), ("many", many)):
            lines.append(f"| {name}, {width} questions | {_latency(figures[way][repo])} |")
    return lines


def _load(name: str) -> str:
    """Return `100x35 1 clients` in words."""
    shape, clients, _ = name.split()
    return f"{shape.replace('x', ' x ')}, {clients} client{'' if clients == '1' else 's'}"


def _loads(served: _Figures, size: int) -> list[Any]:
    """Return a server's figures for requests of this size, fewest and most clients."""
    own = [load for name, load in served.items() if name.startswith(f"{size}x")]
    return [own[0], own[-1]]


def _latency(own: _Figures) -> str:
    return " / ".join(f"{own[f'p{q}_ms']:.1f}" for q in (50, 95, 99))


def _with_cpu(own: _Figures) -> str:
    return f"{_latency(own)} ({own['cpu_ms']:.1f})"


def _seconds(own: _Figures) -> float:
    return round(own["p50_ms"] / 1000, 2)
