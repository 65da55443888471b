"""Training inside ComfyUI: the model prepared and restored, progress shown, cancelling kept harmless."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import comfy.model_management as memory
import torch
from comfy.utils import ProgressBar
from torch import Tensor

from lineas.errors import MismatchError, NonFiniteError, SteeringFileError
from lineas.fitting.progress import Progress
from lineas.fitting.resume_files import Checkpoints, load_checkpoint, save_checkpoint
from lineas.intents.calibration import HELD_OUT_SEED, calibrate
from lineas.methods.lineas.trainer import Trainer
from lineas.steering.steering import Steering

from ..files import FOLDER, new_path, plain_name, save_named
from ..models.base_models import native_size
from ..models.one_step import prepared
from ..notices import board, warnings_told
from ..report import image_of, training_picture, training_text
from .denoising import Denoiser
from .preview import Preview
from .problem import ComfyProblem, Target, check_clip
from .request import Request
from .rotary import differentiable_kernels
from .trainable_weights import load_whole, ordinary_weights, training_clone

CHECKPOINT = ".lineas-run"
CHECKPOINT_EVERY = 25


@dataclass
class TrainResult:
    """A steering, its report as an IMAGE, its figures as text, and where it lies."""

    steering: Steering
    report: Tensor
    summary: str
    path: str


@dataclass
class Run:
    """A training in progress. costs: of each step since it began or went on."""

    trainer: Trainer
    costs: list[float] = field(default_factory=list)


def train(
    model: Any, clip: Any, vae: Any, request: Request, graph: Mapping[str, str] | None = None
) -> TrainResult:
    """Fit a steering to a MODEL on the prompts of a request, and save it to output/steering.

    vae: for previews, or None. graph: kept in the file, see `graph_of`. Cancelling saves what was learned,
    with a checkpoint, and goes on as ComfyUI's interruption. The model and everything that shares it are as
    before afterwards, whatever happens. Raises the library's errors for requests that cannot be met, before
    the model is touched.
    """
    prompts, config, patterns = request.prompts(), request.config(), request.patterns()
    check_clip(clip)
    name = plain_name(FOLDER, request.file_name)
    checkpoint = new_path(FOLDER, name).with_name(f"{Path(name).name}{CHECKPOINT}")
    patcher, sigmas = prepared(training_clone(model), request.one_step, request.timestep)
    width, height = (side or native_size(model) for side in (request.width, request.height))
    target, held = Target(patcher, clip, prompts, patterns), None
    if others := request.held_out():
        held = Target(patcher, target.clip, others, patterns)
    settings = {
        "one_step": request.one_step,
        "sigma": round(float(sigmas[0]), 6),
        "width": width,
        "height": height,
        "noise_seed": request.seed,
    }
    with _loaded(patcher, target.clip if target.text_sites else None, vae), warnings_told():
        denoiser = Denoiser(patcher, sigmas[:1], width, height)
        problem = ComfyProblem(denoiser, target, seed=request.seed, settings=settings)
        run = Run(Trainer(problem, config))
        _resume(run, checkpoint, request)
        preview = Preview(problem, vae)
        try:
            steering = _run(run, preview, checkpoint, request)
        except memory.InterruptProcessingException:
            _keep(run, name, checkpoint, graph)
            raise
        except NonFiniteError as error:
            if error.steering is not None:
                save_named(error.steering, f"{name}-last-good", graph=graph)
            raise
        if held is not None:
            other = ComfyProblem(denoiser, held, seed=request.seed + HELD_OUT_SEED)
            steering = calibrate(other, config, steering)
    steering = request.noted(steering)
    path = save_named(steering, name, graph=graph)
    checkpoint.unlink(missing_ok=True)
    return _result(steering, run, path)


@contextmanager
def _loaded(patcher: Any, clip: Any, vae: Any) -> Iterator[None]:
    """Models in memory as a whole, with weights for gradients; as before when the block ends.

    clip, vae: None where they are not needed.
    """
    trained = [patcher] + ([clip.patcher] if clip is not None else [])
    load_whole(trained + ([vae.patcher] if vae is not None else []))
    patcher.pre_run()
    try:
        with ordinary_weights([each.model for each in trained]), differentiable_kernels():
            yield
    finally:
        patcher.cleanup()


def _run(run: Run, preview: Preview, checkpoint: Path, request: Request) -> Steering:
    bar = ProgressBar(run.trainer.config.steps)

    def after_step(progress: Progress) -> bool:
        run.costs.append(progress.cost)
        if memory.processing_interrupted():
            return True
        shown = None
        every = request.preview_every
        if every and (progress.step % every == 0 or progress.step in (1, progress.steps)):
            is_last = progress.step == progress.steps
            shown = ("JPEG", preview(progress.steering(), run.costs, is_last), 512)
        bar.update_absolute(progress.step, progress.steps, shown)
        return False

    steering = run.trainer.run(Checkpoints(checkpoint, CHECKPOINT_EVERY, after_step))
    memory.throw_exception_if_processing_interrupted()
    return steering


def _resume(run: Run, checkpoint: Path, request: Request) -> None:
    if not (request.resume and checkpoint.is_file()):
        return
    try:
        run.trainer.load_state(load_checkpoint(checkpoint))
    except (MismatchError, SteeringFileError) as error:
        logging.warning("LinEAS: the training starts afresh. %s", error)
        return
    logging.info("LinEAS: the training goes on after step %d.", run.trainer.step_number)


def _keep(run: Run, name: str, checkpoint: Path, graph: Mapping[str, str] | None) -> None:
    """Save what was learned before a cancel: a steering to use, and a checkpoint to go on from."""
    done = run.trainer.step_number
    if not done:
        return
    path = save_named(run.trainer.result(), f"{name}-cancelled", graph=graph)
    try:
        save_checkpoint(run.trainer.state(), checkpoint)
    except SteeringFileError as error:
        logging.warning("LinEAS: there is no checkpoint to go on from. %s", error)
    logging.info("LinEAS: cancelled after %d steps. What was learned is in %s.", done, path)


def _result(steering: Steering, run: Run, path: str) -> TrainResult:
    report = image_of(training_picture(steering, run.costs))
    text = training_text(steering, run.costs, run.trainer.seconds, path)
    board().show("\n".join(text.splitlines()[:2]))  # the figures and the path
    with torch.inference_mode(False):
        return TrainResult(steering, report.clone(), text, path)
