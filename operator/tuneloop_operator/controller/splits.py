"""The split of each deployment, as its stored object wants it. It is found once for each change, however many routers ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from tuneloop_operator.controller.observe.model_deployment import observe
from tuneloop_operator.controller.store import key_of
from tuneloop_operator.decide.model_deployment.routed import split_of
from tuneloop_operator.state.observed import Facts

if TYPE_CHECKING:
    from collections.abc import Callable

    from tuneloop_api.contract.router import RouterSplit
    from tuneloop_operator.cluster import Manifest
    from tuneloop_operator.controller.store import ObjectKey, Store
    from tuneloop_operator.settings.operator import OperatorSettings

_KIND: Final = "ModelDeployment"
_SAY_WHERE = frozenset({"Deployment", "Pod"})


class Splits:
    """What the routers of each deployment are to follow, and who wants to know of a change."""

    def __init__(self, store: Store, *, settings: Callable[[], OperatorSettings]) -> None:
        self._store = store
        self._settings = settings
        self._found: dict[ObjectKey, RouterSplit | None] = {}
        """Of deployments that have not changed since somebody asked."""
        self._on_change: list[Callable[[str, str], None]] = []
        store.listen(self._note)

    def listen(self, on_change: Callable[[str, str], None]) -> None:
        """Call on_change with namespace and name of a deployment whose split may be another one. It must not wait or raise."""
        self._on_change.append(on_change)

    def of(self, namespace: str, name: str) -> RouterSplit | None:
        """Return the split; None for a deployment that is not there, does not fit the model, or has no routers."""
        key = (_KIND, namespace, name)
        if key in self._found:
            return self._found[key]
        manifest = self._store.get(_KIND, namespace=namespace, name=name)
        if manifest is None:
            return None
        self._found[key] = split = self._split(manifest)
        return split

    def _split(self, manifest: Manifest) -> RouterSplit | None:
        try:
            observed = observe(self._store, manifest, Facts())
        except ValidationError:
            return None
        return split_of(observed, settings=self._settings())

    def _note(self, manifest: Manifest) -> None:
        """Take in a change of an object: of a deployment, or of what says where a revision answers, its Deployment, and in local mode its pod."""
        kind = manifest["kind"]
        key = key_of(manifest) if kind == _KIND else self._store.owner_key(manifest) if kind in _SAY_WHERE else None
        if key is None or key[0] != _KIND:
            return
        self._found.pop(key, None)
        for on_change in self._on_change:
            on_change(key[1], key[2])
