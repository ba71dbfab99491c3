"""Versions: what was published once stays retrievable, point in time, whatever is published afterwards."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from qaemb.errors import BadInput
from qaemb.questions import Question
from qaemb.serving import (
    Manifest,
    ServedFeatures,
    all_versions,
    build_store,
    historical_features,
    open_store,
    read_history,
    version_rows,
)
from qaemb.serving.manifest import _find_version, _joined, _version_id, add_versions, read_versions

from .conftest import REPO

QUESTIONS = tuple(Question(f"q{n}", f"Is it {n}?") for n in range(4))
FIRST = Manifest("j", "ann", "key-a", "d1", QUESTIONS[:3], {"core": ("q2", "q0"), "full": ("q0", "q1", "q2")})
OTHER = Manifest("j", "bob", "key-b", "d2", QUESTIONS[:3], {"core": ("q2", "q0")})
LONGER = Manifest("j", "ann", "key-a", "d3", QUESTIONS, {"core": ("q2", "q0"), "full": ("q0", "q1", "q2", "q3")})
SEGMENTS = ["s0", "s1", "s2"]
MARCH, APRIL, MAY, JUNE, NOW = (pd.Timestamp(f"2026-{month:02}-01", tz="UTC") for month in (3, 4, 5, 6, 11))
MARGINS = np.arange(9, dtype=np.float32).reshape(3, 3)
REBOUGHT = MARGINS + np.float32([[0], [100], [0]])  # of one segment the answers changed


def at(time) -> np.ndarray:
    return np.full(len(SEGMENTS), time.tz_convert(None).to_datetime64())


def make_repo(folder):
    shutil.copytree(REPO, folder / "feature_repo", ignore=shutil.ignore_patterns("data", "history", "__pycache__"))
    return folder / "feature_repo"


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    """Ann's answers of March, bought again in May; Bob's of April; at last Ann's with one more question, of June."""
    repo = make_repo(tmp_path_factory.mktemp("versions"))
    assert build_store(repo, FIRST, SEGMENTS, MARGINS, at(MARCH)) == 3
    assert build_store(repo, OTHER, SEGMENTS, -MARGINS, at(APRIL)) == 3
    assert build_store(repo, FIRST, SEGMENTS, REBOUGHT, at(MAY)) == 1
    longer = np.column_stack([REBOUGHT, [7.0, 8.0, 9.0]])
    assert build_store(repo, LONGER, SEGMENTS, longer, at(JUNE)) == 3
    files = sorted((repo / "history").iterdir())
    before = [path.read_bytes() for path in files]
    assert build_store(repo, LONGER, SEGMENTS, longer, at(NOW)) == 0
    assert [path.read_bytes() for path in files] == before
    return repo


def history(repo, service, time, segments=SEGMENTS, **how) -> np.ndarray:
    asked = pd.DataFrame({"segment": segments, "event_timestamp": time})
    table = historical_features(repo, asked, service, **how)
    assert table["segment"].tolist() == segments
    return table.drop(columns=["segment", "event_timestamp"]).to_numpy()


def service(manifest, name) -> str:
    return next(version.service for version in manifest.versions if version.set_name == name)


@pytest.mark.slow
def test_a_join_gets_what_was_known_at_its_time(repo):
    core = [2, 0]
    for name in ("core", service(FIRST, "core")):
        np.testing.assert_array_equal(history(repo, name, APRIL), MARGINS[:, core])
        np.testing.assert_array_equal(history(repo, name, MAY), REBOUGHT[:, core])
        np.testing.assert_array_equal(history(repo, name, NOW), REBOUGHT[:, core])
    mixed = pd.DataFrame({"segment": ["s1", "s1"], "event_timestamp": [NOW, MARCH]})
    np.testing.assert_array_equal(historical_features(repo, mixed, "core")["q2"], [105.0, 5.0])


@pytest.mark.slow
def test_another_answerers_and_another_sets_versions_stay(repo):
    np.testing.assert_array_equal(history(repo, service(OTHER, "core"), NOW), -MARGINS[:, [2, 0]])
    np.testing.assert_array_equal(history(repo, service(FIRST, "full"), NOW), REBOUGHT)
    np.testing.assert_array_equal(history(repo, service(FIRST, "full"), MARCH), MARGINS)
    np.testing.assert_array_equal(history(repo, "full", JUNE)[:, 3], [7, 8, 9])
    with pytest.raises(BadInput, match=r"3 of 3 rows have no answer under `full` at their time.*not to all"):
        history(repo, "full", MAY)
    store = open_store(repo)
    assert {own.name for own in store.list_feature_services()} == {
        *("core", "full"),
        *(own.service for manifest in (FIRST, OTHER, LONGER) for own in manifest.versions),
    }


@pytest.mark.slow
def test_only_what_is_new_was_written(repo):
    table = read_history(repo / "history", "key-a")
    assert len(table) == 3 + 1 + 3
    new = QUESTIONS[3].question_id
    june = table[table["event_timestamp"] == JUNE]
    assert june[new].tolist() == [7, 8, 9]
    assert june.drop(columns=["segment", "event_timestamp", new]).isna().all(axis=None)
    rows = {own.service: len(version_rows(repo, own)) for own in all_versions(repo)}
    assert rows == {
        service(FIRST, "core"): 4,
        service(FIRST, "full"): 4,
        service(OTHER, "core"): 3,
        service(LONGER, "full"): 3,
    }


@pytest.mark.slow
def test_only_what_is_published_now_is_online(repo):
    served = ServedFeatures(repo)
    for name in ("core", service(FIRST, "core")):
        np.testing.assert_array_equal(served.features_of(SEGMENTS, name), REBOUGHT[:, [2, 0]])
    np.testing.assert_array_equal(served.features_of(["s1"], service(FIRST, "full")), REBOUGHT[[1]])
    with pytest.raises(BadInput, match=rf"`{service(OTHER, 'core')}` is a former version, of answerer `bob`"):
        served.features_of(SEGMENTS, service(OTHER, "core"))


@pytest.mark.slow
def test_answers_of_two_answerers_are_not_joined(repo):
    asked = pd.DataFrame({"segment": SEGMENTS, "event_timestamp": NOW})
    with pytest.raises(BadInput, match=r"`core` has answers of `ann` \(key key-a\).* of `bob` \(key key-b\)"):
        historical_features(repo, asked, ["core", service(OTHER, "core")])
    both = historical_features(repo, asked, ["core", "full"])
    assert list(both) == ["segment", "event_timestamp", "q2", "q0", "q1", "q3"]
    np.testing.assert_array_equal(both[["q0", "q1", "q2"]], REBOUGHT)


@pytest.mark.slow
def test_a_segment_without_answers_is_named_offline_and_online(repo):
    with pytest.raises(BadInput, match=r"1 of 2 rows have no answer.*'nowhere', which was never answered"):
        history(repo, "core", NOW, ["s0", "nowhere"])
    with pytest.raises(BadInput, match=r"3 of 3 rows.*answered only at 2026-03-01"):
        history(repo, service(FIRST, "core"), MARCH - pd.Timedelta(days=1))
    found = history(repo, "core", NOW, ["s0", "nowhere"], missing="nan")
    assert np.isnan(found[1]).all()
    assert not np.isnan(found[0]).any()
    served = ServedFeatures(repo)
    with pytest.raises(BadInput, match=r"1 segments have no answers under `core`.*'nowhere'"):
        served.features_of(["s0", "nowhere"], "core")
    assert served.features_of(["nowhere", "s0"], "core", missing="nan")["q0"].isna().tolist() == [True, False]


@pytest.mark.slow
def test_what_cannot_be_asked_is_named(repo):
    asked = pd.DataFrame({"segment": SEGMENTS, "event_timestamp": NOW})
    known = service(FIRST, "core"), service(OTHER, "core")
    with pytest.raises(BadInput, match=rf"`core_v_00000000` was never published; known of set `core` are {known[0]}, "):
        historical_features(repo, asked, "core_v_00000000")
    with pytest.raises(BadInput, match="question set `gold` is not published; known are core, full"):
        historical_features(repo, asked, ["core", "gold"])
    with pytest.raises(BadInput, match="name at least one feature service"):
        historical_features(repo, asked, [])
    with pytest.raises(BadInput, match="need `event_timestamp` and either `segment` or `text`"):
        historical_features(repo, asked.assign(text="a"), "core")
    with pytest.raises(BadInput, match="have a column `q2`, which is a question's name"):
        historical_features(repo, asked.assign(q2=True), "core")
    with pytest.raises(BadInput, match="`event_timestamp` holds what is no time"):
        historical_features(repo, asked.assign(event_timestamp="soon"), "core")
    with pytest.raises(BadInput, match="row 0 has no `event_timestamp`"):
        historical_features(repo, asked.assign(event_timestamp=pd.NaT), "core")
    with pytest.raises(BadInput, match="text number 1 is empty"):
        historical_features(repo, pd.DataFrame({"text": ["a", " "], "event_timestamp": NOW}), "core")


@pytest.mark.slow
def test_a_segment_that_lacks_a_new_question_is_served_without_it(repo, tmp_path):
    own = make_repo(tmp_path)
    build_store(own, FIRST, ["s0", "s1"], MARGINS[:2], at(MARCH)[:2])
    build_store(own, LONGER, ["s1"], np.float32([[3, 4, 5, 6]]), at(MAY)[:1])
    served = ServedFeatures(own)
    np.testing.assert_array_equal(served.features_of(["s0", "s1"], "core"), MARGINS[:2, [2, 0]])
    assert served.features_of(["s0", "s1"], "full", missing="nan")["q3"].fillna(-1).tolist() == [-1, 6]
    store = open_store(own)
    rows = [{"segment": "s0"}, {"segment": "s1"}]
    feast = store.get_online_features(features=store.get_feature_service("full"), entity_rows=rows).to_df()
    np.testing.assert_array_equal(feast[["q0", "q3"]], [[0, np.nan], [3, 6]])


@pytest.mark.slow
def test_a_clone_has_the_history_that_travels(repo, tmp_path):
    clone = make_repo(tmp_path)
    shutil.copytree(repo / "history", clone / "history")
    assert build_store(clone, OTHER, SEGMENTS, -MARGINS, at(NOW)) == 0
    np.testing.assert_array_equal(history(clone, service(FIRST, "full"), MARCH), MARGINS)
    np.testing.assert_array_equal(history(clone, "core", NOW), -MARGINS[:, [2, 0]])


def test_the_hash_is_of_answerer_and_ordered_questions():
    ids = {_version_id("k", QUESTIONS), _version_id("l", QUESTIONS), _version_id("k", QUESTIONS[::-1])}
    assert len(ids) == 3
    renamed = (replace(QUESTIONS[0], name="other"), *QUESTIONS[1:])
    assert _version_id("k", renamed) not in ids
    assert _version_id("k", [replace(own, group="g") for own in QUESTIONS]) == _version_id("k", QUESTIONS)


def test_versions_read_back_as_they_were_each_once(tmp_path):
    versions = _joined(FIRST.versions, OTHER.versions, FIRST.versions)
    assert len(versions) == 3
    add_versions(tmp_path, versions)
    assert read_versions(tmp_path) == versions
    assert _find_version(versions, versions[1].service) is versions[1]
    with pytest.raises(BadInput, match="`nothing` was never published; known of set `nothing` are none"):
        _find_version(versions, "nothing")


def test_names_that_would_be_taken_for_a_version_and_one_question_twice_are_refused():
    with pytest.raises(BadInput, match="set `core_v_0123abcd` can't be published: versions have such names"):
        replace(FIRST, sets={"core_v_0123abcd": ("q0",)})
    with pytest.raises(BadInput, match="has two names"):
        replace(FIRST, questions=(*QUESTIONS, Question("again", QUESTIONS[0].text)))
