import json

import h5py
import numpy as np
import pytest

from qaemb.datasets.ds003020 import _Ds003020
from qaemb.errors import BadInput


def rewrite_hf5(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values


@pytest.fixture
def train_hf5(own_copy):
    return own_copy / "derivative" / "preprocessed_data" / "UTS01" / "alpha.hf5"


def test_what_is_there(generated):
    source = _Ds003020(generated)
    assert source.stories() == ["alpha", "beta", "gamma", "mountainfog", "weddingcake"]
    assert source.subjects() == ["UTS01", "UTS02", "UTS03"]
    assert [s for s in source.stories() if not source.has("UTS02", s)] == ["gamma"]
    assert source.held_out() == frozenset()
    assert source.published("alpha") == {}


def test_rows_start_at_eleven_seconds(generated):
    timing = _Ds003020(generated).timing("alpha")
    scans = json.loads((generated / "derivative" / "respdict.json").read_text())["alpha"]
    assert (timing.n_trs, timing.tr_s, timing.first_tr_s) == (scans - 20, 2.0, 11.0)


def test_wrong_number_of_rows(own_copy, train_hf5):
    rows = _Ds003020(own_copy).timing("alpha").n_trs
    rewrite_hf5(train_hf5, data=np.zeros((rows - 3, 120)))
    with (
        pytest.raises(BadInput, match=rf"alpha\.hf5: the responses have {rows - 3} rows, expected {rows} \(the story"),
        _Ds003020(own_copy).responses("UTS01", "alpha"),
    ):
        pass


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"other": np.zeros(3)}, r"alpha\.hf5 has no data set `data`, only: other"),
        (
            {"data": np.zeros((18, 4)), "individual_repeats": np.zeros((2, 18, 5))},
            r"alpha\.hf5: the repeats are 2 x 18 x 5",
        ),
        ({"data": np.zeros(18)}, r"alpha\.hf5: the responses are 18, expected \(n_trs, voxels\)"),
        ({"data": np.zeros((18, 0))}, r"alpha\.hf5: the responses are 18 x 0"),
        ({"data": np.array([[b"a"], [b"b"]])}, r"alpha\.hf5: the responses are of type .*, expected numbers"),
    ],
)
def test_wrong_content(own_copy, train_hf5, arrays, message):
    respdict = own_copy / "derivative" / "respdict.json"
    respdict.write_text(json.dumps(json.loads(respdict.read_text()) | {"alpha": 38}))
    rewrite_hf5(train_hf5, **arrays)
    with pytest.raises(BadInput, match=message), _Ds003020(own_copy).responses("UTS01", "alpha"):
        pass


def test_a_cut_hf5(own_copy, train_hf5):
    train_hf5.write_bytes(train_hf5.read_bytes()[:3000])
    with pytest.raises(BadInput, match=r"alpha\.hf5 can't be opened"), _Ds003020(own_copy).responses("UTS01", "alpha"):
        pass


def test_a_link_that_was_never_fetched_is_a_missing_story(own_copy, train_hf5):
    train_hf5.unlink()
    train_hf5.symlink_to("nowhere")
    assert not _Ds003020(own_copy).has("UTS01", "alpha")


def test_no_such_folder(tmp_path):
    with pytest.raises(BadInput, match="derivative"):
        _Ds003020(tmp_path / "nothing")


@pytest.mark.parametrize("content", ["{", "[1]", '{"alpha": "40"}', '{"alpha": true}'])
def test_wrong_respdict(own_copy, content):
    (own_copy / "derivative" / "respdict.json").write_text(content)
    with pytest.raises(BadInput, match=r"respdict\.json"):
        _Ds003020(own_copy)


def test_a_run_that_is_too_short(own_copy):
    (own_copy / "derivative" / "respdict.json").write_text('{"alpha": 21}')
    with pytest.raises(BadInput, match=r"respdict\.json: alpha has 21 scans"):
        _Ds003020(own_copy).timing("alpha")


def test_gold_must_be_zero_or_one(own_copy):
    path = own_copy / "derivative" / "gold" / "sentences.csv"
    lines = path.read_text().splitlines()
    lines[3] = lines[3][:-1] + "7"
    path.write_text("\n".join(lines))
    with pytest.raises(BadInput, match=r"sentences\.csv, row 4: gold answers are 0 or 1"):
        _Ds003020(own_copy).gold("alpha")


def test_gold_without_a_column(own_copy):
    path = own_copy / "derivative" / "gold" / "sentences.csv"
    path.write_text(path.read_text().replace("first_word", "begin", 1))
    with pytest.raises(BadInput, match=r"sentences\.csv lacks the columns: first_word"):
        _Ds003020(own_copy).sentences("alpha")


def test_the_original_without_extensions(own_copy):
    for name in ("sentences.csv", "properties.csv"):
        (own_copy / "derivative" / "gold" / name).unlink()
    (own_copy / "derivative" / "voxels" / "UTS01.csv").unlink()
    source = _Ds003020(own_copy)
    assert source.sentences("alpha") is None
    assert source.gold("alpha") is None
    assert source.gold_properties() is None
    assert source.voxels("UTS01") is None
