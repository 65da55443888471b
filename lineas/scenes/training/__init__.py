"""How the bundled model was made, stage by stage; each is a command with ``--help``.

    python -m lineas.scenes.training.atlas                      sprites from the Noto Color Emoji font
    python -m lineas.scenes.training.data SHARDS                rendered images, prompts, uniform numbers
    python -m lineas.scenes.training.autoencoder SHARDS AE      AutoencoderTiny
    python -m lineas.scenes.training.denoiser SHARDS AE OUT     text encoder and one-step UNet, resumes
    python -m lineas.scenes.training.decoder SHARDS AE OUT NEW  the decoder, on what the UNet really draws
    python -m lineas.scenes.training.detector SHARDS DETECTOR   concept detector
    python -m lineas.scenes.training.clip SHARDS CLIP           open_clip model
    python -m lineas.scenes.training.package OUT NEW DETECTOR CLIP

SHARDS, AE and so on are folders outside the repository. The last stage replaces ``lineas/scenes/weights``;
``benchmarks/bundled_model.py`` measures the result.
"""
