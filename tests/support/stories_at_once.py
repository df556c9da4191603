"""Stories that mostly wait run at once, and still are tests of their own: `at_once`, `of_story`, `running_at_once`.

    @pytest.fixture(scope="module")
    def running_stories(request, operator):
        with running_at_once(request, lambda: Stage(operator)) as futures:
            yield futures

    @at_once
    def test_a_deleted_gang_is_replaced(stage): ...        # runs in a thread of its own; `pytest.mark.parametrize` goes above `at_once`

    @of_story(pulled)                                       # tests that share the story `pulled(stage)`, and what it returns
    def test_nothing_is_pulled_without_a_secret(observed): ...

Only the stories of tests that this session runs are begun. A story gets a stage of its own, and no fixtures.
"""

from __future__ import annotations

import inspect
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import pytest

Futures = dict[str, "Future[Any]"]
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


def of_story(story: Callable[[Any], Any]) -> Callable[[Callable[[Any], None]], Callable[..., None]]:
    """Make a test `(observed)` of what a story `(stage)` returned. The tests of one story share one run, which `running_stories` has begun."""

    def decorator(check: Callable[[Any], None]) -> Callable[..., None]:
        def test(running_stories: Futures) -> None:
            check(running_stories[story.__name__].result())

        test.__name__, test.__doc__, test.__module__ = check.__name__, check.__doc__, check.__module__
        test.story, test.shared_as = story, story.__name__  # type: ignore[attr-defined]
        return test

    return decorator


@contextmanager
def running_at_once(
    request: pytest.FixtureRequest,
    stage: Callable[[], Any],
    *,
    folder: Path | None = None,
    workers: int | None = None,
    first: Sequence[str] = (),
) -> Iterator[Futures]:
    """Begin all stories of the requesting module that this session runs, each on a stage of its own; yield them by the name of their test, or the story's own if several tests share it.

    `folder`: those of all modules in it, whose tests and shared stories must have different names. `workers`: no more than so many at a time, in the order of the tests;
    `first`: but these before the others, by their names: begun last, a long story would keep everybody waiting.
    """
    chosen = {
        getattr(item.function, "shared_as", item.name): partial(
            item.function.story, **(item.callspec.params if hasattr(item, "callspec") else {})
        )
        for item in request.session.items
        if hasattr(item, "function")
        and hasattr(item.function, "story")
        and (folder in item.path.parents if folder else item.path == request.path)
    }
    in_order = sorted(chosen, key=lambda name: name not in first)
    with ThreadPoolExecutor(workers or max(len(chosen), 1)) as pool:
        yield {name: pool.submit(lambda story=chosen[name]: story(stage())) for name in in_order}
