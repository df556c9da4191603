"""Web servers around `transformers.pipeline` in the shapes that people write, as fast as each shape gets."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    Pipeline = Callable[[list[str]], list[Any]]


def peer_app(shape: str, classify: Pipeline, *, most: int) -> Starlette:
    worker = ThreadPoolExecutor(max_workers=1)
    queue: asyncio.Queue[tuple[str, asyncio.Future[Any]]] = asyncio.Queue()

    async def answer(text: str) -> Any:
        if shape == "inline":
            return classify([text])[0]
        if shape == "thread each":
            return (await run_in_threadpool(classify, [text]))[0]
        if shape == "one worker":
            return (await asyncio.get_running_loop().run_in_executor(worker, classify, [text]))[0]
        future = asyncio.get_running_loop().create_future()
        queue.put_nowait((text, future))
        return await future

    async def predict(request: Request) -> JSONResponse:
        return JSONResponse(await answer((await request.json())["inputs"]))

    async def readyz(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @asynccontextmanager
    async def lifespan(_: Starlette):
        task = asyncio.create_task(_serve_queue(queue, classify, worker, most=most))
        yield
        task.cancel()

    routes = [Route("/predict", predict, methods=["POST"]), Route("/readyz", readyz)]
    return Starlette(routes=routes, lifespan=lifespan)


async def _serve_queue(queue: asyncio.Queue, classify: Pipeline, worker: ThreadPoolExecutor, *, most: int) -> None:
    """Take the first text, then what comes within 1 ms of the one before, then call the pipeline once."""
    while True:
        batch = [await queue.get()]
        while len(batch) < most:
            try:
                batch.append(await asyncio.wait_for(queue.get(), timeout=0.001))
            except TimeoutError:
                break
        outputs = await asyncio.get_running_loop().run_in_executor(worker, classify, [text for text, _ in batch])
        for (_, future), output in zip(batch, outputs, strict=True):
            future.set_result(output)
