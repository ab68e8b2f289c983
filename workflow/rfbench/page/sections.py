"""Tables of the page about all data sets, and the differences of one: from what report/ and statistics/ conclude."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from rfbench import records
from rfbench.errors import RFBenchError
from rfbench.lesions import truth
from rfbench.names import BASELINE_ROW, LESIONS
from rfbench.page.grids import ROW, Column, Entry, Grid, Group, Hole, anchor, number, p_value, plain, span
from rfbench.page.measures import MEAN
from rfbench.published import METHOD_TABLES
from rfbench.report import ablation, costs, examples, methods, power, ranking, tables, verdicts
from rfbench.report.lesions import SIZE_NAMES
from rfbench.report.reading import read_numbers
from rfbench.runs import manifest_path, run_folder
from rfbench.statistics import power as seeds
from rfbench.statistics import verdicts as words


def differences_of(data: pd.DataFrame, differences: pd.DataFrame | None) -> Grid | Hole:
    """What differences.csv says of the means over lesions in the two compared metrics."""
    name = data["dataset"].iloc[0]
    if differences is None:
        return Hole("no differences.csv, which `rfbench statistics` writes")
    own = differences[(differences["dataset"] == name) & (differences["lesion"] == MEAN)]
    own = own[own["metric"].isin(ranking.PRIMARY.values())]
    if own.empty:
        return Hole(f"differences.csv holds nothing of {name}: the baseline {BASELINE_ROW} is none of its rows")
    row_of, heading = dict(zip(data["pair"], data["row"], strict=True)), {v: k for k, v in ranking.PRIMARY.items()}
    lines = [
        [Entry(row_of.get(line["pair"], line["pair"]), link=anchor(name, line["pair"])), heading[line["metric"]],
         f"{number(line['n'], '.0f')}, {number(line['n_reference'], '.0f')}", number(line["difference"], "+.2f"),
         span(line["low"], line["high"]), span(line["population_low"], line["population_high"]),
         p_value(line["p_holm"]), number(line["probability"], ".2f"), _yes(line["practically_equal"]),
         number(line["n_eff"], ".1f")]
        for line in own.to_dict("records")
    ]  # fmt: skip
    columns = [
        Column(ROW, words=True), Column("metric", words=True),
        Column("n", "runs of the row, of the baseline"), Column("− baseline", "in points"),
        Column("retraining, 95 %", "what training again, with new seeds, on the same images would show"),
        Column("new patients too, 95 %", "with other images of the same kind as well"),
        Column("p (Holm)", "of no difference, over all comparisons with the baseline"),
        Column("one retraining beats", "probability that a single new training beats one of the baseline"),
        Column("practically equal", "90 % interval within ±1 point", words=True),
        Column("n_eff", "how many images the sample is worth", hidden=True),
    ]  # fmt: skip
    return plain(f"{name}.differences", f"{name}: differences to {BASELINE_ROW}, points", columns, lines)


@dataclass(frozen=True)
class Methods:
    """A table of whole methods, and what a reader must know beside it."""

    table: Grid
    notes: tuple[str, ...]


def methods_of(data: pd.DataFrame, profile: dict | None, differences: pd.DataFrame | None) -> Methods | None:
    """Table 4 or 6 of the paper on one data set, a group of rows a measure; None without methods."""
    names = methods.names_for(data) if data["split"].iloc[0] != "val" else []
    if not names:
        return None
    name, about = data["dataset"].iloc[0], METHOD_TABLES[names[0]]
    rows = methods.rows_of(data, about, profile, differences)
    said = methods.notes(data, about, rows, profile)
    compared = not said["datasets"][0]["synthetic"]
    groups = []
    for measure, headings in said["measures"].items():
        lines = tuple(_method_line(name, row, headings, compared) for row in rows)
        groups.append(Group(lines, f"{measure}, percent"))
    columns = [Column("method", words=True), Column("n", "finished runs of those configured")]
    for heading in [*LESIONS, "mean"]:
        columns += [Column(heading), *[Column(f"{heading}, published", "the paper's mean of three runs")] * compared]
    texts = [*said["versions"]] * compared
    texts += [f"{text} only, which the papers took from elsewhere." for text in said["elsewhere"] if compared]
    texts += [f"{text}." for text in said["methods"]]
    texts += [
        f"Published since under another protocol, not ranked: {row['name']} {row['mAUPR']} mAUPR, {row['mF']} mF, "
        f"{row['mIoU']} mIoU ({row['source']}; {row['differs']})."
        for row in said["later"] if compared
    ]  # fmt: skip
    caption = f"{name}: {about.title.partition(',')[0]}, whole methods by lesion, mean ± SD over n runs"
    return Methods(Grid(f"{name}.methods", caption, tuple(columns), tuple(groups)), tuple(texts))


def _method_line(name: str, row: dict, headings: list[str], compared: bool) -> tuple[Entry, ...]:
    there = bool(row["configured"])
    counted = f"{row['n']}/{row['configured']}" if there else "published only" if row["elsewhere"] else "–"
    cells = [Entry(row["row"], link=anchor(name, row["pair"]) if there else ""), Entry(counted)]
    for heading in headings:
        cell = row["cells"][heading]
        cells += [Entry(cell.text, cell.mark, cell.letters), *[Entry(cell.published_text)] * compared]
    return tuple(cells)


def _yes(value) -> str:
    return "–" if value != value or value is None or value == "" else ("yes" if str(value) == "True" else "not shown")


def verdict_counts(judged: pd.DataFrame) -> Grid:
    """Published cells by verdict."""
    lines = [
        [f"{row['source']} {row['table']}".strip() + (f" ({', '.join(row['dataset'])})" if len(row["dataset"]) else ""),
         row["cells"], *(row[word] for word in words.VERDICTS)]
        for row in verdicts.counts(judged)
    ]  # fmt: skip
    columns = [Column("table", words=True), Column("cells"), *map(Column, words.VERDICTS)]
    return plain("verdicts", "Published numbers by verdict", columns, lines)


def compared(judged: pd.DataFrame) -> Grid | Hole:
    """The cells that have a number of ours beside the published one, but parameters."""
    own = judged[judged["ours"].notna() & (judged["metric"] != "params_M")]
    if own.empty:
        deviating = judged["reason"].str.startswith("deviations").any()
        reason = "the runs deviate from the published protocol" if deviating else "no real test images were evaluated"
        return Hole(f"{reason}, so no published number but those of parameters has a verdict")
    lines = [
        [cell["row"], f"{cell['table']} ({cell['dataset']})", cell["metric"], cell["lesion"], number(cell["published"]),
         number(cell["ours"]), number(cell["n"], ".0f"), number(cell["difference"], "+.2f"),
         span(cell["low"], cell["high"]), f"±{cell['margin']:g}", cell["verdict"]]
        for cell in own.to_dict("records")
    ]  # fmt: skip
    columns = [
        Column("row", words=True), Column("table", words=True), Column("metric", words=True),
        Column("lesion", words=True), Column("published"), Column("ours"), Column("n"),
        Column("ours − published", "in points"), Column(f"{100 * words.LEVEL:.1f} % interval"),
        Column("margin", "committed before the runs"), Column("verdict", words=True),
    ]  # fmt: skip
    return plain("compared", "Ours − published, points", columns, lines)


def claims(claimed: pd.DataFrame) -> Grid:
    lines = [
        [claim["row"], f"{claim['table']} ({claim['dataset']})", claim["metric"],
         number(claim["published_gain"], "+.2f"), number(claim["gain"], "+.2f"), span(claim["low"], claim["high"]),
         number(claim["n"], ".0f"), claim["claim"], claim["reason"] or "–"]
        for claim in claimed.to_dict("records")
    ]  # fmt: skip
    columns = [
        Column("row", words=True), Column("table", words=True), Column("metric", words=True), Column("published gain"),
        Column("our gain"), Column(f"{100 * words.LEVEL:.1f} % interval"), Column("n"), Column("claim", words=True),
        Column("reason", words=True, hidden=True),
    ]  # fmt: skip
    return plain("claims", f"Published gains over {BASELINE_ROW}, points", columns, lines)


def spreads(ours: pd.DataFrame) -> Grid | Hole:
    """What our spread over seeds can show."""
    if ours.empty:
        return Hole("no two runs of a row on real data are done, so there is no spread of ours")
    shown = power.detectable(ours)
    texts = [power.spread_text(row, shown) for row in ours.to_dict("records")]
    lines = [
        [text["dataset"] + (" (validation)" if text["split"] == "val" else ""), text["metric"], text["sd_text"],
         text["df"], *text["detectable"], text["seeds"], text["noise"]]
        for text in texts
    ]  # fmt: skip
    columns = [
        Column("data set", words=True), Column("metric", words=True), Column("SD of one run [95 %]"), Column("df"),
        *(Column(f"n = {n}", "difference shown with power 0.8 (in brackets: Holm's first step)") for n in seeds.SEEDS),
        Column("seeds for 1 point", "in brackets: at the ends of the SD's interval"),
        Column("noise of 3-run means", "differences below cannot be told from retraining noise"),
    ]  # fmt: skip
    return plain("power", "What seeds can show, points", columns, lines)


def noise(ours: pd.DataFrame) -> list[str]:
    """The sentence about the authors' missing SD, by data set, in the metric that they print."""
    rows = ours[ours["metric"] == "mAUPR"].to_dict("records")
    return [
        f"If the authors' runs vary as ours on {text['dataset']} in {text['metric']} (SD {text['sd_text']}), "
        f"differences below {text['noise']} of 3-run means cannot be told from retraining noise."
        for text in (power.spread_text(row, []) for row in rows)
    ]


def costs_of(profile: dict | None) -> Grid | Hole:
    if profile is None:
        return Hole("nothing is profiled (no profile.json, which `rfbench profile` writes)")
    frame = costs.costs(profile)
    shown = [column for column in costs.COLUMNS if column in frame and frame[column].notna().any()]
    lines = [[row["row"], *(costs.cell_text(row, column) for column in shown)] for _, row in frame.iterrows()]
    columns = [Column(ROW, words=True), *(Column(costs.COLUMNS[column][0]) for column in shown)]
    return plain("costs", f"Costs of operator pairs and methods: {tables.conditions(profile)}", columns, lines)


def sweep(metrics: pd.DataFrame) -> Grid | Hole:
    rows = ablation.rows_of(metrics)
    if not rows:
        return Hole("the configuration sweeps no operator option (config/ablation.yaml does)")
    headings = list(rows[0]["cells"])
    lines = [
        [f"{row['row']} on {row['dataset']}", row["option"], row["value"], f"{row['n']}/{row['configured']}",
         *(row["cells"][heading].text for heading in headings)]
        for row in rows
    ]  # fmt: skip
    columns = [Column("row", words=True), Column("option", words=True), Column("value"), Column("n"),
               *map(Column, headings)]  # fmt: skip
    return plain("ablation", "Ablation: one option at a time, percent, mean ± SD over n runs", columns, lines)


PROBED = ("tiny", "large", "gain_tiny", "gain_large")


def probe(path: Path) -> Grid | Hole:
    """The controlled experiment, from its table; what the controls decide stands before everything else."""
    if not path.exists():
        return Hole(f"no {path}, which `snakemake probe --configfile config/probe.yaml` writes")
    numbers = ["n", *PROBED, *(f"{name}_{end}" for name in PROBED for end in ("low", "high"))]
    try:
        frame = read_numbers(path, ("arm", "row", "H1", "H2", "void", "open"), numbers, "rfbench probe-report")
    except RFBenchError as error:
        return Hole(str(error))
    void, undecided = (next(iter(filter(None, frame[column].astype(str))), "") for column in ("void", "open"))
    state = "all controls passed"
    if void or undecided:
        state = f"VOID, failed controls: {void}" if void else f"preliminary, controls not done: {undecided}"
    groups = []
    for arm, own in frame.groupby("arm", sort=False):
        lines = [
            (row["row"], number(row["n"], ".0f"), *(_probed(row, name) for name in PROBED), row["H1"] or "–",
             row["H2"] or "–")
            for row in own.to_dict("records")
        ]  # fmt: skip
        groups.append(Group(tuple(tuple(Entry(str(cell)) for cell in line) for line in lines), f"arm: {arm}"))
    columns = (
        Column("RF operators", words=True), Column("n", "seeds"), Column("AP, tiny spots"), Column("AP, large spots"),
        Column("− baseline, tiny"), Column("− baseline, large"),
        Column("H1", "a gain at tiny spots, and more than at large", words=True),
        Column("H2", "a larger gain beside large spots", words=True),
    )  # fmt: skip
    return Grid("probe", f"The probe: AP in points with 95 % intervals; {state}", columns, tuple(groups))


def _probed(row: dict, name: str) -> str:
    """An AP, or a gain in it, with its interval, in points."""
    form = "+.1f" if name.startswith("gain") else ".1f"
    low, high = (row[f"{name}_{end}"] for end in ("low", "high"))
    ends = "" if low != low else f" ({100 * low:{form}} to {100 * high:{form}})"
    return number(100 * row[name], form) + ends


def blind_set(data: pd.DataFrame, results: Path) -> Grid | Hole:
    """The regions of the blind set of one data set."""
    name, done = data["dataset"].iloc[0], data[data["state"] == "done"]
    lesions = manifest_path(results, name).with_name(truth.NAME)
    paths = (run_folder(results, *run) / "evaluation.json"
               for run in done[["dataset", "pair", "seed"]].drop_duplicates().itertuples(index=False))  # fmt: skip
    record = next((path for path in paths if path.exists()), None)
    if record is None or not lesions.exists():
        return Hole(f"the blind set of {name} takes {lesions} and the record of a run, whose manifest digest it hashes")
    regions = examples.blind(truth.read(lesions), records.read_evaluation(record)["identity"]["manifest"])
    lines = [
        [one.lesion, f"{SIZE_NAMES[one.size]} px", one.stem, ", ".join(map(str, one.box)), one.digest[:12]]
        for one in regions
    ]
    columns = [Column("lesion", words=True), Column("area", words=True), Column("image", words=True),
               Column("left, top, width, height"), Column("SHA-256", words=True)]  # fmt: skip
    return plain(f"{name}.blind", f"{name}: the blind set", columns, lines)


def differences_by_image(data: pd.DataFrame, results: Path) -> list[examples.Contrast]:
    """Every image's difference in F to the baseline, of one data set; none where there is no baseline."""
    baseline = ranking.baseline_pair(data)
    return examples.contrast(results, data, baseline) if baseline else []


def contrast_set(data: pd.DataFrame, results: Path) -> Grid | Hole:
    """The images of the contrast set of one data set, and where each difference stands."""
    name, found = data["dataset"].iloc[0], differences_by_image(data, results)
    if not found:
        return Hole(f"the contrast set of {name} takes per_image.csv of the baseline's and another row's first seed")
    groups = []
    for lesion in dict.fromkeys(one.lesion for one in found):
        own = [one for one in found if one.lesion == lesion]
        lines = [
            [Entry(one.row), Entry(str(one.images)), Entry(str(one.left_out)),
             *(Entry(f"{gap:+.1f} {stem}") for stem, gap in one.picked), *[Entry("–")] * (5 - len(one.picked))]
            for one in own
        ]  # fmt: skip
        groups.append(Group(tuple(map(tuple, lines)), lesion, lesion))
    hint = "without the lesion, or predicted by neither"
    columns = (Column(ROW, words=True), Column("images"), Column("left out", hint),
               *(Column(f"{percentile} %") for percentile in examples.PERCENTILES))  # fmt: skip
    caption = f"{name}: F − the baseline's by image, points, at percentiles; seed {found[0].seed}"
    return Grid(f"{name}.contrast", caption, columns, tuple(groups))
