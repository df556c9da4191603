"""A header that the API takes is one that a router takes, and the other way round."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tuneloop_api.v1alpha1.model_deployment.expose import NOT_STICKY, Expose
from tuneloop_router.split import HEADER

HEADERS = ("x-user", "x", "0", "a" * 64, "a" * 65, "", "-x", "x-", "X-User", "x_user", "x user", "cookie", "ü")


@pytest.mark.parametrize("header", [*HEADERS, *NOT_STICKY, "x-envoy-user", "x-tuneloop-user", "x-envoyuser"])
def test_the_api_and_the_router_take_the_same_headers(header: str) -> None:
    try:
        Expose.from_wire({"stickyHeader": header})
        is_taken = True
    except ValidationError:
        is_taken = False
    assert is_taken == bool(HEADER.accepts(header))
