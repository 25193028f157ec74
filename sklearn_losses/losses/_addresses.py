"""Addresses of C functions, from whatever holds one."""

import ctypes
import numbers

_SIGNATURE = "double (double, double, void *)"


def address_of(function, name):
    """Address of a C function, checked as far as it tells its signature.

    Parameters
    ----------
    function : object
        As in `CompiledLoss`.
    name : str
        What an error calls it.

    Returns
    -------
    address : int
    """

    def refuse(found):
        raise ValueError(
            f"CompiledLoss: {name} must have the C signature {_SIGNATURE!r}; got {found}"
        )

    if isinstance(function, numbers.Integral) and not isinstance(function, bool):
        address = int(function)
    elif hasattr(function, "address") and hasattr(function, "_sig"):  # numba.cfunc
        signature = function._sig
        types = [str(t) for t in (signature.return_type, *signature.args)]
        if (
            len(types) != 4
            or types[:3] != ["float64"] * 3
            or not types[3].endswith(("*", "voidptr"))
        ):
            refuse(signature)
        address = function.address
    elif isinstance(function, ctypes._CFuncPtr):
        found = (function.restype, tuple(function.argtypes or ()))
        if found[0] is not ctypes.c_double or found[1] != (
            ctypes.c_double,
            ctypes.c_double,
            ctypes.c_void_p,
        ):
            refuse(f"restype {found[0]} and argtypes {found[1]}")
        address = ctypes.cast(function, ctypes.c_void_p).value
    elif hasattr(function, "signature") and hasattr(function, "user_data"):  # LowLevelCallable
        if function.signature.replace(" ", "") != _SIGNATURE.replace(" ", ""):
            refuse(repr(function.signature))
        address = _low_level_address(function)
    else:
        raise ValueError(
            f"CompiledLoss: {name} must be a numba.cfunc, a ctypes function, a LowLevelCallable or "
            f"an address; got {function!r}"
        )
    if not address or address < 0:
        raise ValueError(f"CompiledLoss: {name} must not be null; got {function!r}")
    return address


def _low_level_address(function):
    """Address in a SciPy LowLevelCallable, whose first item is a capsule that has the signature as
    its name.
    """
    capsule = tuple.__getitem__(function, 0)
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype = ctypes.c_char_p
    api.PyCapsule_GetName.argtypes = [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule))
