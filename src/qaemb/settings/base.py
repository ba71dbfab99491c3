"""What every section of params.yaml has in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, model_validator


class Section(BaseModel):
    """A frozen, checked section; it refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class KindSection(Section):
    """A section that comes in several kinds, which its key `kind` tells apart (a discriminated union of subclasses).

    A key of another kind is refused by the name of the kinds that have it; one without a value is left out.
    """

    @model_validator(mode="before")
    @classmethod
    def _keys_are_of_this_kind(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or cls.__bases__[0] is KindSection:
            return values
        others: dict[str, list[str]] = {}
        siblings: Sequence[type[BaseModel]] = cls.__bases__[0].__subclasses__()
        for sibling in siblings:
            for key in sibling.model_fields.keys() - cls.model_fields.keys():
                others.setdefault(key, []).extend(get_args(sibling.model_fields["kind"].annotation))
        for key in others.keys() & values.keys():
            if values[key]:
                what = "section" if isinstance(values[key], Mapping) else "key"
                kinds = " or ".join(f"`{kind}`" for kind in others[key])
                raise ValueError(f"{what} `{key}` belongs to kind {kinds}, and this is of kind `{values.get('kind')}`")
        return {key: value for key, value in values.items() if key not in others}


def key_of(place: tuple[int | str, ...], values: Any) -> str:
    """Return a key of params.yaml as `a.b.c` from the place of an error in its values, as pydantic names it.

    Pydantic puts the kind into the place, which is no key: of a section of several kinds it comes first.

    >>> key_of(("tasks", "mine", "clustering", "seed"), {"tasks": {"mine": {"kind": "clustering", "seed": "x"}}})
    'tasks.mine.seed'
    """
    keys = []
    for part in place:
        if isinstance(values, Mapping) and values.get("kind") == part:
            values = {key: value for key, value in values.items() if key != "kind"}
            continue
        keys.append(str(part))
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            values = None
    return ".".join(keys)
