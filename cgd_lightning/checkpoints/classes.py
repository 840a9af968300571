"""The one way from objects to plain data and back.

    {"class_path": "cgd_lightning.diffusion.samplers.DDIM", "init_args": {"steps": 50}}

describes an object by its class and the arguments of its constructor: plain values, and objects
described in the same way, also within lists and mappings. What a file describes is made of listed
and of trusted classes alone (`listed`); the arguments of a listed one have the types that its
constructor declares.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, get_type_hints

from cgd_lightning.checkpoints import schema
from cgd_lightning.checkpoints.listed import LISTED, NO_TRUST, SHORT, Trust, find_class
from cgd_lightning.errors import InputError, one_line
from cgd_lightning.values import Value, arguments

__all__ = [
    "LISTED",
    "NO_TRUST",
    "SHORT",
    "Trust",
    "check_spec",
    "construct",
    "describe_object",
    "find_class",
]

KEYS = ("class_path", "init_args")

MOST_DEPTH = 6
"""Of objects in objects."""


def describe_object(thing: Any) -> dict[str, Any]:
    """The description of `thing`: its import path and its constructor's arguments.

    The path is as short as the packages above the class allow. Raises InputError for an object,
    also within others, that does not remember them.
    """
    cls = type(thing)
    try:
        init_args = arguments(thing)
    except TypeError as error:
        raise InputError(
            f"{cls.__name__} does not remember its constructor arguments; derive it from "
            "cgd_lightning.networks.Network"
        ) from error
    return {"class_path": _import_path(cls), "init_args": _described(init_args)}


def _import_path(cls: type) -> str:
    parts = cls.__module__.split(".")
    for end in range(1, len(parts) + 1):
        module = ".".join(parts[:end])
        if getattr(importlib.import_module(module), cls.__qualname__, None) is cls:
            break
    return f"{module}.{cls.__qualname__}"


def _described(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {name: _described(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        parts = [_described(part) for part in value]
        return parts if isinstance(value, list) else tuple(parts)
    return describe_object(value)


def check_spec(
    spec: Any, base: type, where: object, trust: Trust, without: Sequence[str] = ()
) -> dict[str, Any]:
    """`spec`, as the file `where` describes an object derived from `base`, checked.

    The arguments of a listed class have the types that its constructor declares, those of a trusted
    one are plain values. without: arguments that are left out. Raises InputError for anything else.
    """
    return _File(where, trust).check(spec, base, without)


def construct(spec: Any, base: type, where: object, trust: Trust) -> Any:
    """The object that `spec` describes in the file `where`, with the objects in its arguments.

    Raises InputError as `check_spec` does, before anything is made; for objects in the arguments of
    a trusted class that are no `Value`; and if a class refuses its arguments.
    """
    file = _File(where, trust)
    file.check(spec, base)
    return file.make(spec, base)


@dataclass(frozen=True)
class _File:
    """A file that describes objects. depth: in how many others the next one stands."""

    where: object
    trust: Trust
    depth: int = 0

    def check(self, spec: Any, base: type, without: Sequence[str] = ()) -> dict[str, Any]:
        cls, class_path, given = self._parts(spec, base)
        kept = {name: value for name, value in given.items() if name not in without}
        inner = replace(self, depth=self.depth + 1)
        checked = self._arguments(cls, class_path, kept, inner.check, lambda value: value)
        listed = not self.trust.covers(class_path)
        return {"class_path": LISTED[class_path] if listed else class_path, "init_args": checked}

    def make(self, spec: Any, base: type) -> Any:
        cls, class_path, given = self._parts(spec, base)
        inner = replace(self, depth=self.depth + 1)
        made = self._arguments(cls, class_path, given, inner.make, inner.made)
        try:
            return cls(**made)
        except InputError as error:
            raise InputError(f"{self.where}: {error}") from error
        except Exception as error:  # a constructor may raise anything for what it does not expect
            raise self._refused(class_path, one_line(error)) from error

    def made(self, value: Any) -> Any:
        """`value`, an argument of a trusted class, with the objects that it describes.

        They are values alone: what a trusted module imports for itself is not for a file to make.
        """
        if isinstance(value, list | tuple):
            parts = [self.made(part) for part in value]
            return parts if isinstance(value, list) else tuple(parts)
        if not isinstance(value, Mapping):
            return value
        if "class_path" in value and set(value) <= set(KEYS):
            return self.make(value, Value)
        return {name: self.made(part) for name, part in value.items()}

    def _parts(self, spec: Any, base: type) -> tuple[type, str, dict[str, Any]]:
        """(class, its path in the file, arguments that nothing has looked into)."""
        try:
            if self.depth > MOST_DEPTH:
                raise ValueError(f"more than {MOST_DEPTH} objects in each other")
            given = schema.mapping(spec, KEYS)
        except ValueError as error:
            raise InputError(f"{self.where}: a {base.__name__} is described by {error}") from error
        class_path: Any = given.get("class_path")
        if type(class_path) is str:
            class_path = SHORT.get(class_path, class_path)
        cls = find_class(class_path, base, self.where, self.trust)
        try:
            return cls, class_path, schema.mapping(given.get("init_args") or {})
        except ValueError as error:
            raise self._refused(class_path, str(error)) from error

    def _arguments(
        self,
        cls: type,
        class_path: str,
        given: Mapping[str, Any],
        nested: schema.Nested,
        finish: Callable[[Any], Any],
    ) -> dict[str, Any]:
        """`given`, checked.

        The arguments of a listed class are checked by their types, with `nested` for objects; those
        of a trusted class as plain values, which `finish` then gets.
        """
        hints = None if self.trust.covers(class_path) else _hints(cls)
        checked = {}
        for name, value in given.items():
            try:
                if hints is None:
                    checked[name] = finish(schema.plain(value))
                elif name in hints:
                    checked[name] = schema.typed(value, hints[name], nested)
                else:
                    raise ValueError("an argument that it does not have")
            except InputError:
                raise
            except ValueError as error:
                why = f"{ascii(name)[1:-1][:60]}: {error}"
                raise self._refused(class_path, why) from error
        return checked

    def _refused(self, class_path: str, why: str) -> InputError:
        return InputError(
            f"{self.where}: {class_path} does not take the arguments stored there: {why}"
        )


def _hints(cls: type) -> dict[str, Any]:
    """The types of the arguments of the constructor of `cls`, by name."""
    if is_dataclass(cls):
        hints = get_type_hints(cls)
        return {field.name: hints[field.name] for field in fields(cls) if field.init}
    return get_type_hints(cls.__init__)  # type: ignore[misc]
