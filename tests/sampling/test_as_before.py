"""What an earlier version made of a request, this one makes too: every sampler, rule, weight."""

from pathlib import Path

import numpy as np
import pytest

from tests.stored.make_requests import REQUESTS, STORED, lay_out, made, made_with


@pytest.mark.parametrize(("name", "words"), REQUESTS.items(), ids=REQUESTS)
def test_a_request_makes_the_images_that_it_made_before(
    name: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out(tmp_path)
    monkeypatch.chdir(tmp_path)
    with np.load(STORED / "requests.npz") as arrays:
        wanted, recorded_with = arrays[name].astype(int), arrays["made_with"].tolist()
    images = made(words, Path("out")).astype(int)
    assert images.shape == wanted.shape
    # Processors round differently.
    assert np.abs(images - wanted).max() <= (0 if made_with() == recorded_with else 1)
