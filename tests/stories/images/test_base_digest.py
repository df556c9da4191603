"""A build without a digest for its base ends, unless it says that it is not for a release."""

from __future__ import annotations

import pytest
from images import base, store, targets
from images.errors import ImageError

DOCKERFILE = targets.ROOT / "Dockerfile"


def test_a_base_without_a_digest_is_refused(operator_image):
    name = base.name_in(DOCKERFILE)
    with (
        store.locked("storage", say=print),
        pytest.raises(ImageError, match=rf"PYTHON_IMAGE={name} has no digest: add @sha256:"),
    ):
        base.ensure(name, say=print)
        store.build(
            DOCKERFILE, context=targets.ROOT, tag="localhost/tuneloop/refused", target="operator", build_arguments={}
        )
