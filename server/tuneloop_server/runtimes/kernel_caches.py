"""How many kernels of packed layers (`packed_linear`) torch and oneDNN keep: about 0.6 MiB each, one for each number of rows and each size of a layer.

Both keep 1,024 by default, so that a server took up to 600 MiB beside its model, the longer it served the more. docs/benchmarks.md has what fewer cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

CAPACITY = 64
"""Kernels of each cache."""
VARIABLES = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")
"""Of torch, and of oneDNN. Both read them once, at their first kernel."""


def limit_kernel_caches(environment: MutableMapping[str, str]) -> None:
    """Set both capacities in the environment of this process, each where the user has not set it (`spec.env`). To be called before torch is imported."""
    for name in VARIABLES:
        environment.setdefault(name, str(CAPACITY))
