"""Write both reports."""

from __future__ import annotations

from ketamine_outcomes import estimates, files
from ketamine_outcomes.fingerprint import versions
from ketamine_outcomes.release import page
from ketamine_outcomes.steps import Job


def run(job: Job) -> None:
    """Write report.html of both rooms."""
    assert job.hashes is not None and job.cohort is not None
    intake = files.read_json(job.private / "intake.json")
    facts = {
        "notes": intake["notes"],
        "definition_hash": job.hashes["base"],
        "versions": versions(),
        "cohort_source": job.cohort.source,
        "waivers": [waiver.model_dump() for waiver in getattr(job.cohort, "waivers", ())],
    }
    for room, rows, private in job.rooms():
        text = page.render(
            job.study,
            job.cohort_name,
            estimates.read(rows),
            room / "figures",
            room / "tables",
            facts,
            private,
        )
        files.write_text(room / "report.html", text)
