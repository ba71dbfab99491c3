"""Features as they were at the times of training rows, of one answerer; a row without answers is an error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qaemb.answers import Answerer
from qaemb.errors import BadInput
from qaemb.files import read_table
from qaemb.identity import text_id
from qaemb.models.inputs import check_inputs
from qaemb.serving.history import read_arrays
from qaemb.serving.lookup import Missing, ServedFeatures
from qaemb.serving.manifest import ENTITY, TIMESTAMP, Manifest, Version

_TEXT = "text"
_KEYS = [ENTITY, TIMESTAMP]


def historical_features(
    repo: Path,
    entity_df: pd.DataFrame,
    services: str | Sequence[str],
    missing: Missing = "refuse",
    answerer: Answerer | None = None,
) -> pd.DataFrame:
    """Return `entity_df` with a float32 column per question of the services: the latest margins at each row's time.

    `entity_df` has a column `segment` (ids) or `text`, and `event_timestamp` (without a zone: UTC). A service is a
    published set, or a version of one. A row has no answer if the segment was never answered, was answered later, or
    was answered more than `ttl_days` before. Then BadInput says which; with `missing="nan"` the row gets NaN; with an
    `answerer` (and texts) it gets an answer of now, which is also pushed. BadInput also for services of two answerers,
    whose answers can't be compared, and for two questions of one name.
    """
    served = ServedFeatures(repo)
    versions = [(name, served.version(name)) for name in ([services] if isinstance(services, str) else services)]
    _refuse_mixtures(versions)
    rows = _with_keys(entity_df)
    names = list(dict.fromkeys(column for _, version in versions for column in version.names))
    for name in names:
        if name in rows.columns:
            raise BadInput(f"the rows to join have a column `{name}`, which is a question's name; rename it")
    pairs = rows[_KEYS].drop_duplicates(ignore_index=True)
    for name, version in versions:
        columns = [column for column in version.names if column not in rows.columns]
        if columns:
            table = _joined(served, version, pairs)[[*_KEYS, *columns]]
            rows = rows.merge(table, on=_KEYS, how="left", validate="many_to_one")
        if answerer is not None:
            _answer_missing(served, name, version, rows, answerer)
        elif missing == "refuse":
            _refuse_missing(served, name, version, rows)
    return rows.astype(dict.fromkeys(names, np.float32))


def _refuse_mixtures(versions: Sequence[tuple[str, Version]]) -> None:
    if not versions:
        raise BadInput("name at least one feature service")
    first_name, first = versions[0]
    texts: dict[str, str] = {}
    for name, version in versions:
        if version.answerer_key != first.answerer_key:
            raise BadInput(
                f"feature service `{first_name}` has answers of `{first.answerer}` (key {first.answerer_key}), "
                f"`{name}` of `{version.answerer}` (key {version.answerer_key}): margins of two answerers can't be "
                "compared; join them in two calls if that is meant"
            )
        for question in version.questions:
            if texts.setdefault(question.name, question.text) != question.text:
                raise BadInput(
                    f"column `{question.name}` of feature service `{name}` is another question than in a service "
                    f"before it: {question.text!r}, {texts[question.name]!r}; ask for them in two calls"
                )


def _with_keys(entity_df: pd.DataFrame) -> pd.DataFrame:
    """Return a copy with a column of segments and one of UTC times; BadInput if a row has no segment or no time."""
    rows = entity_df.reset_index(drop=True)
    if TIMESTAMP not in rows or (ENTITY in rows) == (_TEXT in rows):
        raise BadInput(f"the rows to join need `{TIMESTAMP}` and either `{ENTITY}` or `{_TEXT}`; got {list(rows)}")
    if rows.empty:
        raise BadInput("there is no row to join; give at least one")
    if _TEXT in rows:
        check_inputs(list(rows[_TEXT]), ["-"])
        rows.insert(0, ENTITY, [text_id(text) for text in rows[_TEXT]])
    try:
        times = pd.to_datetime(rows[TIMESTAMP], utc=True, format="ISO8601")
    except (ValueError, TypeError) as error:
        raise BadInput(f"`{TIMESTAMP}` holds what is no time: {error}") from error
    if times.isna().any():
        raise BadInput(f"row {int(times.isna().argmax())} has no `{TIMESTAMP}`; give each row the time it is asked for")
    return rows.assign(**{TIMESTAMP: times.astype("datetime64[us, UTC]")})


def _joined(served: ServedFeatures, version: Version, pairs: pd.DataFrame) -> pd.DataFrame:
    """Return `pairs`, sorted by time, with the version's latest margins then: NaN where there were none within the ttl.

    Feast's join of the version's service gives the same. But its Dask engine pickles the arrays over and over to name
    its tasks, which takes many times as long as the join (docs/serving.md has both times).
    """
    rows, margins = _rows(served, version)
    keys = rows.assign(row=np.arange(len(rows))).sort_values(TIMESTAMP, kind="stable")
    times = pairs.sort_values(TIMESTAMP, kind="stable", ignore_index=True)
    ttl = served.manifest.ttl_days
    tolerance = pd.Timedelta(days=ttl) if ttl else None
    place = pd.merge_asof(times, keys, on=TIMESTAMP, by=ENTITY, tolerance=tolerance)["row"]
    answered = place.notna().to_numpy()
    latest = np.full((len(times), len(version.names)), np.nan, np.float32)
    latest[answered] = margins[place[answered].to_numpy(np.int64)]
    return pd.concat([times, pd.DataFrame(latest, columns=version.names)], axis=1)


def _rows(served: ServedFeatures, version: Version) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Return a version's rows for joins: segment and time of each row, and its margins (rows, questions)."""
    data, manifest = served.repo / "data", served.manifest
    if manifest.serves(version):
        table, columns = read_arrays(data, manifest), version.question_ids
    else:
        table, columns = read_table(data / version.file), version.names
    times = pd.to_datetime(table[TIMESTAMP], utc=True).astype("datetime64[us, UTC]")
    keys = pd.DataFrame({ENTITY: table[ENTITY].astype(object), TIMESTAMP: times})
    return keys, table[columns].to_numpy(np.float32)


def _answer_missing(
    served: ServedFeatures, service: str, version: Version, rows: pd.DataFrame, answerer: Answerer
) -> None:
    """Fill the rows that lack a value with answers of now; `rows` is changed."""
    incomplete = rows[version.names].isna().any(axis=1)
    if not incomplete.any():
        return
    if _TEXT not in rows:
        raise BadInput(
            f"to answer what is missing its texts are needed; give a column `{_TEXT}` in place of `{ENTITY}`"
        )
    new = served.features_for(list(rows.loc[incomplete, _TEXT]), service, answerer)
    rows.loc[incomplete, version.names] = new.to_numpy()


def _refuse_missing(served: ServedFeatures, service: str, version: Version, rows: pd.DataFrame) -> None:
    incomplete = rows[rows[version.names].isna().any(axis=1)]
    if len(incomplete):
        row = incomplete.iloc[0]
        raise BadInput(
            f"{len(incomplete)} of {len(rows)} rows have no answer under `{service}` at their time; first segment "
            f"{row[ENTITY]!r}, {_why(served, version, row)}; give texts and an answerer, or ask for missing='nan'"
        )


def _why(served: ServedFeatures, version: Version, row: pd.Series) -> str:
    answered, _ = _rows(served, version)
    times = answered.loc[answered[ENTITY] == row[ENTITY], TIMESTAMP]
    if times.empty:
        return "which was never answered"
    if times.min() > row[TIMESTAMP]:
        return f"asked at {row[TIMESTAMP]}, answered only at {times.min()}"
    return f"asked at {row[TIMESTAMP]}, {_expired(served.manifest)}"


def _expired(manifest: Manifest) -> str:
    if manifest.ttl_days:
        return f"its answers were older than {manifest.ttl_days:g} days (publish.ttl_days) or not to all its questions"
    return "answered then, but not to all its questions"
