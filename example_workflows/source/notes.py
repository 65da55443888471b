"""What the notes in the workflows say."""

TRY = """\
Press **Run**. The small model that comes with the pack learns what *at night* means from 32 prompts \
with it and 32 without, and takes the night out of its images. The steering acts in the text encoder, on \
the words that mean night, so the prompt is encoded with the clip of *Apply Steering*.

Watch the preview in *Train Steering*. Then change **strength** in *Apply Steering* and run again: \
nothing is trained a second time.

Other concepts: *at sunset*, *in the rain*, *in the snow*, *in the fog*, *pixel art*.
"""

REMOVE = """\
Press **Run**. *Steer Concept* learns what *at night* means, which takes a minute or two, and takes the \
night out of the picture. The file is kept: the next run, another graph, and ComfyUI after a restart use it.

Move **strength**: 0 is off, 1 is calibrated, beyond it more. Encode prompts with the clip that comes out.
"""

TRANSFORMER = """\
The second model of the pack is a small **diffusion transformer**, a Z-Image that draws in two steps. All \
nodes work on it as on the first: press **Run**, and *Steer Concept* takes the night out.

On a model of your own replace the loader, the size and the number of steps; nothing else changes.
"""

ADD = """\
The prompt says nothing of *pixel art*. **add** lets the model draw it all the same.

Other styles and weathers that the bundled model knows: *in the snow*, *in the fog*, *at sunset*.
"""

SWAP = """\
The prompt says *turtle*, and a boat is drawn. **to** appears when *swap* is chosen.
"""

TWO = """\
Two of these nodes, one behind the other: the second learns on the model that the first has steered. Each \
has a strength of its own.

Steerings that were learned apart go together by *Compose*.
"""

COMPOSE = """\
Two trainings, one after the other. **Compose** makes one steering of both; the weights say how much of \
each. *sequence* applies the second to what the first has left, *sum* adds both changes as stacked LoRAs \
do.

The result is a steering like any other: save it, apply it, export it.
"""

MASK = """\
The steering is trained as always. **Apply Steering** takes a mask: white is full strength, black leaves \
the image alone, grey is in between.

Instead of the two solid masks connect any MASK, such as one painted in *Load Image*.
"""

LOAD = """\
The file in *Load Steering* comes with the pack. Your own: put those that others share into \
`models/steering`; what you train is in `output/steering`. Press **R** to list new ones.

A steering belongs to the model that it was trained on; another one is refused with the reason.
"""

EXPORT = """\
**Export as LoRA** writes a stock LoRA file to `output/loras`. Whoever has the file needs neither this \
pack nor anything else: any LoRA loader applies it, and its strength is the strength of the steering.

The first two pictures should look alike. A LoRA file cannot hold masks, start and end, or the gated \
map.
"""

TURBO = """\
SDXL-Turbo draws in one step at 512 × 512 and cfg 1. One training serves both ways: the steering erases \
the style, its **inverse** injects it.
"""

DMD2 = """\
DMD2 draws in one step from timestep 399 at 1024 × 1024 and cfg 1. **One Step** sets the timestep and \
the scale of the noise that the model was made for; *Train Steering* takes them over. Text encoders and \
VAE are SDXL's.
"""

Z_IMAGE = """\
Z-Image-Turbo draws in eight steps. *Steer Concept* learns at its first step, from full noise, and steers \
the blocks of its transformer. Where memory is short set **low_memory**, among the node's other inputs.

Nobody of this project has run this workflow on the checkpoint yet.
"""

KLEIN = """\
FLUX.2 klein draws in four steps. *Steer Concept* learns at its first step, from full noise, and steers the \
blocks of its transformer. Where memory is short set **low_memory**, among the node's other inputs. It needs \
a ComfyUI that knows FLUX.2 klein.

Nobody of this project has run this workflow on the checkpoint yet.
"""
