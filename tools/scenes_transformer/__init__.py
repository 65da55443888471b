"""How the bundled flow-matching transformer is made, stage by stage; each is a command with ``--help``.

    python -m tools.scenes_model.data SHARDS                      rendered images, prompts, uniform numbers
    python -m tools.scenes_model.autoencoder SHARDS AE --latents 16
    python -m tools.scenes_transformer.latents SHARDS AE LATENTS  images encoded once
    python -m tools.scenes_transformer.flow LATENTS OUT           text encoder and transformer, resumes
    python -m tools.scenes_transformer.together SHARDS BOTH --denoiser OUT --autoencoder AE
                                                                  both as one, on the image, resumes
    python -m tools.scenes_transformer.check BOTH/denoiser BOTH/autoencoder
                                                                  detector figures at 1, 2, 4 and 8 steps
    python -m tools.scenes_transformer.package BOTH/denoiser BOTH/autoencoder FOLDER
                                                                  a folder for ZImagePipeline.from_pretrained

The noise decides all that the prompt leaves open, so (noise, prompt) → image is a function, the paths of flow
matching are nearly straight, and one model serves one step as well as eight.
"""
