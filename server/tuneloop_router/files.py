"""Writes the files that Envoy watches: whole, and moved into place, which is what Envoy waits for."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Any


def write_json(path: str, document: Any) -> None:
    """Replace a file by a JSON document that only this user may read."""
    new = f"{path}.new"
    with suppress(FileNotFoundError):  # of a process that was killed
        os.unlink(new)  # noqa: PTH108  (paths are texts in Envoy's configuration)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file)
    os.replace(new, path)  # noqa: PTH105  (as above)
