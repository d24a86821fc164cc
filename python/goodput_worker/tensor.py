"""Tensors as models see them, and as they travel."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from . import dlpack
from .data_types import DTYPE_OF_WIRE, NUMBER_OF_WIRE, wire_of_array
from .errors import TritonModelException
from .regions import OwnRegion, ServerRegion

_LENGTH = struct.Struct("<I")

#: Larger tensors travel through shared memory.
INLINE_BYTES = 16384


class Tensor:
    """A named tensor in host memory.

    :param name: not empty
    :param numpy_array: taken without a copy when it is contiguous; texts and bytes make a ``BYTES`` tensor
    """

    __slots__ = ("_name", "_wire", "_array", "_encoded", "_shape")

    def __init__(self, name: str, numpy_array: np.ndarray):
        if name == "":
            raise TritonModelException("Tensor name cannot be an empty string.")
        if not isinstance(numpy_array, np.ndarray):
            numpy_array = np.asarray(numpy_array)
        self._name = name
        self._wire = wire_of_array(numpy_array)
        self._array: np.ndarray | None = numpy_array
        self._encoded: memoryview | None = None
        self._shape = list(numpy_array.shape)

    @classmethod
    def _received(cls, name: str, wire: str, shape: list[int], data: np.ndarray) -> "Tensor":
        tensor = cls.__new__(cls)
        tensor._name = name
        tensor._wire = wire
        tensor._shape = shape
        tensor._encoded = None
        if wire == "BYTES":
            tensor._array = None
            tensor._encoded = data.data
        else:
            tensor._array = data.reshape(shape)
        return tensor

    def name(self) -> str:
        """The name."""
        return self._name

    def shape(self) -> list[int]:
        """The shape, the batch dimension included."""
        return list(self._shape)

    def set_shape(self, shape: list[int]) -> None:
        """Gives the same elements another shape.

        :raises TritonModelException: when the number of elements is another
        """
        count = 1
        for dimension in shape:
            count *= dimension
        have = 1
        for dimension in self._shape:
            have *= dimension
        if count != have:
            raise TritonModelException(f"tensor '{self._name}' has {have} elements, shape {list(shape)} has {count}")
        self._shape = list(shape)
        if self._array is not None:
            self._array = self._array.reshape(self._shape)

    def triton_dtype(self) -> int:
        """The data type as a ``TRITONSERVER_DataType`` number."""
        return NUMBER_OF_WIRE[self._wire]

    def as_numpy(self) -> np.ndarray:
        """The values; a ``BYTES`` tensor is an array of ``bytes`` objects.

        :raises TritonModelException: for BF16, which NumPy does not have
        """
        if self._wire == "BF16":
            raise TritonModelException(
                "Tensor dtype is BF16 and cannot be converted to NumPy. Use to_dlpack() and from_dlpack() instead."
            )
        if self._array is None:
            self._array = decode_strings(self._encoded, self._shape)
        return self._array

    def is_cpu(self) -> bool:
        """Always true: tensors are exchanged with the server in host memory."""
        return True

    def to_dlpack(self):
        """A DLPack capsule over the tensor's memory."""
        if self._wire == "BYTES":
            raise TritonModelException("TYPE_BYTES tensors cannot be converted to DLPack.")
        array = self._array
        if not array.flags.c_contiguous:
            array = np.ascontiguousarray(array)
        return dlpack.export(array, self._wire == "BF16")

    def __dlpack__(self, *, stream: Any = None, **_: Any):
        return self.to_dlpack()

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    @staticmethod
    def from_dlpack(name: str, tensor: Any) -> "Tensor":
        """A tensor from a DLPack capsule or an object with ``__dlpack__``; its values are copied.

        :raises TritonModelException: for tensors outside host memory, and for those that are not contiguous
        """
        if name == "":
            raise TritonModelException("Tensor name cannot be an empty string.")
        array, bfloat16 = dlpack.take(tensor)
        made = Tensor(name, array)
        if bfloat16:
            made._wire = "BF16"
        return made

    def _to_wire(self, region: OwnRegion, parts: list, inline: int) -> tuple[list, int]:
        """``[name, type, shape, place, offset, length]``; place 0 is the message's bytes, 1 the shared memory.

        :param parts: gets the bytes that travel in the message
        :param inline: how many bytes are in ``parts`` already
        """
        array = self._array
        if array is None:
            data = self._encoded
        elif self._wire == "BYTES":
            data = encode_strings(array)
        elif array.nbytes <= INLINE_BYTES:
            data = array.tobytes()
        else:
            data = memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
        length = len(data)
        if length > INLINE_BYTES:
            offset = region.write(memoryview(data))
            if offset is not None:
                return [self._name, self._wire, self._shape, 1, offset, length], inline
        parts.append(data)
        return [self._name, self._wire, self._shape, 0, inline, length], inline + length


def tensors_to_wire(tensors: list[Tensor], region: OwnRegion, parts: list, inline: int) -> tuple[list, int]:
    """All of them, see :meth:`Tensor._to_wire`; and how many bytes are in ``parts`` then."""
    wire = []
    for tensor in tensors:
        entry, inline = tensor._to_wire(region, parts, inline)
        wire.append(entry)
    return wire, inline


def tensors_from_wire(wire: list, payload: bytearray, region: ServerRegion) -> list[Tensor]:
    """Tensors over the bytes of a message, or over shared memory."""
    tensors = []
    for name, kind, shape, place, offset, length in wire:
        dtype = DTYPE_OF_WIRE.get(kind, _UINT8)
        if place == 1:
            data = region.array(dtype, offset, length)
        else:
            data = np.frombuffer(payload, dtype, length // dtype.itemsize, offset)
        tensors.append(Tensor._received(name, kind, shape, data))
    return tensors


_UINT8 = np.dtype(np.uint8)


def decode_strings(data: memoryview, shape: list[int]) -> np.ndarray:
    """An array of ``bytes`` from elements with 4-byte length prefixes."""
    raw = bytes(data)
    elements = []
    position = 0
    while position < len(raw):
        (length,) = _LENGTH.unpack_from(raw, position)
        position += 4
        elements.append(raw[position : position + length])
        position += length
    array = np.empty(len(elements), dtype=np.object_)
    for index, element in enumerate(elements):
        array[index] = element
    return array.reshape(shape)


def encode_strings(array: np.ndarray) -> bytes:
    """The reverse of :func:`decode_strings`; texts become UTF-8, other objects their text."""
    parts = []
    for element in array.reshape(-1).tolist():
        if isinstance(element, str):
            element = element.encode("utf-8")
        elif not isinstance(element, (bytes, bytearray)):
            element = str(element).encode("utf-8")
        parts.append(_LENGTH.pack(len(element)))
        parts.append(element)
    return b"".join(parts)


def serialize_byte_tensor(input_tensor: np.ndarray) -> np.ndarray:
    """A ``BYTES`` tensor as one flat array: what goes into a file or over a wire. Empty for an empty tensor."""
    if input_tensor.size == 0:
        return np.empty([0])
    if input_tensor.dtype != np.object_ and input_tensor.dtype.type != np.bytes_:
        raise TritonModelException("cannot serialize a tensor that holds no bytes")
    return np.asarray(encode_strings(input_tensor), dtype=np.object_)


def deserialize_bytes_tensor(encoded_tensor: bytes) -> np.ndarray:
    """The elements of a ``BYTES`` tensor, one-dimensional."""
    return decode_strings(memoryview(encoded_tensor), [-1])
