"""`historical_features` joins by itself, as Feast's own join of the same service does: here the two are compared."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from qaemb.serving import build_store, historical_features, open_store

from .test_versions import APRIL, FIRST, JUNE, LONGER, MARCH, MARGINS, MAY, OTHER, REBOUGHT, SEGMENTS, at, make_repo

FORMER = [FIRST.versions[1].service, OTHER.versions[0].service]


@pytest.fixture(scope="module", params=[pytest.param(0.0, marks=pytest.mark.slow), 100.0], ids=["for ever", "100 days"])
def repo(tmp_path_factory, request):
    repo = make_repo(tmp_path_factory.mktemp("join"))
    build_store(repo, FIRST, SEGMENTS, MARGINS, at(MARCH))
    build_store(repo, OTHER, SEGMENTS, -MARGINS, at(APRIL))
    build_store(repo, FIRST, SEGMENTS, REBOUGHT, at(MAY))
    longer = np.column_stack([REBOUGHT, [7.0, 8.0, 9.0]])
    build_store(repo, replace(LONGER, ttl_days=request.param), SEGMENTS, longer, at(JUNE))
    return repo


def _asked() -> pd.DataFrame:
    """Random segments and times, one never answered, and the very moments of the answers and of their expiry."""
    rng = np.random.default_rng(0)
    times = pd.Timestamp("2026-02-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 400 * 86_400, 300), unit="s")
    moments = [time + days for time in (MARCH, APRIL, MAY, JUNE) for days in pd.to_timedelta([0, 100], unit="D")]
    rows = pd.DataFrame({"segment": rng.choice([*SEGMENTS, "unknown"], 300), "event_timestamp": times})
    more = pd.DataFrame([(name, time) for name in SEGMENTS for time in moments], columns=list(rows))
    return pd.concat([rows, more], ignore_index=True).drop_duplicates(ignore_index=True)


@pytest.mark.parametrize("service", ["core", "full", *FORMER])
def test_the_join_is_feasts(repo, service):
    asked, keys = _asked(), ["segment", "event_timestamp"]
    store = open_store(repo)
    feast = store.get_historical_features(entity_df=asked, features=store.get_feature_service(service)).to_df()
    feast["event_timestamp"] = pd.to_datetime(feast["event_timestamp"], utc=True)
    found = historical_features(repo, asked, service, missing="nan")
    names = [name for name in found if name not in keys]
    expected = asked.merge(feast, on=keys, how="left")[
        names
    ]  # Feast leaves out a row that is asked for at another time
    np.testing.assert_array_equal(found[names], expected.to_numpy(np.float32))
    assert 0 < found[names[0]].isna().sum() < len(found)
