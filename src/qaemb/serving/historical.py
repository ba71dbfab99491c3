"""Features as they were at given times, for training: point in time, of one answerer, and complete or refused."""

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
from qaemb.serving.history import ARRAY_FILE, read_arrays, version_file
from qaemb.serving.lookup import Missing, ServedFeatures
from qaemb.serving.manifest import ENTITY, TIMESTAMP, Manifest, Version, find_version, named_like_a_version

_TEXT = "text"
_KEYS = [ENTITY, TIMESTAMP]


def historical_features(
    repo: Path,
    entity_df: pd.DataFrame,
    services: str | Sequence[str],
    missing: Missing = "refuse",
    answerer: Answerer | None = None,
) -> pd.DataFrame:
    """Return `entity_df` with a float32 column per question of the services: the margins known at each row's time.

    `entity_df` has a column `segment` (ids) or `text`, and `event_timestamp` (without a zone: UTC). A service is a
    published set, or a version of one. A row for which a service has no answer at its time, because there is none, it
    came later, or it was older than `ttl_days`, is an error that says which; with `missing="nan"` it gets NaN; with an
    `answerer` (and texts) it gets the answer of now, which is then pushed. BadInput also for services of two answerers,
    whose answers can't be compared, and for two questions of one name.
    """
    served = ServedFeatures(repo)
    versions = [_version(served, name) for name in ([services] if isinstance(services, str) else services)]
    _refuse_mixtures(versions)
    asked = _asked(entity_df)
    names = list(dict.fromkeys(column for _, version in versions for column in version.names))
    taken = [name for name in names if name in asked.columns]
    if taken:
        raise BadInput(f"the rows to join have a column `{taken[0]}`, which is a question's name; rename it")
    pairs = asked[_KEYS].drop_duplicates(ignore_index=True)
    found = asked
    for name, version in versions:
        columns = [own for own in version.names if own not in found.columns]
        if columns:
            table = _joined(served, version, pairs)[[*_KEYS, *columns]]
            found = found.merge(table, on=_KEYS, how="left", validate="many_to_one")
        if answerer is not None:
            _answer_missing(served, name, version, found, answerer)
        elif missing == "refuse":
            _refuse_missing(served, name, version, found)
    return found.astype(dict.fromkeys(names, np.float32))


def _version(served: ServedFeatures, service: str) -> tuple[str, Version]:
    """Return the service's name and its version; BadInput where there is no such service."""
    if named_like_a_version(service) and service not in served.manifest.sets:
        return service, find_version(served.versions, service)
    served.manifest.members(service)
    return service, next(version for version in served.manifest.versions if version.set_name == service)


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


def _asked(entity_df: pd.DataFrame) -> pd.DataFrame:
    """Return a copy with a column of segments and one of UTC times; BadInput where either can't be had."""
    asked = entity_df.reset_index(drop=True)
    if TIMESTAMP not in asked or (ENTITY in asked) == (_TEXT in asked):
        raise BadInput(f"the rows to join need `{TIMESTAMP}` and either `{ENTITY}` or `{_TEXT}`; got {list(asked)}")
    if asked.empty:
        raise BadInput("there is no row to join; give at least one")
    if _TEXT in asked:
        check_inputs(list(asked[_TEXT]), ["-"])
        asked.insert(0, ENTITY, [text_id(text) for text in asked[_TEXT]])
    try:
        times = pd.to_datetime(asked[TIMESTAMP], utc=True, format="ISO8601")
    except (ValueError, TypeError) as error:
        raise BadInput(f"`{TIMESTAMP}` holds what is no time: {error}") from error
    if times.isna().any():
        raise BadInput(f"row {int(times.isna().argmax())} has no `{TIMESTAMP}`; give each row the time it is asked for")
    return asked.assign(**{TIMESTAMP: times.astype("datetime64[us, UTC]")})


def _joined(served: ServedFeatures, version: Version, pairs: pd.DataFrame) -> pd.DataFrame:
    """Return `pairs`, sorted by time, with the version's margins known then: NaN where there were none, or none so new.

    It is what Feast's join of the version's service gives; but Feast's Dask engine pickles the arrays over and over to
    name its tasks, which takes many times the time of the join (docs/serving.md has both).
    """
    rows, margins = _rows(served, version)
    keys = rows.assign(row=np.arange(len(rows))).sort_values(TIMESTAMP, kind="stable")
    asked = pairs.sort_values(TIMESTAMP, kind="stable", ignore_index=True)
    ttl = served.manifest.ttl_days
    tolerance = pd.Timedelta(days=ttl) if ttl else None
    place = pd.merge_asof(asked, keys, on=TIMESTAMP, by=ENTITY, tolerance=tolerance)["row"]
    known = place.notna().to_numpy()
    found = np.full((len(asked), len(version.names)), np.nan, np.float32)
    found[known] = margins[place[known].to_numpy(np.int64)]
    return pd.concat([asked, pd.DataFrame(found, columns=version.names)], axis=1)


def _rows(served: ServedFeatures, version: Version) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Return what is kept of a version for joins: segment and time of each row, and its margins (rows, questions)."""
    data, manifest = served.repo / "data", served.manifest
    if manifest.serves(version):
        table, columns = read_arrays(data, manifest), version.question_ids
    else:
        table, columns = read_table(data / version_file(version.id)), version.names
    times = pd.to_datetime(table[TIMESTAMP], utc=True).astype("datetime64[us, UTC]")
    keys = pd.DataFrame({ENTITY: table[ENTITY].astype(object), TIMESTAMP: times})
    return keys, table[columns].to_numpy(np.float32)


def _answer_missing(
    served: ServedFeatures, service: str, version: Version, found: pd.DataFrame, answerer: Answerer
) -> None:
    """Fill the rows that lack a value with what the answerer says now; `found` is changed."""
    lacks = found[version.names].isna().any(axis=1)
    if not lacks.any():
        return
    if _TEXT not in found:
        raise BadInput(
            f"to answer what is missing its texts are needed; give a column `{_TEXT}` in place of `{ENTITY}`"
        )
    new = served.features_for(list(found.loc[lacks, _TEXT]), service, answerer)
    found.loc[lacks, version.names] = new.to_numpy()


def _refuse_missing(served: ServedFeatures, service: str, version: Version, found: pd.DataFrame) -> None:
    lacks = found[found[version.names].isna().any(axis=1)]
    if len(lacks):
        row = lacks.iloc[0]
        raise BadInput(
            f"{len(lacks)} of {len(found)} rows have no answer under `{service}` at their time; first segment "
            f"{row[ENTITY]!r}, {_why(served, version, row)}; give texts and an answerer, or ask for missing='nan'"
        )


def _why(served: ServedFeatures, version: Version, row: pd.Series) -> str:
    manifest = served.manifest
    file = ARRAY_FILE if manifest.serves(version) else version_file(version.id)
    table = read_table(served.repo / "data" / file, _KEYS)
    times = table.loc[table[ENTITY] == row[ENTITY], TIMESTAMP]
    if times.empty:
        return "which was never answered"
    if times.min() > row[TIMESTAMP]:
        return f"asked at {row[TIMESTAMP]}, answered only at {times.min()}"
    return f"asked at {row[TIMESTAMP]}, {_expired(manifest)}"


def _expired(manifest: Manifest) -> str:
    if manifest.ttl_days:
        return f"its answers were older than {manifest.ttl_days:g} days (publish.ttl_days) or not to all its questions"
    return "answered then, but not to all its questions"
