"""References: what a network saw, kept on the disk, whoever may have changed the files since."""

import io
import os
import tracemalloc
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cgd_lightning.errors import InputError
from cgd_lightning.evaluation.features import FeatureNetwork, Seen, check_finite
from cgd_lightning.evaluation.kept import cache_folder, is_lasting
from cgd_lightning.evaluation.networks.module import ModuleFeatures
from cgd_lightning.evaluation.reference import (
    hash_of,
    reference_of,
    reference_of_moments,
)


class Means(FeatureNetwork):
    """The channels' means times a weight, as features and as logits."""

    looks = 0

    def see(self, x0: Tensor) -> tuple[Tensor, Tensor]:
        type(self).looks += len(x0)
        means = x0.mean(dim=(2, 3)) * self.network.weight  # type: ignore[operator]
        return means, means[:, :2]


def network(weight: float = 1.0) -> Means:
    linear = nn.Linear(1, 1, bias=False)
    nn.init.constant_(linear.weight, weight)
    return Means(linear.requires_grad_(False), "means")


IMAGES = torch.arange(5 * 3 * 4 * 4).reshape(5, 3, 4, 4).to(torch.uint8)
LABELS = torch.tensor([0, 1, 0, 1, 1])


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A cache with the reference of IMAGES; what the network saw until then is forgotten."""
    reference_of(network(), IMAGES, LABELS, keep=tmp_path / "kept")
    Means.looks = 0
    return tmp_path / "kept"


def the_file(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def test_what_was_seen_is_read_back_and_not_looked_at_again(kept: Path) -> None:
    fresh = reference_of(network(), IMAGES, LABELS)
    assert Means.looks == 5
    again = reference_of(network(), IMAGES, LABELS, keep=kept)
    assert Means.looks == 5
    assert the_file(kept).name == f"{fresh.hash}-{network().hash}.npz"
    for one in ("features", "logits", "labels"):
        assert torch.equal(getattr(again, one), getattr(fresh, one))
    assert (again.n, again.hash, again.width) == (5, fresh.hash, 3)


def test_other_images_labels_or_weights_are_looked_at(kept: Path) -> None:
    others = (IMAGES.flip(0), LABELS), (IMAGES, LABELS.flip(0)), (IMAGES, None)
    assert len({hash_of(*other) for other in others} | {hash_of(IMAGES, LABELS)}) == 4
    for count, (images, labels) in enumerate(others, 1):
        reference_of(network(), images, labels, keep=kept)
        assert Means.looks == 5 * count
    reference_of(network(2.0), IMAGES, LABELS, keep=kept)
    assert Means.looks == 20
    assert hash_of(IMAGES.reshape(5, 3, 2, 8)) != hash_of(IMAGES)


def test_a_bar_sees_every_batch() -> None:
    batches: list[Tensor] = []

    def bar(given: Iterable[Tensor]) -> Iterable[Tensor]:
        batches.extend(given)
        return batches

    reference_of(network(), IMAGES, bar=bar)
    assert [len(batch) for batch in batches] == [5]


def test_features_that_are_no_numbers_are_refused_and_not_kept(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the features of 5 of 5 test images are not finite"):
        reference_of(network(torch.nan), IMAGES, name="test images", keep=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def renamed(file: Path) -> None:
    """As if it held what another network saw."""
    images, _, _ = file.name.partition("-")
    file.rename(file.with_name(f"{images}-{network(2.0).hash}.npz"))


def saved(**changes: np.ndarray | None) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        with np.load(file) as arrays:
            new = {**arrays, **changes}
        np.savez(file, **{name: array for name, array in new.items() if array is not None})  # type: ignore[arg-type]

    return change


def huge(file: Path) -> None:
    """It claims features of 16 GiB."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"shape": (5, 2**30), "fortran_order": False, "descr": "<f4"}
    )
    with np.load(file) as arrays:
        says = arrays["says"]
    with zipfile.ZipFile(file, "w") as archive:
        said = io.BytesIO()
        np.lib.format.write_array(said, says, (1, 0))
        archive.writestr("says.npy", said.getvalue())
        archive.writestr("features.npy", head.getvalue() + bytes(64))


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "of another network": (renamed, "holds features of other data; remove it"),
    "that does not say whose": (saved(says=None), r"says\.npy.*remove it"),
    "that says much": (saved(says=np.zeros(2**20, np.uint8)), "does not say whose"),
    "of fewer images": (saved(features=np.zeros((4, 3), np.float32)), "wanted float32 of 5"),
    "of doubles": (saved(features=np.zeros((5, 3))), "wanted float32 of 5 images"),
    "of pickles": (saved(features=np.full((5, 3), None)), "pickled objects, which are never read"),
    "of other numbers": (
        saved(features=np.full((5, 3), np.inf, np.float32)),
        "features that are not finite",
    ),
    "of huge arrays": (huge, r"features has shape \[5, 1073741824\] in 64 bytes"),
    "cut short": (lambda file: os.truncate(file, 300), "not a zip file"),
    "too large": (lambda file: os.truncate(file, 2**40), "at most"),
    "a link": (lambda file: (file.rename(file.with_name("x")), file.symlink_to("x")), "link"),
    "a pipe": (lambda file: (file.unlink(), os.mkfifo(file)), "not a regular file"),
    "other bytes": (
        lambda file: file.write_bytes(file.read_bytes().replace(b"images ", b"imagez ")),
        "CRC|other data",
    ),
}


@pytest.mark.parametrize(("harm", "says"), HOSTILE.values(), ids=HOSTILE)
def test_a_file_that_lies_is_refused_in_one_line(
    harm: Callable[[Path], object], says: str, kept: Path
) -> None:
    file = the_file(kept)
    harm(file)
    asked = network(2.0) if harm is renamed else network()
    tracemalloc.start()
    with pytest.raises(InputError, match=says) as refused:
        reference_of(asked, IMAGES, LABELS, keep=kept)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22
    assert str(refused.value).endswith("; remove it")
    assert str(refused.value).startswith(str(kept))


def test_where_nothing_can_be_kept_nothing_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        assert reference_of(network(), IMAGES, keep=place).n == 5
    assert os.listdir(tmp_path) == ["file"]


def test_features_are_kept_in_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for given in ("", "not/absolute"):
        monkeypatch.setenv("XDG_CACHE_HOME", given)
        assert cache_folder() == tmp_path / ".cache" / "cgd-lightning" / "features"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    assert cache_folder() == tmp_path / "other" / "cgd-lightning" / "features"


def test_moments_are_a_reference_too() -> None:
    cov = torch.tensor([[2.0, 0.5], [0.5, 1.0]])
    reference = reference_of_moments(torch.zeros(2), cov, 7, "statistics")
    assert (reference.n, reference.width, reference.features) == (7, 2, None)
    for mean, wrong in (
        (torch.zeros(3), cov),
        (torch.zeros(1, 2), cov),
        (torch.tensor([0, torch.nan]), cov),
        (torch.zeros(2), -cov),
        (torch.zeros(2), cov + torch.tensor([[0.0, 1.0], [0.0, 0.0]])),
    ):
        with pytest.raises(InputError, match=r"^statistics: "):
            reference_of_moments(mean, wrong, 7, "statistics")


def test_no_module_of_the_users_is_kept_even_if_made_of_torchs_layers() -> None:
    """Pooling layers differ without weights."""
    pools = [nn.Sequential(pool(4), nn.Flatten()) for pool in (nn.AvgPool2d, nn.MaxPool2d)]
    eyes = [ModuleFeatures(pool, "mine.make") for pool in pools]
    assert not any(map(is_lasting, eyes))
    assert eyes[0].hash != eyes[1].hash


@pytest.mark.parametrize("number", [torch.nan, torch.inf, 1e30])
def test_logits_and_features_that_overflow_are_refused(number: float) -> None:
    good, bad = torch.ones(4, 3), torch.tensor([[1.0, 1.0, number]]).repeat(4, 1)
    for seen in (Seen(good, bad), Seen(bad, good)):
        with pytest.raises(
            InputError, match=r"eyes: the .* of 4 of 4 images are not finite, or above 1e"
        ):
            check_finite(seen, "images", "eyes")


def test_a_covariance_has_no_negative_eigenvalue() -> None:
    cov = torch.full((4, 4), 5.0).fill_diagonal_(0)
    with pytest.raises(InputError, match="negative eigenvalue"):
        reference_of_moments(torch.zeros(4), cov, 10, "some.npz")
