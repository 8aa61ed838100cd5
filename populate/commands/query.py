"""``vbn query``."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import click

from populate.commands.answer import (
    ALLOW_MIXED,
    MISSING,
    OUTPUT,
    SAVE_LIST,
    SAVE_SPIKES,
    answer,
    fetched,
    option_names,
)
from populate.commands.completion import (
    CELL_CLASSES,
    EXPERIENCE,
    IMAGE_SETS,
    LAYERS,
    TRAJECTORIES,
    completing,
    known_structures,
)
from populate.commands.lab_queries import has_lab_modules, lab_command, lab_names
from populate.commands.module_option import module_option
from populate.commands.options import (
    AREA,
    LISTS_AND_LABELS,
    PROJECT,
    ROWS_WHERE,
    SESSION_ALIASES,
    WHERE,
    criteria_option,
    listed_option,
    of_people,
    options,
    takes_freeze,
)
from populate.commands.whole_sentences import WholeSentences

if TYPE_CHECKING:
    import pandas as pd

_TRAJECTORY = listed_option(
    "--trajectory",
    help="Order of the image sets in training and recordings: GGH, HHG or GHG",
    shell_complete=completing(TRAJECTORIES),
)
_WITHIN = "Attribute that divides the units: structure_acronym, cortical_layer, cell_class ..."
_OF_SESSIONS = options(
    listed_option("--session", of=int, help="Id of a session", aliases=SESSION_ALIASES),
    listed_option("--mouse", help="Id of a mouse", aliases=("--mouse-id",)),
    listed_option(
        "--experience",
        help="Familiar or Novel",
        aliases=("--experience-level",),
        shell_complete=completing(EXPERIENCE),
    ),
    listed_option("--image-set", help="Letter of the image set", shell_complete=completing(IMAGE_SETS)),
    _TRAJECTORY,
    PROJECT,
    click.option("--genotype", multiple=True, help="Full genotype; wt/wt is a wild type; may be repeated."),
    listed_option("--cre-line", help="Cre line of the mouse"),
    LISTS_AND_LABELS,
)
OF_UNITS = options(
    criteria_option(None),
    listed_option(
        "--structure",
        help="Acronym of a structure (area), such as VISp",
        aliases=AREA,
        shell_complete=completing(known_structures),
    ),
    listed_option("--group", help="Group of structures, such as 'visual cortex'"),
    listed_option(
        "--cell-class",
        help="Sst, Vip, RS, FS or unlabelled",
        shell_complete=completing(CELL_CLASSES),
    ),
    listed_option(
        "--layer",
        help="Cortical layer: 1, 2/3, 4, 5, 6a, 6b, 6 for both, or none",
        aliases=("--cortical-layer",),
        shell_complete=completing(LAYERS),
    ),
    click.option("--atlas", help="Atlas of the layers, if there are several (vbn atlas)."),
    click.option(
        "--optotag-method", default="bennett_2025", show_default=True, help="Method that labels the cells."
    ),
    _OF_SESSIONS,
    WHERE,
)
_BLOCK = click.option("--block", help="active (the task) or passive (its replay).")


class _Queries(WholeSentences):
    """Has the queries of the lab's modules, besides its own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take ``--module NAME`` also behind the name of a query."""
        named: list[str] = []
        rest: list[str] = []
        words = iter(args)
        for word in words:
            if word == "--module":
                named += [word, *itertools.islice(words, 1)]
            elif word.startswith("--module="):
                named.append(word)
            else:
                rest.append(word)
        return super().parse_args(ctx, [*named, *rest])

    def list_commands(self, ctx: click.Context) -> list[str]:
        own = super().list_commands(ctx)
        return [*own, *lab_names(set(own))] if has_lab_modules() else own

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        is_lab = own is None and has_lab_modules() and cmd_name.replace("-", "_").isidentifier()
        return takes_freeze(lab_command(cmd_name) if is_lab else own)


@click.group("query", cls=_Queries)
@module_option
def command() -> None:
    """Query the database: units, sessions, presentations, trials, responses, and what your lab has added.

    The same queries as in schemas.queries, whose results can be joined further in Python. A misspelled name
    or value is an error that suggests the nearest valid ones. Words of AllenSDK for columns work, too: area,
    firing_rate, ecephys_session_id.
    """


@command.command("sessions")
@_OF_SESSIONS
@click.option(
    "--abnormal/--normal",
    default=None,
    help="With, or without, abnormal histology or activity, according to the tables of the release.",
)
@click.option(
    "--dprime-min",
    type=float,
    help="Lowest mean d' of engaged trials. (This is behavior; d_prime of units is of spike sorting.)",
)
@click.option("--dprime-max", type=float, help="Highest mean d' of engaged trials.")
@listed_option("--requires", help="What a session must have: recording, laser, eye_tracking, computed ...")
@WHERE
@SAVE_LIST
@OUTPUT
def query_sessions(dprime_min: float | None, dprime_max: float | None, **options: Any) -> None:
    """Sessions by experience, images, mouse, behavior and completeness.

    \b
    Example:
      vbn query sessions --experience Novel --requires laser --dprime-min 1
      vbn query sessions --normal --save-list normal-sessions
    """
    dprime = None if dprime_min is None and dprime_max is None else (dprime_min, dprime_max)
    more = {"dprime": dprime, **{name: options[name] for name in ("abnormal", "requires", "where")}}

    def query(queries: Any) -> pd.DataFrame:
        from schemas.queries.written_notes import labelled_sessions

        return labelled_sessions(fetched(queries.sessions(**_of_sessions(options), **more)))

    answer(
        query,
        options,
        "session_id mouse_id date_of_acquisition session_type experience_level image_set cre_line file_kind",
    )


@command.command("pairs")
@ROWS_WHERE
@OUTPUT
def query_pairs(**options: Any) -> None:
    """Pairs of recordings with familiar and with novel images of each mouse that has both.

    \b
    Example:
      vbn query pairs --out pairs.csv
    """
    answer(
        lambda queries: fetched(queries.familiar_novel_pairs()),
        options,
        "mouse_id familiar_session_id novel_session_id familiar_image_set novel_image_set cre_line",
    )


@command.command("units")
@OF_UNITS
@SAVE_LIST
@SAVE_SPIKES
@OUTPUT
def query_units(**options: Any) -> None:
    """Units with their metrics, location, mouse and session.

    \b
    Example:
      vbn query units --structure VISp --criteria bennett_2025 --cell-class Sst
      vbn query units --structure VISp --sort -snr --limit 50 --save-list best-of-v1
      vbn query units --list best-of-v1 --not-label noise
      vbn query units --structure VISp --session 1064644573 --pynapple units.npz
    """

    def query(queries: Any) -> pd.DataFrame:
        more = {name: options[name] for name in ("optotag_method", "atlas")}
        columns, sort = option_names(options["columns"]) or None, option_names(options["sort"])
        if columns and (options["save_list"] or options["spikes_out"]):
            columns = [*columns, "unit_id"]
        shown: pd.DataFrame = queries.unit_table(units_of(queries, options), columns, sort=sort, **more)
        return shown

    answer(
        query,
        {**options, "sort": None},  # it is sorted
        "unit_id session_id probe_name structure_acronym probe_vertical_position quality unit_firing_rate "
        "snr isi_violations amplitude_cutoff presence_ratio",
    )


@command.command("responses")
@OF_UNITS
@listed_option("--table", help="Table of responses, such as ChangeResponse")
@MISSING
@click.option(
    "--q-over",
    type=click.Choice(["stored", "session", "all"]),
    default="stored",
    show_default=True,
    help="Adjust q-values over the chosen units of a session, or over all of them.",
)
@ALLOW_MIXED
@SAVE_LIST
@OUTPUT
def query_responses(
    table: tuple[str, ...], missing: str, q_over: str, allow_mixed: bool, **options: Any
) -> None:
    """One row per unit with its metrics, labels and responses.

    \b
    Example:
      vbn query responses --group thalamus --table ChangeResponse --out thalamus.parquet
    """
    more = {name: options[name] for name in ("optotag_method", "atlas")}

    def query(queries: Any) -> pd.DataFrame:
        units, names = units_of(queries, options), _wanted(options)
        frame = queries.responses_table(
            units,
            table or None,
            optotag_method=options["optotag_method"],
            missing=missing,
            q_over=q_over,
            allow_mixed=allow_mixed,
        )
        shown: pd.DataFrame = queries.with_results(frame, units, names, **more)
        return shown

    answer(
        query,
        options,
        "unit_id session_id structure_acronym cell_class optotag_label change_modulation_active "
        "change_is_responsive omission_is_responsive selectivity_preferred_image rf_is_significant",
    )


@command.command("contrast")
@click.argument("column")
@click.option("--between", default="experience_level", show_default=True, help="Attribute with two values.")
@click.option("--levels", nargs=2, help="The two values, if there are more: the second less the first.")
@listed_option("--within", help=_WITHIN)
@click.option(
    "--unpaired",
    is_flag=True,
    help="Compare groups of mice, as of genotypes, not the sessions of each mouse.",
)
@click.option(
    "--index",
    type=click.Choice(["difference", "bennett_2025"]),
    default="difference",
    show_default=True,
    help="Difference of means, or over the greater of the two.",
)
@click.option(
    "--across",
    multiple=True,
    help="Names of sets, as criteria=all,bennett_2025: the contrast by each, or each combination; may be "
    "repeated.",
)
@OF_UNITS
@MISSING
@ALLOW_MIXED
@OUTPUT
def query_contrast(
    column: str, within: tuple[str, ...], across: tuple[str, ...], unpaired: bool, **options: Any
) -> None:
    """Contrast COLUMN between two kinds of sessions, over mice, with intervals and p.

    The observation is the mouse: units of one mouse resemble each other. Fewer than 6 mice have no p.

    \b
    Example:
      vbn query contrast change_modulation_active --within structure_acronym --criteria bennett_2025
      vbn query contrast unit_firing_rate --between cre_line --levels Sst-IRES-Cre Vip-IRES-Cre --unpaired
    """
    from schemas.queries.checks import name_and_value

    names = ("between", "levels", "index", "missing", "allow_mixed", "atlas", "optotag_method")
    pairs = (name_and_value(text, "sets") for text in across)
    sets = {name: [each.strip() for each in text.split(",")] for name, text in pairs}
    answer(
        lambda queries: queries.contrast(
            units_of(queries, options),
            column,
            within=within,
            across=sets,
            pair=None if unpaired else "mouse",
            project=list(options["project"]) or None,
            **{name: options[name] for name in names},
        ),
        options,
        " ".join((*sets, *within, "estimate low high p_value q_value n_mice n_sessions n_units")),
    )


@command.command("novelty")
@click.option(
    "--flashes",
    default="change_nonshared_active",
    show_default=True,
    help="change or repeat, of nonshared or shared images (holdovers), active or passive.",
)
@listed_option("--within", help=f"{_WITHIN} By default structure_acronym")
@criteria_option("bennett_2025")
@_TRAJECTORY
@PROJECT
@LISTS_AND_LABELS
@click.option("--params", "novelty_response_params", help="Set of NoveltyResponseParams.")
@click.option("--atlas", help="Atlas of the layers, if there are several (vbn atlas).")
@click.option(
    "--min-units", type=click.IntRange(min=1), default=6, show_default=True, help="Units of a mouse."
)
@ALLOW_MIXED
@ROWS_WHERE
@OUTPUT
def query_novelty(within: tuple[str, ...], trajectory: tuple[str, ...], **options: Any) -> None:
    """Novel less familiar sessions, over the mice that have both, with the index of Bennett 2025.

    \b
    Example:
      vbn query novelty --within structure_acronym --within cortical_layer --within cell_class
      vbn query novelty --flashes repeat_shared_active --trajectory GGH
      vbn query novelty --list best-of-v1 --not-label noise
    """
    divided = within or ("structure_acronym",)
    names = ("flashes", "criteria", "novelty_response_params", "atlas", "min_units", "allow_mixed")
    answer(
        lambda queries: queries.novelty(
            within=divided,
            trajectory=list(trajectory) or None,
            **of_people(options),
            **{name: options[name] for name in names},
        ),
        options,
        " ".join((*divided, "estimate low high p_value q_value index index_low index_high n_mice n_units")),
    )


@command.command("psth")
@click.option("--alignment", default="change_active", show_default=True, help="vbn params list Alignment.")
@OF_UNITS
@MISSING
@ALLOW_MIXED
@OUTPUT
def query_psth(alignment: str, missing: str, allow_mixed: bool, **options: Any) -> None:
    """Mean responses, one row per unit and one column per bin: rate_ and its center in seconds.

    \b
    Example:
      vbn query psth --structure VISp --alignment change_active --out psth.parquet
    """

    def query(queries: Any) -> pd.DataFrame:
        method = options["optotag_method"]
        chosen = {"optotag_method": method, "missing": missing, "allow_mixed": allow_mixed}
        matrix = queries.psth_matrix(units_of(queries, options), alignment, **chosen)
        import pandas as pd

        names = [f"rate_{time:.6g}" for time in matrix["time"].to_numpy()]
        of_units = {str(name): matrix[name].to_numpy() for name in matrix.coords if name != "time"}
        rates = pd.DataFrame(matrix.to_numpy(), columns=names)
        return pd.concat([pd.DataFrame(of_units), rates], axis=1)

    answer(query, options, "unit_id session_id structure_acronym cell_class experience_level n_events")


@command.command("encoding")
@click.option(
    "--params", "encoding_params", help="Set of parameters (vbn params list EncodingParams).  [default: ours]"
)
@click.option("--dropouts", is_flag=True, help="A row for each kernel and group of kernels that is left out.")
@OF_UNITS
@MISSING
@ALLOW_MIXED
@OUTPUT
def query_encoding(
    encoding_params: str | None, dropouts: bool, missing: str, allow_mixed: bool, **options: Any
) -> None:
    """Variance explained by encoding models of units, and what is lost of it without some kernels.

    \b
    Example:
      vbn query encoding --structure VISp --where "glm_running_score < -.2" --out running.csv
      vbn query encoding --dropouts --session 1064644573 --out dropouts.parquet
    """
    chosen: dict[str, Any] = {"missing": missing, "allow_mixed": allow_mixed}
    more = {name: options[name] for name in ("optotag_method", "atlas")}

    def query(queries: Any) -> pd.DataFrame:
        units = units_of(queries, options)
        table = queries.encoding_dropouts if dropouts else queries.encoding_table
        frame = table(units, encoding_params, **chosen)
        shown: pd.DataFrame = (
            frame if dropouts else queries.with_results(frame, units, _wanted(options), **more)
        )
        return shown

    of_unit = (
        "unit_id session_id structure_acronym glm_variance_explained glm_is_explained glm_images_change "
        "glm_omissions_change glm_task_change glm_running_change glm_pupil_change glm_licks_change"
    )
    of_dropout = (
        "unit_id structure_acronym dropout variance_explained change score adjusted_score single_score"
    )
    answer(query, options, of_dropout if dropouts else of_unit)


@command.command("connectivity")
@click.option(
    "--params", "connectivity_params", default="jitter_25", show_default=True,
    help="Set of parameters (vbn params list ConnectivityParams).",
)  # fmt: skip
@click.option("--areas", is_flag=True, help="Numbers of peaks by structures, instead of pairs of units.")
@criteria_option("bennett_2025")
@listed_option(
    "--structure",
    help="Only pairs with both units in one of these structures",
    aliases=AREA,
    shell_complete=completing(known_structures),
)
@click.option(
    "--optotag-method", default="bennett_2025", show_default=True, help="Method of the cell classes."
)
@click.option("--atlas", help="Atlas of the layers, if there are several (vbn atlas).")
@_OF_SESSIONS
@ROWS_WHERE
@OUTPUT
def query_connectivity(
    connectivity_params: str,
    areas: bool,
    criteria: str,
    structure: Any,
    optotag_method: str,
    atlas: str | None,
    **options: Any,
) -> None:
    """Pairs of units that fire within milliseconds of each other; lags are positive where the first leads.

    Computed only if asked for: vbn populate --table FunctionalConnectivity

    \b
    Example:
      vbn query connectivity --structure VISp,VISl --sort -ccg_peak_z
      vbn query connectivity --areas --out areas.csv
    """

    def query(queries: Any) -> pd.DataFrame:
        chosen = {"sessions": _sessions(queries, options), "connectivity_params": connectivity_params}
        if areas:
            by_area: pd.DataFrame = queries.area_connectivity(structure or None, criteria, **chosen)
            return by_area
        of_units = {"optotag_method": optotag_method, "atlas": atlas}
        pairs: pd.DataFrame = queries.connectivity(structure or None, criteria, **chosen, **of_units)
        return pairs

    of_areas = (
        "session_id first_structure second_structure n_ccg_pairs n_ccg_peaks n_ccg_leading n_ccg_following "
        "ccg_lead_score"
    )
    of_pairs = (
        "session_id first_unit_id first_structure first_cell_class second_unit_id second_structure "
        "second_cell_class ccg_peak ccg_peak_lag ccg_peak_z pair_distance"
    )
    answer(query, options, of_areas if areas else of_pairs)


@command.command("decoding")
@click.option(
    "--params", "decoding_params", help="Set of parameters (vbn params list DecodingParams).  [default: ours]"
)
@click.option("--courses", is_flag=True, help="A row for each window that accuracy is measured in.")
@listed_option("--decoded", help="What is decoded: image, change, lick_matched_change, hit or omission")
@listed_option("--structure", help="Acronym of a structure (area), such as VISp", aliases=AREA)
@click.option("--cell-class", default="all", show_default=True, help="Only units of a class: RS, FS ...")
@click.option("--n-units", type=click.IntRange(min=1), help="Only draws of so many units.")
@_OF_SESSIONS
@ALLOW_MIXED
@ROWS_WHERE
@OUTPUT
def query_decoding(
    decoding_params: str | None,
    courses: bool,
    decoded: Any,
    structure: Any,
    cell_class: str,
    n_units: int | None,
    allow_mixed: bool,
    **options: Any,
) -> None:
    """Accuracy of decoding images, changes, omissions and hits from structures, with its null and latency.

    \b
    Example:
      vbn query decoding --decoded change --structure VISp,VISl --out change.csv
      vbn query decoding --courses --session 1064644573 --out courses.parquet
    """
    chosen: dict[str, Any] = {"cell_class": cell_class, "n_units": n_units, "allow_mixed": allow_mixed}

    def query(queries: Any) -> pd.DataFrame:
        table = queries.decoding_courses if courses else queries.decoding_table
        found: pd.DataFrame = table(
            list(structure) or None,
            list(decoded) or None,
            sessions=_sessions(queries, options),
            decoding_params=decoding_params,
            **chosen,
        )
        return found

    answer(
        query,
        options,
        "session_id structure_acronym decoding_label window_stop accuracy null_accuracy"
        if courses
        else "session_id structure_acronym decoding_label decoding_n_units decoding_chance decoding_accuracy "
        "decoding_random_excess decoding_null_mean decoding_p decoding_latency",
    )


@command.command("trial-decoding")
@click.option(
    "--params",
    "trial_decoding_params",
    help="Set of parameters (vbn params list TrialDecodingParams).  [default: logistic_visp]",
)
@listed_option("--structure", help="Acronym of a structure (area), such as VISp", aliases=AREA)
@_OF_SESSIONS
@ALLOW_MIXED
@ROWS_WHERE
@OUTPUT
def query_trial_decoding(
    trial_decoding_params: str | None, structure: Any, allow_mixed: bool, **options: Any
) -> None:
    """How well hits are told from misses trial by trial, by logistic regression, with two nulls.

    Computed on request: vbn populate --tables TrialDecoding. The free null is as usual, and finds
    something where rates drift and hits come in turns; the circular one does so less often.

    \b
    Example:
      vbn query trial-decoding --structure VISp --out trials.csv
    """

    def query(queries: Any) -> pd.DataFrame:
        found: pd.DataFrame = queries.trial_decoding_table(
            list(structure) or None,
            sessions=_sessions(queries, options),
            trial_decoding_params=trial_decoding_params,
            allow_mixed=allow_mixed,
        )
        return found

    answer(
        query,
        options,
        "session_id structure_acronym n_trial_units n_trial_hits n_trial_misses trial_accuracy trial_auc "
        "trial_null_mean trial_free_p trial_circular_p",
    )


@command.command("spikes")
@OF_UNITS
@OUTPUT
def query_spikes(**options: Any) -> None:
    """Spike times, one row per spike: unit_id and spike_time in seconds on the session's clock.

    \b
    Example:
      vbn query spikes --session 1064644573 --structure VISp --out spikes.parquet
    """

    def query(queries: Any) -> pd.DataFrame:
        import numpy as np
        import pandas as pd

        times = queries.spike_times(units_of(queries, options))
        unit_ids = np.repeat(list(times), [len(each) for each in times.values()])
        return pd.DataFrame({"unit_id": unit_ids, "spike_time": np.concatenate(list(times.values()))})

    answer(query, options, "unit_id spike_time")


@command.command("trials")
@_OF_SESSIONS
@ALLOW_MIXED
@ROWS_WHERE
@OUTPUT
def query_trials(allow_mixed: bool, **options: Any) -> None:
    """One row per trial with its session, outcome, latency and the behavior around it.

    \b
    Example:
      vbn query trials --experience Novel --out trials.csv
      vbn query trials --where "hit AND latency_from_flash < 0.4" --sort latency_from_flash
    """
    answer(
        lambda queries: queries.trial_table(_sessions(queries, options), allow_mixed=allow_mixed),
        options,
        "session_id trial_id trial_start_time change_image_name go catch hit false_alarm aborted "
        "latency_from_flash rolling_dprime is_engaged",
    )


@command.command("flash-behavior")
@click.option("--flash-set", help="Only the flashes of a set, such as lick_free (vbn params list FlashSets).")
@_OF_SESSIONS
@ROWS_WHERE
@OUTPUT
def query_flash_behavior(flash_set: str | None, **options: Any) -> None:
    """One row per flash and omission with the licks, rewards and engagement around it.

    \b
    Example:
      vbn query flash-behavior --flash-set bennett_2025 --out flashes.parquet
    """
    answer(
        lambda queries: queries.flash_table(_sessions(queries, options), flash_set=flash_set),
        options,
        "session_id presentation_id start_time image_name is_change flashes_since_change flashes_since_lick "
        "lick_for_flash engaged_bennett_2025",
    )


@command.command("strategy")
@click.option(
    "--params", "strategy_params", help="Set of parameters (vbn params list StrategyParams).  [default: ours]"
)
@click.option("--regressors", is_flag=True, help="A row for each regressor, with its weights and dropout.")
@_OF_SESSIONS
@click.option(
    "--missing",
    type=click.Choice(["error", "drop"]),
    default="error",
    show_default=True,
    help="What to do with sessions that are not computed yet.",
)
@ALLOW_MIXED
@ROWS_WHERE
@OUTPUT
def query_strategy(
    strategy_params: str | None, regressors: bool, missing: Any, allow_mixed: bool, **options: Any
) -> None:
    """Weights of what drives the licks of each session: image changes, or the time since the last bout.

    \b
    Example:
      vbn query strategy --experience Familiar --sort -strategy_index
      vbn query strategy --regressors --out regressors.csv
    """
    chosen: dict[str, Any] = {"regressors": regressors, "missing": missing, "allow_mixed": allow_mixed}
    of_session = (
        "session_id mouse_id experience_level strategy_label visual_index timing_index omission_index "
        "post_omission_index strategy_index strategy_auc_cv n_strategy_bouts strategy_missing"
    )
    of_regressor = (
        "session_id mouse_id strategy_regressor strategy_dropout strategy_evidence_lost strategy_sigma "
        "strategy_weight_mean strategy_weight_engaged strategy_weight_disengaged"
    )
    answer(
        lambda queries: queries.strategy_table(_sessions(queries, options), strategy_params, **chosen),
        options,
        of_regressor if regressors else of_session,
    )


@command.command("changes")
@_OF_SESSIONS
@_BLOCK
@listed_option("--outcome", help="hit, miss, auto_rewarded; for sham changes false_alarm, correct_reject")
@listed_option("--image", help="Image after the change", aliases=("--image-name",))
@click.option(
    "--novel/--familiar", default=None, help="Only images that were new, or familiar, to the mouse."
)
@click.option("--sham", is_flag=True, help="Sham changes of catch trials, instead of changes.")
@WHERE
@OUTPUT
def query_changes(
    block: str | None, outcome: Any, image: Any, novel: bool | None, sham: bool, **options: Any
) -> None:
    """Flashes at which the image changed, with the outcome of the trial.

    \b
    Example:
      vbn query changes --session 1064644573 --block active --outcome hit
    """
    conditions = {"block": block, "outcome": outcome or None, "image_name": image or None}
    conditions |= {"novel": novel, "sham": sham, "where": options["where"]}
    answer(
        lambda queries: fetched(queries.changes(_sessions(queries, options), **conditions)),
        options,
        "session_id presentation_id presentation_start_time image_name active trial_id hit miss "
        "auto_rewarded is_image_novel",
    )


@command.command("omissions")
@_OF_SESSIONS
@_BLOCK
@WHERE
@OUTPUT
def query_omissions(block: str | None, **options: Any) -> None:
    """Omitted flashes; presentation_start_time is the expected time of the flash.

    \b
    Example:
      vbn query omissions --block active --experience Familiar --format csv
    """
    answer(
        lambda queries: fetched(
            queries.omissions(_sessions(queries, options), block=block, where=options["where"])
        ),
        options,
        "session_id presentation_id presentation_start_time active trial_id flashes_since_change",
    )


@command.command("flashes")
@_OF_SESSIONS
@_BLOCK
@listed_option("--image", help="Name of the image", aliases=("--image-name",))
@click.option("--change/--repeat", default=None, help="Only changes of the image, or only repetitions.")
@WHERE
@OUTPUT
def query_flashes(block: str | None, image: Any, change: bool | None, **options: Any) -> None:
    """Flashed images, without omissions.

    \b
    Example:
      vbn query flashes --session 1064644573 --block passive --repeat
    """
    conditions = {"block": block, "image_name": image or None, "change": change, "where": options["where"]}
    answer(
        lambda queries: fetched(queries.flashes(_sessions(queries, options), **conditions)),
        options,
        "session_id presentation_id presentation_start_time image_name is_change active flashes_since_change",
    )


@command.command("gabors")
@_OF_SESSIONS
@WHERE
@OUTPUT
def query_gabors(**options: Any) -> None:
    """Gabors for receptive field mapping, with position and orientation.

    \b
    Example:
      vbn query gabors --session 1064644573 --where "orientation = 45"
    """
    answer(
        lambda queries: fetched(queries.gabors(_sessions(queries, options), where=options["where"])),
        options,
        "session_id presentation_id presentation_start_time position_x position_y orientation",
    )


@command.command("full-field-flashes")
@_OF_SESSIONS
@WHERE
@OUTPUT
def query_full_field_flashes(**options: Any) -> None:
    """Full-field flashes: color is 1 for white, -1 for black.

    \b
    Example:
      vbn query full-field-flashes --where "color = 1"
    """
    where = options["where"]
    answer(
        lambda queries: fetched(queries.full_field_flashes(_sessions(queries, options), where=where)),
        options,
        "session_id presentation_id presentation_start_time color",
    )


@command.command("columns")
@click.argument("word", default="")
@OUTPUT
def query_columns(word: str, **options: Any) -> None:
    """Columns that units can be selected by, sorted by and shown with, their units and meanings.

    With WORD only those in whose name, meaning or table it occurs.

    \b
    Example:
      vbn query columns omission
      vbn query units --where "change_is_responsive = 1" --sort -snr --columns unit_id,cell_class,snr
    """
    answer(lambda queries: queries.columns(word), options, "column table unit type meaning")


def _wanted(options: dict[str, Any]) -> list[str]:
    """Return the columns that are shown or sorted by."""
    return [
        *option_names(options["columns"]),
        *(name.removeprefix("-") for name in option_names(options["sort"])),
    ]


def _of_sessions(options: dict[str, Any]) -> dict[str, Any]:
    names = {"session": "session_id", "mouse": "mouse_id", "experience": "experience_level"}
    more = ("image_set", "trajectory", "genotype", "cre_line")
    given = {names.get(name, name): options[name] for name in (*names, *more)}
    return {name: list(values) for name, values in given.items() if values} | of_people(options)


def _sessions(queries: Any, options: dict[str, Any]) -> Any:
    conditions = _of_sessions(options)
    return queries.sessions(**conditions) if conditions else True


def units_of(queries: Any, options: dict[str, Any]) -> Any:
    """Return the units that the options of `OF_UNITS` choose, as a query."""
    several = {name: list(options[name]) or None for name in ("structure", "group", "cell_class")}
    several["cortical_layer"] = list(options["layer"]) or None
    single = {name: options[name] for name in ("criteria", "optotag_method", "atlas", "where")}
    return queries.units(**_of_sessions(options), **several, **single)
