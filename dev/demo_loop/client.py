"""Sends the planned requests to a deployment at their times, and their labels back when they are due."""

from __future__ import annotations

import asyncio
import heapq
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp

from demo_loop.events import Feedback, Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from demo_loop.events import Event
    from demo_loop.plan import PlannedLabel, PlannedRequest, Requests, TrafficPlan

TOKEN_HEADER = "x-tuneloop-feedback"
REVISION_HEADER = "x-tuneloop-revision"
USERS = 400
"""Clients that the requests come from in turn: a router keeps a client at one revision."""
MOST_IN_FLIGHT = 64
"""Requests without an answer yet. More wait, so that a server that hangs is not buried; their events show when they were sent."""
_ANSWER_SECONDS = 30.0
_IDLE_SECONDS = 0.2


class TrafficClient:
    """A stream of requests with late labels. What happened goes to `record`, one event at a time."""

    def __init__(self, url: str, requests: Requests, plan: TrafficPlan, record: Callable[[Event], None]) -> None:
        self._url = url.rstrip("/")
        self._requests = requests
        self._plan = plan
        self._record = record
        self._due: list[tuple[float, int, dict[str, str], PlannedLabel, str]] = []
        """Labels by the time (monotonic) at which they are due."""
        self._sending = True

    async def run(self, seconds: float) -> None:
        """Send requests for so long, then the labels that are still due, each at its time."""
        async with self._http() as http, asyncio.TaskGroup() as group:
            labels = group.create_task(self._send_labels(http))
            await self._send_requests(http, seconds)
            self._sending = False
            await labels

    @asynccontextmanager
    async def _http(self) -> AsyncIterator[aiohttp.ClientSession]:
        timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
        async with aiohttp.ClientSession(
            timeout=timeout, connector=aiohttp.TCPConnector(limit=MOST_IN_FLIGHT + 1)
        ) as http:
            yield http

    async def _send_requests(self, http: aiohttp.ClientSession, seconds: float) -> None:
        free, began = asyncio.Semaphore(MOST_IN_FLIGHT), time.monotonic()
        async with asyncio.TaskGroup() as group:
            for planned in self._requests:
                due = planned.due(self._plan)
                if due >= seconds:
                    return
                await asyncio.sleep(max(0.0, began + due - time.monotonic()))
                await free.acquire()
                group.create_task(self._ask(http, planned)).add_done_callback(lambda _: free.release())

    async def _ask(self, http: aiohttp.ClientSession, planned: PlannedRequest) -> None:
        began, at = time.monotonic(), time.time()
        question = {"inputs": planned.row.text, "parameters": {"top_k": 1}}
        user = {"x-user": f"user-{planned.number % USERS}"}
        status, best, headers = 0, None, {}
        try:
            async with http.post(f"{self._url}/predict", json=question, headers=user) as answer:
                status, headers = answer.status, dict(answer.headers.items())
                best = _best(await answer.json()) if status == 200 else None
        except (aiohttp.ClientError, TimeoutError):
            status, best = 0, None
        answered = time.monotonic()
        prediction, score = best or (None, None)
        self._record(
            Request(
                number=planned.number,
                at=at,
                domain=planned.row.domain,
                truth=planned.row.label,
                prediction=prediction,
                score=score,
                revision=headers.get(REVISION_HEADER, "") if status else "",
                status=status,
                milliseconds=(answered - began) * 1000,
                repeated=planned.repeated,
            )
        )
        token = headers.get(TOKEN_HEADER)
        if prediction is not None and token and planned.feedback is not None:
            due = answered + planned.feedback.delay
            body = feedback_body(token, planned, sends_text=self._plan.sends_texts)
            heapq.heappush(self._due, (due, planned.number, body, planned.feedback, prediction))

    async def _send_labels(self, http: aiohttp.ClientSession) -> None:
        while self._sending or self._due:
            wait = self._due[0][0] - time.monotonic() if self._due else _IDLE_SECONDS
            if wait > 0:
                await asyncio.sleep(min(wait, _IDLE_SECONDS))
                continue
            _, number, body, label, prediction = heapq.heappop(self._due)
            status = await self._send_label(http, body)
            self._record(
                Feedback(
                    number=number,
                    at=time.time(),
                    label=label.label,
                    correct=label.label == prediction,
                    wrong_on_purpose=label.wrong_on_purpose,
                    status=status,
                )
            )

    async def _send_label(self, http: aiohttp.ClientSession, body: dict[str, str]) -> int:
        try:
            async with http.post(f"{self._url}/v1/feedback", json=body) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return 0


def feedback_body(token: str, planned: PlannedRequest, *, sends_text: bool) -> dict[str, str]:
    """Return what is sent back for a prediction. Raises ValueError for a request that gets no label."""
    if planned.feedback is None:
        raise ValueError(f"request {planned.number}: gets no label")
    text = {"input": planned.row.text} if sends_text else {}
    return {"token": token, "label": planned.feedback.label} | text


def _best(answer: Any) -> tuple[str, float]:
    """Return the best class of an answer to one text, and its score."""
    first = answer[0]
    return str(first["label"]), float(first["score"])
