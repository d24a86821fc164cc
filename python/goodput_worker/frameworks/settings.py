"""Parameters of a model's configuration."""

from __future__ import annotations

from typing import Any, Mapping

from ..errors import TritonModelException


def text_setting(config: Mapping[str, Any], name: str, default: str) -> str:
    """The parameter of that name."""
    entry = config.get("parameters", {}).get(name)
    return default if entry is None else entry["string_value"]


def switch_setting(config: Mapping[str, Any], name: str, default: bool) -> bool:
    """A parameter that is ``true`` or ``false``.

    :raises TritonModelException: for anything else
    """
    text = text_setting(config, name, str(default)).lower()
    if text not in ("true", "false", "1", "0"):
        raise TritonModelException(f"parameter '{name}' must be true or false, got '{text}'")
    return text in ("true", "1")


def count_setting(config: Mapping[str, Any], name: str) -> int | None:
    """A parameter that is a positive integer; ``None`` where it is not given.

    :raises TritonModelException: for anything else
    """
    text = text_setting(config, name, "")
    if text == "":
        return None
    if not text.isdigit() or int(text) == 0:
        raise TritonModelException(f"parameter '{name}' must be a positive integer, got '{text}'")
    return int(text)
