"""Tests of what a GPU may do otherwise than a CPU: `make gpu`, or `pytest tests/gpu --device cpu`.

Where there is no GPU they are skipped, unless another device is given.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cuda", help="where tests/gpu runs: cuda, cuda:1, cpu")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    name = config.getoption("--device", "cuda")
    no_gpu = torch.device(name).type == "cuda" and not torch.cuda.is_available()
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.cuda)
            if no_gpu:
                why = "no CUDA here, or not shown to tests: make gpu runs these where there is one"
                item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """The device under test, without TF32, so that float32 is float32."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = False
    yield torch.device(request.config.getoption("--device", "cuda"))
    matmul.allow_tf32, cudnn.allow_tf32 = before
