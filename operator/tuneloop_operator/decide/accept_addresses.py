"""Which addresses can be used here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop_api.wire.uris import FILE_SCHEME
from tuneloop_operator.decide.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator


def local_address(field: str, uri: str) -> Iterator[Refusal]:
    """Yield a path of one machine, which no pod of a cluster can read."""
    if uri.startswith(FILE_SCHEME):
        yield Refusal(
            reason="LocalAddress",
            field=field,
            given=uri,
            allowed="file:// is a path of one machine and works only with `tuneloop run`; in a cluster data and models come from a claim, a bucket or a hub",
            example="pvc://models/" + uri.removeprefix(FILE_SCHEME).strip("/"),
        )
