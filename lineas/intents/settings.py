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
BEHIND = {"steer": "text_encoder*", "map": "virtual", "coupling": "pair", "rows": "tokens:16"}
"""What adds: virtual tokens behind the prompt's own say what it does not."""


def settings_for(intent: str, kind: str, is_text: bool, in_pairs: bool, seed: int = 0) -> Setting:
    """Sites, options of LinEAS and a sentence for each choice.

    in_pairs: source and target prompts are the same but for the concept.
    """
    common = {"seed": seed} if seed else {}
    if is_text and intent == ADD:
        return None, {**common, "map": "affine"}, ("All tokens of a text are steered alike, layer by layer.",)
    if is_text:
        return (
            None,
            {**common, "map": "gated", "preserve_weight": 0.3},
            (
                "Tokens that sound like the concept are steered, behind a gate that leaves others alone, layer by "
                "layer; other texts are held where they are.",
            ),
        )
    if intent == ADD and in_pairs:
        why = (
            "No word of the prompt names what is added, so it gets virtual tokens behind the prompt, which "
            "leave the prompt's own words as they are.",
            "Prompts come in pairs that differ in the concept alone, so each place of an image is compared "
            "with the same place of its pair.",
        )
        return TEXT_TOO, {**common, **BEHIND, "steps": 60, "learning_rate": 0.1}, why
    why = (
        "The words that name the concept are steered, behind a gate that leaves other words alone.",
        "What that does is measured in the whole image model.",
    )
    if intent == REMOVE or not in_pairs:
        return TEXT_TOO, {**common, **WORDS, "steps": 40}, why
    paired = "Prompts come in pairs that differ in the concept alone, so places are compared with places."
    swapping = {"coupling": "pair", "steps": 60, "learning_rate": 0.1}
    return TEXT_TOO, {**common, **WORDS, **swapping}, (*why, paired)
