from __future__ import annotations

import sys
from types import MappingProxyType

import pytest

from lineas.errors import ConfigError
from lineas.evaluation.plots import cost_curve, figure_image, sites_chart, strength_curve
from lineas.evaluation.rates import Rate
from lineas.evaluation.sweep import Sweep

pytest.importorskip("matplotlib")
SITES = {
    "unet.conv_in": 0.1,
    "unet.down_blocks.0.resnets.0.norm1": 0.5,
    "unet.down_blocks.0.resnets.1.norm1": 0.0,
    "text_encoder.text_model.encoder.layers.0.layer_norm1": 1.0,
}
SWEEP = Sweep(
    (0.0, 0.5, 1.0),
    MappingProxyType({"presence": (Rate(9, 10), Rate(4, 10), Rate(0, 10)), "change": (0.0, 0.01, 0.02)}),
)


def labels(axes) -> list[str]:
    return [text.get_text() for legend in axes.figure.legends for text in legend.get_texts()]


def test_cost_curves_are_logarithmic_where_they_can_be() -> None:
    (axes,) = cost_curve([100.0, 10.0, 1.0]).axes
    assert axes.get_yscale() == "log"
    assert labels(axes) == []
    (axes,) = cost_curve({"paper": [3.0, 1.0], "fast": [2.0, 0.0]}).axes
    assert axes.get_yscale() == "linear"
    assert labels(axes) == ["paper", "fast"]


def test_sites_keep_their_order_and_amounts() -> None:
    (axes,) = sites_chart(SITES).axes
    bars = sorted(axes.patches, key=lambda bar: bar.get_x())
    assert [bar.get_height() for bar in bars] == list(SITES.values())
    assert labels(axes) == ["unet", "unet.down_blocks", "text_encoder.text_model"]


def test_a_rate_has_its_interval_and_a_mean_has_none() -> None:
    (axes,) = strength_curve(SWEEP).axes
    assert labels(axes) == ["presence", "change"]
    assert len(axes.collections) == 1
    assert len({line.get_linestyle() for line in axes.lines}) == 2, "equal curves are both seen"
    (axes,) = strength_curve(SWEEP, ["change"]).axes
    assert axes.get_ylabel() == "change"
    with pytest.raises(ConfigError, match="presence, change"):
        strength_curve(SWEEP, ["presense"])


@pytest.mark.parametrize("draw", [cost_curve, sites_chart])
def test_nothing_to_draw_is_refused(draw) -> None:
    with pytest.raises(ConfigError, match="at least one"):
        draw({})


def test_figures_become_images_without_pyplot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    for figure in (cost_curve([2.0, 1.0], title="cost"), sites_chart(SITES), strength_curve(SWEEP)):
        image = figure_image(figure)
        assert image.size == (1050, 600)
        assert len(image.getcolors(1 << 20)) > 2
    assert "matplotlib.pyplot" not in sys.modules
