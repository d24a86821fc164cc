"""DLPack in both directions (https://dmlc.github.io/dlpack/latest/c_api.html), for tensors in host memory.

NumPy's own support leaves out BF16, booleans on some versions, and capsules; the structures are small enough to be
written here.
"""

from __future__ import annotations

import ctypes

import numpy as np

from .errors import TritonModelException

_CPU = 1
_CODE_OF_KIND = {"i": 0, "u": 1, "f": 2, "b": 6}
_BFLOAT = 4
_KIND_OF_CODE = {code: kind for kind, code in _CODE_OF_KIND.items()}


class _Device(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int32), ("id", ctypes.c_int32)]


class _DataType(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16)]


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("ndim", ctypes.c_int32),
        ("dtype", _DataType),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class _Managed(ctypes.Structure):
    pass


_Deleter = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Managed))
_Managed._fields_ = [("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", _Deleter)]

_Destructor = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, _Destructor]
_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype = ctypes.c_void_p
_pointer_of.argtypes = [ctypes.py_object, ctypes.c_char_p]
_rename = ctypes.pythonapi.PyCapsule_SetName
_rename.restype = ctypes.c_int
_rename.argtypes = [ctypes.py_object, ctypes.c_char_p]
_valid_pointer = ctypes.pythonapi.PyCapsule_IsValid
_valid_pointer.restype = ctypes.c_int
_valid_pointer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
_raw_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)

_NEW = b"dltensor"
_USED = b"used_dltensor"

#: What exported tensors need to stay alive, by the address of their structure.
_exported: dict[int, tuple] = {}


@_Deleter
def _forget(managed) -> None:
    _exported.pop(ctypes.addressof(managed.contents), None)


@_Destructor
def _drop_unused(capsule: int) -> None:
    if _valid_pointer(capsule, _NEW):
        _exported.pop(_raw_pointer(capsule, _NEW), None)


def export(array: np.ndarray, bfloat16: bool):
    """A capsule over the array's memory, without a copy.

    :param bfloat16: the array holds the bits of BF16 values in 16-bit integers
    """
    code = _BFLOAT if bfloat16 else _CODE_OF_KIND.get(array.dtype.kind)
    if code is None:
        raise TritonModelException("DLPack does not have support for string tensors.")
    shape = (ctypes.c_int64 * array.ndim)(*array.shape)
    managed = _Managed()
    managed.tensor = _Tensor(
        array.ctypes.data,
        _Device(_CPU, 0),
        array.ndim,
        _DataType(code, array.dtype.itemsize * 8, 1),
        shape,
        None,
        0,
    )
    managed.deleter = _forget
    address = ctypes.addressof(managed)
    _exported[address] = (managed, array, shape)
    return _new_capsule(address, _NEW, _drop_unused)


def take(source) -> tuple[np.ndarray, bool]:
    """A copy of what a capsule, or an object with ``__dlpack__``, holds.

    :returns: the array, and whether it holds the bits of BF16 values
    """
    if hasattr(source, "__dlpack__"):
        if not hasattr(source, "__dlpack_device__"):
            raise TritonModelException("a tensor with __dlpack__ must have __dlpack_device__ too")
        source = source.__dlpack__()
    if type(source).__name__ != "PyCapsule":
        raise TritonModelException(
            "Provided tensor is not supported. Tensor must be a DLPack capsule"
            " or have `__dlpack__` and `__dlpack_device__` attributes"
        )
    managed = ctypes.cast(_pointer_of(source, _NEW), ctypes.POINTER(_Managed)).contents
    tensor = managed.tensor
    if tensor.device.type != _CPU:
        raise TritonModelException(f"DLPack tensors must be in host memory, got device type {tensor.device.type}")
    if tensor.dtype.lanes != 1:
        raise TritonModelException(f"DLPack tensors must have 1 lane, got {tensor.dtype.lanes}")
    shape = [tensor.shape[index] for index in range(tensor.ndim)]
    if not _contiguous(tensor, shape):
        raise TritonModelException(
            "DLPack tensor is not contiguous. Only contiguous DLPack tensors that are stored in C-Order are supported."
        )
    bfloat16 = tensor.dtype.code == _BFLOAT
    kind = "u" if bfloat16 else _KIND_OF_CODE.get(tensor.dtype.code)
    if kind is None:
        raise TritonModelException(f"DLPack type code {tensor.dtype.code} is not supported")
    dtype = np.dtype(f"{kind}{tensor.dtype.bits // 8}")
    size = dtype.itemsize
    for dimension in shape:
        size *= dimension
    data = ctypes.string_at(tensor.data + tensor.byte_offset, size) if size > 0 else b""
    array = np.frombuffer(bytearray(data), dtype).reshape(shape)
    _rename(source, _USED)
    if managed.deleter:
        managed.deleter(ctypes.pointer(managed))
    return array, bfloat16


def _contiguous(tensor: _Tensor, shape: list[int]) -> bool:
    if not tensor.strides:
        return True
    expected = 1
    for index in range(tensor.ndim - 1, -1, -1):
        if shape[index] != 1 and tensor.strides[index] != expected:
            return False
        expected *= shape[index]
    return True
