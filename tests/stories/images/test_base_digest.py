"""A build without a digest for its base ends, unless it says that it is not for a release."""

from __future__ import annotations

import pytest
from images import base, store, targets
from images.errors import ImageError

DOCKERFILE = targets.ROOT / "Dockerfile"


def build_as_a_release_without_a_digest() -> None:
    with store.locked("storage", say=print):
        base.ensure(base.name_in(DOCKERFILE), say=print)
        tag = "localhost/tuneloop/refused"
        store.build(DOCKERFILE, context=targets.ROOT, tag=tag, target="operator", build_arguments={})


def test_a_base_without_a_digest_is_refused(operator_image):
    with pytest.raises(ImageError, match=r"PYTHON_IMAGE=\S+ has no digest: add @sha256:"):
        build_as_a_release_without_a_digest()
