"""The Feast objects of a published matrix: entity, views, push source, and the services of its sets and versions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from qaemb.serving.history import ARRAY_FILE
from qaemb.serving.manifest import ARRAY, ENTITY, TIMESTAMP, Manifest, Version

TAGS = {"made_by": "qaemb"}
"""The tags of qaemb's objects. Others may use the same registry; only objects with these tags are replaced there."""

# Feast rebuilds an on-demand view's function from its source text in every other process, so the text has to stand
# alone: no closure, no import. It is also called with a one-element array when the view is applied, and with None in
# place of NaN in a historical join.
_NAMING = f'''def name_margins(inputs):
    """Return every question's margins by its name; NaN where a segment has no answers."""
    names = {{names!r}}
    nan = float("nan")
    none = [nan] * len(names)
    rows = [none if row is None or len(row) != len(names) else row for row in inputs["{ARRAY}"]]
    rows = [[nan if value is None else float(value) for value in row] for row in rows]
    return {{{{name: [row[place] for row in rows] for place, name in enumerate(names)}}}}
'''


def array_view_name(version: str) -> str:
    """Return the name of the view of the array with this version."""
    return f"answers_{version}"


def push_source_name(version: str) -> str:
    """Return the name of the push source of new answers to that array."""
    return f"new_answers_{version}"


def _naming_source(names: list[str]) -> str:
    """Return the Python source of the function that turns arrays of margins into named columns.

    >>> print(_naming_source(["food", "motion"]).splitlines()[2].strip())
    names = ['food', 'motion']
    """
    return _NAMING.format(names=list(names))


def feast_objects(manifest: Manifest | None, versions: Sequence[Version] = ()) -> dict[str, Any]:
    """Return the Feast objects by the name of a module's variable (empty where nothing is published).

    `feast apply` and `feast serve` see module-level objects only, so feature_repo/definitions.py takes the dictionary
    as its variables. Views and sources have a version in their names, so that answers of two versions never meet in one
    view, also while a store on a server goes from one to the next. `answers_V` serves one array per segment, online and
    offline, `questions_V` names the array's elements on demand, `new_answers_V` takes new ones.

    A service `SET` offers a set's questions, in its order. A service `SET_v_HASH` offers one of `versions`. It reads
    the array if that has all questions of the version; else it is offline only, and reads a view `history_HASH` with a
    feature per question.
    """
    if manifest is None:
        return {}
    from feast import FeatureService

    segment, pushed, array_view = _array_objects(manifest)
    named_view = _named_view(manifest, array_view)
    former = {version.id: version for version in versions if not manifest.serves(version)}
    history_views = {name: _history_view(version, segment, manifest.ttl_days) for name, version in former.items()}
    services = {
        f"service_{name}": FeatureService(
            name=name, features=[named_view[list(members)]], description=_about(manifest), tags=TAGS
        )
        for name, members in manifest.sets.items()
    }
    for version in versions:
        view = history_views.get(version.id, named_view)
        services[f"service_{version.service}"] = FeatureService(
            name=version.service,
            features=[view[version.names]],
            description=f"answerer {version.answerer}, key {version.answerer_key}",
            tags=TAGS,
        )
    views = {f"history_view_{name}": view for name, view in history_views.items()}
    return {
        "segment": segment,
        "pushed": pushed,
        "arrays": pushed.batch_source,
        "array_view": array_view,
        "named_view": named_view,
        **{f"history_{name}": view.batch_source for name, view in history_views.items()},
        **views,
        **services,
    }


def former_array_views(versions: Sequence[str]) -> list[Any]:
    """Return the views of the arrays with these versions, as they were when the arrays were published."""
    return [_array_view(version, _entity(), _array_source(version)) for version in versions]


def _array_view(version: str, segment: Any, source: Any, ttl_days: float = 0.0) -> Any:
    from feast import FeatureView, Field
    from feast.types import Array, Float32, String

    return FeatureView(
        name=array_view_name(version),
        entities=[segment],
        ttl=timedelta(days=ttl_days),
        schema=[Field(name=ENTITY, dtype=String), Field(name=ARRAY, dtype=Array(Float32))],
        source=source,
        online=True,
        tags=TAGS,
    )


def _entity() -> Any:
    from feast import Entity, ValueType

    return Entity(name=ENTITY, join_keys=[ENTITY], value_type=ValueType.STRING, description="hash of a text")


def _array_source(version: str) -> Any:
    from feast import FileSource

    return FileSource(name=f"answers_file_{version}", path=f"data/{ARRAY_FILE}", timestamp_field=TIMESTAMP)


def _array_objects(manifest: Manifest) -> tuple[Any, Any, Any]:
    from feast import PushSource

    segment = _entity()
    pushed = PushSource(name=push_source_name(manifest.version), batch_source=_array_source(manifest.version))
    return segment, pushed, _array_view(manifest.version, segment, pushed, manifest.ttl_days)


def _history_view(version: Version, segment: Any, ttl_days: float) -> Any:
    from feast import FeatureView, Field, FileSource
    from feast.types import Float32, String

    source = FileSource(name=f"history_file_{version.id}", path=f"data/{version.file}", timestamp_field=TIMESTAMP)
    columns = (Field(name=question.name, dtype=Float32, description=question.text) for question in version.questions)
    return FeatureView(
        name=f"history_{version.id}",
        entities=[segment],
        ttl=timedelta(days=ttl_days),
        schema=[Field(name=ENTITY, dtype=String), *columns],
        source=source,
        online=False,
        tags=TAGS,
    )


def _named_view(manifest: Manifest, array_view: Any) -> Any:
    from feast import Field, OnDemandFeatureView
    from feast.transformation.python_transformation import PythonTransformation
    from feast.types import Float64

    source = _naming_source(manifest.names)
    namespace: dict[str, Any] = {}
    exec(source, namespace)  # the text that Feast stores and runs, so that this process runs the same
    return OnDemandFeatureView(
        name=f"questions_{manifest.version}",
        sources=[array_view],
        # Float64 and no description: Feast compares these fields with those that it infers from a dry run.
        schema=[Field(name=name, dtype=Float64) for name in manifest.names],
        mode="python",
        tags=TAGS,
        feature_transformation=PythonTransformation(udf=namespace["name_margins"], udf_string=source),
    )


def _about(manifest: Manifest) -> str:
    return f"answerer {manifest.answerer} {manifest.approximates}" if manifest.approximates else ""
