"""Models by name, as scripts and people write them.

runs/demo/best                       the folder of a TissLM checkpoint
http://localhost:11434/v1#qwen3      a model of a server that speaks OpenAI's interface
mock:answers.yaml                    answers from a file (mock.py)
cassette:calls.jsonl                 answers that were recorded (cassette.py)
cassette:calls.jsonl=runs/demo/best  asks the model behind the `=`, and records it
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from quanta_tissu.errors import ModelError, TissuError
from quanta_tissu.tisslang.llm.openai import EndpointModel, Price
from quanta_tissu.tisslang.llm.protocol import LanguageModel

FORMS = "a checkpoint's folder, https://…/v1#MODEL, mock:FILE, cassette:FILE or cassette:FILE=MODEL"

KEYS_VARIABLE = "TISSU_MODEL_KEYS"
"""Environment variable with keys by server: `api.example.com=sk-1 localhost:8000=sk-2`."""

_KNOWN_KEYS = {
    "api.openai.com": "OPENAI_API_KEY",
    "api.mistral.ai": "MISTRAL_API_KEY",
    "api.groq.com": "GROQ_API_KEY",
    "api.together.xyz": "TOGETHER_API_KEY",
    "api.deepseek.com": "DEEPSEEK_API_KEY",
    "openrouter.ai": "OPENROUTER_API_KEY",
}
_PORTS = {"http": 80, "https": 443}


def open_model(
    spec: str,
    *,
    base: Path | None = None,
    key: str | None = None,
    price: Price | None = None,
    timeout: float = 120.0,
    engine: str | None = None,
    confined: bool = False,
) -> LanguageModel:
    """The model of a name.

    Args:
        spec: The name; see the head of this file.
        base: The folder that paths are relative to; None: the current one.
        key: The API key of a server; None: from the environment, see `key_of`.
        price: What tokens of a server cost.
        timeout: Seconds to wait for a server's sign of life.
        engine: What runs a checkpoint: "fast", "reference" or "torch"; None: the current engine.
        confined: For names that stand in a script: files must lie below `base`, links followed; none is written.

    Raises:
        ModelError: There is no such model, it cannot be opened, or a script may not name it.
    """
    folder = Path() if base is None else base

    def file(name: str) -> Path:
        path = folder / name
        if confined and not path.resolve().is_relative_to(folder.resolve()):
            raise ModelError(
                f"the model {spec!r} leads out of the project", hint="give it from outside: --model NAME=MODEL"
            )
        return path

    if spec.startswith(("http://", "https://")):
        url, _, model = spec.partition("#")
        if not model:
            raise ModelError(f"{spec} names no model", hint=f"put its name behind the address: {url}#MODEL")
        return EndpointModel(url, model, key=key or key_of(url), price=price, timeout=timeout)
    kind, colon, rest = spec.partition(":")
    if colon and not rest:
        raise ModelError(f"{spec!r} names no file", hint=f"models are {FORMS}")
    if kind == "mock" and colon:
        from quanta_tissu.tisslang.llm.mock import MockModel

        return MockModel.load(file(rest))
    if kind == "cassette" and colon:
        from quanta_tissu.tisslang.llm.cassette import CassettePlayer, CassetteRecorder

        path, equals, inner = rest.partition("=")
        if not equals:
            return CassettePlayer(file(path))
        if confined:
            raise ModelError(
                "a script cannot have its model recorded", hint=f"whoever runs it can: --model {spec}"
            )
        asked = open_model(inner, base=base, key=key, price=price, timeout=timeout, engine=engine)
        return CassetteRecorder(file(path), asked)
    return _checkpoint(spec, file(spec), engine)


def refuse_unknown(spec: str, base: Path) -> None:
    """Make sure that what a name stands for is there, without loading a checkpoint or asking a server.

    Args:
        spec: The name; see the head of this file.
        base: The folder that paths are relative to.

    Raises:
        ModelError: There is no such model.
    """
    kind, colon, rest = spec.partition(":")
    if kind == "cassette" and "=" in rest:
        refuse_unknown(rest.partition("=")[2], base)
    elif spec.startswith(("http://", "https://")) or (colon and kind in ("mock", "cassette")):
        open_model(spec, base=base)
    elif not (base / spec).is_dir() or not spec:
        raise ModelError(f"there is no model {spec!r}", hint=f"models are {FORMS}")


def key_of(url: str) -> str | None:
    """The API key of a server, from the environment.

    A key belongs to a server, so that no script can have it sent to another one: it stands behind the server's
    name (perhaps with the port) in `TISSU_MODEL_KEYS`, or, for some services, in the variable of all clients.

    Raises:
        ModelError: The variable is malformed, or the address.
    """
    try:
        address = urlsplit(url)
        host, port = (address.hostname or "").lower(), address.port or _PORTS[address.scheme]
    except ValueError as error:
        raise ModelError(
            f"{url!r} is no address of a server: {error}", hint="https://api.openai.com/v1, for example"
        ) from None
    keys = _keys(os.environ.get(KEYS_VARIABLE, ""))
    own = keys.get(f"{host}:{port}") or keys.get(host)
    return own or os.environ.get(_KNOWN_KEYS.get(host, "")) or None


def _keys(text: str) -> dict[str, str]:
    found = {}
    for number, entry in enumerate(text.split(), 1):
        server, equals, key = entry.partition("=")
        if not (server and equals and key) or "/" in server:
            raise ModelError(
                f"entry {number} of {KEYS_VARIABLE} is not of the form SERVER=KEY",
                hint="names of servers without https://, and blanks between entries: api.example.com=sk-1",
            )
        found[server.lower()] = key
    return found


def _checkpoint(spec: str, path: Path, engine: str | None) -> LanguageModel:
    if not path.is_dir():
        raise ModelError(f"there is no model {spec!r}", hint=f"models are {FORMS}")
    from quanta_tissu.tisslang.llm.checkpoint import CheckpointModel
    from quanta_tissu.tisslm.language_model import LanguageModel as TissLM

    try:
        return CheckpointModel(TissLM.load(path, engine), spec)
    except TissuError as error:
        raise ModelError(f"{spec} cannot be opened: {error.message}", hint=error.hint) from None
