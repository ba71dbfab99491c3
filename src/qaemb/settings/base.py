"""What every section of params.yaml has in common, and sections of several kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, get_args

from pydantic import BaseModel, ConfigDict, model_validator

_TAGS = ("kind", "engine", "source")


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
    `_TAGS` are the keys that say the kind.

    >>> key_of(("tasks", "mine", "clustering", "seed"), {"tasks": {"mine": {"kind": "clustering", "seed": "x"}}})
    'tasks.mine.seed'
    """
    keys = []
    for number, part in enumerate(place):
        if isinstance(values, Mapping) and _is_kind(part, place[number + 1 :], values):
            values = {key: value for key, value in values.items() if key not in _TAGS}
            continue
        keys.append(str(part))
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            values = None
    return ".".join(keys)


def _is_kind(part: int | str, rest: tuple[int | str, ...], values: Mapping[Any, Any]) -> bool:
    """Return whether a part of a place is the kind of the section `values`, not a key of the same name in it."""
    if part not in [values.get(tag) for tag in _TAGS]:
        return False
    if part not in values or not rest:
        return part not in values
    inner = values[part]
    return rest[0] == part or (rest[0] in values and not (isinstance(inner, Mapping) and rest[0] in inner))


class Kinds(Section):
    """A section of several kinds: its key `tag` says which subclass it is, and the base makes an object of that one.

    `kinds` maps the tag's values to the subclasses. A key of another kind is dropped if it is empty or in `ignored`;
    else it is refused, with its sentence in `owners` if it has one. The same sentence says that such a key is missing.
    """

    tag: ClassVar[str]
    kinds: ClassVar[dict[str, type[Any]]] = {}
    ignored: ClassVar[set[str]] = set()
    owners: ClassVar[dict[str, str]] = {}

    def __new__(cls, **values: Any) -> Self:
        """Return an empty object of the kind that the values name."""
        return super().__new__(cls.kinds.get(values.get(cls.tag, ""), cls))

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """Return the checked section, of the kind that the values name."""
        kind = cls.kinds.get(obj.get(cls.tag, ""), cls) if isinstance(obj, dict) else cls
        return super(Kinds, kind).model_validate(obj, **options)  # type: ignore[misc]

    @model_validator(mode="before")
    @classmethod
    def _has_the_keys_of_its_kind(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not cls.kinds:
            return values
        others = {key for kind in cls.kinds.values() for key in kind.model_fields} - set(cls.model_fields)
        dropped = {key for key in others & set(values) if key in cls.ignored or values[key] in (None, [])}
        values = {key: value for key, value in values.items() if key not in dropped}
        for key, sentence in cls.owners.items():
            field = cls.model_fields.get(key)
            if (field is None and key in values) or (field and field.is_required() and values.get(key) is None):
                raise ValueError(sentence.format(kind=values.get(cls.tag)))
        return values
