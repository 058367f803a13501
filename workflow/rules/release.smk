# estimates -> release. `room` is private (unsuppressed) or release (what may leave).


rule release:
    input:
        rules.analyses.output,
        rules.scenarios.output,
    output:
        private=f"{HERE}/private/estimates.parquet",
        release=f"{HERE}/release/estimates.csv",
    params:
        settings=PLAN.settings("release"),
        code=PLAN.code("release"),
    log:
        f"{HERE}/private/logs/release.log",
    benchmark:
        f"{HERE}/private/benchmarks/release.tsv"
    shell:
        "{STEP} release results/{wildcards.study}/{wildcards.cohort} {params.settings:q} > {log} 2>&1"


rule figures:
    input:
        rules.release.output,
        rules.outcomes.output,
    output:
        f"{HERE}/{{room}}/figures/figures.json",
    params:
        settings=PLAN.settings("figures"),
        code=PLAN.code("figures"),
    log:
        f"{HERE}/private/logs/figures_{{room}}.log",
    benchmark:
        f"{HERE}/private/benchmarks/figures_{{room}}.tsv"
    shell:
        "{STEP} figures results/{wildcards.study}/{wildcards.cohort} {params.settings:q} > {log} 2>&1"


rule tables:
    input:
        rules.release.output,
    output:
        f"{HERE}/{{room}}/tables/tables.json",
    params:
        settings=PLAN.settings("tables"),
        code=PLAN.code("tables"),
    log:
        f"{HERE}/private/logs/tables_{{room}}.log",
    benchmark:
        f"{HERE}/private/benchmarks/tables_{{room}}.tsv"
    shell:
        "{STEP} tables results/{wildcards.study}/{wildcards.cohort} {params.settings:q} > {log} 2>&1"


rule page:
    input:
        rules.release.output,
        rules.figures.output,
        rules.tables.output,
        f"{HERE}/private/intake.json",
    output:
        f"{HERE}/{{room}}/report.html",
    params:
        settings=PLAN.settings("page"),
        code=PLAN.code("page"),
    log:
        f"{HERE}/private/logs/page_{{room}}.log",
    benchmark:
        f"{HERE}/private/benchmarks/page_{{room}}.tsv"
    shell:
        "{STEP} page results/{wildcards.study}/{wildcards.cohort} {params.settings:q} > {log} 2>&1"


rule manifest:
    input:
        rules.release.output,
        f"{HERE}/release/figures/figures.json",
        f"{HERE}/release/tables/tables.json",
        f"{HERE}/release/report.html",
        f"{HERE}/private/intake.json",
        PLAN.source,
    output:
        f"{HERE}/release/manifest.json",
    params:
        settings=PLAN.settings("manifest"),
        code=PLAN.code("manifest"),
    log:
        f"{HERE}/private/logs/manifest.log",
    benchmark:
        f"{HERE}/private/benchmarks/manifest.tsv"
    shell:
        "{STEP} manifest results/{wildcards.study}/{wildcards.cohort} {params.settings:q} > {log} 2>&1"
