"""The answer of an audit in sentences made of its figures: none is said that they do not bear.

It draws nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from esmm_dist.evaluation.audit import BASE, REFERENCES
from esmm_dist.evaluation.audit_document import (
    AS_DECLARED,
    LENGTH,
    Audit,
    Estimate,
    ScenarioFigures,
)
from esmm_dist.evaluation.figures import method_name

LAST_DECILE = "_decile_10"


def answers(audit: Audit) -> list[str]:
    """One sentence or two a question, in the order of the page."""
    found = [_of_saturated(audit)]
    if not audit.is_simulated:
        return [*found, *_of_clicks(audit.scenarios[0])]
    declared = audit.of(AS_DECLARED)
    return [*found, _of_targets(declared), *_of_space(declared), _beside_base(audit.worlds),
            _of_rivals(declared), _of_ranking(declared), *_of_length(audit),
            *_of_confounding(audit), _of_mean(audit.worlds), _of_first_step(audit.worlds)]


def ratio_text(estimate: Estimate | None) -> str:
    """A ratio and its interval; where that holds the chance of the rows alone, also from which
    to which value single seeds go."""
    if estimate is None:
        return "undefined"
    bounds = ("no interval" if estimate.low is None or estimate.high is None
              else f"{estimate.low:.3g} to {estimate.high:.3g}")
    return f"{estimate.value:.3g} ({'; '.join(filter(None, (bounds, seeds_text(estimate))))})"


def seeds_text(estimate: Estimate) -> str:
    """From which to which value single trainings go; '' of one, or where they are not told."""
    if len(estimate.by_seed) < 2:
        return ""
    return f"seeds {min(estimate.by_seed):.3g} to {max(estimate.by_seed):.3g}"


def difference_text(estimate: Estimate | None) -> str:
    """A difference and its interval."""
    if estimate is None:
        return "undefined"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:+.4f} (no interval)"
    return f"{estimate.value:+.4f} ({estimate.low:+.4f} to {estimate.high:+.4f})"


def against_one(estimate: Estimate) -> str:
    """Whether a ratio is off 1 beyond chance."""
    if not estimate.is_off(1.0):
        return "of one replicate" if estimate.low is None else "not told from 1"
    return "too high" if estimate.value > 1 else "too low"


def _of_saturated(audit: Audit) -> str:
    worst = max(abs(x.p_cvr / x.p_conversion_given_click - 1) for x in audit.saturated)
    rarest = min(x.p_click for x in audit.saturated)
    return (
        f"Given parameters of its own for each x, ESMM's loss is minimised at p(z | y = 1, x): in "
        f"{len(audit.saturated)} cases, click rates from {rarest:g} on, the numerical minimum is "
        f"off by {worst:.1g} of it at most, while p(y, z | x) would be off by a factor of "
        f"{1 / rarest:,.0f}. Formula (1) of the paper describes the model; formula (2) of its "
        "critic does not."
    )


def _of_targets(declared: ScenarioFigures) -> str:
    esmm, aman = declared.methods["esmm"], declared.methods["aman"]
    return (
        f"Trained on logs, ESMM's mean pCVR over all impressions is "
        f"{ratio_text(esmm['cvr_to_true_ctcvr'])} times the mean p(y, z | x) and "
        f"{ratio_text(esmm['true_cvr_given_pcoc'])} times the mean p(z | y = 1, x). AMAN with "
        f"every un-clicked row as a negative is at {ratio_text(aman['cvr_to_true_ctcvr'])} and "
        f"{ratio_text(aman['true_cvr_given_pcoc'])}."
    )


def _of_space(declared: ScenarioFigures) -> Iterator[str]:
    for method in ("esmm", "base"):
        figures = declared.methods[method]
        by_space = ", ".join(
            f"{ratio_text(figures[name])} {words}" for name, words in (
                ("true_cvr_pcoc_click", "over clicked rows"),
                ("true_cvr_pcoc_unclicked", "over un-clicked ones"),
                ("true_cvr_pcoc_decile_1", "over the tenth least likely to be clicked"),
                (f"true_cvr_pcoc{LAST_DECILE}", "over the tenth most likely to be"),
            ) if name in figures)
        whole = figures["true_cvr_pcoc"]
        yield (f"{method_name(method)} predicts {ratio_text(whole)} times the true p(conversion | "
               f"do(click), x) over all impressions, {against_one(whole)}: {by_space}.")


def _beside_base(worlds: Sequence[ScenarioFigures]) -> str:
    declared = worlds[0].methods["esmm"]
    sides = _sides([world.methods["esmm"]["cvr_to_base_unclicked"] for world in worlds])
    return (
        "Draw by draw, in the world as declared, ESMM's mean pCVR is "
        f"{ratio_text(declared['cvr_to_base'])} times BASE's over all impressions, "
        f"{ratio_text(declared['cvr_to_base_unclicked'])} over un-clicked ones, "
        f"{ratio_text(declared.get('cvr_to_base_decile_1'))} over the tenth least likely to be "
        f"clicked, {ratio_text(declared.get(f'cvr_to_base{LAST_DECILE}'))} over the tenth most "
        f"likely to be. Over un-clicked impressions it is above BASE's in {sides['above']} of "
        f"{len(worlds)} worlds, below in {sides['below']}, and not told in {sides['not told']}."
    )


def _of_ranking(declared: ScenarioFigures) -> str:
    words = {"above": "better", "below": "worse", "not told": "not told apart"}
    told = _by_side(declared, "true_cvr_auc_less_base", 0.0, difference_text, words,
                    (BASE, *REFERENCES))
    return f"Expected AUC over all impressions, less BASE's draw by draw: {told}."


def _by_side(
    scenario: ScenarioFigures, name: str, center: float, text: Callable[[Estimate], str],
    words: Mapping[str, str], left_out: Sequence[str],
) -> str:
    """The methods by the side of `center` on which their intervals of a figure lie; one that has no
    such figure is left out too."""
    told: dict[str, list[str]] = {side: [] for side in words}
    for method, figures in scenario.methods.items():
        if method not in left_out and name in figures:
            told[figures[name].side_of(center)].append(
                f"{method_name(method)} {text(figures[name])}")
    return "; ".join(f"{words[side]}: {', '.join(of_side) or 'none'}"
                     for side, of_side in told.items())


def _of_confounding(audit: Audit) -> Iterator[str]:
    for name in audit.varied.get("confounding", ()):
        scenario = audit.of(name)
        if not scenario.settings["confounding"]:
            continue
        identified = scenario.truth["given_to_do"]
        seen = ", ".join(f"{method_name(m)} {ratio_text(scenario.methods[m]['true_cvr_pcoc'])}"
                         for m in scenario.methods if m not in ("aman", *REFERENCES))
        yield (f"With hidden confounding of {scenario.settings['confounding']:g}, clicks lead to "
               f"{ratio_text(identified)} times the truth over all impressions, whatever is "
               f"learned from them without error. Seen: {seen}.")


def _of_rivals(declared: ScenarioFigures) -> str:
    words = {"above": "too high", "below": "too low", "not told": "not told from the truth"}
    constant = declared.methods["clicked_rate"]["true_cvr_pcoc_unclicked"]
    told = _by_side(declared, "true_cvr_pcoc_unclicked", 1.0, ratio_text, words,
                    ("aman", *REFERENCES))
    return (f"Over un-clicked impressions: {told}; the conversion rate of clicks alone "
            f"{ratio_text(constant)}.")


def _of_length(audit: Audit) -> Iterator[str]:
    names = audit.varied.get(LENGTH, ())
    for method in ("esmm", "base") if names else ():
        told = "; ".join(
            f"after {figures['num_steps'].value:,.0f} steps "
            f"{ratio_text(figures['true_cvr_pcoc'])}, {_tenth_text(figures, 1)} over the tenth "
            f"least likely to be clicked, expected AUC {figures['true_cvr_auc'].value:.3f}"
            for figures in (audit.of(name).methods[method] for name in names))
        yield f"{method_name(method)}, trained for longer in the world as declared: {told}."


def _tenth_text(figures: Mapping[str, Estimate], tenth: int) -> str:
    return ratio_text(figures.get(f"true_cvr_pcoc_decile_{tenth}"))


def _of_mean(worlds: Sequence[ScenarioFigures]) -> str:
    sides = _sides([world.methods["esmm"]["cvr_to_clicked_rate"] for world in worlds])
    return (
        "By ESCM2's proof ESMM's mean pCVR over impressions exceeds the conversion rate of "
        f"clicks. Paired draw by draw it is above in {sides['above']} of {len(worlds)} worlds, "
        f"below in {sides['below']}, and not told in {sides['not told']}."
    )


def _of_first_step(worlds: Sequence[ScenarioFigures]) -> str:
    sides = _sides([world.truth["mean_of_ratios_to_ratio_of_means"] for world in worlds])
    return (
        "The proof's first inequality, E[p(y, z | x) / p(y | x)] >= E[p(y, z | x)] / E[p(y | x)], "
        f"fails in {sides['below']} of {len(worlds)} worlds by the true probabilities themselves, "
        f"holds in {sides['above']}, and is not told in {sides['not told']}"
        + (", so that it is no theorem." if sides["below"] else ".")
    )


def _sides(estimates: Sequence[Estimate]) -> Counter[str]:
    """How many intervals lie above 1, below it, or hold it."""
    return Counter(estimate.side_of(1.0) for estimate in estimates)


def _of_clicks(scenario: ScenarioFigures) -> Iterator[str]:
    for method, figures in scenario.methods.items():
        unclicked, clicked = (figures[f"implied_rate_{space}"].value
                              for space in ("unclicked", "click"))
        to_base = figures["cvr_to_base_unclicked"]
        beside = ("" if method == BASE else f", and {ratio_text(to_base)} times what BASE implies")
        seen = figures["cvr_pcoc_click"]
        yield (f"{method_name(method)} predicts {ratio_text(seen)} times the conversions seen "
               f"after clicks. Of un-clicked impressions it implies a "
               f"conversion rate of {100 * unclicked:.3g} % had they been clicked, "
               f"{unclicked / clicked:.2f} of what it says of the clicked ones{beside}.")
    yield ("Intervals hold the chance of the test rows alone; single seeds differ by that of "
           "training.")
    yield ("Nothing in these logs can tell whether what is implied of un-clicked impressions is "
           "right.")
