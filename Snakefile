# The whole pipeline at a glance. Logic lives in the package; a rule is a thin call of one step.
#   snakemake -c2                                              all shipped studies
#   snakemake -c2 --config study=config/studies/NAME.yaml      one study
import sys
from pathlib import Path

from ketamine_outcomes import workflow as plan_module

PLAN = plan_module.load(config, Path(workflow.basedir), workflow.is_main_process)
STEP = f"{sys.executable} -m ketamine_outcomes step"
HERE = "results/{study}/{cohort}"


wildcard_constraints:
    study="[a-z0-9_-]+",
    cohort="[a-z0-9_-]+",


localrules:
    all,


rule all:
    default_target: True
    input:
        PLAN.targets(),


include: "workflow/rules/data.smk"
include: "workflow/rules/analysis.smk"
include: "workflow/rules/release.smk"
