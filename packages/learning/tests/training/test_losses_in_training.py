"""Self-supervised losses in the training loop."""

import pytest
import torch

import invcore
from invcore import Physics
from invcore.noises import GaussianNoise
from invcore.operators import Identity, Mask
from invcore_learning import (
    R2R,
    SURE,
    UNSURE,
    DnCNN,
    Files,
    Loading,
    Optimization,
    Sample,
    Splitting,
    Validation,
    evaluate,
    train,
)
from invcore_testsupport import rng


class Average(torch.nn.Module):
    """x = w · (y averaged over 3 × 3 pixels) + (1 - w) · y."""

    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.tensor(0.1))

    def forward(self, y, physics):
        mean = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(y, (1, 1, 1, 1), mode="circular"), 3, 1)
        return self.w * mean + (1 - self.w) * y


def test_sure_finds_the_best_filter_without_references():
    """The weight of least mean squared error in closed form, from data measured once."""
    g = torch.Generator().manual_seed(0)
    images = list(torch.rand(40, 1, 16, 16, generator=g).cumsum(-1).cumsum(-2) / 100)
    physics = Physics(Identity((1, 16, 16)), GaussianNoise(sigma=0.3))
    model = Average()
    how = Optimization(epochs=40, optimizer="sgd", lr=3.0, schedule="cosine")
    done = train(model, physics, images, loss=SURE(), optimization=how, loading=Loading(batch=40))
    assert "the same in each epoch" in done.said[0]
    x = torch.stack(images)
    y = x + 0.3 * torch.randn(x.shape, generator=g)
    mean = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(y, (1, 1, 1, 1), mode="circular"), 3, 1)
    best = float(((mean - y) * (x - y)).sum() / (mean - y).square().sum())
    assert float(model.w.detach()) == pytest.approx(best, abs=0.02)


def test_the_variance_of_the_noise_is_learned_with_the_model():
    g = torch.Generator().manual_seed(0)
    images = list(0.02 * torch.rand(40, 1, 16, 16, generator=g))
    physics = Physics(Identity((1, 16, 16)), GaussianNoise(sigma=0.3))
    loss = UNSURE(sigma=0.2, rate=1.0)
    model = loss.wrap(Average())
    train(
        model,
        physics,
        images,
        loss=loss,
        optimization=Optimization(epochs=150, lr=0.03, schedule="cosine"),
        loading=Loading(batch=40),
    )
    assert float(model.variance.detach()) == pytest.approx(0.09, rel=0.1)


def test_an_unwrapped_model_is_refused_by_the_loss(images, noisy):
    for loss in (R2R(), UNSURE(sigma=0.1)):
        with pytest.raises(invcore.ParameterError, match=r"loss.wrap\(model\)"):
            train(Average(), noisy, images, loss=loss, optimization=Optimization(steps=1))


@pytest.mark.parametrize("loss", [R2R(), Splitting()])
def test_a_wrapped_model_is_trained_resumed_saved_and_opened(images, tmp_path, loss):
    physics = Physics(Mask(torch.ones(1, 6, 6), (1, 6, 6)), GaussianNoise(sigma=0.1))

    def wanted(folder, epochs):
        network = DnCNN(depth=2, features=2)
        g = torch.Generator().manual_seed(0)
        for p in network.parameters():
            p.data = 0.2 * torch.randn(p.shape, generator=g)
        model = loss.wrap(network)
        train(
            model,
            physics,
            images,
            loss=loss,
            optimization=Optimization(epochs=epochs, ema=0.5),
            loading=Loading(batch=4),
            files=Files(tmp_path / folder),
        )
        return model

    whole, _, parts = wanted("whole", 4), wanted("parts", 2), wanted("parts", 4)
    for a, b in zip(whole.parameters(), parts.parameters()):
        assert torch.equal(a, b)
    files = [invcore.models.save(m, tmp_path / f"{i}.safetensors") for i, m in enumerate((whole, parts))]
    assert files[0].read_bytes() == files[1].read_bytes()
    model = invcore.model(files[0])
    found = [evaluate(m, physics, images[:3]).metrics["psnr"].tolist() for m in (whole, model)]
    assert found[0] == found[1]


@pytest.mark.parametrize("loss", [R2R(), Splitting(), SURE()])
def test_data_without_references_are_judged_by_a_random_loss(images, noisy, loss):
    """The value is the mean over the images, of draws by their numbers: whatever the batch and the step."""
    stored = [Sample(None, noisy(x, generator=rng(i)), {}) for i, x in enumerate(images)]
    values = []
    for batch in (2, 5):
        model = loss.wrap(Average())
        how = {"optimization": Optimization(epochs=2, lr=1e-12), "loading": Loading(batch=batch)}
        done = train(model, noisy, stored, loss=loss, validation=Validation(dataset=stored), **how)
        values.append(done.history[-1]["validation_loss"])
    y = torch.stack([s.y for s in stored])
    model = loss.wrap(Average()).train()
    expected = loss(model(y, noisy), None, y, noisy, model).mean()
    assert values == pytest.approx([float(expected.detach())] * 2, rel=1e-5)


def test_data_without_references_are_judged_by_the_loss(tmp_path):
    """Also complex data, and a report without metrics."""
    g = torch.Generator().manual_seed(0)
    space = invcore.Space((1, 8, 8), "complex")
    physics = Physics(Identity(space), GaussianNoise(sigma=0.1))
    stored = [Sample(None, torch.randn(1, 8, 8, generator=g, dtype=torch.complex64), {}) for _ in range(6)]

    class Scaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.tensor(1.0))

        def forward(self, y, physics):
            return self.w * y

    def shrunk(x_hat, x, y, physics, model):
        return (x_hat - 0.5 * y).abs().square().mean((1, 2, 3))

    done = train(
        Scaled(),
        physics,
        stored,
        loss=shrunk,
        optimization=Optimization(epochs=30, lr=0.05),
        validation=Validation(dataset=stored[:3], patience=30),
        files=Files(tmp_path),
    )
    values = [row["validation_loss"] for row in done.history]
    assert values[0] > min(values) and done.model.w.detach() == pytest.approx(0.5, abs=0.05)
    assert "the loss on the validation data decides, as there are no metrics" in done.said
    assert done.evaluation.metrics == {} and set(done.evaluation.pictures) == {"model", "baseline"}
    assert "validation_loss" in (tmp_path / "report.html").read_text()
