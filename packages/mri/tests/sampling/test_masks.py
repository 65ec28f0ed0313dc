"""Sampling masks: acceleration, center, reproducibility, density, distances."""

import pytest
import torch

from invcore import ParameterError
from invcore_mri import MaskEquispaced, MaskGaussian, MaskPoisson, MaskRandom, calibration_shape

CASES = [
    MaskRandom(shape=(64, 128), acceleration=4.0, calib=16),
    MaskRandom(shape=(64, 60), acceleration=6.0, calib=12, axes=(-2, -1)),
    MaskGaussian(shape=(64, 127), acceleration=3.5, calib=16),
    MaskGaussian(shape=(30, 8, 41), acceleration=5.0, calib=6, axes=(0, 2)),
    MaskEquispaced(shape=(64, 128), acceleration=4.0, calib=16),
    MaskEquispaced(shape=(200, 301), acceleration=3.0, calib=30),
    MaskEquispaced(shape=(60, 8, 72), acceleration=6.0, calib=12, axes=(0, 2)),
    MaskPoisson(shape=(96, 80), acceleration=5.0, calib=16),
    MaskPoisson(shape=(80, 6, 70), acceleration=4.0, calib=12, axes=(0, 2), crop_corner=False),
]


def identity(generate):
    return f"{type(generate).__name__}-{len(generate.axes)}-{len(generate.shape)}"


@pytest.mark.parametrize("generate", CASES, ids=identity)
def test_acceleration_center_and_shape(generate, generator):
    mask = generate(batch=(3,), generator=generator)
    used = [axis % len(generate.shape) for axis in generate.axes]
    assert mask.shape == (3, *(n if a in used else 1 for a, n in enumerate(generate.shape)))
    assert mask.dtype == torch.float32 and set(mask.unique().tolist()) == {0.0, 1.0}
    for one in mask:
        achieved = one.numel() / float(one.sum())
        assert achieved == pytest.approx(generate.acceleration, rel=0.05)
        wanted = tuple(min(generate.calib, n) for n in one.shape)
        assert calibration_shape(one, wanted) == wanted


@pytest.mark.parametrize("generate", CASES, ids=identity)
def test_same_seed_same_mask_on_any_split(generate):
    whole = generate(batch=(2, 2), generator=torch.Generator().manual_seed(7))
    source = torch.Generator().manual_seed(7)
    parts = torch.stack([generate(batch=(2,), generator=source), generate(batch=(2,), generator=source)])
    assert torch.equal(whole, parts)
    assert torch.equal(generate(generator=torch.Generator().manual_seed(7)), whole[0, 0])
    assert not (whole == whole[0, 0]).all()
    assert torch.equal(generate(), generate(generator=torch.Generator().manual_seed(0)))


def test_global_random_state_is_left_alone():
    numpy = pytest.importorskip("numpy")
    torch.manual_seed(3)
    numpy.random.seed(3)
    before = torch.get_rng_state().clone(), numpy.random.get_state()[1].copy()
    for generate in CASES:
        generate(generator=torch.Generator().manual_seed(1))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (numpy.random.get_state()[1] == before[1]).all()


def test_gaussian_is_denser_at_the_center_and_random_is_not(generator):
    def spread(kind):
        generate = kind(shape=(64, 256), acceleration=4.0, calib=0)
        lines = generate(batch=(200,), generator=generator).mean((0, 1))
        return float(lines[96:160].mean() / lines[:64].mean())

    assert spread(MaskGaussian) > 4
    assert spread(MaskRandom) == pytest.approx(1, abs=0.1)


def test_regular_grid_is_regular(generator):
    generate = MaskEquispaced(shape=(8, 60), acceleration=4, calib=0, net=False)
    offsets = set()
    for mask in generate(batch=(30,), generator=generator):
        lines = mask[0].nonzero().flatten()
        assert torch.equal(lines.diff(), torch.full((14,), 4))
        offsets.add(int(lines[0]))
    assert offsets == {0, 1, 2, 3}


def test_poisson_samples_keep_their_distance(generator):
    """Away from the center, neighbors are rarer than in a random mask of the same density."""
    arguments = {"shape": (128, 128), "acceleration": 8.0, "calib": 8, "axes": (-2, -1)}
    poisson = MaskPoisson(**arguments)(generator=generator)
    random = MaskRandom(**arguments)(generator=generator)

    def touching(mask):
        outer = mask.clone()
        outer[32:96, 32:96] = 0
        return float((outer[:, 1:] * outer[:, :-1]).sum() + (outer[1:] * outer[:-1]).sum()) / float(
            outer.sum()
        )

    assert touching(poisson) < 0.3 * touching(random)
    assert poisson[:4, :4].sum() == 0  # corners


def test_errors_say_what_to_do():
    with pytest.raises(ParameterError, match="center alone"):
        MaskRandom(shape=(64, 64), acceleration=4.0, calib=24)
    with pytest.raises(ParameterError, match="acceleration"):
        MaskRandom(shape=(64, 64), acceleration=0.5, calib=4)
    with pytest.raises(ParameterError, match="axes"):
        MaskGaussian(shape=(64, 64), calib=4, axes=(1, -1))
    with pytest.raises(ParameterError, match="exactly two"):
        MaskPoisson(shape=(64, 64), calib=4, axes=(-1,))
    with pytest.raises(ParameterError, match="width"):
        MaskGaussian(shape=(64, 64), calib=4, width=0.0)
    with pytest.raises(ParameterError, match="shape"):
        MaskEquispaced(shape=(64,), calib=4)
    with pytest.raises(ParameterError, match="holds no mask"):
        MaskRandom(shape=(64, 64), calib=4)(batch=(0,))


def test_an_acceleration_out_of_reach_is_refused_at_once():
    with pytest.raises(
        ParameterError, match=r"1\.15 cannot be reached: crop_corner=True keeps .* of 1\.18\."
    ):
        MaskPoisson(shape=(64, 64), acceleration=1.15, calib=12)
    dense = MaskPoisson(shape=(64, 64), acceleration=1.02, calib=12, crop_corner=False)()
    assert int(dense.sum()) == round(64**2 / 1.02)


@pytest.mark.parametrize(("shape", "acceleration"), [((96, 96), 6.0), ((64, 40), 4.0)])
def test_distances_of_poisson_samples_grow_with_the_distance_from_the_center(shape, acceleration, generator):
    """In units of the longer side no two samples are closer than one law of the radius allows."""
    mask = MaskPoisson(shape=shape, acceleration=acceleration, calib=8, crop_corner=False)(
        generator=generator
    )
    assert int(mask.sum()) == round(mask.numel() / acceleration)
    spacing = torch.tensor([max(shape) / n for n in shape])
    middle = torch.tensor([n / 2 for n in shape])
    places = mask.nonzero().float()
    beyond = ((places - middle).abs() - 4).clamp_min(0) / (middle - 4)
    radius = beyond.norm(dim=1)
    distance = torch.cdist(places * spacing, places * spacing)
    distance.fill_diagonal_(torch.inf)
    nearest = distance.amin(1)
    outer, inner = radius > 0.9, (radius > 0.1) & (radius < 0.3)
    assert float(nearest[outer].mean()) > 1.4 * float(nearest[inner].mean())
    # a law 1 + s r with one s: the smallest slack of the pairs tells the largest s that holds for all
    larger = torch.maximum(radius[:, None], radius)
    smaller = torch.minimum(radius[:, None], radius)
    slope = ((distance - 1) / smaller.clamp_min(1e-6))[larger > 0.2].amin()
    assert float(slope) > 1
