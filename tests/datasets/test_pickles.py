import os
import pickle
import subprocess

import numpy as np
import pandas as pd
import pytest

from qaemb.datasets.pickles import read_frame
from qaemb.errors import BadInput


class Calls:
    """An object whose pickle asks the reader to call a function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame(np.arange(6, dtype=np.float32).reshape(2, 3), columns=["PC0", "PC1", "PC2"], index=["so we", ""]),
        pd.DataFrame(np.eye(3, dtype=bool), columns=["Is it?", "Was it?", "Will it?"]),
        pd.DataFrame({"a": [1, 2], "b": [0.5, np.nan]}),
    ],
)
def test_frames_of_numbers_are_read(tmp_path, frame, protocol):
    frame.to_pickle(tmp_path / "a.pkl", protocol=protocol)
    pd.testing.assert_frame_equal(read_frame(tmp_path / "a.pkl"), frame)


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ["touch {}"], "posix.system"),
        (subprocess.getoutput, ["touch {}"], "subprocess.getoutput"),
        (eval, ["open('{}', 'w')"], "builtins.eval"),
        (getattr, ["text", "upper"], "builtins.getattr"),
        (pd.read_pickle, ["{}"], "pandas.io.pickle.read_pickle"),
        (pd.eval, ["1"], "pandas.core.computation.eval.eval"),
        (np.save, ["{}", "1"], "numpy.save"),
    ],
)
def test_anything_else_is_refused_before_it_runs(tmp_path, function, arguments, name):
    trace = tmp_path / "trace"
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"data": [Calls(function, *(part.format(trace) for part in arguments))]}))
    with pytest.raises(BadInput, match=rf"evil\.pkl is refused: it asks for `{name}`"):
        read_frame(path)
    assert not any(tmp_path.glob("trace*"))


def test_a_dotted_name_does_not_lead_out_of_an_admitted_class(tmp_path):
    path = tmp_path / "evil.pkl"
    path.write_bytes(b"\x80\x04\x8c\x11pandas.core.frame\x8c\x10DataFrame.to_csv\x93.")
    with pytest.raises(BadInput, match=r"pandas\.core\.frame\.DataFrame\.to_csv"):
        read_frame(path)


def test_damaged_and_other(tmp_path):
    path = tmp_path / "a.pkl"
    pd.DataFrame({"a": [1.0, 2.0]}).to_pickle(path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(BadInput, match=r"a\.pkl"):
            read_frame(path)
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(BadInput, match="holds a list"):
        read_frame(path)
    with pytest.raises(BadInput, match="can't be read"):
        read_frame(tmp_path / "none.pkl")
