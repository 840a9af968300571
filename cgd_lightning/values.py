"""Settings as values: what an object was constructed with is what it is.

Samplers, guidance rules, weights, schedules and requests are frozen dataclasses, so that each has a
repr, equality and `dataclasses.replace`. A class with a constructor of its own, as a user may
write, is remembered by the arguments of its constructor. Either way `arguments` tells them, and a
value is made again, or with other arguments, from those alone.
"""

import inspect
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, ClassVar, TypeVar, get_origin

from cgd_lightning.errors import InputError


class Value:
    """An object that remembers its constructor's arguments, as `arguments` gives them.

    Making one raises InputError where its class has fields and is no frozen dataclass, or fills a
    method by one that takes something else.
    """

    def __new__(cls, *args: Any, **options: Any) -> "Value":
        made: Any = cls  # mypy does not see that a class is hashable
        _check_methods(made)
        _check_fields(made)
        value = super().__new__(cls)
        if not _takes_its_fields(made):
            vars(value)["init_args"] = named_arguments(cls, args, options)
        return value


V = TypeVar("V", bound=Value)


def arguments(thing: Any) -> dict[str, Any]:
    """The constructor's arguments of `thing`, by name, with the defaults.

    Of a frozen dataclass, its fields; of anything else, its `init_args`, as a `Value` and a
    `Network` have them. Raises TypeError for an object that has neither.
    """
    remembered = vars(thing).get("init_args")
    if remembered is not None:
        return dict(remembered)
    return {field.name: getattr(thing, field.name) for field in fields(thing) if field.init}


def changed(value: V, **changes: Any) -> V:
    """`value` made again, with some of its constructor's arguments changed."""
    return type(value)(**{**arguments(value), **changes})


def named_arguments(cls: type, args: tuple[Any, ...], options: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `cls(*args, **options)` by name, with the defaults.

    Raises TypeError for arguments that the constructor does not take. Missing ones are left out.
    """
    signature = inspect.signature(cls.__init__)  # type: ignore[misc]
    try:
        bound = signature.bind_partial(None, *args, **options)
    except TypeError as error:
        raise TypeError(f"{cls.__name__}: {error}") from None
    bound.apply_defaults()
    named: dict[str, Any] = {}
    for name, value in list(bound.arguments.items())[1:]:
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            named.update(value)
        else:
            named[name] = value
    return named


@cache
def _check_methods(cls: type) -> None:
    """Raises InputError for a method that takes not as many arguments as the one that it fills."""
    to_fill = {name for base in cls.__mro__ for name in getattr(base, "__abstractmethods__", ())}
    for name in sorted(to_fill):
        method = getattr(cls, name)
        first = next(vars(base)[name] for base in reversed(cls.__mro__) if name in vars(base))
        if not (inspect.isfunction(method) and inspect.isfunction(first)):
            continue
        taken, wanted = inspect.signature(method), inspect.signature(first)
        try:
            taken.bind(*wanted.parameters)
        except TypeError:
            shown, right = (", ".join(one.parameters) for one in (taken, wanted))
            raise InputError(f"{cls.__name__}.{name}({shown}): wanted {name}({right})") from None


@cache
def _check_fields(cls: type) -> None:
    """Raises InputError for a dataclass that is not frozen, and for fields without a dataclass."""
    made = vars(cls).get("__dataclass_params__")
    if made is not None and not made.frozen:
        raise InputError(
            f"{cls.__name__}: its fields can be changed; write @dataclass(frozen=True)"
        )
    if made is not None or "__init__" in vars(cls):
        return
    for name, kind in inspect.get_annotations(cls).items():
        if ClassVar not in (kind, get_origin(kind)) and not str(kind).startswith("ClassVar"):
            raise InputError(
                f"{cls.__name__}: has the field {name} and is no dataclass; write "
                f"@dataclass(frozen=True) above the class"
            )


@cache
def _takes_its_fields(cls: type) -> bool:
    """Whether `cls` is a dataclass whose constructor takes its fields and nothing else."""
    if not is_dataclass(cls):
        return False
    taken = list(inspect.signature(cls.__init__).parameters)[1:]
    return taken == [field.name for field in fields(cls) if field.init]
