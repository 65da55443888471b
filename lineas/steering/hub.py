"""Steerings on the Hugging Face hub: huggingface_hub's mixin around a steering and its card."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lineas.errors import HubError, LineasError, plain, require
from lineas.steering.card import Card
from lineas.steering.files import FORMAT, FORMAT_VERSION, load_steering, save_steering
from lineas.steering.hub_names import FILE, HubName
from lineas.steering.reading import MAX_BYTES, MAX_HEADER
from lineas.steering.steering import Steering

hub = require("huggingface_hub", "hub")


class SharedSteering(hub.ModelHubMixin, library_name="lineas"):  # type: ignore[call-arg, misc, name-defined]
    """A steering as the mixin sees it, which would take a frozen dataclass apart."""

    steering: Steering
    card: Card

    def _save_pretrained(self, save_directory: Path) -> None:
        save_steering(self.steering, save_directory / FILE)
        self.card.save_pictures(save_directory)

    def generate_model_card(self, *arguments: Any, **facts: Any) -> Any:
        return hub.ModelCard(self.card.text(self.steering, **facts))

    @classmethod
    def _from_pretrained(cls, *, model_id: str, filename: str = FILE, **where: Any) -> SharedSteering:
        """A folder's file, or one of the hub; `where` is what `hf_hub_download` takes."""
        path = Path(model_id) / filename
        if not Path(model_id).is_dir():
            known = {name: where[name] for name in _WHERE if name in where}
            _check_size(model_id, filename, known)
            path = hub.hf_hub_download(model_id, filename, **known)
        shared = cls()
        shared.steering = load_steering(path)
        return shared


_WHERE = ("revision", "cache_dir", "force_download", "local_files_only", "token")


def push(steering: Steering, repo_id: str, card: Card, **options: Any) -> str:
    """Upload a steering with its card; returns its address. Raises `HubError`."""
    shared = SharedSteering()
    shared.steering, shared.card = steering, card
    made = steering.provenance
    # What the hub counts as a download is a request of this file.
    config = {"format": FORMAT, "format_version": FORMAT_VERSION, "base_model": made.base_model}
    with hub_errors(f"Cannot put the steering on the hub as {repo_id!r}"):
        options.setdefault("commit_message", "Steering")
        facts = {"repo_id": repo_id, "model_facts": _model_facts(made.base_model, options.get("token"))}
        told = shared.push_to_hub(repo_id, config=config, model_card_kwargs=facts, **options)
    return str(told)


def pull(name: HubName, **options: Any) -> Steering:
    """The steering of that name; what was loaded before is there offline. Raises `HubError`.

    A file that is not one of a steering is a `SteeringFileError`.
    """
    options = {"revision": name.revision, **options}
    with hub_errors(f"Cannot load {name.repo!r} from the hub"):
        shared: SharedSteering = SharedSteering.from_pretrained(name.repo, filename=name.file, **options)
    return shared.steering


@contextmanager
def hub_errors(what: str) -> Iterator[None]:
    """Whatever the hub's client raises, which depends on what it is built on, as one `HubError`."""
    try:
        yield
    except LineasError:
        raise
    except Exception as error:
        raise HubError(
            f"{plain(what)}: {plain(error)}. Check the name, the connection and the rights of your token "
            "(hf auth login)."
        ) from error


def _check_size(repo: str, filename: str, where: dict[str, Any]) -> None:
    """Refuse what is too large for a steering before it is downloaded, where the hub can be asked."""
    size = None
    if not where.get("local_files_only"):
        with suppress(Exception):  # the download itself says what is wrong
            url = hub.hf_hub_url(repo, filename, revision=where.get("revision"))
            size = hub.get_hf_file_metadata(url, token=where.get("token")).size
    if size is not None and size > MAX_BYTES + MAX_HEADER:
        raise HubError(
            f"{plain(filename)} of {plain(repo)} has {size} bytes, more than the {MAX_BYTES + MAX_HEADER} "
            "that a steering has. Name the file of a steering: hf:owner/name/file.safetensors."
        )


def _model_facts(base_model: str, token: Any) -> dict[str, str]:
    """Licence and task of the model as the hub has them; nothing for what is not there."""
    with suppress(Exception):
        told = hub.HfApi(token=token).model_info(base_model, timeout=10)
        licence = getattr(told.card_data, "license", None)
        facts = {"licence": licence, "task": told.pipeline_tag}
        return {name: value for name, value in facts.items() if isinstance(value, str)}
    return {}
