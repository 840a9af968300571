from pathlib import Path

import pytest
import torch

from cgd_lightning.data.lesions import Lesions
from cgd_lightning.errors import InputError
from cgd_lightning.sampling.lesion_files import write_lesions
from tests.sampling.whole_source import read_source


def test_images_and_masks_come_back_from_their_folders(tmp_path: Path) -> None:
    data = Lesions()
    images = data.split("val").images[:12]
    masks, kinds = data.masks("val")[:12], data.kinds("val")[:12]
    write_lesions(tmp_path / "val", images, masks, kinds)
    assert torch.equal(read_source(tmp_path / "val" / "images").images, images)
    assert torch.equal(read_source(tmp_path / "val" / "masks").images > 0, masks)
    lines = (tmp_path / "val" / "kinds.csv").read_text().splitlines()
    assert len(lines) == 13
    assert [line.endswith(",none") for line in lines[1:]] == (kinds == 0).tolist()
    with pytest.raises(InputError, match="is there already"):
        write_lesions(tmp_path / "val", images, masks, kinds)
    with pytest.raises(InputError, match=r"wanted bool masks of shape \[12, 1, 16, 16\]"):
        write_lesions(tmp_path / "other", images, masks[:3], kinds)
    assert not (tmp_path / "other").exists()
