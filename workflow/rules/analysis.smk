# outcomes -> analyses -> estimates


rule analyses:
    input:
        rules.cohort.output,
        rules.outcomes.output,
    output:
        f"{HERE}/private/estimates_base.parquet",
    log:
        f"{HERE}/private/logs/analyses.log",
    benchmark:
        f"{HERE}/private/benchmarks/analyses.tsv"
    params:
        settings=PLAN.settings("analyses"),
        code=PLAN.code("analyses"),
    shell:
        "{STEP} analyses results/{wildcards.study}/{wildcards.cohort} {params.settings:q} > {log} 2>&1"


rule scenarios:
    input:
        PLAN.factor_files,
        rules.exposure.output,
        f"{HERE}/private/extract",
    output:
        f"{HERE}/private/estimates_scenarios.parquet",
    log:
        f"{HERE}/private/logs/scenarios.log",
    benchmark:
        f"{HERE}/private/benchmarks/scenarios.tsv"
    params:
        settings=PLAN.settings("scenarios"),
        code=PLAN.code("scenarios"),
    shell:
        "{STEP} scenarios results/{wildcards.study}/{wildcards.cohort} {params.settings:q} > {log} 2>&1"
