"""A GGUF model in this process, through llama.cpp (the package xllamacpp, of the extra [embedded])."""

import asyncio
import math
import os
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import ModelError, StartError
from .base import ChatReply, ChatRequest
from .http import ModelHttp
from .openai import OpenAIModel
from .wire import mapping

CONTEXT = 16384
LONGEST_NAME = 128
_MAGIC = b"GGUF"


class NoEngine(ModelError):
    """llama.cpp can't load this file, or is not installed."""

    code = "no_engine"


@dataclass(frozen=True, slots=True)
class Size:
    """What a model may take: tokens of context, threads, MiB of prompts that are kept."""

    context: int
    threads: int
    cache_mib: int


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a completion with the natural logarithm of the probability that the model gave it before
    the grammar had its say."""

    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole completion; `reused` of the prompt's tokens were in the cache."""

    pieces: tuple[Piece, ...]
    prompt_tokens: int
    reused: int


def engine_installed() -> bool:
    """Whether there is a llama.cpp for this platform here."""
    return find_spec("xllamacpp") is not None


class LlamaServer:
    """One loaded model. Its calls block, and let go of the interpreter's lock.

    llama.cpp always opens a loopback port: without our random key it answers no question, and it has neither
    page nor slots.
    """

    def __init__(self, path: Path, size: Size) -> None:
        """Load it. Raises NoEngine."""
        if not engine_installed():
            raise NoEngine("llama.cpp (the package xllamacpp) is not installed")
        from xllamacpp import CommonParams, Server

        self.key = secrets.token_urlsafe(32)
        try:
            self._server: Any = Server(self._parameters(CommonParams(), path, size))
        except (RuntimeError, ValueError, OSError) as error:
            raise NoEngine(f"llama.cpp can't load {path.name}: {error}") from error
        self.address: str = self._server.listening_address

    def _parameters(self, chosen: Any, path: Path, size: Size) -> Any:
        chosen.model.path = str(path)
        chosen.n_ctx = size.context
        chosen.n_parallel = 1
        chosen.cpuparams.n_threads = chosen.cpuparams_batch.n_threads = size.threads
        chosen.cache_ram_mib = size.cache_mib
        chosen.api_keys = [self.key]
        chosen.ui = chosen.endpoint_slots = chosen.endpoint_props = False
        chosen.verbosity = -1
        return chosen

    def complete(
        self, prompt: str, grammar: str, max_tokens: int, stop: Callable[[], bool]
    ) -> Completion | None:
        """What the model writes under a GBNF grammar, greedily; None when `stop` said so, or it failed."""
        pieces: list[Piece] = []
        usage: list[Mapping[str, object]] = []

        def take(event: object) -> bool:
            choices = mapping(event).get("choices")
            for choice in choices if isinstance(choices, list) else []:
                pieces.extend(_pieces(mapping(choice)))
            if "usage" in mapping(event):
                usage.append(mapping(mapping(event)["usage"]))
            return stop()

        asked = {
            "prompt": prompt,
            "grammar": grammar,
            "max_tokens": max_tokens,
            "temperature": 0,
            "n_probs": 1,
        }
        try:
            self._server.handle_completions({**asked, "cache_prompt": True, "stream": True}, take)
        except (RuntimeError, ValueError):
            return None
        if not usage:
            return None
        reused = mapping(usage[-1].get("prompt_tokens_details")).get("cached_tokens")
        return Completion(tuple(pieces), _number(usage[-1].get("prompt_tokens")), _number(reused))

    def close(self) -> None:
        """Let go of the model and its port. No call may be running."""
        self._server = None


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _pieces(choice: Mapping[str, object]) -> list[Piece]:
    content = mapping(choice.get("logprobs")).get("content")
    tokens = [mapping(token) for token in content] if isinstance(content, list) else []
    return [
        Piece(str(token.get("token", "")), float(logprob))
        for token in tokens
        if isinstance(logprob := token.get("logprob"), int | float) and not math.isnan(logprob)
    ]


class LlamaModel:
    """`EMBEDDED_MODEL`: a ChatModel on a file. The ordinary client for OpenAI-compatible endpoints talks to it."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        """Look at the file; `load` loads it. Raises StartError, which names the variable."""
        if not engine_installed():
            raise StartError(
                "EMBEDDED_MODEL: needs llama.cpp: pip install xllamacpp (no wheel for this platform? "
                "then run a server, and set OPENAI_BASE_URL)"
            )
        try:
            with path.open("rb") as file:
                known = file.read(len(_MAGIC)) == _MAGIC
        except OSError as error:
            raise StartError(f"EMBEDDED_MODEL: {path} can't be read ({error.strerror})") from error
        if not known:
            raise StartError(f"EMBEDDED_MODEL: {path} is no GGUF file")
        self.name = f"llama.cpp/{path.name}"[:LONGEST_NAME]
        self._path = path
        self._timeout_s = timeout_s
        self._thread = ThreadPoolExecutor(1, "embedded-model")
        self._server: LlamaServer | None = None
        self._client: OpenAIModel | None = None

    async def load(self) -> None:
        """Load the model, which takes from half a second to minutes. Raises StartError."""
        await self._loaded()

    async def complete(self, request: ChatRequest) -> ChatReply:
        reply = await (await self._loaded()).complete(request)
        return replace(reply, model=self.name)  # the server's own name for it is a path

    async def stream(self, request: ChatRequest) -> AsyncIterator[str]:
        async for piece in (await self._loaded()).stream(request):
            yield piece

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._unload)
        self._thread.shutdown(wait=False)

    async def _loaded(self) -> OpenAIModel:
        """The client of the loaded model; whoever comes while it loads waits on the same thread."""
        if self._client is None:
            server = await asyncio.get_running_loop().run_in_executor(self._thread, self._load)
            if self._client is None:
                self._client = OpenAIModel(
                    ModelHttp(), f"{server.address}/v1", self._path.stem, api_key=server.key,
                    timeout_s=self._timeout_s,
                )  # fmt: skip
        return self._client

    def _load(self) -> LlamaServer:
        if self._server is None:
            try:
                threads = max(1, (os.cpu_count() or 2) - 1)
                self._server = LlamaServer(self._path, Size(CONTEXT, threads, 512))
            except NoEngine as error:
                raise StartError(f"EMBEDDED_MODEL: {error.detail}") from error
        return self._server

    def _unload(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
