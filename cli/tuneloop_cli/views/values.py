"""Values of an object as text: fields by path, ages, sizes, intervals. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

Manifest = dict[str, Any]


def at(manifest: Manifest, path: str) -> Any:
    """Return the value at a dotted path such as `status.progress.step` or `status.conditions[Ready].reason`, or None."""
    value: Any = manifest
    for part in path.split("."):
        name, _, type_ = part.removesuffix("]").partition("[")
        value = value.get(name) if isinstance(value, dict) else None
        if type_:
            value = next((item for item in value or () if item["type"] == type_), None)
    return value


def text(value: Any) -> str:
    """Return a value as a table shows it: floats with four significant digits, nothing for None."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def age(timestamp: str | None, now: datetime) -> str:
    """Return how long ago an RFC 3339 time was, as kubectl writes it: `45s`, `12m`, `3h`, `2d`."""
    if not timestamp:
        return ""
    return span((now - datetime.fromisoformat(timestamp)).total_seconds())


def span(seconds: float) -> str:
    """Return a length of time in its largest fitting unit; minutes keep their seconds below ten."""
    whole = max(0, int(seconds))
    for unit, size in (("d", 86400), ("h", 3600)):
        if whole >= size * 2:
            return f"{whole // size}{unit}"
    if whole >= 600:
        return f"{whole // 60}m"
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{whole}s"


def size(count: float) -> str:
    """Return a number of bytes in its largest fitting unit: `86.4 MiB`."""
    unit = "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if count < 1024:
            break
        count, unit = count / 1024, larger
    return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"


def utc_now() -> datetime:
    """Return the present time."""
    return datetime.now(tz=UTC)


def interval(measured: Manifest) -> str:
    """Return a value with its interval: `0.8430 [0.8200, 0.8660]`; without an interval, the value alone."""
    value = f"{measured['value']:.4f}"
    if measured.get("low") is None:
        return value
    return f"{value} [{measured['low']:.4f}, {measured['high']:.4f}]"
