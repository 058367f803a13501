# estimates -> release. figures, tables and page are made twice: for private/ (unsuppressed)
# and for release/ (what may leave), in one job, because their imports cost more than they do.


rule release:
    input:
        rules.analyses.output,
        rules.scenarios.output,
    output:
        private=f"{HERE}/private/estimates.parquet",
        release=f"{HERE}/release/estimates.csv",
    log:
        f"{HERE}/private/logs/release.log",
    benchmark:
        f"{HERE}/private/benchmarks/release.tsv"
    params:
        settings=PLAN.settings("release"),
        code=PLAN.code("release"),
    shell:
        "{STEP} release results/{wildcards.study}/{wildcards.cohort} {params.settings:q} > {log} 2>&1"


rule figures:
    input:
        rules.release.output,
        rules.outcomes.output,
    output:
        private=f"{HERE}/private/figures/figures.json",
        release=f"{HERE}/release/figures/figures.json",
    log:
        f"{HERE}/private/logs/figures.log",
    benchmark:
        f"{HERE}/private/benchmarks/figures.tsv"
    params:
        settings=PLAN.settings("figures"),
        code=PLAN.code("figures"),
    shell:
        "{STEP} figures results/{wildcards.study}/{wildcards.cohort} {params.settings:q} > {log} 2>&1"


rule tables:
    input:
        rules.release.output,
    output:
        private=f"{HERE}/private/tables/tables.json",
        release=f"{HERE}/release/tables/tables.json",
    log:
        f"{HERE}/private/logs/tables.log",
    benchmark:
        f"{HERE}/private/benchmarks/tables.tsv"
    params:
        settings=PLAN.settings("tables"),
        code=PLAN.code("tables"),
    shell:
        "{STEP} tables results/{wildcards.study}/{wildcards.cohort} {params.settings:q} > {log} 2>&1"


rule page:
    input:
        rules.release.output,
        rules.figures.output,
        rules.tables.output,
        f"{HERE}/private/intake.json",
    output:
        private=f"{HERE}/private/report.html",
        release=f"{HERE}/release/report.html",
    log:
        f"{HERE}/private/logs/page.log",
    benchmark:
        f"{HERE}/private/benchmarks/page.tsv"
    params:
        settings=PLAN.settings("page"),
        code=PLAN.code("page"),
    shell:
        "{STEP} page results/{wildcards.study}/{wildcards.cohort} {params.settings:q} > {log} 2>&1"


rule manifest:
    input:
        rules.release.output,
        rules.page.output,
        f"{HERE}/private/intake.json",
        PLAN.source,
    output:
        f"{HERE}/release/manifest.json",
    log:
        f"{HERE}/private/logs/manifest.log",
    benchmark:
        f"{HERE}/private/benchmarks/manifest.tsv"
    params:
        settings=PLAN.settings("manifest"),
        code=PLAN.code("manifest"),
    shell:
        "{STEP} manifest results/{wildcards.study}/{wildcards.cohort} {params.settings:q} > {log} 2>&1"
