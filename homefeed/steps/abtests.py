"""An A/B test from its start to the promotion that its verdict asks for.

On `world` simulated users answer the live server over HTTP. On a recorded log there is nobody to
ask: the arms put the recorded impressions in order, and the comparison is a paired re-ranking,
called so, without sample-ratio or live claims.
"""

from pathlib import Path
from typing import Any

from homefeed.abtest.analysis import analyze
from homefeed.abtest.definition import Arm, Definition, Metric
from homefeed.abtest.exposure import last_logged_s, outcomes, read_log
from homefeed.abtest.recipe import AbTestRecipe
from homefeed.abtest.reranking import KIND, analyze_paired, decide_paired
from homefeed.abtest.running import (
    RUNNING,
    definition_of,
    names_of_tests,
    state_of,
    stop_test,
)
from homefeed.abtest.starting import start_and_wait
from homefeed.abtest.verdict import (
    HOLD,
    ROLLBACK,
    SHIP,
    Verdict,
    control_release,
    decide,
    treatment_releases,
    verdict_json,
)
from homefeed.artifacts import read_json, write_json
from homefeed.config import Config
from homefeed.data.contract import Dataset
from homefeed.data.training_set import TrainingSet
from homefeed.errors import PromotionRefused
from homefeed.recipes import read_config, read_section
from homefeed.release.entries import Action, LedgerEntry
from homefeed.release.gate import GateDecision
from homefeed.release.registry import ReleaseRegistry
from homefeed.report.pieces_abtest import (
    live_piece,
    no_test_piece,
    promotion_piece,
    reranking_piece,
)
from homefeed.schema import EVENT_LOG_FILE, IMPRESSIONS
from homefeed.steps.ledger import acting_registry, dataset_clock

RUN_TESTS = "lifecycle-"  # begins the names of the tests that runs start


def define(
    dataset: Dataset, arms: list[dict[str, Any]], recipe: AbTestRecipe, name: str
) -> Definition:
    """The run's test: one arm per release; positive actions per request decide, dislikes guard."""
    negative = tuple(dataset.spec.negative)
    # A type that is positive from some duration on is none by its name alone.
    certain = tuple(t for t in dataset.spec.positive if t not in dataset.spec.min_duration_s)
    certain = certain or tuple(dataset.spec.positive)
    guardrails = (
        (Metric(name="dislikes_per_request", actions=negative, per="request", direction="down"),)
        if negative
        else ()
    )
    return Definition(
        name=name,
        arms={arm["arm"]: Arm(release=arm["release"]) for arm in arms},
        primary=Metric(name="positives_per_request", actions=certain, per="request"),
        guardrails=guardrails,
        layer="ranking",
        salt=recipe.salt,
        min_effect=recipe.min_effect,
        confidence=recipe.confidence,
    )


def start_step(
    checked: Path, releases: Path, abtest: str, config: str, out: Path, serving_url: str = ""
) -> None:
    """Write the definition, mark it running, and wait until serving reports its arms ready.

    A test that an earlier, broken-off run left running in this layer is stopped first. On
    recorded logs nothing is started: ``out`` then says so. Raises ServerError where no server
    reports the arms in time.
    """
    where, recipe = read_config(config), read_section("abtest", abtest)
    dataset, arms = Dataset.open(checked), read_json(releases)["arms"]
    known = names_of_tests(where.workspace)
    name = _new_name(known)
    definition = define(dataset, arms, recipe, name)
    champion = ReleaseRegistry(where.workspace, tracking_uri=where.tracking_uri).champion()
    begun = {"live": dataset.spec.live, "test": name, "arms": arms, "champion": champion}
    if not dataset.spec.live:
        write_json(out, begun)
        is_shown = dataset.has(IMPRESSIONS)
        how = "" if is_shown else " without impressions"
        way = "compared by a paired re-ranking" if is_shown else "not compared"
        print(f"= a recorded log{how}: the arms are {way}")
        return
    now_s = dataset_clock(checked).now_s()
    for other in (test for test in known if test.startswith(RUN_TESTS)):
        if state_of(where.workspace, other).status == RUNNING:
            reason = f"the run that started it broke off; {name} takes its place"
            stop_test(where.workspace, other, at_s=_end_s(where, other, now_s), reason=reason)
    start_and_wait(where.workspace, definition, serving_url, at_s=now_s, champion=champion)
    write_json(out, {**begun, "url": serving_url})
    print(f"= {name} runs: {', '.join(f'{a} = {d.release}' for a, d in definition.arms.items())}")


def _new_name(known: list[str]) -> str:
    """A name that no test has: exposures are counted by name, and a test may have been removed."""
    numbers = [each.removeprefix(RUN_TESTS) for each in known if each.startswith(RUN_TESTS)]
    return f"{RUN_TESTS}{1 + max((int(n) for n in numbers if n.isdecimal()), default=0)}"


def _end_s(where: Config, test: str, now_s: float) -> float:
    """When a run's test ends: a simulated clock stands at the log's end, the test came after it."""
    log = where.workspace / EVENT_LOG_FILE
    return max(now_s, last_logged_s(log, test) + 1) if log.exists() else now_s


def analyse_step(
    checked: Path,
    training_set: Path,
    evaluations: Path,
    started: Path,
    abtest: str,
    config: str,
    out: Path,
    piece: Path,
) -> None:
    """Exposures and actions, or recorded lists, to a verdict at ``out``."""
    where, recipe = read_config(config), read_section("abtest", abtest)
    begun, dataset = read_json(started), Dataset.open(checked)
    if begun["live"]:
        definition = definition_of(where.workspace, begun["test"])
        exposures, actions = read_log(where.workspace / EVENT_LOG_FILE, begun["test"])
        found = outcomes(definition, exposures, actions)
        analysis = analyze(definition, found)
        verdict = decide(definition, analysis)
        made = live_piece(analysis, verdict, definition, found)
        kind = "live A/B test"
    elif not TrainingSet.open(training_set).meta.has_impressions:
        definition = define(dataset, begun["arms"], recipe, begun["test"])
        reason = "no impressions were recorded, so there is nothing to compare arms on"
        verdict = Verdict(
            test=begun["test"], decision=HOLD, arm=None, release=None, reasons=(reason,), arms=()
        )
        made, kind = no_test_piece(reason), "no comparison"
    else:
        from homefeed.steps.recorded_arms import recorded_values  # loads torch: seconds

        definition, values, lists = recorded_values(
            dataset, training_set, evaluations, begun, recipe
        )
        paired = analyze_paired(definition, values, samples=recipe.bootstrap_rounds)
        verdict = decide_paired(definition, paired)
        made, kind = reranking_piece(paired, verdict, lists), KIND
    made.save(piece)
    told = {"live": begun["live"], "champion": begun["champion"]}
    write_json(out, verdict_json(verdict, definition, kind=kind, **told))
    print(f"= {kind}: {verdict.decision}")
    for reason in verdict.reasons:
        print(f"= {reason}")


def carry_out_step(
    checked: Path, verdict_path: Path, gate: Path, config: str, piece: Path, run: str = ""
) -> str:
    """Carry the verdict out: promote on ship, and only then; the ledger keeps the reason.

    A shipping arm also has to have passed the gate: a refused one is held, and the ledger says so.

    Hold and roll back leave the champion where it is (unless roll back finds a treatment champion,
    which lost: then the registry goes back to its predecessor). ``piece`` tells who is champion
    now; returns a sentence that says what was done.
    """
    where, verdict = read_config(config), read_json(verdict_path)
    registry = acting_registry(where, checked, run)
    now_s = registry.clock.now_s()
    if verdict["live"]:
        now_s = _end_s(where, verdict["test"], now_s)
    said = carry_out(registry, where.workspace, verdict, read_json(gate), now_s)
    promotion_piece(registry.champion(), said).save(piece)
    print(f"= {said}")
    return said


def carry_out(
    registry: ReleaseRegistry,
    workspace: Path,
    verdict: dict[str, Any],
    decisions: dict[str, Any],
    now_s: float,
) -> str:
    """Stop the test and do what its verdict asks for; says in a sentence what was done.

    What the ledger says was carried out before (of a live test, or in this run) is not carried
    out again. ``decisions`` are the gate's, by arm; an arm without one was not gated, and is only
    promoted over the champion where that is the test's control. Raises LedgerConflict where a
    release was promoted after the test began: it has not been compared with that one.
    """
    if before := _carried_out(registry, verdict):
        return (
            f"already carried out (ledger entry {before.seq}: {before.action} {before.to_version})"
        )
    reason = f"{verdict['kind']} {verdict['test']}: {verdict['decision']}; " + "; ".join(
        verdict["reasons"]
    )
    record = {key: verdict[key] for key in ("kind", "test", "decision", "arm", "reasons")}
    if verdict["live"]:
        stop_test(workspace, verdict["test"], at_s=now_s, reason=reason)
    champion = registry.champion()
    if verdict["decision"] == SHIP and verdict["release"] != champion:
        return _ship(registry, verdict, decisions.get(verdict["arm"]), reason, record)
    if verdict["decision"] == ROLLBACK and champion in treatment_releases(verdict):
        registry.rollback(reason, verdict=record)
        return f"rolled back: release {registry.champion()} is the champion again"
    if champion is not None:
        registry.record(Action.HOLD, champion, reason, verdict=record)
    return f"{verdict['decision']}: release {champion} stays the champion"


def _ship(
    registry: ReleaseRegistry,
    verdict: dict[str, Any],
    gated: dict[str, Any] | None,
    reason: str,
    record: dict[str, Any],
) -> str:
    """Promote what ships, unless nothing compared it with the champion or the gate refused it."""
    champion, release = registry.champion(), verdict["release"]
    control = control_release(verdict)
    if not gated and control != verdict["champion"]:
        registry.record(Action.HOLD, champion or control, reason, verdict=record)
        return (
            f"the test says ship, but its control is release {control}, not the champion "
            f"{verdict['champion']}, which nothing was compared with; release {champion} stays. "
            "Test against the champion, or `homefeed promote`"
        )
    try:
        registry.promote(
            release,
            reason,
            expected_champion=verdict["champion"],
            decision=GateDecision.from_json(gated) if gated else None,
            verdict=record,
        )
    except PromotionRefused as refused:
        return f"the test says ship, the gate refuses: {refused}; release {champion} stays"
    return f"release {release} (arm {verdict['arm']}) is the champion; it was {champion}"


def _carried_out(registry: ReleaseRegistry, verdict: dict[str, Any]) -> LedgerEntry | None:
    """The newest entry that this verdict led to.

    A live test's name is given to one test only; a re-ranking of the same name is made by each run.
    """
    wanted = verdict["kind"], verdict["test"]
    for entry in reversed(registry.history()):
        same = (entry.verdict.get("kind"), entry.verdict.get("test")) == wanted
        if same and (verdict["live"] or (registry.run and entry.run == registry.run)):
            return entry
    return None
