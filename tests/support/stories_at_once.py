"""Stories that mostly wait run at once, and still are tests of their own: `at_once`, `running_at_once`.

    @pytest.fixture(scope="module")
    def running_stories(request, operator):
        with running_at_once(request, lambda: Stage(operator)) as futures:
            yield futures

    @at_once
    def test_a_deleted_gang_is_replaced(stage): ...        # runs in a thread of its own; `pytest.mark.parametrize` goes above `at_once`

Only the stories of tests that this session runs are begun. A story gets a stage of its own, and no fixtures.
"""

from __future__ import annotations

import inspect
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pytest

Futures = dict[str, "Future[None]"]
_BY_PYTEST = [
    inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in ("running_stories", "request")
]


def at_once(story: Callable[..., None]) -> Callable[..., None]:
    """Make a test of a story `(stage, **parameters)`: it waits for the end of its story, which the fixture `running_stories` has begun."""

    def test(running_stories: Futures, request: pytest.FixtureRequest, **_: Any) -> None:
        running_stories[request.node.name].result()

    _, *parameters = inspect.signature(story).parameters.values()
    test.__signature__ = inspect.Signature([*_BY_PYTEST, *parameters])  # type: ignore[attr-defined]
    test.__name__, test.__doc__, test.__module__ = story.__name__, story.__doc__, story.__module__
    test.story = story  # type: ignore[attr-defined]
    return test


@contextmanager
def running_at_once(
    request: pytest.FixtureRequest, stage: Callable[[], Any], *, folder: Path | None = None, workers: int | None = None
) -> Iterator[Futures]:
    """Begin all stories of the requesting module that this session runs, each on a stage of its own; yield them by the name of their test.

    `folder`: those of all modules in it, whose tests must have different names. `workers`: no more than so many at a time, in the order of the tests.
    """
    chosen = {
        item.name: partial(item.function.story, **(item.callspec.params if hasattr(item, "callspec") else {}))
        for item in request.session.items
        if hasattr(item, "function")
        and hasattr(item.function, "story")
        and (folder in item.path.parents if folder else item.path == request.path)
    }
    with ThreadPoolExecutor(workers or max(len(chosen), 1)) as pool:
        yield {name: pool.submit(lambda story=story: story(stage())) for name, story in chosen.items()}
