"""Figures and the HTML report."""

import base64
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

import invcore
from invcore import io
from invcore.report import convergence_figure, error_figure, image_figure, save_figure, write_report

VOID = {"meta", "img", "source", "br"}


class Page(HTMLParser):
    """Collects tags, attributes and text, and checks that the tags are nested well."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text += data

    def pictures(self):
        return [attrs for tag, attrs in self.tags if tag == "img"]


def image(*shape, dtype=torch.complex64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(0))


def full(path, **changes):
    x = image(1, 20, 16)
    options = {
        "title": "brain.cfl",
        "reference": x.abs() * 1.02,
        "compared": x.abs(),
        "others": {"Zero-filled": x * 0.5},
        "figures": {"NRMSE": "0.02", "Time": "2.1 s"},
        "metrics": {"NRMSE": torch.tensor(0.0213), "PSNR": 30.5},
        "metrics_note": "after the best scalar fit",
        "statistics": {"objective": [3e4, 20.0, 10.0], "residual": torch.tensor([1.0, 0.1, 0.01])},
        "metadata": {"coils": 8, "nested": {"echo_time_s": 0.01}},
        "provenance": io.provenance(command="invcore reconstruct brain.cfl", seed=3, parameters={"x": x}),
    }
    write_report(path, x, **{**options, **changes})
    return Page(path)


def test_complete_report(tmp_path):
    page = full(tmp_path / "report.html")
    for expected in (
        "brain.cfl",
        "0.0213",
        "after the best scalar fit",
        "3 × 10⁴",
        "invcore reconstruct brain.cfl",
        "echo_time_s",
        "sha256",
        "complex64 1 × 20 × 16",
        f"Made by invcore {invcore.__version__}",
        "% of the largest value of the reference",
    ):
        assert expected in page.text, expected
    headings = re.findall(r"<h2>(.*?)</h2>", page.source)
    assert headings == ["Images", "Error", "Metrics", "Convergence", "Measurement", "How it was made"]
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_nothing_is_loaded_from_elsewhere_and_nothing_runs(tmp_path):
    page = full(tmp_path / "report.html")
    assert not {"script", "iframe", "link", "object", "form", "a"} & {tag for tag, _ in page.tags}
    for _, attrs in page.tags:
        for name, value in attrs.items():
            assert not name.startswith("on")
            if name in ("src", "srcset", "href"):
                assert value.startswith("data:image/png;base64,")
                assert base64.b64decode(value.split(",")[1])[:4] == b"\x89PNG"
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", page.source).replace("http-equiv", "")
    assert "default-src 'none'" in page.source


def test_metadata_are_hostile(tmp_path):
    evil = "</title></td><script>alert(1)</script><img src=x onerror=\"alert('1')\">\u202e\x00\ud800"
    page = full(
        tmp_path / "report.html",
        title=evil,
        subtitle=evil,
        figures={evil: evil},
        metrics={evil: 1.0},
        metrics_note=evil,
        others={evil: image(1, 20, 16)},
        statistics={"objective $\\frac": [1.0, 2.0]},
        metadata={evil: {evil: [evil]}, "long": "x" * 100_000},
        provenance={"command": evil, "parameters": {evil: evil}},
    )
    assert not any(tag == "script" for tag, _ in page.tags)
    assert all(a["src"].startswith("data:") and "onerror" not in a for a in page.pictures())
    assert "\u202e" not in page.source and "\x00" not in page.source
    assert len(page.text) < 20_000


@pytest.mark.parametrize(
    "shape, d, pictures",
    [
        ((1, 9, 7), 2, 1),
        ((3, 1, 9, 7), 2, 3),
        ((2, 2, 9, 7), 2, 4),
        ((1, 6, 9, 7), 3, 3),
        ((2, 1, 6, 9, 7), 3, 6),
        ((1, 30), 1, 1),
        ((40, 1, 4, 4), 2, 12),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_every_kind_of_image(tmp_path, shape, d, pictures, dtype):
    x = image(*shape, dtype=dtype)
    write_report(
        tmp_path / "r.html", x, spatial_dims=d, reference=x + 0.1, metrics={"NMSE": torch.ones(shape[0])}
    )
    page = Page(tmp_path / "r.html")
    groups = 4 if dtype.is_complex else 3  # reconstruction, reference, (phase,) error
    bars = sum(a["alt"] == "color bar" for a in page.pictures())
    assert len(page.pictures()) - bars == groups * pictures
    assert bars == groups
    assert ("28 more pictures are not shown" in page.text) == (shape[0] == 40)


def test_only_an_image_and_not_even_numbers(tmp_path):
    x = image(1, 8, 8, dtype=torch.float32)
    write_report(tmp_path / "r.html", x)
    assert re.findall(r"<h2>(.*?)</h2>", Page(tmp_path / "r.html").source) == ["Images"]
    write_report(
        tmp_path / "r.html", x * float("nan"), reference=x, metrics={"m": float("nan")}, statistics={"r": []}
    )
    assert "not a number" in Page(tmp_path / "r.html").text
    write_report(tmp_path / "r.html", x * 0, reference=x * 0, statistics={"r": [float("nan"), 1.0]})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex128, torch.uint8])
def test_every_precision(tmp_path, dtype):
    x = torch.ones(1, 8, 8).to(dtype)
    write_report(tmp_path / "r.html", x)
    io.save_png(tmp_path / "r.png", x)
    io.save_reconstruction(tmp_path / "r.h5", x, {})
    assert (io.load_reconstruction(tmp_path / "r.h5")[0] == 1).all()
    with pytest.raises(invcore.ShapeError, match="nothing to draw"):
        write_report(tmp_path / "r.html", x[:, :0])


def test_gradients_are_left_alone(tmp_path):
    x = torch.ones(1, 8, 8, requires_grad=True)
    write_report(
        tmp_path / "r.html", x, reference=x * 1.1, statistics={"a": [x.sum(), x.sum()], "b": x[0, 0]}
    )


def test_failure_leaves_the_old_report(tmp_path):
    (tmp_path / "r.html").write_text("old")
    with pytest.raises(invcore.ShapeError, match="same shape"):
        write_report(tmp_path / "r.html", image(1, 8, 8), reference=image(1, 8, 7))
    with pytest.raises(invcore.DtypeError, match="ndarray"):
        write_report(tmp_path / "r.html", np.ones((1, 8, 8)))
    with pytest.raises(invcore.DataError, match="create it first"):
        write_report(tmp_path / "no" / "r.html", image(1, 8, 8))
    assert (tmp_path / "r.html").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_error_scale_is_round_and_covers_the_errors(tmp_path):
    x = torch.ones(1, 10, 10)
    for error, percent in ((0.03, 5), (0.2, 20), (0.0004, 0.1), (3.0, 300)):
        write_report(tmp_path / "r.html", x + error, reference=x)
        assert f"The scale ends at {percent} %".lower() in Page(tmp_path / "r.html").text.lower()


def test_figures(tmp_path):
    x = image(2, 1, 6, 8, 7)
    phase = image_figure(x, spatial_dims=3, part="phase", title="cost in $")
    assert phase.axes[0].images[0].get_cmap().name == "twilight"
    assert len([a for a in phase.axes if a.images]) == 6
    magnitude = image_figure(x[0, :, 0], window=(0.0, 2.0))
    np.testing.assert_allclose(magnitude.axes[0].images[0].get_array(), x[0, 0, 0].abs(), rtol=1e-6)
    assert magnitude.axes[0].images[0].get_clim() == (0.0, 2.0)
    error = error_figure(x[0, :, 0], 1.05 * x[0, :, 0])
    assert "5 % of maximum" in error.get_suptitle()
    curves = convergence_figure({"objective": [1e5, 10.0, 1.0], "residual": torch.ones(3, 4)})
    assert [a.get_yscale() for a in curves.axes] == ["log", "linear"]
    assert len(curves.axes[1].lines) == 4
    for name in ("a.png", "b.svg"):
        save_figure(phase, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000
    with pytest.raises(invcore.ParameterError, match="no statistic"):
        convergence_figure({"objective": []})
    with pytest.raises(invcore.ParameterError, match="part"):
        image_figure(x, spatial_dims=3, part="imaginary")


def test_pyplot_is_never_imported():
    code = """
import sys, tempfile, torch
from invcore.report import write_report, image_figure
image_figure(torch.ones(1, 4, 4))
with tempfile.TemporaryDirectory() as folder:
    write_report(folder + "/r.html", torch.ones(1, 4, 4), statistics={"r": [1.0, 0.5]})
print("matplotlib.pyplot" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_tolerance_is_a_dashed_line_on_a_logarithmic_axis():
    curves = {"objective": [3.0, 2.0], "change": [0.01, 0.002]}
    objective, change = convergence_figure(curves, tolerances={"change": 1e-3}).axes
    assert (objective.get_yscale(), change.get_yscale()) == ("linear", "log")
    (line,) = [line for line in change.lines if line.get_linestyle() == "--"]
    assert list(line.get_ydata()) == [1e-3, 1e-3] and change.get_ylim()[0] < 1e-3
    assert len(objective.lines) == 1


@pytest.mark.parametrize(
    ("residual", "ends"), [(image(9, 9, dtype=torch.float32), "−4"), (torch.ones(9, 9), "0.1")]
)
def test_the_residual_of_the_data(residual, ends, tmp_path):
    page = full(tmp_path / "report.html", residual=residual, residual_note="χ²/N = 1.02")
    section = page.source.split("Residual of the data")[1].split("</section>")[0]
    assert "χ²/N = 1.02" in section and f"<span>{ends}</span>" in section
