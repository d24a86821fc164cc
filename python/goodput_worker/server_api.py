"""What a model may ask of the server besides inferences: other models' life, log lines, metrics of its own."""

from __future__ import annotations

import base64
import enum
import sys
from typing import Any, Mapping, Sequence

from .errors import TritonModelException
from .session import current


def _ask(failure: str, **question: Any) -> Any:
    answer = current().channel.ask(question).meta
    if "e" in answer:
        raise TritonModelException(f"{failure}: {answer['e'][1]}")
    return answer.get("v")


def load_model(model_name: str, files: Mapping[str, bytes] | None = None, config: str | None = None) -> None:
    """Loads a model, or loads it anew; needs ``--model-control-mode=explicit``.

    :param files: contents by path, ``file:1/model.onnx`` and the like; then ``config`` is needed too
    :param config: the configuration as JSON, in place of the repository's
    :raises TritonModelException: with the reason
    """
    if files is not None and not isinstance(files, Mapping):
        raise TritonModelException(
            f"failed to load model '{model_name}', files should be a dictionary of file paths and file contents"
        )
    encoded = {path: base64.b64encode(content).decode() for path, content in (files or {}).items()}
    _ask("Failed to load model", k="load", m=model_name, files=encoded, config=config or "")


def unload_model(model_name: str, unload_dependents: bool = False) -> None:
    """Unloads a model.

    :param unload_dependents: an ensemble's steps go too
    :raises TritonModelException: with the reason
    """
    _ask("Failed to unload model", k="unload", m=model_name, d=unload_dependents)


def is_model_ready(model_name: str, model_version: str = "") -> bool:
    """Whether a model can be asked now; an empty version stands for any."""
    return bool(_ask("Failed to check model readiness", k="ready", m=model_name, v=str(model_version)))


def get_model_dir() -> str:
    """The folder of the model's version (of the backend, for a backend that is written in Python)."""
    return current().model_folder


class LogLevel(enum.IntEnum):
    """Levels of :class:`Logger`."""

    INFO = 0
    WARNING = 1
    ERROR = 2
    VERBOSE = 3


class Logger:
    """The server's log. Verbose lines appear with ``--log-verbose`` of 1 or more."""

    INFO = LogLevel.INFO
    WARNING = LogLevel.WARNING
    ERROR = LogLevel.ERROR
    VERBOSE = LogLevel.VERBOSE

    @staticmethod
    def log(message: str, level: int = LogLevel.INFO) -> None:
        """Writes a line."""
        try:
            session = current()
        except TritonModelException:
            print(message, file=sys.stderr)
            return
        session.channel.send({"k": "log", "t": str(message), "v": LogLevel(level).name})

    @staticmethod
    def log_info(message: str) -> None:
        """Writes a line at level ``INFO``."""
        Logger.log(message, LogLevel.INFO)

    @staticmethod
    def log_warn(message: str) -> None:
        """Writes a line at level ``WARNING``."""
        Logger.log(message, LogLevel.WARNING)

    @staticmethod
    def log_error(message: str) -> None:
        """Writes a line at level ``ERROR``."""
        Logger.log(message, LogLevel.ERROR)

    @staticmethod
    def log_verbose(message: str) -> None:
        """Writes a line at level ``VERBOSE``."""
        Logger.log(message, LogLevel.VERBOSE)


class MetricKind(enum.IntEnum):
    """Kinds of :class:`MetricFamily`."""

    COUNTER = 0
    GAUGE = 1
    HISTOGRAM = 2


class Metric:
    """One value (or histogram) of a family. Made by :meth:`MetricFamily.Metric`."""

    def __init__(self, family: str, labels: Mapping[str, str], buckets: Sequence[float] | None):
        self._family = family
        self._labels = {str(name): str(value) for name, value in labels.items()}
        self._buckets = buckets
        self._operate("Error when creating Metric", "new", 0)

    def increment(self, value: float) -> None:
        """Adds to it; a counter takes no negative value."""
        self._operate("Failed to increment metric value", "increment", value)

    def set(self, value: float) -> None:
        """Sets a gauge."""
        self._operate("Failed to set metric value", "set", value)

    def observe(self, value: float) -> None:
        """Counts a value in a histogram."""
        self._operate("Failed to observe metric value", "observe", value)

    def value(self) -> float:
        """The value of a counter or a gauge."""
        return self._operate("Failed to get metric value", "value", 0)

    def _operate(self, failure: str, operation: str, value: float) -> Any:
        return _ask(
            failure,
            k="metric",
            n=self._family,
            l=self._labels,
            b=self._buckets,
            o=operation,
            v=float(value),
        )


class MetricFamily:
    """A metric of the model's own, on the server's ``/metrics``.

    :param name: as Prometheus wants them
    :param kind: ``MetricFamily.COUNTER``, ``GAUGE`` or ``HISTOGRAM``
    """

    COUNTER = MetricKind.COUNTER
    GAUGE = MetricKind.GAUGE
    HISTOGRAM = MetricKind.HISTOGRAM

    def __init__(self, name: str, description: str = "", kind: int = MetricKind.COUNTER):
        self._name = name
        self._kind = MetricKind(kind)
        _ask("Error when creating MetricFamily", k="family", n=name, h=description, t=self._kind.name.lower())

    def Metric(  # noqa: N802 (the name is the interface's)
        self, labels: Mapping[str, str] | None = None, buckets: Sequence[float] | None = None
    ) -> Metric:
        """The metric with these labels; asking twice gives the same one.

        :param buckets: ascending upper bounds, needed for a histogram and only for one
        """
        if labels is not None and not isinstance(labels, Mapping):
            raise TritonModelException("Failed to create metric. Labels must be a dictionary.")
        if buckets is not None and not isinstance(buckets, (list, tuple)):
            raise TritonModelException("Failed to create metric. Buckets must be a list.")
        if self._kind == MetricKind.HISTOGRAM and buckets is None:
            raise TritonModelException("Failed to create metric. Missing required buckets.")
        if self._kind != MetricKind.HISTOGRAM and buckets:
            raise TritonModelException("Failed to create metric. Unexpected buckets found.")
        return Metric(self._name, labels or {}, None if buckets is None else [float(bound) for bound in buckets])
