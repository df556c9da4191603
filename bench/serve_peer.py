"""Web servers around `transformers.pipeline` in the shapes that people write: `serve_peer.py SHAPE PORT ARTIFACT MOST_TEXTS`.

thread pool   a plain `def` endpoint: a thread pool calls the pipeline
inline        an `async def` endpoint calls the pipeline itself
one worker    one worker thread calls the pipeline, a text at a time
queue         the queue of transformers' page on web servers: all waiting texts go into one pipeline call, at most MOST_TEXTS
"""

from __future__ import annotations

import asyncio
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route
from transformers import pipeline

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
        if shape == "thread pool":
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
    """Take the first text, then each text that arrives within 1 ms after the previous text, then call the pipeline once."""
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


def main(shape: str, port: str, artifact: str, most: str) -> None:
    torch.set_num_threads(1)
    manifest = json.loads((Path(artifact) / "manifest.json").read_text(encoding="utf-8"))
    classify = pipeline("text-classification", model=f"{artifact}/model", top_k=None, device="cpu")
    options = {"truncation": True, "max_length": manifest["maxTokens"]}
    app = peer_app(shape, lambda texts: classify(texts, batch_size=len(texts), **options), most=int(most))
    uvicorn.run(
        app, host="127.0.0.1", port=int(port), loop="uvloop", http="httptools", access_log=False, log_level="warning"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
