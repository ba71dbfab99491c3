"""What every section of params.yaml has in common, and sections of several kinds."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, model_validator


class Section(BaseModel):
    """A frozen, checked section; no key unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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
