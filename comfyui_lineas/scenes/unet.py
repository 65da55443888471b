"""The UNet of the bundled model in ComfyUI's own classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.model_sampling
import comfy.ops
import comfy.supported_models_base
import torch
from torch import Tensor

from ..models.names import image_names


class Multiple(float):
    """A ratio of channel counts, such as 1.5; ComfyUI multiplies it by a width and needs whole numbers."""

    def __mul__(self, other: Any) -> Any:
        return round(float(self) * other)

    __rmul__ = __mul__


class ImageSampling(comfy.model_sampling.ModelSamplingDiscrete, comfy.model_sampling.X0):
    """The model predicts the image itself; noise is scaled as in diffusers, so that both start alike."""

    def noise_scaling(
        self, sigma: Tensor, noise: Tensor, latent_image: Tensor, max_denoise: bool = False
    ) -> Tensor:
        return super().noise_scaling(sigma, noise, latent_image, False)


def build_unet(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> Any:
    """A ModelPatcher of a UNet2DConditionModel's configuration and weights, in float32.

    Covers what the bundled model uses: one depth of transformers per block, an up block for every down block.
    """
    device = comfy.model_management.unet_offload_device()
    model = comfy.model_base.BaseModel(_model_config(config), device=device)
    model.model_sampling = ImageSampling(model.model_config)
    paths = image_names(name for name, _ in model.diffusion_model.named_modules())
    model.diffusion_model.load_state_dict(
        {_parameter(name, paths): weight.float() for name, weight in weights.items()}
    )
    return comfy.model_patcher.ModelPatcher(model, comfy.model_management.get_torch_device(), device)


def _parameter(name: str, paths: Mapping[str, str]) -> str:
    module, _, parameter = name.rpartition(".")
    return f"{paths[f'unet.{module}']}.{parameter}"


def _model_config(config: Mapping[str, Any]) -> Any:
    widths = config["block_out_channels"]
    layers = [config["layers_per_block"]] * len(widths)
    depths = [int("CrossAttn" in kind) for kind in config["down_block_types"]]

    class Scenes(comfy.supported_models_base.BASE):
        # The base class would overwrite the numbers of heads in the configuration.
        unet_extra_config = {"num_heads": config["attention_head_dim"], "num_head_channels": -1}  # noqa: RUF012
        custom_operations = _operations(config["norm_num_groups"])

    built = Scenes(
        {
            "image_size": config["sample_size"],
            "in_channels": config["in_channels"],
            "out_channels": config["out_channels"],
            "model_channels": widths[0],
            "channel_mult": [Multiple(width / widths[0]) for width in widths],
            "num_res_blocks": layers,
            "transformer_depth": _repeated(depths, layers, 0),
            "transformer_depth_output": _repeated(depths, layers, 1),
            "transformer_depth_middle": 1,
            "use_spatial_transformer": True,
            "use_linear_in_transformer": config["use_linear_projection"],
            "context_dim": config["cross_attention_dim"],
            "dtype": torch.float32,
        }
    )
    built.set_inference_dtype(torch.float32, None)
    return built


def _repeated(depths: list[int], layers: list[int], more: int) -> list[int]:
    return [depth for depth, count in zip(depths, layers, strict=True) for _ in range(count + more)]


def _operations(groups: int) -> type:
    """ComfyUI's layers, with the number of groups in group norms that its UNet fixes at 32."""

    class Operations(comfy.ops.disable_weight_init):
        class GroupNorm(comfy.ops.disable_weight_init.GroupNorm):
            def __init__(self, num_groups: int, num_channels: int, *args: Any, **options: Any) -> None:
                super().__init__(groups, num_channels, *args, **options)

    return Operations
