"""The published store: what Feast gives back, offline, online and pushed, is the source to the bit."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from qaemb.errors import BadInput
from qaemb.serving import Manifest, build_store, open_store, read_manifest

NOW = pd.Timestamp("2099-01-01", tz="UTC")
CORE = ["q07", "q02", "q05", "q11"]

FRESH_PROCESS = """
import json, sys
from feast import FeatureStore
store = FeatureStore(repo_path=sys.argv[1])
rows = [{"segment": name} for name in sys.argv[2:]]
table = store.get_online_features(features=store.get_feature_service("core"), entity_rows=rows).to_dict()
print(json.dumps(table))
"""


@pytest.fixture(scope="module")
def store(published):
    return open_store(published.repo)


def _history(store, segments, features) -> pd.DataFrame:
    asked = pd.DataFrame({"segment": segments, "event_timestamp": NOW})
    return store.get_historical_features(entity_df=asked, features=features).to_df().set_index("segment").loc[segments]


def test_online_and_historical_features_of_a_service_are_the_source(published, store):
    service = store.get_feature_service("core")
    source = published.margins[:, [7, 2, 5, 11]]
    online = store.get_online_features(features=service, entity_rows=[{"segment": s} for s in published.segments])
    offline = _history(store, published.segments, service)
    assert np.array_equal(online.to_df()[CORE].to_numpy(np.float32), source)
    assert np.array_equal(offline[CORE].to_numpy(np.float32), source)


def test_an_unknown_segment_is_nan_everywhere(published, store):
    service = store.get_feature_service("core")
    rows = [{"segment": "never seen"}, {"segment": published.segments[0]}]
    online = store.get_online_features(features=service, entity_rows=rows).to_df()[CORE]
    assert online.iloc[0].isna().all()
    assert online.iloc[1].notna().all()
    assert _history(store, ["never seen", published.segments[0]], service)["q07"].isna().tolist() == [True, False]


def test_there_is_a_service_for_each_set_and_its_version(published, store):
    services = {service.name: service for service in store.list_feature_services()}
    core, full = read_manifest(published.repo).versions
    assert set(services) == {"core", "full", core.service, full.service}
    for name in ("core", core.service):
        assert [field.name for field in services[name].feature_view_projections[0].features] == CORE


def test_the_on_demand_view_works_in_a_fresh_process(published):
    command = [sys.executable, "-c", FRESH_PROCESS, str(published.repo), published.segments[3], "never seen"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    table = json.loads(out.splitlines()[-1])
    assert np.float32([table[name][0] for name in CORE]).tolist() == published.margins[3, [7, 2, 5, 11]].tolist()
    assert [table[name][1] for name in CORE] == [None] * 4


def test_the_registry_names_no_folder_of_this_machine(published):
    assert str(published.repo).encode() not in (published.repo / "data" / "registry.db").read_bytes()


def test_a_failed_build_leaves_the_old_store(tmp_path, published):
    repo = tmp_path / "repo"
    (repo / "data").mkdir(parents=True)
    (repo / "data" / "old").write_text("old")
    with pytest.raises(BadInput, match=r"feature_store\.yaml does not exist"):
        build_store(repo, read_manifest(published.repo), published.segments, published.margins)
    (repo / "feature_store.yaml").write_text("project: [")
    with pytest.raises(BadInput, match=r"feature_store\.yaml is not a configuration"):
        build_store(repo, read_manifest(published.repo), published.segments, published.margins)
    assert sorted(path.name for path in repo.iterdir()) == ["data", "feature_store.yaml"]
    assert [path.name for path in (repo / "data").iterdir()] == ["old"]


def test_a_manifest_reads_back_as_it_was(published):
    manifest = read_manifest(published.repo)
    assert isinstance(manifest, Manifest)
    assert (manifest.job, manifest.answerer, manifest.names) == ("j", "hash", published.names)
    assert manifest.sets == {"core": tuple(CORE), "full": tuple(published.names)}
