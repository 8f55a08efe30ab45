"""An endpoint as a model: rows in, answers out, and an error that says whose fault it is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import quote, urlsplit

import numpy as np

from surefoot.core.errors import ModelError, RemoteError, RemoteFault
from surefoot.core.plan import EndpointPlan, ServePlan
from surefoot.evaluate.remote.client import FOREVER, Client
from surefoot.evaluate.remote.protocols import (
    PROMPT,
    NoAnswerError,
    chat_answer,
    chat_body,
    prompt,
    tensor_answer,
    tensor_body,
    tensor_input,
)
from surefoot.evaluate.remote.replied import Replied

LANES = 8
"""Requests for single rows that one call has under way at once."""
MODELS = "/v2/models/"
CHAT = "/chat/completions"


class Remote:
    """Asks an endpoint; a request is sent once, and whoever waits may be cancelled.

    Args:
        url: Of the server, or of the model.
        how: How it is asked.
        classes: The names of the classes; scores have to come in their order.

    Raises:
        ModelError: The key is not in its environment variable, or the extra `serve` is missing.
    """

    def __init__(self, url: str, how: EndpointPlan, classes: Sequence[str]) -> None:
        self.url, self._how, self._classes = url, how, tuple(classes)
        self._path = _path(url, how)
        self._client = Client(url, how.timeout_ms / 1000, _key(how))
        self._input: tuple[str, str] | None = None

    async def __call__(self, rows: np.ndarray, until: float = FOREVER) -> Replied:
        """Answer rows.

        Args:
            rows: (n, ...) raw inputs.
            until: When the answer must be there, of `time.monotonic`.

        Raises:
            RemoteError: There is none for some row; `is_its_own` says if that is the endpoint's
                fault.
        """
        if self._how.protocol == "open_inference":
            return await self._scored(rows, until)
        lanes = asyncio.Semaphore(LANES)
        try:
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(self._told(str(row), until, lanes)) for row in rows]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        found = [task.result() for task in asked]
        return Replied(
            predicted=np.array([place for place, _ in found], np.int64),
            confidence=np.array([confidence for _, confidence in found], np.float64),
        )

    def close(self) -> None:
        """Close connections that nobody uses."""
        self._client.close()

    async def _scored(self, rows: np.ndarray, until: float) -> Replied:
        try:
            if self._input is None:
                described = await self._sent("GET", self._path, b"", until)
                self._input = tensor_input(described, rows.dtype.kind)
            body = tensor_body(rows, *self._input)
            answer = await self._sent("POST", f"{self._path}/infer", body, until)
            return tensor_answer(answer, len(rows), self._classes)
        except NoAnswerError as error:
            raise RemoteError("rubbish", str(error), where=self.url) from None

    async def _told(self, text: str, until: float, lanes: asyncio.Semaphore) -> tuple[int, float]:
        asked = prompt(self._how.prompt or PROMPT, self._classes, text)
        body = chat_body(asked, str(self._how.model), self._classes, logprobs=self._how.logprobs)
        async with lanes:
            answer = await self._sent("POST", self._path, body, until)
        try:
            return chat_answer(answer, self._classes)
        except NoAnswerError as error:
            raise RemoteError("rubbish", str(error), where=self.url) from None

    async def _sent(self, method: str, path: str, body: bytes, until: float) -> bytes:
        """The body of an answer of status 200."""
        status, answer = await self._client.exchange(method, path, body, until)
        if status == 200:
            return answer
        if 300 <= status < 500:
            more = ", and redirects are not followed" if status < 400 else ""
            raise RemoteError("refused", f"answers HTTP {status} at {path}{more}", where=self.url)
        fault: RemoteFault = "failed" if status >= 500 else "rubbish"
        raise RemoteError(fault, f"answers HTTP {status} at {path}", where=self.url)


@asynccontextmanager
async def open_remote(plan: ServePlan, classes: Sequence[str]) -> AsyncIterator[Remote]:
    """The endpoint that a plan names as its fallback, open.

    Nothing is sent yet: a service has to start while its fallback is down.

    Args:
        plan: What is promised.
        classes: The names of the classes.

    Raises:
        ModelError: Its key is not at hand, or the extra `serve` is missing.
    """
    remote = Remote(plan.fallback, plan.endpoint, classes)
    try:
        yield remote
    finally:
        remote.close()


def _path(url: str, how: EndpointPlan) -> str:
    """Where requests go: the model of the Open Inference Protocol, or chat completions."""
    path = urlsplit(url).path.rstrip("/")
    if how.protocol == "openai":
        return path if path.endswith(CHAT) else path + CHAT
    return path if MODELS in path else f"{path}{MODELS}{quote(str(how.model), safe='')}"


def _key(how: EndpointPlan) -> dict[str, str]:
    """The header that holds the key; it is read when it is needed, and never written anywhere."""
    if how.api_key_env is None:
        return {}
    key = os.environ.get(how.api_key_env, "")
    if not key or not key.isascii() or not key.isprintable():
        raise ModelError(
            f"environment variable {how.api_key_env} holds no key",
            where="serve.endpoint.api_key_env",
            fix="set it, and start again",
        )
    return {"Authorization": f"Bearer {key}"}
