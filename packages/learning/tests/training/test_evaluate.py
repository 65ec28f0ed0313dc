"""`evaluate` against metrics computed image by image."""

import math

import pytest
import torch

import invcore
from invcore import Physics
from invcore.noises import GaussianNoise, NoNoise
from invcore.operators import Identity, Mask
from invcore.priors import FunctionPrior
from invcore_learning import Sample, evaluate


def test_values_are_those_of_each_image(images, network, exact):
    model = network()
    psnr = invcore.metric("psnr", data_range=1.0)
    found = evaluate(model, exact, images, metrics={"psnr": psnr}, baseline="adjoint", batch=3)
    for i, x in enumerate(images):
        mse = float((model(x, exact) - x).detach().square().mean())
        assert float(found.metrics["psnr"][i]) == pytest.approx(-10 * math.log10(mse), rel=1e-5)
    assert found.baseline["psnr"].isinf().all()  # the adjoint of the identity without noise
    assert torch.equal(found.pictures["reference"], torch.stack(images[:4]))


def test_values_keep_the_order_of_the_images_with_several_physics(images):
    """Image i is multiplied by the number of its physics, which the model does not undo."""
    several = [Physics(k * Identity((1, 6, 6))) for k in (1.0, 2.0, 4.0)]
    found = evaluate(
        lambda y, physics: y, several, images, metrics={"nrmse": invcore.metric("nrmse")}, batch=2
    )
    wanted = [[0.0, 1.0, 3.0][i % 3] for i in range(10)]
    assert found.metrics["nrmse"].tolist() == pytest.approx(wanted, abs=1e-6)


def test_noise_depends_on_the_image_not_on_the_batch(images, noisy):
    same = [evaluate(lambda y, physics: y, noisy, images, batch=b).metrics["psnr"] for b in (1, 4, 10)]
    torch.testing.assert_close(same[0], same[1])
    torch.testing.assert_close(same[0], same[2])
    other = evaluate(lambda y, physics: y, noisy, images, seed=1).metrics["psnr"]
    assert not torch.equal(same[0], other)
    level = [10 ** (-float(v) / 20) * float(x.max()) for v, x in zip(same[0], images)]
    assert sum(level) / 10 == pytest.approx(0.1, rel=0.1)


def test_a_solver_is_judged_like_a_model(images):
    """Also one that differentiates: a prior given as a function."""
    mask = (torch.rand(1, 6, 6, generator=torch.Generator().manual_seed(0)) < 0.6).float()
    physics = Physics(Mask(mask, (1, 6, 6)), GaussianNoise(sigma=0.1))
    flat = FunctionPrior(lambda x: 10 * (x - x.mean()).square().sum())
    solver = invcore.solver("lbfgs", prior=flat, weight=1.0, rtol=1e-6)
    found = evaluate(solver, physics, images, baseline="pinv")
    assert float(found.metrics["nrmse"].mean()) < float(found.baseline["nrmse"].mean())
    text = str(found)
    assert text.splitlines()[0].split() == ["mean", "std", "images"] and "baseline" in text


def test_stored_data_and_complex_images(images):
    stored = [Sample(x + 1j, 2 * (x + 1j), {}) for x in images]
    physics = Physics(2.0 * Identity(invcore.Space((1, 6, 6), "complex")), NoNoise())
    found = evaluate(lambda y, physics: y / 2, physics, stored)
    assert float(found.metrics["nrmse"].max()) < 1e-6


def test_metrics_that_need_a_reference_say_so(images, exact):
    with pytest.raises(invcore.ParameterError, match="the data set has none"):
        evaluate(lambda y, physics: y, exact, [Sample(None, x, {}) for x in images])
    with pytest.raises(invcore.ParameterError, match="'adjoint', 'pinv' or callable"):
        evaluate(lambda y, physics: y, exact, images, baseline="fbp")
