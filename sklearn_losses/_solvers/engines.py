"""Which kernels a fit runs on: those of the host, or those of the device that its data are on."""

from sklearn_losses._array import on_device


def problem_class(X):
    """`Problem` of the host or of a device.

    Parameters
    ----------
    X : array or CSR matrix
    """
    if on_device(X):
        from sklearn_losses._kernels.device import Problem
    else:
        from sklearn_losses._kernels.fit.engines import Problem
    return Problem


def engine_class(X):
    """`Engine` of steps on batches, of the host or of a device.

    Parameters
    ----------
    X : array or CSR matrix
    """
    if on_device(X):
        from sklearn_losses._kernels.device import Engine
    else:
        from sklearn_losses._kernels.fit.engines import Engine
    return Engine
