from types import SimpleNamespace

import pytest
import torch

from cgd_lightning.data.digits import Digits
from cgd_lightning.data.images import ImageTensors
from cgd_lightning.data.loader import OrderedShard, ResumableLoader, ShuffledShard
from cgd_lightning.diffusion.process import NoisyBatch, add_noise
from cgd_lightning.diffusion.schedules import Cosine


def at(data: Digits, stage: str, ready: int = 0, rank: int = 0) -> Digits:
    """`data` as in a trainer that is training, validating or predicting."""
    progress = SimpleNamespace(batch_progress=SimpleNamespace(total=SimpleNamespace(ready=ready)))
    flags = {name: name == stage for name in ("training", "validating", "predicting")}
    data.trainer = SimpleNamespace(
        **flags, global_rank=rank, world_size=1, fit_loop=SimpleNamespace(epoch_loop=progress)
    )  # type: ignore
    return data


def noised(data: Digits, images: slice = slice(0, 64)) -> NoisyBatch:
    return data.on_after_batch_transfer(data.split("val").__getitems__(list(range(250))[images]), 0)


def test_the_splits_of_the_digits_are_disjoint_balanced_and_always_the_same() -> None:
    parts = [Digits().split(name) for name in ("train", "val", "test")]
    assert [len(part) for part in parts] == [1297, 250, 250]
    for part in parts:
        assert part.images.dtype == torch.uint8
        assert part.images.shape[1:] == (1, 16, 16)
        share = part.labels.bincount(minlength=10) / len(part)
        assert share.min() > 0.09
        assert share.max() < 0.11
    seen = [{image.numpy().tobytes() for image in part.images} for part in parts]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]
    assert torch.equal(Digits(seed=5).split("val").images, parts[1].images)


def test_the_shares_of_the_classes_are_those_of_the_training_images() -> None:
    data = Digits()
    labels = data.split("train").labels
    assert data.class_shares() == pytest.approx(
        [(labels == k).double().mean().item() for k in range(10)]
    )
    data._splits["train"] = [1, 2, 3]  # type: ignore[assignment]  # a data set that keeps no labels
    assert data.class_shares() == []


def test_the_noisy_batch_is_the_forward_process() -> None:
    data = at(Digits(schedule=Cosine()), "training")
    batch = noised(data)
    assert batch.x0.min() >= -1
    assert batch.x0.max() <= 1
    assert torch.equal(batch.x_t, add_noise(batch.x0, batch.t, batch.eps, Cosine()))
    assert batch.t.dtype == torch.float32
    assert torch.equal(batch.y, data.split("val").labels[:64])
    assert batch.eps.std() == pytest.approx(1, abs=0.02)


def test_training_noise_depends_on_seed_batch_and_process_and_not_on_the_global_random_state() -> (
    None
):
    first = noised(at(Digits(), "training", ready=3))
    torch.randn(7)
    again = noised(at(Digits(), "training", ready=3))
    assert torch.equal(first.eps, again.eps)
    assert torch.equal(first.t, again.t)
    for other in (
        at(Digits(), "training", ready=4),
        at(Digits(), "training", ready=3, rank=1),
        at(Digits(seed=1), "training", ready=3),
    ):
        assert not torch.equal(first.eps, noised(other).eps)
        assert not torch.equal(first.t, noised(other).t)


def test_training_timesteps_are_uniform_over_the_trained_levels() -> None:
    t = torch.cat([noised(at(Digits(), "training", ready=ready)).t for ready in range(150)])
    counts = torch.histc(t, bins=10, min=0, max=1000)
    assert t.min() == 0 or t.min() < 5
    assert t.max() > 994
    assert t.max() <= 999
    assert torch.equal(t, t.round())
    assert ((counts / len(t) - 0.1).abs() < 0.02).all()


def test_the_timesteps_of_a_training_batch_are_spread_evenly_and_each_place_moves() -> None:
    batches = [noised(at(Digits(), "training", ready=ready)).t.sort().values for ready in range(20)]
    for t in batches:
        assert (t - torch.arange(64) * 1000 / 64 - t[0]).abs().max() <= 1
    firsts = torch.stack([t[0] for t in batches])
    assert firsts.max() - firsts.min() > 10


def test_held_out_noise_depends_on_the_image_and_not_on_its_batch() -> None:
    data = at(Digits(), "validating")
    whole, part = noised(data, slice(0, 64)), noised(data, slice(20, 40))
    assert torch.equal(whole.eps[20:40], part.eps)
    assert torch.equal(whole.t[20:40], part.t)


def test_held_out_timesteps_are_spread_evenly() -> None:
    t = noised(at(Digits(), "validating"), slice(0, 250)).t
    counts = torch.histc(t, bins=10, min=0, max=1000)
    assert counts.min() >= 23
    assert counts.max() <= 27


def test_prediction_reads_the_images_at_the_chosen_timestep() -> None:
    batch = noised(at(Digits(predict_timestep=300), "predicting"))
    assert torch.equal(batch.t, torch.full((64,), 300.0))


def test_processes_share_the_training_images_without_overlap_and_differently_in_every_epoch() -> (
    None
):
    shards = [ShuffledShard(103, seed=0, rank=rank, processes=4) for rank in range(4)]
    epochs = []
    for epoch in range(2):
        for shard in shards:
            shard.set_epoch(epoch)
        parts = [list(shard) for shard in shards]
        assert [len(part) for part in parts] == [25] * 4
        assert len(set().union(*parts)) == 100
        epochs.append(parts)
    assert epochs[0] != epochs[1]


def test_processes_share_the_held_out_images_each_exactly_once() -> None:
    parts = [list(OrderedShard(11, rank, 4)) for rank in range(4)]
    assert sorted(i for part in parts for i in part) == list(range(11))


def test_a_loader_goes_on_in_the_middle_of_an_epoch() -> None:
    def epoch_after(trained: int) -> list[list[int]]:
        images = ImageTensors(torch.zeros(50, 1, 2, 2, dtype=torch.uint8), torch.zeros(50))
        loader = ResumableLoader(
            images, ShuffledShard(50, 0, 0, 1), 8, lambda: trained, collate_fn=lambda batch: batch
        )
        return [batch.indices.tolist() for batch in loader]

    assert len(epoch_after(0)) == len(epoch_after(6)) == 6
    assert epoch_after(4) == epoch_after(0)[4:]
    assert epoch_after(8) == epoch_after(6)[2:]
    assert epoch_after(6) != epoch_after(0)


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ValueError, match="batch_size 0"):
        Digits(batch_size=0)
    with pytest.raises(ValueError, match="timestep 1000"):
        Digits(predict_timestep=1000)
    with pytest.raises(ValueError, match="1297 training images"):
        Digits(batch_size=2000).train_dataloader()
