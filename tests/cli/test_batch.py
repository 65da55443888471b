"""A batch: what a manifest asks for, done once, told in a table and on a page; workers may be killed."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import pytest
from toys.language import SOURCE, TARGET, WORDS

from lineas.cli.batch.manifest import Job, read_manifest
from lineas.cli.batch.results import Results, table
from lineas.cli.batch.worker import Result, Worker
from lineas.errors import ConfigError, PromptError
from lineas.scenes.bundled import CLIP
from lineas.steering.steering import Steering

MANIFEST = """
models = ["toy"]
[settings.quick]
steps = 1
count = 4
[[concepts]]
remove = ["fog", "night"]
[[concepts]]
swap = ["a cat", "a dog"]
steps = 2
"""


@pytest.fixture
def manifest(toy: Path) -> Path:
    path = toy / "many.toml"
    path.write_text(MANIFEST)
    return path


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "results.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_jobs_are_concepts_times_models_times_settings(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text(
        'models = ["a/b", {name = "c", recipe = "turbo"}]\nreport = true\n'
        "[settings.s]\nsteps = 1\n[settings.t]\n"
        '[[concepts]]\nadd = ["x", "y"]\nkind = "style"\n[[concepts]]\nswap = ["p", "q"]\nsteps = 5\n'
    )
    made = read_manifest(path)
    assert len(made.jobs) == 2 * 2 * 3 and made.output == tmp_path / "m"
    assert Job("swap", "p", "q", "c", "s", {"steps": 5}, {"recipe": "turbo"}, True) in made.jobs
    assert Job("add", "x", None, "a/b", "s", {"steps": 1, "kind": "style"}, {}, True) in made.jobs
    assert {job.place for job in made.jobs} >= {"c/t/swap-p-for-q", "b/s/add-x"}
    assert len({job.digest for job in made.jobs}) == 12


def test_prompts_lie_beside_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rude.txt").write_text("one\ntwo\n")
    (tmp_path / "m.toml").write_text('[[concepts]]\nremove = "rudeness"\nexamples = "rude.txt"\n')
    monkeypatch.chdir("/")
    assert read_manifest(tmp_path / "m.toml").jobs[0].options == {"examples": ["one", "two"]}
    (tmp_path / "rude.txt").unlink()
    with pytest.raises(PromptError, match=r"rude\.txt"):
        read_manifest(tmp_path / "m.toml")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "asks for nothing"),
        ("models = 3", "models is 3, expected a list"),
        ('models = [{recipe = "x"}]\n[[concepts]]\nadd = "x"', "expected a name"),
        ('models = [{name = "x", steps = 1}]\n[[concepts]]\nadd = "x"', "has the entry steps"),
        ("[[concepts]]\nkind = 'style'", "expected one of remove, add, swap"),
        ("[[concepts]]\nadd = 'x'\nremove = 'y'", "expected one of remove, add, swap"),
        ("[[concepts]]\nswap = 'x'", "expected two texts"),
        ("[[concepts]]\nadd = []", "expected a text or a list"),
        ("[[concepts]]\nadd = ['x', 'x']", "would both be written"),
        ("[settings]\nsteps = 3\n[[concepts]]\nadd = 'x'", "settings.steps is 3, expected a table"),
        ("concept = 'x'", "has the entry concept"),
        ("clip = 3\n[[concepts]]\nadd = 'x'", "clip is 3, expected the name or folder"),
        ("[[concepts", "Cannot read"),
    ],
)
def test_manifests_that_mean_nothing_are_refused(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(ConfigError, match=told):
        read_manifest(tmp_path / "m.toml")


def test_everything_is_made_and_told(lineas: Any, manifest: Path) -> None:
    code, out, err = lineas("batch", manifest)
    assert code == 0, err
    folder = manifest.parent / "many"
    told = rows(folder)
    assert [row["name"] for row in told] == ["remove fog", "remove night", "swap a cat for a dog"]
    for row in told:
        made = Steering.load(folder / row["path"]).provenance
        assert made.notes.startswith(row["name"])
        assert float(row["cost"]) == pytest.approx(float(made.settings["cost"]), rel=1e-6)
        assert float(row["seconds"]) > 0
        assert (folder / row["path"]).with_suffix(".png").is_file()
    assert [row["steps_done"] for row in told] == ["1.0", "1.0", "2.0"]
    page = (folder / "index.html").read_text()
    assert page.count("<img") == 3 and "toy/quick/remove-fog.png" in page and "3 of 3 steerings" in page
    assert "results.csv" in out


@pytest.mark.filterwarnings("ignore:clip hardly tells")
@pytest.mark.parametrize("clip", [CLIP, None])
def test_a_report_is_measured_or_said_to_be_missing(
    lineas: Any, toy: Path, monkeypatch: pytest.MonkeyPatch, clip: str | None
) -> None:
    monkeypatch.setattr("lineas.prompts.banks.CALIBRATING", 2)
    monkeypatch.setattr("lineas.intents.plan.HELD_OUT", 4)
    judged = f'clip = "{clip}"\n' if clip else ""
    concept = '[[concepts]]\nadd = "watercolour"\nsteps = 1\ncount = 2\n'
    (toy / "one.toml").write_text(f'models = ["toy"]\nreport = true\n{judged}{concept}')
    assert lineas("batch", "one.toml")[0] == 0
    (row,) = rows(toy / "one")
    page = (toy / "one/index.html").read_text()
    assert ("way" in row and 0 <= float(row["done"]) <= 1) == bool(clip)
    assert ("Nothing was measured" in page) == (not clip)


def test_texts_are_measured_on_what_lists_hold_beyond(lineas: Any, toy: Path) -> None:
    for name, texts in {"cold": SOURCE, "warm": TARGET}.items():
        (toy / f"{name}.txt").write_text(
            "\n".join(f"{texts[n % 4]} {WORDS[n % len(WORDS)]}" for n in range(50))
        )
    (toy / "one.toml").write_text(
        'models = ["llama"]\nreport = true\n[[concepts]]\nremove = "cold"\n'
        'examples = "cold.txt"\nothers = "warm.txt"\npreserve = "cold.txt"\nsteps = 1\n'
    )
    assert lineas("batch", "one.toml")[0] == 0
    (row,) = rows(toy / "one")
    assert all(0 <= float(row[name]) <= 1 for name in ("done_unsteered", "done"))
    assert (
        abs(float(row["others_rise"])) < 1
        and "Nothing was measured" not in (toy / "one/index.html").read_text()
    )


def test_what_is_there_is_not_computed_again(
    lineas: Any, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def counted(self: Worker, job: Job, attempt: int = 1) -> Result:
        done.append(job.label)
        if job.concept == "night" and len(done) == 2:
            raise KeyboardInterrupt
        return Result(job, {"cost": 1.0}, 1.0, b"steering")

    monkeypatch.setattr(Worker, "__call__", counted)
    assert lineas("batch", manifest)[0] == 130
    assert len(rows(manifest.parent / "many")) == 1
    assert lineas("batch", manifest)[0] == 0
    assert done == ["remove fog", "remove night", "remove night", "swap a cat for a dog"]
    code, out, _ = lineas("batch", manifest)
    assert code == 0 and "3 steerings, 3 of them there already" in out and len(done) == 4
    (manifest.parent / "many/toy/quick/remove-fog.safetensors").unlink()
    manifest.write_text(MANIFEST.replace("steps = 2", "steps = 3"))
    assert lineas("batch", manifest)[0] == 0
    assert done[4:] == ["remove fog", "swap a cat for a dog"]  # what is gone, and what is asked for anew


def test_what_fails_by_chance_is_tried_again_and_what_is_refused_is_not(
    lineas: Any, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: dict[str, int] = {}

    def moody(self: Worker, job: Job, attempt: int = 1) -> Result:
        tries[job.concept] = tries.get(job.concept, 0) + 1
        if job.concept == "fog" and attempt == 1:
            raise RuntimeError("odd")
        if job.concept == "night":
            raise PromptError("No such clock.")
        return Result(job, {}, 1.0, b"steering", attempts=attempt)

    monkeypatch.setattr(Worker, "__call__", moody)
    code, _, err = lineas("batch", manifest)
    assert code == 2 and "1 of 3 steerings failed" in err and "No such clock." in err
    assert tries == {"fog": 2, "night": 1, "a cat": 1}
    told = rows(manifest.parent / "many")
    assert [row["error"] for row in told] == ["", "No such clock.", ""]
    assert [bool(row["path"]) for row in told] == [True, False, True]


def test_rows_that_concepts_have_in_common_are_captured_once(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lineas.adapters.images.problem import DiffusionProblem

    runs: list[str] = []
    usual = DiffusionProblem.run

    def run(self: DiffusionProblem, group: Any, indices: Any) -> None:
        runs.append(group)
        usual(self, group, indices)

    options = {"steps": 1, "count": 4}
    jobs = [Job("remove", concept, None, "toy", "", options) for concept in ("night", "fog")]
    alone = [Steering.load(_saved(Worker()(job), toy / f"{i}.safetensors")) for i, job in enumerate(jobs)]
    monkeypatch.setattr(DiffusionProblem, "run", run)
    worker, counts = Worker(), []
    for i, job in enumerate(jobs):
        runs.clear()
        made = Steering.load(_saved(worker(job), toy / f"shared-{i}.safetensors"))
        counts.append((runs.count("target"), runs.count("source")))
        assert made.allclose(alone[i], rtol=1e-5, atol=1e-6)
    assert counts[1][0] < counts[0][0] and counts[1][1] == counts[0][1]


def _saved(result: Result, path: Path) -> Path:
    path.write_bytes(result.steering)
    return path


def test_a_stranger_s_words_do_nothing_on_the_page(tmp_path: Path) -> None:
    job = Job("remove", "<script>alert(1)</script>", None, "m/<b>", "s")
    results = Results(tmp_path, [job])
    results.add(Result(job, error="<i>odd</i>", notes=("<u>",)))
    text = (tmp_path / "index.html").read_text()
    assert "<script" not in text and "<i>" not in text and "<u>" not in text and "<b>" not in text


def test_figures_that_only_some_have_are_columns() -> None:
    base = dict.fromkeys(("name", "intent", "concept", "to", "model", "setting", "path", "error"), "x")
    text = table(
        [{**base, "seconds": 1, "figures": {"a": 1.0}}, {**base, "seconds": 2, "figures": {"b": 2.0}}]
    )
    assert text.splitlines()[0].endswith("seconds,error,a,b")
    assert text.splitlines()[2].endswith(",2,x,,2.0")


def _killed_once(job: Job, retries: int) -> Result:
    """The first process that gets to the second job is killed as by the system."""
    mark = Path(os.environ["LINEAS_TEST_FOLDER"]) / "killed"
    if job.concept == "two" and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), 9)
    with open(mark.with_name("done"), "a") as file:
        file.write(f"{job.concept}\n")
    return Result(job, {"cost": 1.0}, 0.1, b"steering")


@pytest.fixture
def by_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its processes find what is tested, and get their share of a busy machine."""
    pytest.importorskip("ray")
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", f"{root}{os.pathsep}{root}/tests")
    monkeypatch.setenv("RAY_worker_niceness", "0")


@pytest.mark.slow
@pytest.mark.usefixtures("by_ray")
def test_by_ray_a_killed_worker_costs_one_job_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lineas.cli.batch import ray_workers

    monkeypatch.setenv("LINEAS_TEST_FOLDER", str(tmp_path))
    monkeypatch.setattr(ray_workers, "work", _killed_once)
    jobs = [Job("remove", concept, None, "m", "", {}) for concept in ("one", "two", "three", "four")]
    results = Results(tmp_path / "out", jobs)
    for result in ray_workers.results_by_ray(results.open, retries=1, workers=2):
        results.add(result)
    assert (tmp_path / "killed").exists()
    assert [row["error"] for row in results.rows] == [""] * 4
    assert sorted((tmp_path / "done").read_text().split()) == ["four", "one", "three", "two"]
    assert Results(tmp_path / "out", jobs).open == []


@pytest.mark.slow
@pytest.mark.usefixtures("by_ray")
def test_the_command_spreads_its_jobs_by_ray(lineas: Any, manifest: Path) -> None:
    code, _, err = lineas("batch", manifest, "--ray", "--workers", "2")
    assert code == 0, err
    assert len(rows(manifest.parent / "many")) == 3
