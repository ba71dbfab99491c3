"""What a function of the package reaches, by mypy's types: other functions and their files, and settings that are read.

A call graph over all of src/qaemb. A method that is called on a class counts for every subclass that is reached, too;
so does a method of a protocol for every class that has the protocol's names.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from mypy import nodes
from mypy import types as mypy_types
from mypy.build import BuildSource, build
from mypy.options import Options
from pydantic import BaseModel

from qaemb.settings import Settings

SOURCE = Path(__file__).parents[1] / "src"
_DUMPS = {"model_dump", "model_dump_json"}


@dataclass
class _Body:
    """What one definition names: other definitions, methods of classes, keys of settings."""

    names: set[str] = field(default_factory=set)
    methods: set[tuple[str, str]] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Reached:
    """Files under src, relative to the repository, and keys such as `features.spaces.*.kind`."""

    files: frozenset[str]
    keys: frozenset[str]


class Package:
    """The call graph of src/qaemb."""

    def __init__(self) -> None:
        self._paths = setting_paths()
        self._bodies: dict[str, _Body] = {}
        self._classes: dict[str, nodes.TypeInfo] = {}
        self._files: dict[str, str] = {}
        options = Options()
        options.export_types = options.preserve_asts = options.ignore_missing_imports = True
        options.check_untyped_defs = True
        options.incremental = False
        options.follow_imports = "skip"  # other packages: their types say nothing about settings
        options.python_version = (3, 11)
        result = build([BuildSource(str(path), _module(path), None) for path in _sources()], options)
        for path in _sources():
            tree = result.files[_module(path)]
            self._files[tree.fullname] = path.relative_to(SOURCE.parent).as_posix()
            _Reader(self, result.types).read(tree, tree.fullname)

    def body(self, owner: str) -> _Body:
        """Return the record of a definition, new or not."""
        return self._bodies.setdefault(owner, _Body())

    def add_class(self, info: nodes.TypeInfo) -> None:
        """Remember a class."""
        self._classes[info.fullname] = info

    def keys_of(self, class_name: str, attribute: str) -> set[str]:
        """Return the settings keys that are read where an attribute of a class is."""
        known = self._paths.get(class_name)
        if known is None:
            return set()
        if attribute in known:
            return known[attribute]
        return set().union(*known.values()) if attribute in _DUMPS else set()

    def reached(self, start: str, without: tuple[str, ...] = ()) -> Reached:
        """Return what a definition reaches; definitions under a name in `without` are not gone into."""
        seen: set[str] = set()
        calls: set[tuple[str, str]] = set()
        todo = {start}
        while todo:
            name = todo.pop()
            if name in seen or name.startswith(without):
                continue
            seen.add(name)
            body = self._bodies.get(name, _Body())
            calls |= body.methods
            todo |= body.names | set(self._with_class(name))
            todo |= {target for call in calls for target in self._targets(*call, seen)} - seen
        keys = set().union(*(self._bodies[name].keys for name in seen if name in self._bodies))
        return Reached(frozenset(filter(None, map(self._file, seen))), frozenset(keys))

    def _with_class(self, name: str) -> Iterator[str]:
        """Yield what comes with a class: its special methods and those of its bases."""
        if name in self._classes:
            for info in self._classes[name].mro:
                yield info.fullname
                yield from (f"{info.fullname}.{method}" for method in info.names if method.startswith("__"))

    def _targets(self, class_name: str, method: str, seen: set[str]) -> Iterator[str]:
        info = self._classes.get(class_name)
        if info is None:
            return
        for base in info.mro:
            if method in base.names:
                yield f"{base.fullname}.{method}"
                break
        for other in self._classes.values():
            if other.fullname in seen and method in other.names and _stands_for(other, info):
                yield f"{other.fullname}.{method}"

    def _file(self, name: str) -> str | None:
        while name and name not in self._files:
            name = name.rpartition(".")[0]
        return self._files.get(name)


def _stands_for(info: nodes.TypeInfo, base: nodes.TypeInfo) -> bool:
    if base in info.mro:
        return True
    members = {name for name in base.names if not name.startswith("__")}
    return base.is_protocol and all(any(name in one.names for one in info.mro) for name in members)


class _Reader:
    """Reads one file into the graph."""

    def __init__(self, package: Package, found: dict[nodes.Expression, mypy_types.Type]) -> None:
        self._package, self._types = package, found

    def read(self, node: nodes.Node, owner: str, inside: bool = False) -> None:
        """Read a node and what is below it into the record of `owner`; `inside`: the owner is a function."""
        if isinstance(node, nodes.FuncDef) and not inside:  # a function in a function is a part of it
            owner, inside = node.fullname, True
        elif isinstance(node, nodes.ClassDef):
            self._package.add_class(node.info)
            owner = node.fullname
        elif isinstance(node, nodes.AssignmentStmt) and not inside:
            names = [one.fullname for one in node.lvalues if isinstance(one, nodes.NameExpr)]
            owner = names[0] if names else owner
        elif isinstance(node, nodes.RefExpr):
            self._refer(node, owner)
        elif isinstance(node, nodes.CallExpr):
            self._call(node, owner)
        for child in _children(node):
            self.read(child, owner, inside)

    def _refer(self, node: nodes.RefExpr, owner: str) -> None:
        body = self._package.body(owner)
        name = node.node.fullname if node.node is not None else node.fullname
        if name.startswith("qaemb."):
            body.names.add(name)
        if isinstance(node, nodes.MemberExpr):
            for name in _class_names(self._types.get(node.expr)):
                body.methods.add((name, node.name))
                body.keys |= self._package.keys_of(name, node.name)

    def _call(self, node: nodes.CallExpr, owner: str) -> None:
        if isinstance(node.callee, nodes.NameExpr) and node.callee.name == "getattr":
            attribute = node.args[1].value if isinstance(node.args[1], nodes.StrExpr) else "model_dump"
            for name in _class_names(self._types.get(node.args[0])):
                self._package.body(owner).keys |= self._package.keys_of(name, attribute)


# Where mypy's nodes point back to, or hold the same code twice.
_NO_CHILDREN = {"node", "info", "type", "unanalyzed_type", "original_def", "expanded", "analyzed", "var", "def_var"}
_NO_CHILDREN |= {"unanalyzed_items", "original_decorators", "def_or_infer_vars", "names", "imports"}


def _children(node: nodes.Node) -> Iterator[nodes.Node]:
    for name in set(node.__mypyc_attrs__) - _NO_CHILDREN:
        yield from _nodes_in(getattr(node, name, None))


def _nodes_in(value: object) -> Iterator[nodes.Node]:
    if isinstance(value, nodes.Node):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _nodes_in(item)


def _class_names(found: mypy_types.Type | None) -> set[str]:
    """Return the classes that a value may be of, or that it is."""
    one = mypy_types.get_proper_type(found) if found is not None else None
    match one:
        case mypy_types.Instance():
            return {one.type.fullname}
        case mypy_types.UnionType():
            return set().union(*(_class_names(item) for item in one.items))
        case mypy_types.TypeType():
            return _class_names(one.item)
        case mypy_types.TypeVarType():
            return _class_names(one.upper_bound)
        case mypy_types.CallableType() if one.is_type_obj():
            return {one.type_object().fullname}
    return set()


def setting_paths() -> dict[str, dict[str, set[str]]]:
    """Return class -> attribute -> the keys of params.yaml below it, a `*` for a name that the user gives."""
    found: dict[str, dict[str, set[str]]] = {}
    _walk(Settings, "", found)
    return found


def all_keys() -> set[str]:
    """Return every key of params.yaml that holds a value."""
    return set().union(*(keys for attributes in setting_paths().values() for keys in attributes.values()))


def _walk(section: type[BaseModel], path: str, found: dict[str, dict[str, set[str]]]) -> None:
    for base in (one for one in section.__mro__ if one.__module__.startswith("qaemb.settings")):
        known = found.setdefault(f"{base.__module__}.{base.__qualname__}", {})
        for name, info in section.model_fields.items():
            key = f"{path}{info.alias or name}"
            inner = list(_sections(info.annotation, key))
            if not inner:
                known.setdefault(name, set()).add(key)
    for name, info in section.model_fields.items():
        for part, key in _sections(info.annotation, f"{path}{info.alias or name}"):
            _walk(part, f"{key}.", found)


def _sections(annotation: object, key: str) -> Iterator[tuple[type[BaseModel], str]]:
    """Yield the sections in the type of a field, and their keys."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, key
    elif origin in (typing.Union, types.UnionType):
        for one in arguments:
            yield from _sections(one, key)
    elif origin is typing.Annotated:
        yield from _sections(arguments[0], key)
    elif origin is dict:
        yield from _sections(arguments[1], f"{key}.*")


def _sources() -> list[Path]:
    return sorted((SOURCE / "qaemb").rglob("*.py"))


def _module(path: Path) -> str:
    parts = path.with_suffix("").relative_to(SOURCE).parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def stage_function(name: str) -> str:
    """Return the full name of the stage's function: the one of this name in src/qaemb/stages."""
    files = (SOURCE / "qaemb" / "stages").glob("*.py")
    (module,) = [_module(path) for path in files if f"\ndef {name}(" in path.read_text()]
    assert callable(getattr(import_module(module), name))
    return f"{module}.{name}"
