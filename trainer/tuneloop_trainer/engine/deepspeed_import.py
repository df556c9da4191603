"""Imports DeepSpeed: for the right accelerator, quietly, and without two imports that cost a second and are never used.

Every other module of the trainer imports `deepspeed` from here, so that the environment is set before DeepSpeed reads it.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

if not torch.cuda.is_available():
    os.environ["DS_ACCELERATOR"] = (
        "cpu"  # otherwise DeepSpeed probes for accelerators, and may choose one that is not there
    )


@contextmanager
def _hidden(*names: str) -> Iterator[None]:
    """Make packages look as if they were not installed while a block runs."""
    kept = {name: sys.modules.pop(name) for name in names if name in sys.modules}
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]  # None is Python's mark for "cannot be imported"
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
        sys.modules.update(kept)


def _not_compiled(function: Callable[..., Any] | None = None, **_: object) -> Any:
    return function if callable(function) else lambda decorated: decorated


@contextmanager
def _without_compilation() -> Iterator[None]:
    """Let `@torch.compile` at the top of a module do nothing."""
    compile_ = torch.compile
    torch.compile = _not_compiled  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.compile = compile_


# DeepSpeed's Muon optimizer, which we never use, is decorated with @torch.compile: importing it loads torch._inductor.
# transformers' detection losses and its assisted generation import scipy and scikit-learn where they are installed.
# Measured on two cores: 5.2 s from start to a BERT class without this, 4.0 s with it.
# transformers looks for them only once, when it is imported itself.
_unused = () if "transformers" in sys.modules else ("scipy", "sklearn")
with _without_compilation(), _hidden(*_unused):
    import deepspeed
    import deepspeed.runtime.zero.muon.original_muon
    import transformers.generation.utils
    import transformers.loss.loss_utils
    import transformers.modeling_utils
    from transformers.integrations import HfDeepSpeedConfig

_logger = logging.getLogger("DeepSpeed")
_logger.setLevel(logging.ERROR)
for _handler in _logger.handlers:
    _handler.setLevel(logging.ERROR)

# The shared-memory collectives are compiled at their first use; gloo needs no compiler, and its order of sums is fixed.
deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False

__all__ = ["HfDeepSpeedConfig", "deepspeed", "transformers"]
