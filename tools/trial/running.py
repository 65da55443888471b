"""Eight threads on one language model, and faults inside forwards of diffusers and transformers models."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from lineas.adapters.steered_model import SteeredModel
from lineas.apply.fusing import fuse
from lineas.apply.hooks import steer
from lineas.errors import ConfigError
from lineas.maps.affine import AffineMap
from lineas.modules.names import find_sites
from lineas.steering.steering import Steering
from tools.trial.counts import Counts

WIDTH, WORDS, NEW = 16, 40, 4
PATTERNS = ("*norm*", "transformer_blocks.*.attn*.to_out.0")


def language_model() -> Any:
    """A Llama of two layers with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=WORDS, hidden_size=WIDTH, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def image_model() -> Any:
    """A diffusion transformer of two blocks with random weights."""
    from diffusers import PixArtTransformer2DModel

    torch.manual_seed(0)
    return PixArtTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=4, num_layers=2,
        cross_attention_dim=WIDTH, sample_size=4, patch_size=2, caption_channels=WIDTH,
        use_additional_conditions=False,
    ).eval()  # fmt: skip


def steering_of(model: nn.Module, pattern: str, seed: int) -> Steering:
    """Strong scales and shifts of `WIDTH` units at the sites of a pattern."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda: torch.randn(WIDTH, generator=generator)  # noqa: E731
    return Steering({site: AffineMap(draw(), draw()) for site in find_sites({"": model}, pattern)})


@contextmanager
def by_name(model: nn.Module, steering: Steering, strength: float) -> Iterator[SteeredModel]:
    """The third way of steering, as a context manager like the others."""
    with SteeredModel(model) as wrapper:
        wrapper.load_steering(steering, strength=strength)
        yield wrapper


WAYS: tuple[Any, ...] = (steer, fuse, by_name)


def threads(counts: Counts, number: int, seed: int) -> None:
    """Texts of eight threads on one model, each at a strength of its own: right or refused."""
    model, lock = language_model(), threading.Lock()
    steering, prompts = steering_of(model, "*norm*", seed), torch.randint(1, WORDS, (8, 5))
    before = state(model)
    expected = []
    for index in range(8):
        with WAYS[index % 3](model, steering, index / 4):
            expected.append(_text(model, prompts[index]))

    def work(index: int, texts: int) -> None:
        for i in range(texts):
            try:
                with WAYS[index % 3](model, steering, index / 4):
                    got = _text(model, prompts[index])
                end = "right" if torch.allclose(got, expected[index], atol=1e-5) else "wrong"
            except ConfigError as error:
                end = "refused" if "Another thread" in str(error) else "another refusal"
            except Exception as error:
                end = type(error).__name__
            with lock:
                counts.add(end, None if end in ("right", "refused") else f"thread {index}, text {i}")

    workers = [threading.Thread(target=work, args=(i, number // 8 + (i < number % 8))) for i in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if not same(state(model), before):
        counts.add("model changed", f"seed {seed}")


def _text(model: Any, prompt: Tensor) -> Tensor:
    """[new, words] the logits of a text: the words alone are often the same at two strengths."""
    ids, logits = prompt[None], []
    with torch.no_grad():
        for _ in range(NEW):
            logits.append(model(ids).logits[0, -1])
            ids = torch.cat([ids, logits[-1].argmax()[None, None]], 1)
    return torch.stack(logits)


class Fault(Exception):
    """What a forward raises here."""


def faults(counts: Counts, number: int, seed: int) -> None:
    """An exception inside a random module of a steered model: weights, hooks and results stay as before."""
    random, cases = Random(seed), _cases(seed)
    for i in range(number):
        case, put_on = cases[i % 2], WAYS[i % 3]
        before, result = state(case.model), case.run()
        target = random.choice(case.running)
        what = f"seed {seed}, fault {i}: {put_on.__name__} on {type(case.model).__name__}"
        target.forward = failing
        try:
            with put_on(case.model, case.steering, 1.0):
                case.run()
        except Fault:
            end = "as before"
        else:
            end = "no fault came"
        finally:
            del target.forward
        if not same(state(case.model), before):
            end = "weights or hooks left"
        elif not torch.equal(case.run(), result):
            end = "another result"
        counts.add(end, None if end == "as before" else what)


def failing(*_: Any, **__: Any) -> None:
    raise Fault


@dataclass
class _Case:
    """A model, a steering of it, a run that gives its result, and the modules that take part in the run."""

    model: Any
    steering: Steering
    run: Callable[[], Tensor]
    running: list[nn.Module]


def _cases(seed: int) -> list[_Case]:
    text, image = language_model(), image_model()
    ids = torch.randint(1, WORDS, (2, 5), generator=torch.Generator().manual_seed(seed))
    z = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(seed))
    given = {"encoder_hidden_states": torch.ones(1, 3, WIDTH), "timestep": torch.tensor([500])}
    runs = {
        text: lambda: text(ids).logits,
        image: lambda: image(z, **given, return_dict=False)[0],
    }
    return [
        _case(model, pattern, run, seed) for (model, run), pattern in zip(runs.items(), PATTERNS, strict=True)
    ]


def _case(model: Any, pattern: str, run: Callable[[], Tensor], seed: int) -> _Case:
    def result() -> Tensor:
        with torch.no_grad():
            return run()

    running = running_modules(model, result)
    return _Case(model, steering_of(model, pattern, seed), result, running)


def running_modules(root: nn.Module, run: Callable[[], object]) -> list[nn.Module]:
    """The modules below a root that take part in a run, as often as they do."""
    running: list[nn.Module] = []
    hooks = [m.register_forward_hook(lambda m, *_: running.append(m)) for m in root.modules()]
    run()
    for hook in hooks:
        hook.remove()
    return running


def state(model: nn.Module) -> tuple[dict[str, Tensor], list[int]]:
    """Copies of the weights, and how many hooks each module has."""
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    return {name: weight.clone() for name, weight in model.state_dict().items()}, hooks


def same(one: tuple[dict[str, Tensor], list[int]], two: tuple[dict[str, Tensor], list[int]]) -> bool:
    (weights, hooks), (others, other_hooks) = one, two
    same = weights.keys() == others.keys() and hooks == other_hooks
    return same and all(torch.equal(weight, others[name]) for name, weight in weights.items())
