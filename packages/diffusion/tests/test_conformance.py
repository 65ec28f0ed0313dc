"""Every component of invcore-diffusion against the conformance kit."""

from invcore.testing import parametrize_with_checks

EXACT = "data count as exact, also those hidden by noise"
ALL_KNOWN = "with all of the image in the data nothing is left to draw"
REPLACED = {"prior_where_data_say_nothing": EXACT, "uses_its_generator": ALL_KNOWN, "chain": ALL_KNOWN}
EXPECTED = {
    "diffusion.ddnm": REPLACED,
    "diffusion.ddnm_plus": {
        "prior_where_data_say_nothing": "data of any noise level are trusted as far as their noise fits into "
        "that of the step, and not weighed against the prior"
    },
    "diffusion.ddrm": {
        "prior_where_data_say_nothing": "below the level of the data, noise of a step that is not new is "
        "that of the data, the same in every step: draws are too narrow"
    },
    "diffusion.flow_dps": {"prior_where_data_say_nothing": "data count the same whatever their noise"},
    "diffusion.gradient_steps": {"data_that_say_nothing": "data count the same whatever their noise"},
    "diffusion.ilvr": REPLACED,
    "diffusion.null_space": {"data_that_say_nothing": EXACT},
    "diffusion.red_diff": {"prior_where_data_say_nothing": "it finds one image, not draws of the posterior"},
    "diffusion.repaint": REPLACED,
    "diffusion.score_sde": REPLACED,
}


@parametrize_with_checks("invcore-diffusion", expected_failures=EXPECTED)
def test_conformance(check):
    check()
