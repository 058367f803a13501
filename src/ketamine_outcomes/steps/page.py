"""Write the report of one page."""

from __future__ import annotations

from ketamine_outcomes import estimates, files
from ketamine_outcomes.fingerprint import versions
from ketamine_outcomes.release import page
from ketamine_outcomes.steps import Job


def run(job: Job) -> None:
    """Write <room>/report.html."""
    assert job.hashes is not None and job.cohort is not None
    intake = files.read_json(job.private / "intake.json")
    room = job.folder / job.room
    facts = {
        "notes": intake["notes"],
        "definition_hash": job.hashes["base"],
        "versions": versions(),
        "cohort_source": job.cohort.source,
        "waivers": [waiver.model_dump() for waiver in getattr(job.cohort, "waivers", ())],
    }
    text = page.render(
        job.study, job.cohort_name, estimates.read(job.estimates), room / "figures",
        room / "tables", facts, job.room == "private",
    )  # fmt: skip
    files.write_text(room / "report.html", text)
