"""How the bundled model was made, stage by stage; each is a command with ``--help``.

    python -m tools.scenes_model.atlas                      sprites from the Noto Color Emoji font
    python -m tools.scenes_model.data SHARDS                rendered images, prompts, uniform numbers
    python -m tools.scenes_model.autoencoder SHARDS AE      AutoencoderTiny
    python -m tools.scenes_model.denoiser SHARDS AE OUT     text encoder and one-step UNet, resumes
    python -m tools.scenes_model.together SHARDS BOTH --denoiser OUT --autoencoder AE
                                                            both as one, on the image, resumes
    python -m tools.scenes_model.detector SHARDS DETECTOR   concept detector
    python -m tools.scenes_model.clip SHARDS CLIP           open_clip model
    python -m tools.scenes_model.package BOTH/denoiser BOTH/autoencoder [--detector DETECTOR] [--clip CLIP]

SHARDS, AE and so on are folders outside the repository. The last stage replaces ``lineas/scenes/weights``;
``benchmarks/bundled_model.py`` measures the result.
"""
