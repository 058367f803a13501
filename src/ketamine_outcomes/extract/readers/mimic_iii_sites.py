"""Peripheral lines of MIMIC-III as site episodes: one cannula from insertion to removal.

Rules
-----
*Metavision.* A row "NN Gauge" of procedureevents_mv is an episode with a charted start and end.
Site charting names the gauge, not the line, and is joined by ICU stay, gauge and time, with a
tolerance of one charting round (`ROUND`, 4 h: the median distance of two inspections) on both
sides; what was charted outside the line's hours is dated to its start or end. Two lines of one
gauge at once make the join ambiguous: an inspection without a finding says that no line of that
gauge showed anything and counts for every one running; a finding counts for one line only, the
one removed within `REMOVAL` (2 h) of it (injured lines are pulled, and the reason is charted
minutes after the end), else the running one that ends first. Charting that no line explains is a
cannula without a row: an episode from first to last charting, split at pauses over 24 h and
wherever a charted line of that gauge lies between, its end flagged as inferred.

*Carevue.* A slot (IV #1-#4) is split where site or size changes or charting pauses for more than
24 h; start and end are its first and last charting and every end is flagged as inferred. The
empty rows marked D/C'd are charting too (the slot was closed then) but never open an episode.

*Findings.* Site words become signs (`SIGN_OF` of `mimic_iii_charting`); bleeding, oozing, old blood
and bruises are kept but are no injury by infusion. Scale rows keep their grade; grade 0 is an
inspection. A reason of discontinuation "Infiltrated" or "Phlebitis" is a finding too, without a
grade, at its charted time: a nurse who pulls a line for it has seen it, and for 10 lines of the
demo nothing else tells. `WNL` beside a finding of the same minute and line is dropped, and equal
findings of one minute count once.

*End.* The charted reason, when it lies within `ROUND` of the end; else the end of the ICU stay
when a metavision line ends with it (within 5 min: the system closes open lines at ICU exit), or
an inferred episode was charted in the last 12 h of it (one shift) and not closed; else unknown.

Counts in the demo
------------------
Held by tests/spec/test_line_episodes.py. An *event* is a first infiltration, erythema, swelling,
pain, leak or phlebitis; it is *incident* when it is not there at first sight.

======================================  =====  ======  ========
unit                                    units  events  incident
======================================  =====  ======  ========
stay x gauge or slot (independent)        238      37        31
the same, from `read_charting`            238      37        31
the same, each scale item a line          261      37        31
episodes, appearance and scales only      325      38        31
episodes with reasons of removal          325      48        40
======================================  =====  ======  ========

325 = 176 charted metavision lines + 4 inferred + 145 carevue episodes, of 95 patients. Of the 238
groups one is a single row dated a year late, outside every stay: it is set aside. The others
become more episodes since a group holds successive or parallel cannulas; two slots and one gauge
of a stay were never inspected and are in no group. All 37 groups keep their event; one slot injured
two cannulas in turn, hence 38. The independent "about 320 and about 35" differs by rules of
splitting that it did not state.
"""

from __future__ import annotations

import pandas as pd

from ketamine_outcomes.extract.readers.mimic_iii_charting import CHARTING

END_REASON_OF = {
    "infiltrated": "complication",
    "phlebitis": "complication",
    "routine change": "resited",
    "clotted off": "occluded",
    "treatment dc'd": "completed",
    "treatment discontinued": "completed",
    "other/remarks": "unknown",
}

PAUSE = pd.Timedelta(hours=24)
ROUND = pd.Timedelta(hours=4)
REMOVAL = pd.Timedelta(hours=2)
SHIFT = pd.Timedelta(hours=12)
AT_EXIT = pd.Timedelta(minutes=5)

_SITE = [
    "patient_id",
    "icustay_id",
    "system",
    "site_episode_id",
    "route",
    "device",
    "position",
    "start",
    "end",
    "end_reason",
    "end_inferred",
]


def build_sites(
    charting: pd.DataFrame, lines: pd.DataFrame, stays: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Return site episodes, their findings, and notes.

    Parameters
    ----------
    charting
        From `read_charting`, rows of one ICU stay each.
    lines
        Peripheral lines of procedureevents_mv: patient_id, icustay_id, row_id, device, position,
        start, end.
    stays
        ICU stays: icustay_id, start, end, end_reason.

    Returns
    -------
    (sites, findings, notes)
        Canonical infusion_sites and site_events rows; sites has icustay_id and system besides,
        findings has charted_as.
    """
    notes: list[str] = []
    metavision = charting[charting["system"] == "metavision"]
    joined, leftover = join_lines(metavision, lines, notes)
    charted = lines.assign(
        site_episode_id="mv-" + lines["row_id"].astype(str), system="metavision", end_inferred=False
    )
    inferred, inferred_rows = infer_lines(leftover, lines, notes)
    slots, slot_rows = split_slots(charting[charting["system"] == "carevue"], notes)
    sites = _stack([charted, inferred, slots])
    rows = _stack([joined, inferred_rows, slot_rows])
    sites["route"] = "iv"
    sites["end_reason"] = end_reasons(sites, rows, stays, notes)
    findings = _findings(rows, notes)
    sites = sites[_SITE].sort_values(["patient_id", "start", "site_episode_id"], ignore_index=True)
    alone = int((~sites["site_episode_id"].isin(findings["site_episode_id"])).sum())
    notes.append(f"{alone} site episodes have no inspection and no finding.")
    brief = int((sites["start"] == sites["end"]).sum())
    notes.append(f"{brief} site episodes were charted once only and have no duration.")
    stay = sites[["icustay_id"]].merge(stays, on="icustay_id", how="left")
    notes.append(
        f"{int((sites['start'] < stay['start']).sum())} site episodes start before their ICU stay "
        f"and {int((sites['end'] > stay['end']).sum())} end after it, as charted: they are kept."
    )
    return sites, findings, notes


def join_lines(
    charting: pd.DataFrame, lines: pd.DataFrame, notes: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Join metavision charting to the charted lines of its stay and gauge.

    Returns
    -------
    (joined, leftover)
        Charting rows with site_episode_id, row time moved into the line's hours; and the rows
        that no line explains. An inspection may appear once per line running.
    """
    lines = lines.assign(site_episode_id="mv-" + lines["row_id"].astype(str))
    pairs = charting.merge(
        lines[["icustay_id", "device", "site_episode_id", "start", "end"]],
        left_on=["icustay_id", "label"],
        right_on=["icustay_id", "device"],
    )
    time, start, end = pairs["time"], pairs["start"], pairs["end"]
    pairs["running"] = (start <= time) & (time <= end)
    pairs = pairs[(start - ROUND <= time) & (time <= end + ROUND)].copy()
    from_end = (pairs["time"] - pairs["end"]).abs()
    pairs["adverse"] = ~pairs["sign"].eq("none") & pairs["word"].notna()
    pairs["removed"] = pairs["adverse"] & (from_end <= REMOVAL)
    # choice of one line: removal near the finding, then running, then nearest in time
    pairs["rank"] = 2 - 1 * pairs["running"]
    pairs.loc[pairs["removed"], "rank"] = 0
    outside = pd.concat([pairs["start"] - pairs["time"], pairs["time"] - pairs["end"]], axis=1).max(
        axis=1
    )
    pairs["distance"] = outside
    pairs.loc[pairs["removed"], "distance"] = from_end[pairs["removed"]]
    # among running lines the one that ends first has the smallest time left
    pairs.loc[pairs["rank"] == 1, "distance"] = (pairs["end"] - pairs["time"])[pairs["rank"] == 1]
    pairs = pairs.sort_values(["row_id", "rank", "distance", "start", "site_episode_id"])
    best = ~pairs.duplicated("row_id")
    shared = ~pairs["adverse"] & pairs["running"]
    joined = pairs[best | shared].copy()

    running = pairs[pairs["running"]].groupby("row_id").size()
    several = set(running[running > 1].index)
    findings = joined[joined["adverse"] & joined["row_id"].isin(several)]
    copies = int(joined.duplicated("row_id").sum())
    notes.append(
        f"{len(several)} charting rows fell on more than one running line of their gauge: "
        f"{copies} copies of inspections without a finding were made, and {len(findings)} "
        "findings or reasons were given to one line each."
    )
    late, early = joined["time"] > joined["end"], joined["time"] < joined["start"]
    notes.append(
        f"{int(late.sum())} rows charted up to 4 h after a line's end were dated to its end, "
        f"{int(early.sum())} charted up to 4 h before its start to its start."
    )
    joined["charted_time"] = joined["time"]
    joined["time"] = joined["time"].clip(lower=joined["start"], upper=joined["end"])
    leftover = charting[~charting["row_id"].isin(joined["row_id"])]
    return joined[[*CHARTING, "site_episode_id", "charted_time"]], leftover


def infer_lines(
    leftover: pd.DataFrame, lines: pd.DataFrame, notes: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make episodes of metavision charting that no charted line explains."""
    sites: list[dict[str, object]] = []
    rows: list[pd.DataFrame] = []
    reasons_alone = 0
    for (stay, gauge), group in leftover.groupby(["icustay_id", "label"], sort=True):
        group = group.sort_values(["time", "row_id"])
        known = lines[(lines["icustay_id"] == stay) & (lines["device"] == gauge)]
        starts = known["start"].sort_values().to_numpy()
        before = pd.Series(starts.searchsorted(group["time"].to_numpy()), index=group.index)
        breaks = (group["time"].diff() > PAUSE) | (before.diff() > 0)
        for _, episode in group.groupby(breaks.cumsum()):
            if (episode["charted_as"] == "reason").all():
                reasons_alone += len(episode)
                continue
            name = f"mvc-{episode['row_id'].iloc[0]}"
            sites.append(_inferred(episode, name, str(gauge), None))
            rows.append(episode.assign(site_episode_id=name, charted_time=episode["time"]))
    notes.append(
        f"{len(sites)} metavision site episodes have no procedureevents row and were inferred "
        f"from {sum(map(len, rows))} charting rows; {reasons_alone} reasons of discontinuation "
        "without a line were set aside."
    )
    return _collect(sites, rows, leftover)


def split_slots(charting: pd.DataFrame, notes: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split carevue slots into episodes by site, size and pauses in charting."""
    sites: list[dict[str, object]] = []
    rows: list[pd.DataFrame] = []
    set_aside = 0
    for _, group in charting.groupby(["patient_id", "icustay_id", "label"], sort=True):
        group = group.sort_values(["time", "row_id"])
        number, number_of = 0, {}
        last: pd.Timestamp | None = None
        current: dict[str, str] = {}
        for at, moment in group.groupby("time", sort=True):
            time = pd.Timestamp(str(at))
            said = {
                part: word
                for part, word in zip(moment["charted_as"], moment["word"], strict=True)
                if part in ("position", "device") and word is not None
            }
            changed = any(current.get(part, word) != word for part, word in said.items())
            if changed or (last is not None and time - last > PAUSE):
                number, current = number + 1, {}
            current.update(said)
            number_of[time], last = number, time
        for _, episode in group.groupby(group["time"].map(number_of)):
            present = episode[episode["word"].notna() & (episode["charted_as"] != "reason")]
            if present.empty:  # a slot closed long after its last charting is no new cannula
                set_aside += len(episode)
                continue
            first = {
                part: present.loc[present["charted_as"] == part, "word"].iloc[:1].tolist()
                for part in ("position", "device")
            }
            gauge = f"{first['device'][0].split()[0]}G" if first["device"] else None
            name = f"cv-{episode['row_id'].iloc[0]}"
            place = first["position"][0] if first["position"] else None
            sites.append(_inferred(episode, name, gauge, place))
            rows.append(episode.assign(site_episode_id=name, charted_time=episode["time"]))
    notes.append(
        f"{len(sites)} carevue site episodes came from splitting slots; all their ends are "
        f"inferred; {set_aside} rows of slots that were only closed were set aside."
    )
    return _collect(sites, rows, charting)


def _inferred(
    episode: pd.DataFrame, name: str, device: str | None, position: str | None
) -> dict[str, object]:
    first = episode.iloc[0]
    return {
        "patient_id": first["patient_id"],
        "icustay_id": first["icustay_id"],
        "system": first["system"],
        "site_episode_id": name,
        "device": device,
        "position": position,
        "start": episode["time"].min(),
        "end": episode["time"].max(),
        "end_inferred": True,
    }


def _stack(tables: list[pd.DataFrame]) -> pd.DataFrame:
    # an empty table would decide the dtypes of the others
    return pd.concat([t for t in tables if len(t)] or tables[:1], ignore_index=True)


def _collect(
    sites: list[dict[str, object]], rows: list[pd.DataFrame], like: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    empty = like.iloc[:0].assign(site_episode_id=None, charted_time=like["time"].iloc[:0])
    columns = [c for c in _SITE if c not in ("route", "end_reason")]
    return pd.DataFrame(sites, columns=columns), pd.concat(rows) if rows else empty


def end_reasons(
    sites: pd.DataFrame, rows: pd.DataFrame, stays: pd.DataFrame, notes: list[str]
) -> pd.Series:
    """Return why each episode ended: the charted reason, else ICU exit, else unknown."""
    reasons = rows[(rows["charted_as"] == "reason") & rows["word"].notna()]
    reasons = reasons.merge(sites[["site_episode_id", "end"]], on="site_episode_id")
    near = reasons[(reasons["charted_time"] - reasons["end"]).abs() <= ROUND]
    near = near.sort_values(["time", "row_id"]).drop_duplicates("site_episode_id", keep="last")
    words = near.set_index("site_episode_id")["word"].str.lower().map(END_REASON_OF)
    charted = sites["site_episode_id"].map(words.fillna("unknown"))
    stay = sites[["icustay_id"]].merge(
        stays[["icustay_id", "end", "end_reason"]], on="icustay_id", how="left"
    )
    closed = set(rows.loc[rows["word"].isna(), "site_episode_id"])
    left = (stay["end"] - sites["end"]).reset_index(drop=True)
    inferred = sites["end_inferred"].astype(bool)
    limit = inferred.map({True: SHIFT, False: AT_EXIT})
    at_exit = (left <= limit) & ~(inferred & sites["site_episode_id"].isin(closed))
    at_exit &= charted.isna()
    notes.append(
        f"The reason of discontinuation is known for {int(charted.notna().sum())} of {len(sites)} "
        f"site episodes ({len(reasons) - len(near)} more rows repeat one or lie over 4 h from the "
        f"end); {int((at_exit & ~inferred).sum())} charted lines end with the ICU stay within "
        f"5 min and {int((at_exit & inferred).sum())} inferred ones within its last 12 h."
    )
    return charted.where(~at_exit, stay["end_reason"].set_axis(sites.index)).fillna("unknown")


def _findings(rows: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    seen = rows[rows["sign"].notna()].copy()
    moment = ["site_episode_id", "time"]
    bare = seen["scale"].isna()
    found = seen[bare & (seen["sign"] != "none")][moment].drop_duplicates()
    beside = seen[moment].merge(found, on=moment, how="left", indicator=True)["_merge"].eq("both")
    contradicted = bare & seen["sign"].eq("none") & beside.set_axis(seen.index)
    # a finding that is also the reason of removal stays a finding
    seen = seen[~contradicted].assign(late=seen["charted_as"] == "reason")
    seen = seen.sort_values(["site_episode_id", "time", "late", "row_id"])
    repeated = seen.duplicated([*moment, "sign", "scale"])
    notes.append(
        f"{int(contradicted.sum())} inspections without a finding stood beside a finding of the "
        f"same minute and {int(repeated.sum())} findings or inspections repeated one: both dropped."
    )
    seen = seen[~repeated]
    # the chart does not say whether infusion or disease did it
    seen["attribution"] = seen["sign"].ne("none").map({True: "unclear", False: None})
    columns = [
        "patient_id",
        "site_episode_id",
        "time",
        "sign",
        "grade",
        "scale",
        "attribution",
        "charted_as",
    ]
    return seen[columns].sort_values(
        ["patient_id", "time", "site_episode_id", "sign", "scale"], ignore_index=True
    )
