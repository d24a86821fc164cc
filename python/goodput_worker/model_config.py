"""The configuration that ``auto_complete_config`` completes, and look-ups in configurations."""

from __future__ import annotations

from typing import Any, Mapping

_INPUT_PROPERTIES = ("name", "data_type", "dims", "optional")
_OUTPUT_PROPERTIES = ("name", "data_type", "dims")


class ModelConfig:
    """A model's configuration. Methods add to it what the model knows; what is configured otherwise is an error."""

    def __init__(self, model_config: dict[str, Any]):
        self._config = model_config

    def as_dict(self) -> dict[str, Any]:
        """The configuration, with the field names of ``config.pbtxt``."""
        return self._config

    def set_max_batch_size(self, max_batch_size: int) -> None:
        """Sets ``max_batch_size``.

        :raises ValueError: when a larger one is configured
        """
        configured = self._config["max_batch_size"]
        if configured > max_batch_size:
            raise ValueError(
                f"configuration specified max_batch_size {configured}, but in auto-complete-config function for"
                f" model '{self._name}' specified max_batch_size {max_batch_size}"
            )
        self._config["max_batch_size"] = max_batch_size

    def set_dynamic_batching(self) -> None:
        """Turns dynamic batching on.

        :raises ValueError: when another scheduler is configured
        """
        for scheduler in ("sequence_batching", "ensemble_scheduling"):
            if scheduler in self._config:
                raise ValueError(
                    f"Configuration specified scheduling_choice as '{scheduler}', but auto-complete-config function"
                    f" for model '{self._name}' tries to set scheduling_choice as 'dynamic_batching'"
                )
        self._config.setdefault("dynamic_batching", {})

    def add_input(self, input: Mapping[str, Any]) -> None:
        """Adds an input: ``name``, ``data_type``, ``dims`` and maybe ``optional``.

        :raises ValueError: for other properties, missing ones, and an input that is configured differently
        """
        self._add("input", input, _INPUT_PROPERTIES, "'name', 'data_type', 'dims' and 'optional'")

    def add_output(self, output: Mapping[str, Any]) -> None:
        """Adds an output: ``name``, ``data_type`` and ``dims``.

        :raises ValueError: for other properties, missing ones, and an output that is configured differently
        """
        self._add("output", output, _OUTPUT_PROPERTIES, "'name', 'data_type' and 'dims'")

    def set_model_transaction_policy(self, transaction_policy_dict: Mapping[str, Any]) -> None:
        """Sets ``decoupled``.

        :raises ValueError: for other properties, and when the opposite is configured
        """
        for name in transaction_policy_dict:
            if name != "decoupled":
                raise ValueError(
                    f"model transaction property in auto-complete-config function for model '{self._name}' contains"
                    " property other than 'decoupled'."
                )
        policy = self._config.setdefault("model_transaction_policy", {})
        if "decoupled" not in transaction_policy_dict:
            return
        wanted = transaction_policy_dict["decoupled"]
        if policy.get("decoupled", wanted) != wanted:
            raise ValueError(
                f"trying to change decoupled property in auto-complete-config for model '{self._name}', which is"
                f" already set to '{policy['decoupled']}'."
            )
        policy["decoupled"] = wanted

    @property
    def _name(self) -> str:
        return self._config["name"]

    def _add(self, kind: str, tensor: Mapping[str, Any], allowed: tuple[str, ...], allowed_text: str) -> None:
        name = tensor.get("name")
        where = f"in auto-complete-config function for model '{self._name}'"
        for prop in tensor:
            if prop not in allowed:
                raise ValueError(f"{kind} '{name}' {where} contains property other than {allowed_text}.")
        if name is None:
            raise ValueError(f"{kind} {where} is missing 'name' property.")
        for prop in ("data_type", "dims"):
            if prop not in tensor:
                raise ValueError(f"{kind} '{name}' {where} is missing '{prop}' property.")
        tensors = self._config[kind]
        configured = next((known for known in tensors if known["name"] == name), None)
        if configured is None:
            tensors.append(dict(tensor))
            return
        self._agree(kind, configured, tensor)
        configured.update(tensor)

    def _agree(self, kind: str, configured: Mapping[str, Any], tensor: Mapping[str, Any]) -> None:
        name = tensor["name"]
        if configured["data_type"] not in ("TYPE_INVALID", tensor["data_type"]):
            raise ValueError(
                f"unable to load model '{self._name}', configuration expects datatype {configured['data_type']} for"
                f" {kind} '{name}', model provides {tensor['data_type']}"
            )
        dims = [int(dim) for dim in configured["dims"]]
        if dims and dims != list(tensor["dims"]):
            raise ValueError(
                f"model '{self._name}', tensor '{name}': the model expects dims {tensor['dims']} but the model"
                f" configuration specifies dims {dims}"
            )
        if "optional" in tensor and configured.get("optional", tensor["optional"]) != tensor["optional"]:
            raise ValueError(
                f"model '{self._name}', tensor '{name}': the model expects optional {tensor['optional']} but the"
                f" model configuration specifies optional {configured['optional']}"
            )


def get_input_config_by_name(model_config: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """The input of that name in a configuration, or ``None``."""
    return _by_name(model_config, "input", name)


def get_output_config_by_name(model_config: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """The output of that name in a configuration, or ``None``."""
    return _by_name(model_config, "output", name)


def _by_name(model_config: Mapping[str, Any], kind: str, name: str) -> dict[str, Any] | None:
    return next((tensor for tensor in model_config.get(kind, []) if tensor["name"] == name), None)


def using_decoupled_model_transaction_policy(model_config: Mapping[str, Any]) -> bool:
    """Whether a configuration is that of a decoupled model."""
    return bool(model_config.get("model_transaction_policy", {}).get("decoupled", False))
