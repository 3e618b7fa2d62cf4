"""Compile functions by numba, once and for all where its cache can be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

Function = Callable[..., Any]


def compiled(*, inline: bool = False, fast: bool = False) -> Callable[[Function], Function]:
    """Compile a function on its first call; other threads run beside it.

    What is compiled is kept beside the module or in the user's cache. Where neither can be written,
    every process compiles anew.

    Parameters
    ----------
    inline
        Whether to put the function's code where it is called.
    fast
        Whether sums may be added up in any order, and be rounded once together with a product.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "forceinline": inline}
    if fast:
        options["fastmath"] = {"contract", "reassoc"}

    def compile_function(function: Function) -> Function:
        try:
            compiled_function: Function = njit(cache=True, **options)(function)
        except RuntimeError:  # numba finds no place for its cache
            compiled_function = njit(**options)(function)
        return compiled_function

    return compile_function
