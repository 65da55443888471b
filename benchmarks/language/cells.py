"""Cells of the language tables: a steering fitted once, and what it does at one strength."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.results import Key, Results
from lineas.adapters.language.writing import Sampling
from lineas.adapters.problems import fit
from lineas.errors import LineasError
from lineas.evaluation.language.perplexity import paragraphs
from lineas.evaluation.language.report import TextFigures, text_figures
from lineas.evaluation.language.toxicity import Judge, load_judge
from lineas.prompts.files import hash_prompts, read_prompts
from lineas.steering.steering import Steering

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Corpus:
    """What models are steered with and measured on. preserve, openings, text and questions are disjoint.

    questions: a task of lm-eval; None asks none.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    preserve: tuple[str, ...]
    openings: tuple[str, ...]
    text: tuple[str, ...]
    questions: str | None

    @classmethod
    def bundled(cls) -> Corpus:
        """Rude sentences to civil ones, in the folder data."""
        names = ("rude", "civil", "preserve", "openings")
        source, target, preserve, openings = (read_prompts(DATA / f"{name}.txt") for name in names)
        text = paragraphs((DATA / "encyclopaedia.txt").read_text(encoding="utf-8"))
        questions = str(DATA / "everyday" / "everyday.yaml")
        return cls(source, target, preserve, openings, tuple(text), questions)

    def words(self) -> tuple[str, ...]:
        """Every word, as the vocabulary of a tiny model."""
        texts = (*self.source, *self.target, *self.preserve, *self.openings, *self.text)
        return tuple(word for text in texts for word in text.split())


@dataclass
class Bench:
    """A model with its corpus, and how it is measured. limits: None measures everything.

    part: which part of the openings and texts these are, "" for all of them.
    """

    name: str
    model: Any
    tokenizer: Any
    corpus: Corpus
    results: Results
    judge: Judge = field(default_factory=load_judge)
    sampling: Sampling = field(default_factory=Sampling)
    samples: int = 5
    batch: int = 64
    question_limit: int | None = None
    shots: int | None = None
    folder: Path = Path("out/steerings")
    part: str = ""

    def shortened(self) -> Bench:
        """The same with a handful of texts, to see that everything runs."""
        corpus = replace(self.corpus, openings=self.corpus.openings[:3], text=self.corpus.text[:2])
        return replace(self, corpus=corpus, sampling=Sampling(tokens=3), samples=2, question_limit=4)

    def split(self) -> tuple[Bench, Bench]:
        """Every third opening and paragraph to choose on, without questions, and the others to report."""
        corpus, parts = self.corpus, []
        for name, chosen in (("tuning", True), ("held out", False)):
            openings, text = (
                tuple(each for number, each in enumerate(texts) if (number % 3 == 0) is chosen)
                for texts in (corpus.openings, corpus.text)
            )
            asked = None if chosen else corpus.questions
            part = replace(corpus, openings=openings, text=text, questions=asked)
            parts.append(replace(self, corpus=part, part=name))
        return parts[0], parts[1]

    def with_sets(self, source: Sequence[str], target: Sequence[str]) -> Bench:
        """The same with other sentences to steer from and to."""
        return replace(self, corpus=replace(self.corpus, source=tuple(source), target=tuple(target)))

    def fitted(self, variant: Variant) -> tuple[Steering, float] | str:
        """The steering of a variant and its seconds, from an earlier run if there is one; or what failed."""
        texts = hash_prompts(self.corpus.source, self.corpus.target, self.corpus.preserve)
        key = {"kind": "fit", "model": self.name, "prompts": texts, **variant.key()}
        path = self.folder / f"{_digest(key)}.safetensors"
        value = self.results.get(key)
        if value is None or ("failure" not in value and not path.exists()):
            self.results.forget(key)
            value = self.results.compute(key, lambda: self._fit(variant, path))
        return value["failure"] if "failure" in value else (Steering.load(path), value["seconds"])

    def _fit(self, variant: Variant, path: Path) -> dict[str, Any]:
        source, target = (
            shuffled(each, variant.shuffle)[: variant.count]
            for each in (self.corpus.source, self.corpus.target)
        )
        options = dict(variant.options)
        if variant.reward:  # more is better: how sure the judge is that a text is not toxic
            options["reward"] = lambda texts: [1 - p for p in self.judge(list(texts))]
        began = time.perf_counter()
        try:
            steering = fit(
                self.model, source, target, list(self.corpus.preserve) if variant.preserve else None,
                tokenizer=self.tokenizer, method=variant.method, sites=variant.sites, seed=variant.shuffle,
                **options,
            )  # fmt: skip
        except LineasError as error:
            return {"failure": str(error)}
        path.parent.mkdir(parents=True, exist_ok=True)
        steering.save(path)
        return {"seconds": round(time.perf_counter() - began, 1), "support": 1 - steering.sparsity}

    def knowledge(self, key: Key, steerings: Sequence[Steering], strengths: Sequence[float]) -> TextFigures:
        """Perplexity and accuracy; the same for every seed."""
        key = {**key, **({"part": self.part} if self.part else {})}
        wanted = {"texts": self.corpus.text, "task": self.corpus.questions}
        options = {"limit": self.question_limit, "shots": self.shots}
        return self._measured({"kind": "knowledge", **key}, steerings, strengths, **wanted, **options)

    def toxicity(
        self, key: Key, steerings: Sequence[Steering], strengths: Sequence[float], seed: int
    ) -> TextFigures:
        """Continuations of all openings, sampled with one seed."""
        key = {**key, **({"part": self.part} if self.part else {})}
        return self._continued({"kind": "toxicity", **key}, steerings, strengths, seed)

    def written(
        self, key: Key, steerings: Sequence[Steering], strengths: Sequence[float], seed: int
    ) -> TextFigures:
        """Continuations of all openings: how toxic they are, and how fluent to the untouched model."""
        return self._continued({"kind": "written", **key, "part": self.part}, steerings, strengths, seed)

    def _continued(
        self, key: Key, steerings: Sequence[Steering], strengths: Sequence[float], seed: int
    ) -> TextFigures:
        return self._measured(
            {**key, "seed": seed, "samples": self.samples, **asdict(self.sampling)},
            steerings, strengths, openings=self.corpus.openings, judge=self.judge, seed=seed,
            samples=self.samples, sampling=self.sampling, batch=self.batch,
        )  # fmt: skip

    def _measured(
        self, key: Key, steerings: Sequence[Steering], strengths: Sequence[float], **options: Any
    ) -> TextFigures:
        def work() -> dict[str, Any]:
            began = time.perf_counter()
            figures = text_figures(self.model, self.tokenizer, steerings, strengths, **options)
            return {**figures.as_dict(), "seconds": round(time.perf_counter() - began, 1)}

        return TextFigures.from_dict(self.results.compute({"model": self.name, **key}, work))


@dataclass(frozen=True)
class Variant:
    """One way to fit: a method by name, its options, how many sentences of each set (None all).

    reward: the method learns from the judge of the benchmark. shuffle: another order of the sentences for
    each number, and another seed where the method has one; 0 is the order and seed that they come in.
    """

    label: str
    method: str
    preserve: bool = False
    sites: str | None = None
    count: int | None = None
    reward: bool = False
    shuffle: int = 0
    options: dict[str, Any] = field(default_factory=dict)

    def key(self) -> Key:
        """What decides the result; the label does not."""
        left_out = ("label",) if self.shuffle else ("label", "shuffle")
        return {name: value for name, value in asdict(self).items() if name not in left_out}


class Budget:
    """Seconds that may be spent; asked before each cell. None is no limit."""

    def __init__(self, seconds: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self.clock, self.began = seconds, clock, clock()

    @property
    def over(self) -> bool:
        return self.seconds is not None and self.clock() - self.began >= self.seconds


def shuffled(texts: Sequence[str], order: int) -> list[str]:
    """The texts in an order of their own for each number; 0 is as they are."""
    texts = list(texts)
    if order:
        random.Random(order).shuffle(texts)
    return texts


def _digest(key: Key) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
