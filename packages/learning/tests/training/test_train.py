"""The training loop against plain torch loops, written out here."""

import io
import math
import signal

import pytest
import torch

import invcore
from invcore import Physics
from invcore.losses import Supervised
from invcore.noises import GaussianNoise
from invcore.operators import Identity, Mask
from invcore_learning import (
    DnCNN,
    Loading,
    Logging,
    NetworkDenoiser,
    Optimization,
    RandomCrop,
    Sample,
    Unrolled,
    Validation,
    engine,
    train,
)

SGD = {"optimizer": "sgd", "lr": 0.5}


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def by_hand(model, x, *, steps, factor=lambda k: 1.0, decay=None, clip=None):
    """Full-batch gradient descent on the mean squared error, with an average of the weights."""
    average = None
    for k in range(steps):
        loss = (model(x, None) - x).square().mean()
        grads = torch.autograd.grad(loss, list(model.parameters()))
        norm = math.sqrt(sum(float(g.square().sum()) for g in grads))
        shrink = min(1.0, clip / norm) if clip else 1.0
        with torch.no_grad():
            for p, g in zip(model.parameters(), grads):
                p -= 0.5 * factor(k) * shrink * g
        now = weights(model)
        average = now if average is None or decay is None else decay * average + (1 - decay) * now
    return average


def test_steps_are_those_of_gradient_descent(network, images, exact):
    model, wanted = network(), by_hand(network(), torch.stack(images), steps=4)
    done = train(model, exact, images, optimization=Optimization(epochs=4, **SGD), loading=Loading(batch=10))
    assert done.steps == 4 and done.status == "finished"
    torch.testing.assert_close(weights(model), wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("batch, accumulate", [(1, 10), (3, 4), (4, 3), (7, 2)])
def test_accumulated_gradients_are_means_over_samples(network, images, exact, batch, accumulate):
    """Also where the last batch is smaller."""
    model, wanted = network(), by_hand(network(), torch.stack(images), steps=3)
    how = Optimization(epochs=3, accumulate=accumulate, **SGD)
    train(model, exact, images, optimization=how, loading=Loading(batch=batch))
    torch.testing.assert_close(weights(model), wanted, rtol=1e-5, atol=1e-7)


def test_schedule_clipping_and_average(network, images, exact):
    model = network()
    how = Optimization(epochs=6, schedule="cosine", warmup=2, clip=0.05, ema=0.7, **SGD)
    done = train(model, exact, images, optimization=how, loading=Loading(batch=10))
    factors = [1 / 3, 2 / 3] + [(1 + math.cos(math.pi * k / 4)) / 2 for k in range(4)]
    wanted = by_hand(
        network(), torch.stack(images), steps=6, factor=factors.__getitem__, decay=0.7, clip=0.05
    )
    torch.testing.assert_close(weights(model), wanted, rtol=1e-5, atol=1e-7)
    assert [row["lr"] for row in done.history] == pytest.approx([0.5 * f for f in factors])
    assert done.history[0]["gradient"] > 0.05  # before clipping


def test_each_sample_is_seen_once_an_epoch(seen, images, exact):
    images = [torch.full((1, 6, 6), float(i)) for i in range(10)]
    train(seen, exact, images, optimization=Optimization(epochs=2), loading=Loading(batch=4))
    order = [int(y[0, 0, 0]) for batch, _ in seen.calls for y in batch]
    assert [len(batch) for batch, _ in seen.calls] == [4, 4, 2, 4, 4, 2]
    assert sorted(order[:10]) == sorted(order[10:]) == list(range(10)) and order[:10] != order[10:]


def test_noise_is_new_in_each_epoch_and_independent_of_batches(network, images, noisy):
    def data(**loading):
        model = type("Kept", (network,), {"forward": remember})()
        model.calls = []
        train(model, noisy, images, optimization=Optimization(epochs=2), loading=Loading(**loading))
        found = {}
        for y in (y for batch in model.calls for y in batch):
            i = min(range(10), key=lambda i: float((y - images[i]).abs().mean()))
            found.setdefault(i, []).append(y)
        return found

    def remember(self, y, physics):
        self.calls.append(y.clone())
        return self.conv(y)

    some, others, fixed = data(batch=4), data(batch=3, workers=1), data(batch=4, fixed=True)
    noise = torch.stack([some[i][0] - images[i] for i in range(10)])
    assert 0.08 < float(noise.std()) < 0.12
    for i in range(10):
        assert len(some[i]) == 2 and not torch.equal(*some[i])
        assert all(torch.equal(a, b) for a, b in zip(some[i], others[i]))
        assert torch.equal(*fixed[i])


def test_measurements_are_fixed_for_a_loss_without_reference(seen, images, noisy):
    class Consistent:
        needs_reference = False

        def __call__(self, x_hat, x, y, physics, model):
            return (x_hat - y).square().mean((1, 2, 3))

    done = train(seen, noisy, images, loss=Consistent(), optimization=Optimization(epochs=2))
    first, second = (batch.flatten(1).sum(1).sort().values for batch, _ in seen.calls)
    assert torch.equal(first, second) and "needs no reference" in done.said[0]


def test_parameters_are_drawn_for_each_sample(seen, images):
    physics = Physics(Mask(torch.ones(1, 6, 6), (1, 6, 6)), GaussianNoise(sigma=0.1))
    draw = {
        "mask": invcore.generator("mask_random", (6, 6), keep=0.5),
        "sigma": invcore.generator("sigma_uniform", low=0.0, high=0.01),
    }
    train(seen, physics, images, optimization=Optimization(epochs=1), loading=Loading(parameters=draw))
    ((y, made),) = seen.calls
    assert made.operator.mask.shape == (10, 1, 6, 6) and made.noise.sigma.shape == (10,)
    assert len({tuple(m.flatten().tolist()) for m in made.operator.mask}) == 10
    assert float(y[made.operator.mask == 0].abs().max()) < 0.05 < float(y.abs().max())


def test_stored_measurements_are_used(seen, exact):
    mask = Physics(Mask(torch.ones(1, 2, 2), (1, 2, 2)))
    stored = [
        Sample(None, torch.full((1, 2, 2), float(i)), {"mask": torch.full((1, 2, 2), float(i))})
        for i in range(3)
    ]

    def consistent(x_hat, x, y, physics, model):
        assert x is None
        return (physics.operator(x_hat) - y).square().mean((1, 2, 3))

    train(seen, mask, stored, loss=consistent, optimization=Optimization(epochs=1))
    ((y, made),) = seen.calls
    assert sorted(y[:, 0, 0, 0].tolist()) == [0, 1, 2] and torch.equal(made.operator.mask, y)


@pytest.mark.parametrize("how", ["groups", "fixed", "drawn"])
def test_a_batch_has_one_of_several_physics(seen, how):
    images = [torch.full((1, 6, 6), float(i + 1)) for i in range(10)]
    several = [k * Identity((1, 6, 6)) for k in (1.0, 100.0)]
    loading = {"groups": {"groups": [0] * 3 + [1] * 7}, "fixed": {"fixed": True}, "drawn": {}}[how]
    train(
        seen,
        [Physics(A) for A in several],
        images,
        optimization=Optimization(epochs=4, lr=1e-9),
        loading=Loading(batch=2, **loading),
    )
    found = {}
    for y, _ in seen.calls:
        scales = (y[:, 0, 0, 0] >= 100).tolist()
        assert len(set(scales)) == 1
        for value, large in zip(y[:, 0, 0, 0].tolist(), scales):
            found.setdefault(round(value / (100 if large else 1)), []).append(large)
    assert all(len(some) == 4 for some in found.values())
    if how == "groups":
        assert {i: set(s) for i, s in found.items()} == {i: {i > 3} for i in range(1, 11)}
    elif how == "fixed":
        assert all(len(set(some)) == 1 for some in found.values())
    else:
        assert any(len(set(some)) == 2 for some in found.values())


def test_the_best_weights_are_kept_in_the_sense_of_the_metric(network, images, exact):
    """Ascent makes it worse from step to step: the first weights are the best by either metric."""
    for name in ("psnr", "nrmse"):
        metric = invcore.metric("psnr", data_range=1.0) if name == "psnr" else invcore.metric("nrmse")
        model = network()
        worse = lambda x_hat, x, y, physics, model: -(x_hat - x).square().mean((1, 2, 3))
        judge = Validation(dataset=images, metrics={name: metric}, patience=2)
        done = train(
            model,
            exact,
            images,
            loss=worse,
            optimization=Optimization(epochs=9, **SGD),
            loading=Loading(batch=10),
            validation=judge,
        )
        assert done.status == "stopped early" and done.steps == 3
        values = [row[f"validation_{name}"] for row in done.history]
        assert float(done.evaluation.metrics[name].mean()) == pytest.approx(values[0])
        assert (values[0] > values[2]) == (name == "psnr")


def test_torch_s_global_generator_stays_as_it_is(network, images, noisy):
    first, second = network(dropout=0.5), network(dropout=0.5)
    before = torch.get_rng_state()
    train(first, noisy, images, optimization=Optimization(epochs=1))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    train(second, noisy, images, optimization=Optimization(epochs=1))
    assert torch.equal(weights(first), weights(second))


def test_a_loss_of_the_step(network, images, exact):
    class Masked:
        def __init__(self, k=None):
            self.k = k

        def at(self, k):
            steps.append(k)
            return Masked(k)

        def __call__(self, x_hat, x, y, physics, model):
            assert self.k is not None
            return (x_hat - x).square().mean((1, 2, 3))

    steps = []
    train(
        network(), exact, images, loss=Masked(), optimization=Optimization(epochs=2), loading=Loading(batch=5)
    )
    assert steps == [0, 1, 2, 3]


def test_mixed_precision_leaves_the_physics_alone(network, images, noisy):
    """A network in bfloat16 inside a model that measures its result again."""
    from lightning_fabric import Fabric

    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network()

        def forward(self, y, physics):
            x = self.network(y, physics)
            assert x.dtype == torch.bfloat16
            return self.network(physics.operator(x.float()), physics)

    def consistent(x_hat, x, y, physics, model):
        assert x_hat.dtype == torch.float32
        return (physics.operator(x_hat) - y).square().mean((1, 2, 3))

    model = Twice()
    fabric = Fabric(accelerator="cpu", precision="bf16-mixed")
    for loss in (consistent, Supervised()):
        train(model, noisy, images, loss=loss, optimization=Optimization(epochs=2), fabric=fabric)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    with pytest.raises(invcore.ParameterError, match="precision must be one of 32-true"):
        train(model, noisy, images, fabric=Fabric(accelerator="cpu", precision="bf16-true"))


def test_an_unrolled_solver_in_mixed_precision(images, noisy):
    """Its network computes in bfloat16, the steps of the solver in float32."""
    D = NetworkDenoiser(DnCNN(depth=2, features=2), blind=True)
    solver = invcore.solver("pgd", prior=invcore.prior("pnp", denoiser=D, sigma=0.1), weight=1.0, rtol=0)
    how = Optimization(epochs=10, lr=1e-2, ema=0.5)
    lower = engine(accelerator="cpu", precision="bf16-mixed")
    done = train(Unrolled(solver, steps=2), noisy, images, optimization=how, fabric=lower)
    assert done.history[-1]["loss"] < done.history[0]["loss"]
    assert done.model(torch.ones(1, 6, 6), noisy).dtype == torch.float32


def test_ctrl_c_stops_after_the_step(network, images, noisy):
    def interrupting(x_hat, x, y, physics, model):
        signal.raise_signal(signal.SIGINT)
        return Supervised()(x_hat, x, y, physics, model)

    done = train(network(), noisy, images, loss=interrupting, loading=Loading(batch=5))
    assert done.status == "interrupted" and done.steps == 1 and len(done.history) == 1


def test_records_reach_loggers(network, images, noisy):
    class Logger:
        experiment = None
        rows, pictures, ended = [], [], []

        def log_metrics(self, row, step):
            self.rows.append((step, row))

        def log_image(self, key, images, step):
            self.pictures.append((step, images[0].shape))

        def finalize(self, status):
            self.ended.append(status)

    logger = Logger()
    train(
        network(),
        noisy,
        images,
        optimization=Optimization(epochs=2),
        loading=Loading(batch=5),
        validation=Validation(dataset=images[:3]),
        logging=Logging(loggers=[logger], every=1, pictures=2),
    )
    assert [step for step, _ in logger.rows] == [1, 2, 3, 4]
    assert "validation_psnr" in logger.rows[1][1] and "validation_psnr" not in logger.rows[0][1]
    assert logger.pictures == [(2, (1, 6, 6)), (4, (1, 6, 6))] and logger.ended == ["success"]


def test_crops_are_drawn_from_the_sample_s_generator(seen, exact):
    images = [torch.arange(100.0).reshape(1, 10, 10)] * 4
    train(
        seen,
        exact,
        images,
        loading=Loading(transform=RandomCrop((6, 6))),
        optimization=Optimization(epochs=1),
    )
    ((y, _),) = seen.calls
    assert y.shape == (4, 1, 6, 6) and len({float(v[0, 0, 0]) for v in y}) > 1


def test_a_refused_training_says_what_to_do(network, images, noisy):
    with pytest.raises(invcore.ShapeError, match="entry 1 is .*RandomCrop"):
        train(network(), noisy, [torch.zeros(1, 6, 6), torch.zeros(1, 6, 7)], loading=Loading(batch=2))
    with pytest.raises(invcore.ParameterError, match="one value for each of 10 samples"):
        train(network(), noisy, images, loss=lambda x_hat, *_: x_hat.mean())
    with pytest.raises(
        invcore.DtypeError, match="has torch.float64, the weights of the model are torch.float32"
    ):
        train(network(), noisy, [x.double() for x in images])
    with pytest.raises(invcore.DtypeError, match=r"torch.uint8"):
        train(network(), noisy, [x.to(torch.uint8) for x in images])
    with pytest.raises(invcore.ParameterError, match="no weights"):
        train(torch.nn.Identity(), noisy, images)
    with pytest.raises(invcore.ParameterError, match="empty"):
        train(network(), noisy, [])
    with pytest.raises(invcore.ParameterError, match="entry 0 of the data set is a str"):
        train(network(), noisy, ["a.png"])
    with pytest.raises(invcore.ParameterError, match="stored measurements"):
        stored = [Sample(x, x, {}) for x in images]
        train(network(), noisy, stored, loading=Loading(transform=RandomCrop((3, 3))))
    with pytest.raises(invcore.ParameterError, match="groups says the physics of 1 entries"):
        train(network(), noisy, images, loading=Loading(groups=[0]))
    for wrong in (
        {"lr": 0},
        {"ema": 1.0},
        {"clip": 0.0},
        {"epochs": 0},
        {"optimizer": "adan"},
        {"warmup": -1},
    ):
        with pytest.raises(invcore.ParameterError, match="Optimization"):
            Optimization(**wrong)


def test_lightning_s_own_logger(network, images, noisy, tmp_path):
    from lightning_fabric.loggers import CSVLogger

    logger = CSVLogger(tmp_path, name="runs", version="one")
    how = Optimization(epochs=2)
    done = train(network(), noisy, images, optimization=how, logging=Logging(loggers=[logger]))
    head, *rows = (tmp_path / "runs" / "one" / "metrics.csv").read_text().splitlines()
    losses = [float(row.split(",")[head.split(",").index("loss")]) for row in rows]
    assert losses == [row["loss"] for row in done.history]


def test_progress_is_a_line_a_record_without_a_terminal(network, images, noisy, capsys):
    how = Optimization(epochs=2)
    train(network(), noisy, images, optimization=how, logging=Logging(progress=True))
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("training: step 1 of 2, loss 0.") and second.startswith("training: step 2 of 2")


def test_progress_is_a_bar_on_a_terminal(network, images, noisy, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    judge = Validation(dataset=images, metrics={"nrmse": invcore.metric("nrmse")})
    train(network(), noisy, images, validation=judge, logging=Logging(progress=True))
    assert "step 10 of 10" in terminal.getvalue() and "validation nrmse" in terminal.getvalue()


def test_weights_shared_out_among_processes_are_refused(network, images, noisy, monkeypatch):
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import FSDPStrategy

    fabric = Fabric(accelerator="cpu")
    monkeypatch.setattr(fabric, "_strategy", FSDPStrategy())
    with pytest.raises(invcore.ParameterError, match="FSDPStrategy shares the weights out"):
        train(network, noisy, images, fabric=fabric)
