"""`python -m dashboards [--check]`: writes the dashboards into the chart, or says which of them are stale."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dashboards import deployment, fleet, job, operator
from dashboards.grafana import to_json

FOLDER = Path(__file__).resolve().parents[2] / "charts/tuneloop/dashboards"
PAGES = (fleet.PAGE, deployment.PAGE, job.PAGE, operator.PAGE)


def main(arguments: list[str]) -> int:
    """Write the files, or with `--check` name those that are stale and return 1."""
    parser = argparse.ArgumentParser(prog="python -m dashboards", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="where the files are; default: the chart")
    parser.add_argument("--check", action="store_true", help="write nothing")
    given = parser.parse_args(arguments)
    texts = {f"{page.uid}.json": to_json(page) for page in PAGES}
    if given.check:
        return _complain(given.folder, texts)
    given.folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (given.folder / name).write_text(text, encoding="utf-8")
    return 0


def _complain(folder: Path, texts: dict[str, str]) -> int:
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    stale = sorted(name for name in there.keys() | texts.keys() if there.get(name) != texts.get(name))
    for name in stale:
        sys.stderr.write(f"{folder / name} is stale: run `make dashboards`\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
