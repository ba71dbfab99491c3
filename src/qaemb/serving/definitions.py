"""The Feast objects of a published matrix: entity, views, push source, and a feature service per question set."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from qaemb.serving.manifest import ARRAY, ENTITY, TIMESTAMP, Manifest
from qaemb.serving.offline import ARRAY_FILE, WIDE_FILE

ARRAY_VIEW = "answers"
WIDE_VIEW = "answers_wide"
NAMED_VIEW = "questions"
PUSH_SOURCE = "new_answers"

# Feast rebuilds an on-demand view's function from its source text in every other process, so the text has to stand
# alone: no closure, no import. It is also called with a one-element array when the view is applied.
_NAMING = f'''def name_margins(inputs):
    """Return every question's margins by its name; NaN where a segment has no answers."""
    names = {{names!r}}
    none = [float("nan")] * len(names)
    rows = [none if row is None or len(row) != len(names) else row for row in inputs["{ARRAY}"]]
    return {{{{name: [float(row[place]) for row in rows] for place, name in enumerate(names)}}}}
'''


def naming_source(names: list[str]) -> str:
    """Return the Python source of the function that turns arrays of margins into named columns.

    >>> print(naming_source(["food", "motion"]).splitlines()[2].strip())
    names = ['food', 'motion']
    """
    return _NAMING.format(names=list(names))


def feast_objects(manifest: Manifest | None) -> dict[str, Any]:
    """Return the Feast objects by the name of a module's variable (empty where nothing is published).

    `feast apply` and `feast serve` see module-level objects only, so feature_repo/definitions.py takes the dictionary
    as its variables. The views: `answers` serves one array per segment, online and offline; `answers_wide` has a
    Float32 feature per question, offline only (a row of the online store per feature would be far slower); `questions`
    names the array's elements on demand. A service `SET` offers a set's questions, in its order, online and offline.
    """
    if manifest is None:
        return {}
    from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, ValueType
    from feast.types import Array, Float32, String

    segment = Entity(name=ENTITY, join_keys=[ENTITY], value_type=ValueType.STRING, description="hash of a text")
    arrays = FileSource(name="answers_file", path=f"data/{ARRAY_FILE}", timestamp_field=TIMESTAMP)
    columns = FileSource(name="answers_wide_file", path=f"data/{WIDE_FILE}", timestamp_field=TIMESTAMP)
    pushed = PushSource(name=PUSH_SOURCE, batch_source=arrays)
    key = Field(name=ENTITY, dtype=String)
    array_view = FeatureView(
        name=ARRAY_VIEW,
        entities=[segment],
        ttl=timedelta(0),
        schema=[key, Field(name=ARRAY, dtype=Array(Float32))],
        source=pushed,
        online=True,
    )
    wide_view = FeatureView(
        name=WIDE_VIEW,
        entities=[segment],
        ttl=timedelta(0),
        schema=[
            key,
            *(Field(name=question.name, dtype=Float32, description=question.text) for question in manifest.questions),
        ],
        source=columns,
        online=False,
    )
    named_view = _named_view(manifest, array_view)
    about = f"answerer {manifest.answerer} {manifest.approximates}" if manifest.approximates else ""
    services = {
        f"service_{name}": FeatureService(name=name, features=[named_view[list(members)]], description=about)
        for name, members in manifest.sets.items()
    }
    views = {"array_view": array_view, "wide_view": wide_view, "named_view": named_view}
    return {"segment": segment, "pushed": pushed, "arrays": arrays, "columns": columns, **views, **services}


def _named_view(manifest: Manifest, array_view: Any) -> Any:
    from feast import Field, OnDemandFeatureView
    from feast.transformation.python_transformation import PythonTransformation
    from feast.types import Float64

    source = naming_source(manifest.names)
    namespace: dict[str, Any] = {}
    exec(source, namespace)  # the text that Feast stores and runs, so that this process runs the same
    return OnDemandFeatureView(
        name=NAMED_VIEW,
        sources=[array_view],
        # Float64 and no description: Feast compares these fields with those that it infers from a dry run.
        schema=[Field(name=name, dtype=Float64) for name in manifest.names],
        mode="python",
        feature_transformation=PythonTransformation(udf=namespace["name_margins"], udf_string=source),
    )
