"""Which part of a batch is the plain one, on rows that are made up."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lineas.adapters.images.layout import Layout, Run
from lineas.adapters.images.perturbed import attention_kept, plain_layouts
from lineas.errors import MismatchError
from lineas.steering.site import Site

EARLY, LATE, TWICE = Site("unet.early"), Site("unet.late"), Site("unet.twice")
EMPTY, PLAIN, PERTURBED = (torch.randn(3, 4, generator=torch.Generator().manual_seed(i)) for i in range(3))


def run(*firings: tuple[Site, Tensor]) -> Run:
    made = Run()
    made.calls["unet"] += 1
    for site, rows in firings:
        made.note("unet", site, rows)
    return made


def both(first: Tensor, second: Tensor) -> Tensor:
    return torch.cat([first, second])


@pytest.mark.parametrize("perturbed_first", [False, True])
def test_the_plain_part_is_the_one_that_both_runs_have(perturbed_first: bool) -> None:
    """Before the attention that is switched off, both parts are the same."""
    own = Layout(0, (0, 1), 2)
    order = (PERTURBED, PLAIN) if perturbed_first else (PLAIN, PERTURBED)
    base = run((EARLY, both(PLAIN, PLAIN)), (LATE, both(*order)))
    plain = run((EARLY, PLAIN), (LATE, PLAIN + 1e-6))
    expected = [Layout(0, (int(perturbed_first),), 2)]
    assert plain_layouts({EARLY: [own], LATE: [own]}, base, plain) == {EARLY: expected, LATE: expected}


def test_with_guidance_the_part_without_the_prompt_stays_out() -> None:
    layout = Layout(0, (1, 2), 3)
    base = run((LATE, torch.cat([EMPTY, PERTURBED, PLAIN])))
    plain = run((LATE, both(EMPTY, PLAIN)))
    assert plain_layouts({LATE: [layout]}, base, plain) == {LATE: [Layout(0, (2,), 3)]}


def test_of_firings_for_each_part_the_plain_one_is_kept() -> None:
    """Attention that is switched off for a part projects the parts one after the other."""
    base = run((TWICE, both(EMPTY, PLAIN)), (TWICE, PERTURBED))
    layouts = {TWICE: [Layout(0, (1,), 2), Layout(0)]}
    plain = run((TWICE, both(EMPTY, PLAIN)))
    assert plain_layouts(layouts, base, plain) == {TWICE: [Layout(0, (1,), 2), None]}


def test_runs_that_differ_in_more_are_refused() -> None:
    base, plain = run((LATE, PLAIN)), run((LATE, PLAIN), (LATE, PERTURBED))
    with pytest.raises(MismatchError, match="pag_scale=0"):
        plain_layouts({LATE: [Layout(0)]}, base, plain)


def test_processors_are_put_back_also_when_a_run_ends_early() -> None:
    attention = nn.Linear(1, 1)
    attention.processor = before = object()

    def ends_early() -> None:
        with attention_kept({"unet": nn.ModuleList([attention])}):
            attention.processor = object()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ends_early()
    assert attention.processor is before
