"""The verdict in plain words, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping

ANSWERS = {"ok": "Use it", "weak": "Look before you use it", "failed": "Do not use it"}
_NEXT = {
    "ok": (
        "Move the swipe over the places that you care about, before and after: streets, shores and roofs should stay in "
        "place. A map can still be wrong where all matches err alike.",
    ),
    "weak": (
        "Move the swipe over the places that you care about, and flicker there. Use the map only where both images keep "
        "their streets, shores and field borders in place.",
        "If it must be better: click tie-points of your own where it is wrong, and fit them (python -m solution fit).",
    ),
    "failed": (
        "Check that both images show the same place, that their geocoding is less than about 300 px apart, and that the "
        "one named SAR is the SAR image.",
        "If they do, click tie-points of your own and fit them (python -m solution fit), or try another SAR acquisition.",
    ),
}
ADVICE = {
    "no candidate to trust": "There was no match at all: the map is zero shift, as the geocoding left it.",
    "mirrored": (
        "A mirrored SAR image, which cannot match, matches about as well. Pictures of different places do that, and so "
        "do clouds, water and forest."
    ),
    "errors of": "Whether that is too much depends on your work: compare it with the size of what you look for.",
    "nothing is known of its errors": "Take no measurements through this map.",
    "speak against the map": "Look at that part first, or leave it out.",
    "support": (
        "That is ground where matches were kept nearby and where, too, the images themselves speak for the map. Elsewhere "
        "the map is a guess, even where matches agree with one another."
    ),
    "agree": "Many matches were set aside: what is left may be a chance. Look for a pattern in the residuals below.",
    "found nothing": "A way of matching that mostly works was silent here.",
    "only enough candidates for one": "The map is one transform for the whole image: hills are not followed.",
}
"""A part of a reason that `field.verdict` gives, and what to think of it."""


def answer(facts: Mapping) -> str:
    """One sentence: may the map be used?"""
    word = facts["verdict"]
    return f"{ANSWERS[word]}: {_why(facts)}."


def advice(facts: Mapping) -> list[str]:
    """What to do next, a sentence or two each."""
    return list(_NEXT[facts["verdict"]])


def explained(reasons: list[str]) -> list[tuple[str, str]]:
    """Reasons of a verdict, each with what to think of it."""
    return [(reason, next((told for part, told in ADVICE.items() if part in reason), "")) for reason in reasons]


def radius(facts: Mapping) -> str:
    """The error to be expected, in px and on the ground, or that nothing is known of it."""
    value = facts.get("radius_68_px")
    return "not known" if value is None else length(value, facts.get("gsd_m"))


def length(pixels: float, gsd_m: float | None) -> str:
    """In px and, where the pixel size is known, on the ground; a number is not parted from its unit."""
    return f"{pixels:.2f}\N{NO-BREAK SPACE}px" + (f" ({pixels * gsd_m:.2f}\N{NO-BREAK SPACE}m)" if gsd_m else "")


def _why(facts: Mapping) -> str:
    if facts["verdict"] == "failed":
        return "; ".join(facts["reasons"]) or "the images do not carry this map"
    expected = f"two of three places lie within {radius(facts)}"
    if facts["verdict"] == "ok":
        return f"the map stands out from what a mirrored image gives, and about {expected}"
    return f"{'; '.join(facts['reasons'])}"
