"""The setting of each intent: where it acts, by which maps, compared how; and why, in sentences.

Measured on the bundled models; see benchmarks/images/intents.py.
"""

from __future__ import annotations

from typing import Any

from lineas.prompts.banks import ADD, REMOVE

TEXT_TOO = "norms+text"
Setting = tuple[str | None, dict[str, Any], tuple[str, ...]]

WORDS = {"steer": "text_encoder*", "map": "gated", "rows": "tokens:16"}
"""What removes: the words that name the concept are read as if they did not."""
REMOVING = {"sites": TEXT_TOO, **WORDS}
"""The same with the sites, for those who bring their own prompts."""
SEEN_TOO = f"{TEXT_TOO}+text_feed_forward"
OF_TEXT = (TEXT_TOO, SEEN_TOO)
"""Sites of the plans of images, which need a text encoder that can be steered."""
BEHIND = {"steer": "text_encoder*", "map": "virtual", "coupling": "pair", "rows": "tokens:16"}
"""What adds: virtual tokens behind the prompt's own say what it does not."""


READ = {"map": "first_token", "coupling": "pair", "rows": "tokens:16"}
"""What adds to a language model: a first token that says what a context would have said."""


def settings_for(intent: str, is_text: bool, in_pairs: bool, seed: int = 0) -> Setting:
    """Sites, options of LinEAS and a sentence for each choice.

    in_pairs: source and target prompts are the same but for the concept.
    """
    common = {"seed": seed} if seed else {}
    if is_text:
        sites, settings, why = _of_texts(intent)
    elif intent == ADD and in_pairs:
        sites, settings, why = SEEN_TOO, {**BEHIND, "steps": 60, "learning_rate": 0.1}, (_VIRTUAL, _PAIRS)
    elif intent == REMOVE or not in_pairs:
        sites, settings, why = TEXT_TOO, {**WORDS, "steps": 40}, (_GATES, _END_TO_END)
    else:
        swapping = {"coupling": "pair", "steps": 60, "learning_rate": 0.1}
        sites, settings, why = TEXT_TOO, {**WORDS, **swapping}, (_GATES, _END_TO_END, _PAIRS)
    return sites, {**common, **settings}, why


def _of_texts(intent: str) -> Setting:
    if intent == ADD:
        return "norms", {**READ, "steps": 30, "preserve_weight": 0.6}, (_FIRST, _CONTEXT)
    return "attention", {"map": "gated", "steps": 40, "preserve_weight": 0.3}, (_TOKENS,)


_GATES = "The words that name the concept are steered, behind a gate that leaves other words alone."
_END_TO_END = "What that does is measured in the whole image model."
_VIRTUAL = (
    "No word of the prompt names what is added, so it gets virtual tokens behind the prompt, which leave its "
    "own words nearly as they are."
)
_PAIRS = (
    "Prompts come in pairs that differ in the concept alone, so each place of an image is compared with the "
    "same place of its pair."
)
_FIRST = (
    "The first token of a text is steered, which all later ones may read; each does as far as it sees fit."
)
_CONTEXT = (
    "Every text is compared with itself, token by token, after sentences about the concept; other texts are "
    "held where they are."
)
_TOKENS = (
    "What attention adds to tokens that sound like the concept is steered in every block, behind gates that "
    "leave other tokens alone; other texts are held where they are."
)
