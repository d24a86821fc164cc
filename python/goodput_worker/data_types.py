"""Data types: wire names, Triton's numbers, NumPy types.

Numbers are those of ``TRITONSERVER_DataType``; wire names those of the KServe v2 protocol.
"""

from __future__ import annotations

import numpy as np

from .errors import TritonModelException

#: Wire name, number, NumPy type; BF16 has no NumPy type.
_TABLE = (
    ("BOOL", 1, np.bool_),
    ("UINT8", 2, np.uint8),
    ("UINT16", 3, np.uint16),
    ("UINT32", 4, np.uint32),
    ("UINT64", 5, np.uint64),
    ("INT8", 6, np.int8),
    ("INT16", 7, np.int16),
    ("INT32", 8, np.int32),
    ("INT64", 9, np.int64),
    ("FP16", 10, np.float16),
    ("FP32", 11, np.float32),
    ("FP64", 12, np.float64),
    ("BYTES", 13, np.object_),
    ("BF16", 14, None),
)

NUMBER_OF_WIRE = {wire: number for wire, number, _ in _TABLE}
WIRE_OF_NUMBER = {number: wire for wire, number, _ in _TABLE}
NUMPY_OF_NUMBER = {number: kind for _, number, kind in _TABLE}
#: The ``dtype`` objects with which received bytes are read; BF16 bytes are kept as 16-bit integers.
DTYPE_OF_WIRE = {wire: np.dtype(kind or np.uint16) for wire, _, kind in _TABLE if wire != "BYTES"}

_WIRE_OF_DTYPE = {np.dtype(kind): wire for wire, _, kind in _TABLE if kind is not None}

TRITON_STRING_TO_NUMPY = {
    "TYPE_STRING" if wire == "BYTES" else "TYPE_" + wire: kind
    for wire, _, kind in _TABLE
    if kind is not None
}


def wire_of_array(array: np.ndarray) -> str:
    """The wire name of an array's type; texts of every kind are ``BYTES``.

    :raises TritonModelException: for a type that no tensor can have
    """
    wire = _WIRE_OF_DTYPE.get(array.dtype)
    if wire is not None:
        return wire
    if array.dtype.kind in "SU":
        return "BYTES"
    raise TritonModelException(f"NumPy type '{array.dtype}' has no data type of the server")


def triton_to_numpy_type(data_type: int):
    """The NumPy type of a ``TRITONSERVER_DataType`` number; ``None`` where there is none."""
    return NUMPY_OF_NUMBER.get(data_type)


def numpy_to_triton_type(data_type) -> int | None:
    """The ``TRITONSERVER_DataType`` number of a NumPy type; ``None`` where there is none."""
    if data_type == np.bytes_:
        return NUMBER_OF_WIRE["BYTES"]
    for _, number, kind in _TABLE:
        if kind is not None and data_type == kind:
            return number
    return None


def triton_string_to_numpy(triton_type_string: str):
    """The NumPy type of a name in ``config.pbtxt``, such as ``TYPE_FP32``."""
    return TRITON_STRING_TO_NUMPY[triton_type_string]
