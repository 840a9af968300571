"""What Lightning says of things that are meant to be so here, left out."""

import logging
import warnings

MEANT = (
    "module\\(s\\) in eval mode",
    "smaller than the logging interval",
    "isinstance\\(treespec",
    "does not have many workers",
    "LightningCLI's args",
    "Starting from v1.9.0, `tensorboardX`",
    "Checkpoint directory .* exists and is not empty",
)
"""Warnings, by how they begin or what they hold."""

LOGS = (
    "lightning.pytorch.utilities.rank_zero",
    "lightning.pytorch.trainer.connectors.logger_connector.logger_connector",
)
"""Where Lightning tells of its other products, and of TPUs that are not there."""


def quieten() -> None:
    """Leave out warnings of what is meant, and advertisements."""
    for message in MEANT:
        warnings.filterwarnings("ignore", f".*{message}")
    for name in LOGS:
        logging.getLogger(name).addFilter(_matters)


def _matters(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    return "Tip:" not in text and "TPU" not in text
