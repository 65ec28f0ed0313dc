"""Every component of invcore-diffusion against the conformance kit."""

import pytest

from invcore.testing import parametrize_with_checks

EXPECTED = {
    "diffusion.ddnm_plus": {
        "prior_where_data_say_nothing": "data of any noise level are trusted as far as their noise fits into "
        "that of the step, and not weighed against the prior"
    },
    "diffusion.ddrm": {
        "prior_where_data_say_nothing": "below the level of the data, noise of a step that is not new is "
        "that of the data, the same in every step: draws are too narrow"
    },
    "diffusion.flow_dps": {
        "prior_where_data_say_nothing": "its last steps take the denoised image, a mean, for a draw"
    },
    "diffusion.red_diff": {"prior_where_data_say_nothing": "it finds one image, not draws of the posterior"},
}


@parametrize_with_checks("invcore-diffusion", expected_failures=EXPECTED, examples="first")
def test_conformance(check):
    check()


@pytest.mark.slow
@parametrize_with_checks("invcore-diffusion", expected_failures=EXPECTED, examples="further")
def test_conformance_of_further_examples(check):
    check()
