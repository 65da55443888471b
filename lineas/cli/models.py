"""Models by name: the bundled one, a folder, or a name on the hub; image pipelines and language models."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lineas.errors import ConfigError, HubError, LineasError, require
from lineas.scenes import BUNDLED

TASKS = ("auto", "image", "text")


@dataclass
class Model:
    """A loaded model: a pipeline, or a language model with its tokenizer."""

    obj: Any
    tokenizer: Any = None

    @property
    def is_language(self) -> bool:
        return self.tokenizer is not None


def add_model_options(parser: argparse.ArgumentParser, default: str | None = BUNDLED[0]) -> None:
    """Add `--model`, `--task`, `--recipe`, `--dtype` and `--device`."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        default=default,
        metavar="NAME",
        help=f"A folder, a name on the Hugging Face hub, the .gguf file of a language model, or a "
        f"bundled model: {' or '.join(BUNDLED)} (default: {BUNDLED[0]}).",
    )
    group.add_argument(
        "--task", choices=TASKS, default=None, help="What the model makes (default: found out)."
    )
    group.add_argument(
        "--recipe",
        metavar="NAME",
        help="How the pipeline is called: a name that `lineas models` lists, lcm:N, multistep:N or "
        "multistep:N:GUIDANCE (default: found out from the model).",
    )
    group.add_argument(
        "--dtype", choices=("float32", "float16", "bfloat16"), help="Precision of the weights."
    )
    group.add_argument(
        "--device", metavar="NAME", help="Such as cuda, mps, xpu or cpu (default: the best there is)."
    )


def add_chat_option(parser: argparse.ArgumentParser) -> None:
    """Add `--chat`, which commands that give texts to a language model have."""
    parser.add_argument(
        "--chat",
        action="store_true",
        help="Language models: texts are a user's messages, put into the model's own chat template.",
    )


def check_chat(model: Model, chat: bool) -> None:
    """Raise `ConfigError` for a chat with a model that makes no texts."""
    if chat and not model.is_language:
        raise ConfigError("--chat is for language models. Leave it out.")


def load(name: str, task: str | None = None, recipe: str | None = None, dtype: str | None = None,
         device: str | None = None) -> Model:  # fmt: skip
    """Load a model by name; None leaves task, recipe, precision and device to be found out.

    Raises `HubError` when it is not found or the hub cannot be reached, `MissingExtraError` when its library
    is not installed, and `ConfigError` for an unknown device.
    """
    import torch

    if device is not None:
        _check_device(device)
    precision = getattr(torch, dtype) if dtype else None
    if name in BUNDLED:
        _check_bundled(name)
    if (task or "auto") == "auto":
        task = "image" if name in BUNDLED else find_task(name)
    if task == "text":
        return _language_model(name, precision, device)
    from lineas.adapters.images.loading import load_pipeline

    pipe = load_pipeline(name, recipe, dtype=precision, device=device)
    if hasattr(pipe, "set_progress_bar_config"):
        pipe.set_progress_bar_config(disable=True)
    return Model(pipe)


def find_task(name: str) -> str:
    """ "image" for what has a `model_index.json`, as every diffusers pipeline has, else "text"."""
    if Path(name).suffix.lower() == ".gguf" and Path(name).is_file():
        return "text"
    if Path(name).is_dir():
        found = [task for task, file in _MARKS.items() if (Path(name) / file).is_file()]
        if not found:
            raise HubError(
                f"{name} holds no model: neither {' nor '.join(_MARKS.values())}. Check the folder."
            )
        return found[0]
    hub, errors = require("huggingface_hub", "diffusers"), require("huggingface_hub.errors", "diffusers")
    try:
        hub.hf_hub_download(name, _MARKS["image"])
    except errors.LocalEntryNotFoundError as error:
        # Offline: a model that was loaded before is still there, by whichever file it has.
        if isinstance(hub.try_to_load_from_cache(name, _MARKS["text"]), str):
            return "text"
        raise HubError(_unreachable(name)) from error
    except errors.EntryNotFoundError:
        return "text"
    except (OSError, ValueError, errors.HfHubHTTPError) as error:
        raise HubError(f"{_unreachable(name)} ({_first_line(error)})") from error
    return "image"


_MARKS = {"image": "model_index.json", "text": "config.json"}


def _language_model(name: str, dtype: Any, device: str | None) -> Model:
    from lineas.adapters.language.loading import load_language_model

    return Model(*load_language_model(name, dtype, device))


def _check_device(device: str) -> None:
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"Cannot use the device {device!r}: {_first_line(error)}. Try --device cpu."
        ) from error


def _check_bundled(name: str) -> None:
    from lineas.scenes.bundled import FOLDERS

    if not FOLDERS[name].is_dir():
        raise LineasError(
            f"The weights of the bundled model {name} are missing from this installation. Install lineas "
            "again, or name another --model."
        )


def _unreachable(name: str) -> str:
    return (
        f"Cannot load {name!r}: it is no folder here, and the hub has no such model or cannot be reached. "
        "Check the name and the connection, or give the folder of a downloaded model."
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
