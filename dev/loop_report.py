"""Make the page of the story of drift from what was recorded: `python dev/loop_report.py EVENTS.jsonl SERIES.json PAGE.html`.

With `--png` headless Chromium, where it is installed, also takes a picture of the page.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from demo_loop.events import from_lines
from demo_loop.report import page
from demo_loop.series import stored

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
TITLE = "A model that its traffic leaves, and one that follows"
PICTURE = (1100, 1900)
"""Width and height in pixels."""


def main() -> int:
    """Return 0 if all that was asked for was written."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("events", type=Path, help="lines of JSON that the traffic wrote")
    options.add_argument(
        "series", type=Path, help="replies of Prometheus' query_range by name: psi, psi_critical, weight"
    )
    options.add_argument("page", type=Path)
    options.add_argument("--png", type=Path)
    given = options.parse_args()
    with given.events.open(encoding="utf-8") as lines:
        text = page(from_lines(lines), stored(given.series), title=TITLE)
    given.page.write_text(text, encoding="utf-8")
    return picture(given.page, given.png) if given.png else 0


def picture(source: Path, target: Path) -> int:
    """Take a picture of a page. Return 0 if there is a browser, and it did."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        print(f"--png: none of {', '.join(BROWSERS)} is installed; {source} was written", file=sys.stderr)
        return 1
    size = ",".join(map(str, PICTURE))
    command = [browser, "--headless", "--disable-gpu", "--hide-scrollbars", f"--window-size={size}"]
    return subprocess.run([*command, f"--screenshot={target}", source.resolve().as_uri()], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
