"""The model server of a container: serves one unpacked model archive over HTTP, with the archive's own inference code.

Started as a script with an interpreter of its own, so it uses nothing but the standard library:

    python serving.py --model DIR --socket FD

It does what the server of SageMaker's framework images does with the inference toolkit
(https://github.com/aws/sagemaker-inference-toolkit): imports ``SAGEMAKER_PROGRAM`` from ``SAGEMAKER_SUBMIT_DIRECTORY``,
loads the model once with ``model_fn``, and answers ``GET /ping`` and ``POST /invocations`` with ``input_fn``,
``predict_fn`` and ``output_fn``. An error with a status of its own (``BaseInferenceToolkitError``) is answered with
that status, every other one with 500; the answer's text is the message and the traceback.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import inspect
import json
import os
import socket
import sys
import threading
import traceback
import types
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

Value: TypeAlias = Any
"""What the functions of the archive hand to each other."""

_TEXT_TYPES: Final = ("application/json", "text/csv")
"""Content types whose body the toolkit hands over as text; all others stay bytes (``content_types.UTF8_TYPES``)."""
_FUNCTIONS: Final = ("model_fn", "input_fn", "predict_fn", "output_fn")
_ANY: Final = "*/*"
_CUSTOM_ATTRIBUTES: Final = "X-Amzn-SageMaker-Custom-Attributes"


class BaseInferenceToolkitError(Exception):
    """An error with an HTTP status, as the toolkit of the images defines it."""

    def __init__(self, status_code: int, message: str, phrase: str) -> None:
        super().__init__(message)
        self.status_code, self.message, self.phrase = status_code, message, phrase


def _provide_toolkit() -> type[Exception]:
    """Return the toolkit's error class; where the toolkit is not installed, the archive imports ours in its place."""
    if importlib.util.find_spec("sagemaker_inference") is not None:
        found: type[Exception] = importlib.import_module("sagemaker_inference.errors").BaseInferenceToolkitError
        return found
    package, errors = types.ModuleType("sagemaker_inference"), types.ModuleType("sagemaker_inference.errors")
    setattr(errors, "BaseInferenceToolkitError", BaseInferenceToolkitError)  # noqa: B010 - no attribute mypy knows
    setattr(package, "errors", errors)  # noqa: B010
    sys.modules.update({"sagemaker_inference": package, "sagemaker_inference.errors": errors})
    return BaseInferenceToolkitError


class Model:
    """A loaded model and the functions of its archive.

    Args:
        folder: The unpacked archive.

    Raises:
        ValueError: The archive lacks a function.
    """

    def __init__(self, folder: Path) -> None:
        self._error = _provide_toolkit()
        self._lock = threading.Lock()  # a worker of the image answers one request at a time
        self._accept = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "application/json")
        code = os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY") or str(folder / "code")
        sys.path.insert(0, code)
        module = importlib.import_module(os.environ.get("SAGEMAKER_PROGRAM", "inference.py").removesuffix(".py"))
        missing = [name for name in _FUNCTIONS if not hasattr(module, name)]
        if missing:
            raise ValueError(f"{module.__file__} has to define {', '.join(missing)}; transform_fn is not emulated here")
        model_fn, self._input, self._predict, self._output = (getattr(module, name) for name in _FUNCTIONS)
        self._model = _call(model_fn, str(folder))

    def answer(self, body: bytes, content_type: str, accept: str) -> tuple[int, str, bytes]:
        """Return status, content type and body for a request."""
        accept = self._accept if accept in ("", _ANY) else accept
        data: bytes | str = body.decode() if content_type in _TEXT_TYPES else body
        try:
            with self._lock:
                result = self._answer(data, content_type, accept)
        except Exception as error:
            status = int(getattr(error, "status_code", 500)) if isinstance(error, self._error) else 500
            message = getattr(error, "message", None) or str(error)
            return status, "text/plain", f"{message}\n{traceback.format_exc()}".encode()
        if isinstance(result, tuple):  # the older form names the content type itself
            result, accept = result
        return 200, accept, result if isinstance(result, bytes) else str(result).encode()

    def _answer(self, data: bytes | str, content_type: str, accept: str) -> Value:
        parsed = _call(self._input, data, content_type)
        return _call(self._output, _call(self._predict, parsed, self._model), accept)


def _call(function: Callable[..., Value], *arguments: Value) -> Value:
    """Call a function of the archive; one that takes a further argument gets no context here, but None."""
    takes_context = len(inspect.signature(function).parameters) == len(arguments) + 1
    return function(*arguments, None) if takes_context else function(*arguments)


def _handler(model: Model) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found = self.path == "/ping"
            self._send(200 if found else 404, "application/json", b"", {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            content_type = self.headers.get("Content-Type", "")
            status, kind, answer = model.answer(body, content_type, self.headers.get("Accept", ""))
            attributes = self.headers.get(_CUSTOM_ATTRIBUTES)
            self._send(status, kind, answer, {_CUSTOM_ATTRIBUTES: attributes} if attributes else {})
            event = {"status": status, "contentType": content_type, "bytes": len(body)}
            print(json.dumps(event if status < 400 else {**event, "error": answer.decode(errors="replace")}))

        def _send(self, status: int, kind: str, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing: `do_POST` writes a line of its own."""

    return Handler


def main() -> None:
    """Load the model and serve it until killed; a model that does not load ends the process with its traceback."""
    parser = argparse.ArgumentParser(description="Serve a model archive.")
    parser.add_argument("--model", type=Path, required=True, help="folder of the unpacked archive")
    parser.add_argument("--socket", type=int, required=True, help="inherited file descriptor of a listening socket")
    options = parser.parse_args()
    model = Model(options.model)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(model), bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=options.socket)
    print(f"model {options.model} is loaded", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
