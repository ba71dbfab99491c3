"""Pickled data frames from elsewhere, read without running what they ask for.

A pickle can name any function of any module and have it called. The reader below admits only the few that rebuild a
data frame of numbers and strings. They are listed one by one, since modules of pandas and numpy also hold functions
that read files or evaluate text. Any other name stops the reading before it is called.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pandas as pd

from qaemb.errors import BadInput

# numpy moved `core` to `_core` in version 2; files written by either are read by either.
_NUMPY = {
    "numpy": {"ndarray", "dtype"},
    "numpy.core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy.core.numeric": {"_frombuffer"},
    "numpy._core.numeric": {"_frombuffer"},
}
_PANDAS = {
    "pandas.core.frame": {"DataFrame"},
    "pandas.core.internals.managers": {"BlockManager"},
    "pandas._libs.internals": {"_unpickle_block"},
    "pandas.core.indexes.base": {"Index", "_new_Index"},
    "pandas.core.indexes.range": {"RangeIndex"},
}
_ADMITTED = _NUMPY | _PANDAS | {"builtins": {"slice"}}


class _Refused(Exception):
    """A pickle asks for a global that is not admitted."""


class _FrameUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return the global if it is one that rebuilds a data frame; _Refused with its name if not."""
        if name not in _ADMITTED.get(module, ()):
            raise _Refused(f"it asks for `{module}.{name}`")
        return super().find_class(module.replace("numpy.core.", "numpy._core."), name)


def read_frame(path: Path) -> pd.DataFrame:
    """Return the data frame of an uncompressed pickle; BadInput names the file and what it asks for, if refused."""
    try:
        with path.open("rb") as file:
            frame = _FrameUnpickler(file).load()
    except _Refused as error:
        raise BadInput(f"{path} is refused: {error}, which no table of numbers needs; do not use this file") from error
    except OSError as error:
        raise BadInput(f"{path} can't be read: {error}") from error
    except Exception as error:  # a damaged pickle can fail in any way inside the constructors that it calls
        raise BadInput(f"{path} is cut off or damaged ({type(error).__name__}: {error}); fetch it again") from error
    if type(frame) is not pd.DataFrame:
        raise BadInput(f"{path} holds a {type(frame).__name__}, not a data frame")
    return frame
