"""What every command's parser has in common: errors of one line, and objects made of settings."""

import sys
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, Namespace

from cgd_lightning.configuration.help import HelpfulParser
from cgd_lightning.configuration.one_line import one_line
from cgd_lightning.errors import InputError, printable


class OneLineErrors(HelpfulParser):
    """A parser that answers a wrong command line in one line and exits with status 2."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:
            super().error(message, ex)
        options = [option for action in self._actions for option in action.option_strings]
        command = self.prog.replace(" [options]", "")
        see = f"; see {command} --help" if " " in command else ""
        print(
            f"error: {command}: {printable(one_line(str(message), options))}{see}", file=sys.stderr
        )
        self.exit(2)


def instantiate(parser: ArgumentParser, settings: Namespace) -> Any:
    """The objects that `settings` describe.

    Raises the InputError of a class that refuses them, however deeply it stands among others, and
    ModuleNotFoundError if one wants TensorBoard where there is none.
    """
    try:
        return parser.instantiate(settings)
    except ValueError as error:
        seen: list[BaseException] = []
        cause: BaseException | None = error
        while cause is not None and cause not in seen:
            if isinstance(cause, InputError | OSError):
                raise InputError(str(cause)) from error
            seen.append(cause)
            cause = cause.__cause__ or cause.__context__
        if "tensorboard" in str(error):
            raise ModuleNotFoundError(
                "neither tensorboard nor tensorboardX is installed"
            ) from error
        raise InputError(one_line(str(error))) from error
