"""Faults of other trainers, each with the behavior here."""

import math

import pytest
import torch

import invcore
from invcore.losses import Supervised
from invcore_learning import Files, Loading, Optimization, Validation, evaluate, train

ONE = {"loading": Loading(batch=5)}


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_clipping_needs_no_other_option(network, images, exact):
    model = network()
    before = weights(model)
    how = Optimization(steps=1, optimizer="sgd", lr=1.0, clip=1e-3)
    train(model, exact, images, optimization=how)
    assert float((weights(model) - before).norm()) == pytest.approx(1e-3, rel=1e-3)


def test_drop_last_drops_the_last_batch_once(seen, images, exact):
    train(seen, exact, images, optimization=Optimization(epochs=3), loading=Loading(batch=4, drop_last=True))
    assert [len(y) for y, _ in seen.calls] == [4] * 6
    with pytest.raises(invcore.ParameterError, match="drop_last leaves nothing of 10 samples"):
        train(seen, exact, images, loading=Loading(batch=11, drop_last=True))


def test_patience_counts_across_a_resume(network, images, noisy, tmp_path):
    """A training that is stopped and called again ends where the one in a piece ends."""

    def wanted(folder, stop_at=None):
        calls = []

        def loss(x_hat, x, y, physics, model):
            calls.append(1)
            if stop_at is not None and len(calls) == stop_at:
                raise KeyboardInterrupt
            return 1e-3 * -Supervised()(x_hat, x, y, physics, model)

        # named alike in both calls
        loss.__qualname__ = "loss"
        return train(
            network(),
            noisy,
            images,
            loss=loss,
            optimization=Optimization(epochs=30, lr=1e-2),
            validation=Validation(dataset=images, patience=3),
            files=Files(folder, every_steps=1),
            **ONE,
        )

    whole = wanted(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        wanted(tmp_path / "parts", stop_at=6)
    parts = wanted(tmp_path / "parts")
    assert whole.status == parts.status == "stopped early" and whole.steps == parts.steps == 8
    assert whole.history == parts.history and torch.equal(weights(whole.model), weights(parts.model))


def test_evaluation_writes_nothing_and_changes_nothing(network, images, noisy, tmp_path):
    model = network(dropout=0.5)
    model.dropout.eval()
    judge = Validation(dataset=images)
    done = train(
        model, noisy, images, validation=judge, files=Files(tmp_path), optimization=Optimization(epochs=2)
    )
    files = sorted(tmp_path.rglob("*"))
    before = weights(model)
    model.train()
    assert evaluate(model, noisy, images).metrics["psnr"].tolist() == done.evaluation.metrics["psnr"].tolist()
    assert model.training and model.dropout.training
    assert sorted(tmp_path.rglob("*")) == files and torch.equal(weights(model), before)


@pytest.mark.parametrize(
    "other, named",
    [
        ({"optimization": Optimization(epochs=2, schedule="cosine")}, "optimization.schedule is constant"),
        ({"optimization": Optimization(epochs=2, lr=1.0)}, "optimization.lr is 0.001"),
        ({"seed": 3}, "seed is 0"),
        ({"loading": Loading(batch=2)}, "loading.batch is 16, this one's is 2"),
        ({"loss": Supervised(metric="mae")}, "loss.metric is mse"),
        ({"validation": "all"}, "validation is None"),
    ],
)
def test_a_checkpoint_of_another_configuration_is_refused(network, images, noisy, tmp_path, other, named):
    if other.get("validation"):
        other = {"validation": Validation(dataset=images)}
    first = {"optimization": Optimization(epochs=2), "files": Files(tmp_path)}
    train(network(), noisy, images, **first)
    with pytest.raises(invcore.DataError, match=named):
        train(network(), noisy, images, **{**first, **other})
    longer = train(network(), noisy, images, **{**first, "optimization": Optimization(epochs=4)})
    assert longer.steps == 4 and len(longer.history) == 4


def test_other_physics_and_data_are_noticed(network, images, noisy, exact, tmp_path):
    train(network(), noisy, images, files=Files(tmp_path), optimization=Optimization(epochs=1))
    with pytest.raises(invcore.DataError, match="noise"):
        train(network(), exact, images, files=Files(tmp_path), optimization=Optimization(epochs=1))
    with pytest.raises(invcore.DataError, match="data.length is 10"):
        train(network(), noisy, images[:5], files=Files(tmp_path), optimization=Optimization(epochs=1))
    with pytest.raises(invcore.DataError, match="data.first"):
        train(network(), noisy, images[::-1], files=Files(tmp_path), optimization=Optimization(epochs=1))


class Payload:
    """Writes a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("how", ["truncated", "payload", "other", "empty"])
def test_a_damaged_or_hostile_checkpoint_is_refused(network, images, noisy, tmp_path, how):
    path = tmp_path / "checkpoint.ckpt"
    call = {"files": Files(tmp_path), "optimization": Optimization(epochs=1)}
    train(network(), noisy, images, **call)
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-500])
    elif how == "payload":
        torch.save({"configuration": Payload(tmp_path / "executed")}, path)
    elif how == "other":
        torch.save({"weights": torch.zeros(3)}, path)
    else:
        path.write_bytes(b"")
    with pytest.raises(invcore.DataError, match="checkpoint.ckpt is no checkpoint"):
        train(network(), noisy, images, **call)
    assert not (tmp_path / "executed").exists()


def test_a_loss_that_is_not_finite_leaves_the_weights(network, images, noisy):
    model = network()
    before = weights(model)
    broken = [*images[:9], torch.full((1, 6, 6), torch.nan)]

    def squared(x_hat, x, y, physics, model):
        return (x_hat - x).square().mean((1, 2, 3))

    with pytest.raises(invcore.SolverError, match="the loss is nan at step 0, for the entries 0, 1, 2"):
        train(model, noisy, broken, loss=squared)
    assert torch.equal(weights(model), before)

    def infinite_slope(x_hat, x, y, physics, model):
        return (0 * x_hat).abs().sqrt().mean((1, 2, 3))

    with pytest.raises(invcore.SolverError, match="norm of the gradient is nan"):
        train(model, noisy, images, loss=infinite_slope)
    assert torch.equal(weights(model), before)


def test_a_state_that_was_saved_holds_numbers_and_text_only(network, images, noisy, tmp_path):
    how = Optimization(epochs=2, ema=0.9)
    train(
        network(),
        noisy,
        images,
        files=Files(tmp_path),
        optimization=how,
        validation=Validation(dataset=images),
    )
    state = torch.load(tmp_path / "checkpoint.ckpt", weights_only=True)
    assert {"objective", "optimizer", "average", "best", "history", "step"} <= set(state)
    assert state["step"] == 2
    assert {type(v) for v in state["configuration"].values()} == {str}


def test_the_log_is_a_table(network, images, noisy, tmp_path):
    call = {"files": Files(tmp_path), "validation": Validation(dataset=images)}
    train(network(), noisy, images, optimization=Optimization(epochs=2), **call)
    train(network(), noisy, images, optimization=Optimization(epochs=3), **call)
    head, *rows = (tmp_path / "log.csv").read_text().splitlines()
    assert head == "step,epoch,loss,gradient,lr,validation_nrmse,validation_psnr"
    assert [row.split(",")[0] for row in rows] == ["1", "2", "3"]
    page = (tmp_path / "report.html").read_text()
    assert "PSNR, baseline" in page and "new in each epoch" in page and "gradient" in page
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 3


def test_the_scaler_of_float16_goes_on_too(network, images, noisy, tmp_path):
    """A scale that is too large makes the first steps overflow; they are skipped, and the scale is halved."""
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.precision import MixedPrecision

    def wanted(folder, epochs):
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40, growth_interval=3)
        plugin = MixedPrecision("16-mixed", device="cpu", scaler=scaler)
        model = network()
        done = train(
            model,
            noisy,
            images,
            optimization=Optimization(epochs=epochs, clip=1.0, lr=1e-2),
            files=Files(tmp_path / folder),
            fabric=Fabric(accelerator="cpu", plugins=[plugin]),
        )
        return done, scaler.get_scale()

    (whole, scale), _, (parts, other) = wanted("whole", 40), wanted("parts", 17), wanted("parts", 40)
    assert not math.isfinite(whole.history[0]["gradient"]) and scale == other < 2.0**40
    assert torch.equal(weights(whole.model), weights(parts.model))
    assert repr(whole.history) == repr(parts.history)  # some gradients are nan
    assert whole.history[-1]["loss"] < whole.history[0]["loss"]
