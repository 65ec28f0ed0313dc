import pytest
import torch

from invcore import DtypeError, LinearOperator, Operator, ShapeError, Space
from invcore.operators import Identity, Mask, SpaceLike
from invcore.spaces import align, as_space, broadcast_shapes


def test_a_shape_stands_for_its_real_space():
    assert as_space((1, 8, 8)) == as_space([1, 8, 8]) == as_space(torch.Size([1, 8, 8])) == Space((1, 8, 8))
    assert as_space(((2,), Space((3,), "complex"))) == (Space((2,)), Space((3,), "complex"))
    assert Identity((1, 8, 8)).range == Space((1, 8, 8))
    assert repr(Space(torch.Size([2, 3]))) == "Space((2, 3))"


@pytest.mark.parametrize("wrong", ["1, 8, 8", (1, -8), (True, 2), (1.0, 2), 8, None, ((1, 2), 3), ("1", "8")])
def test_other_things_than_a_space_are_refused_by_name(wrong):
    with pytest.raises(ShapeError, match=r"Identity\.domain.*Space\(\(1, 8, 8\)\)"):
        Identity(wrong)


def test_an_empty_tuple_is_neither_scalars_nor_blocks():
    with pytest.raises(ShapeError, match=r"Space\(\(\)\)"):
        Identity(())
    assert Identity(Space(()))(torch.tensor(3.0)) == 3


def test_one_space_is_not_several_blocks():
    with pytest.raises(ShapeError, match=r"Mask\.domain is one space, got 2 blocks"):
        Mask(torch.ones(2), domain=((2,), (3,)))


def test_the_authors_check_sees_a_space():
    class Checked(Operator):
        domain: Space
        range: SpaceLike

        def __post_init__(self):
            if self.domain.kind != "real":
                raise DtypeError("real only")

        def forward(self, x):
            return x

    A = Checked((2, 3), ((2,), (3,)))
    assert A.domain == Space((2, 3))
    assert A.range == (Space((2,)), Space((3,)))
    with pytest.raises(DtypeError, match="real only"):
        Checked(Space((2,), "complex"), (2,))


def test_evaluated_annotations_are_read_too():
    class Plain(LinearOperator):
        __annotations__ = {"domain": Space, "range": SpaceLike}

        def forward(self, x):
            return x

    assert Plain((2,), (2,)).range == Space((2,))


@pytest.mark.parametrize(
    ("mask", "shape", "expected"),
    [
        ((6,), (1, 4, 6), (6,)),  # x, as torch broadcasts
        ((4,), (1, 4, 6), (1, 4, 1)),  # y
        ((4, 6), (2, 4, 6), (4, 6)),
        ((4, 5), (4, 6, 5), (4, 1, 5)),
        ((1,), (4, 4), (1,)),
        ((), (4, 4), ()),
        ((2, 4, 6), (4, 6), (2, 4, 6)),  # batch
    ],
)
def test_align_finds_the_axes_of_these_lengths(mask, shape, expected):
    assert align(torch.ones(mask), shape, "mask").shape == expected


def test_align_names_the_choices_where_several_fit():
    with pytest.raises(ShapeError, match=r"\.reshape\(1, 1, 8\) or \.reshape\(1, 8, 1\)"):
        align(torch.ones(8), (1, 8, 8), "mask")
    with pytest.raises(ShapeError, match="no axes have these lengths"):
        align(torch.ones(5), (1, 8, 8), "mask")


def test_channels_come_second():
    assert align(torch.ones(3), (3, 3, 5), "mask", channels=1).shape == (1, 3, 1)
    assert align(torch.ones(2), (2, 3, 5), "mask", channels=1).shape == (2, 1, 1)


def test_a_mask_of_fewer_dimensions_lies_where_it_fits():
    x = torch.arange(24.0).reshape(1, 4, 6)
    rows = torch.tensor([1.0, 0, 0, 1])
    assert torch.equal(Mask(rows, (1, 4, 6))(x), rows[:, None] * x)
    with pytest.raises(ShapeError, match="2 ways"):
        Mask(rows, (1, 4, 4))
    with pytest.raises(ShapeError, match="2 ways"):
        Mask(rows[:, None], (1, 4, 4)).bind(mask=rows)


def test_the_gradient_reaches_a_mask_that_was_aligned():
    rows = torch.ones(4, requires_grad=True)
    Mask(rows, (1, 4, 6))(torch.ones(1, 4, 6)).sum().backward()
    assert torch.equal(rows.grad, torch.full((4,), 6.0))


def test_broadcast_shapes_are_those_of_torch():
    g = torch.Generator().manual_seed(0)
    draw = lambda n: int(torch.randint(n, (), generator=g))
    lengths, refused = (0, 1, 1, 2, 3), 0
    for _ in range(500):
        shapes = [tuple(lengths[draw(5)] for _ in range(draw(4))) for _ in range(draw(4))]
        try:
            expected = torch.broadcast_shapes(*shapes)
        except RuntimeError:
            refused += 1
            with pytest.raises(RuntimeError, match="cannot be broadcast"):
                broadcast_shapes(*shapes)
        else:
            found = broadcast_shapes(*map(torch.Size, shapes))
            assert found == expected and isinstance(found, torch.Size)
    assert 50 < refused < 450
