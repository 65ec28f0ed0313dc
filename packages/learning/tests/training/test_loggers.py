"""Loggers of lightning with the real programs behind them."""

import pytest
import torch

from invcore.losses import Supervised
from invcore_learning import Files, Loading, Logging, Optimization, Validation, WeightedSum, train


def trained(network, images, noisy, loggers, epochs=2, **options):
    return train(
        network(),
        noisy,
        images,
        optimization=Optimization(epochs=epochs),
        loading=Loading(batch=5),
        validation=Validation(dataset=images[:3]),
        logging=Logging(loggers=loggers, every=1, pictures=2),
        **options,
    )


def test_tensorboard_shows_records_and_pictures(network, images, noisy, tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from lightning_fabric.loggers import TensorBoardLogger
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoardLogger(tmp_path, name="runs", version="one")
    done = trained(network, images, noisy, [logger])
    events = EventAccumulator(str(tmp_path / "runs" / "one"), size_guidance={"images": 0})
    events.Reload()
    tags = events.Tags()
    assert {"loss", "gradient", "lr", "validation_psnr"} <= set(tags["scalars"])
    shown = [(event.step, event.value) for event in events.Scalars("loss")]
    assert [step for step, _ in shown] == [1, 2, 3, 4]
    assert [v for _, v in shown] == pytest.approx([row["loss"] for row in done.history])
    assert [event.step for event in events.Scalars("validation_psnr")] == [2, 4]
    pictures = [event for tag in tags["images"] for event in events.Images(tag)]
    assert {(event.step, event.width, event.height) for event in pictures} == {
        (2, 12, 6),
        (4, 12, 6),
    }  # two beside each other


def test_a_resumed_training_goes_on_in_the_same_tensorboard_run(network, images, noisy, tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from lightning_fabric.loggers import TensorBoardLogger
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for epochs in (1, 2):
        logger = TensorBoardLogger(tmp_path, name="runs", version="one")
        trained(network, images, noisy, [logger], epochs, files=Files(tmp_path / "training"))
    events = EventAccumulator(str(tmp_path / "runs" / "one"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3, 4]


def test_weights_and_biases_offline(network, images, noisy, tmp_path, monkeypatch):
    """The id of a run is the user's, given before it starts: a resumed training keeps to it."""
    wandb = pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")

    class Run:
        """What a logger of lightning calls, on a run of its own."""

        def __init__(self, run):
            self.experiment = run

        def log_metrics(self, row, step):
            self.experiment.log(row, step=step)

        def log_image(self, key, images, step):
            self.experiment.log({key: [wandb.Image(one) for one in images]}, step=step)

        def finalize(self, status):
            self.experiment.finish()

    ids = []
    for epochs in (1, 2):
        run = wandb.init(project="invcore", id="one", dir=str(tmp_path), resume="allow")
        ids.append(run.id)
        done = trained(network, images, noisy, [Run(run)], epochs, files=Files(tmp_path / "training"))
    assert ids == ["one", "one"] and done.steps == 4
    assert len(list(tmp_path.glob("wandb/offline-run-*-one/*.wandb"))) == 2


def test_two_losses_of_one_class_are_both_counted(network, images, exact):
    """They have no lists by name that they could share: a sum is one loss."""
    loss = WeightedSum((Supervised(), Supervised()), (1.0, 3.0))
    how = {"optimization": Optimization(epochs=1, lr=1e-9), "loading": Loading(batch=5)}
    one, other = (train(network(), exact, images, loss=each, **how) for each in (Supervised(), loss))
    assert other.history[0]["loss"] == pytest.approx(4 * one.history[0]["loss"], rel=1e-5)


def test_a_compiled_model_is_trained_resumed_and_evaluated(network, images, noisy, tmp_path):
    """Compiling is the user's choice; the weights are those of the plain model."""
    torch._dynamo.reset()
    call = {"loading": Loading(batch=5), "validation": Validation(dataset=images[:3])}
    plain = train(network(), noisy, images, optimization=Optimization(epochs=2, lr=1e-2), **call)
    for epochs in (1, 2):
        model = torch.compile(network(), backend="eager")
        how = Optimization(epochs=epochs, lr=1e-2)
        done = train(model, noisy, images, optimization=how, files=Files(tmp_path), **call)
    assert done.steps == plain.steps == 4 and done.history[0]["step"] == 2
    for a, b in zip(done.model.parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
    assert done.evaluation.metrics["psnr"].mean() == pytest.approx(
        float(plain.evaluation.metrics["psnr"].mean()), abs=1e-3
    )
