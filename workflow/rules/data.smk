# source -> extract -> exposure -> cohort -> outcomes


rule simulate:
    output:
        truth=f"{HERE}/private/source/truth.json",
    log:
        f"{HERE}/private/logs/simulate.log",
    benchmark:
        f"{HERE}/private/benchmarks/simulate.tsv"
    params:
        settings=PLAN.settings("simulate"),
        code=PLAN.code("simulate"),
    shell:
        "{STEP} simulate results/{wildcards.study}/{wildcards.cohort} {params.settings:q} > {log} 2>&1"


rule extract:
    input:
        PLAN.source,
    output:
        tables=directory(f"{HERE}/private/extract"),
        intake=f"{HERE}/private/intake.json",
    log:
        f"{HERE}/private/logs/extract.log",
    benchmark:
        f"{HERE}/private/benchmarks/extract.tsv"
    params:
        settings=PLAN.settings("extract"),
        code=PLAN.code("extract"),
    shell:
        "{STEP} extract results/{wildcards.study}/{wildcards.cohort} {params.settings:q} > {log} 2>&1"


# private/unmapped.csv is no output: it must outlive a failure, which it helps to mend.
rule exposure:
    input:
        f"{HERE}/private/extract",
    output:
        rows=f"{HERE}/private/dose_rows.parquet",
        intervals=f"{HERE}/private/intervals.parquet",
    log:
        f"{HERE}/private/logs/exposure.log",
    benchmark:
        f"{HERE}/private/benchmarks/exposure.tsv"
    params:
        settings=PLAN.settings("exposure"),
        code=PLAN.code("exposure"),
    shell:
        "{STEP} exposure results/{wildcards.study}/{wildcards.cohort} {params.settings:q} > {log} 2>&1"


rule cohort:
    input:
        rules.exposure.output,
        f"{HERE}/private/extract",
    output:
        units=f"{HERE}/private/units.parquet",
        attrition=f"{HERE}/private/attrition.parquet",
        courses=f"{HERE}/private/courses.parquet",
        profile=f"{HERE}/private/ketamine_profile.parquet",
        switches=f"{HERE}/private/route_switches.parquet",
        co_analgesia=f"{HERE}/private/co_analgesia.parquet",
    log:
        f"{HERE}/private/logs/cohort.log",
    benchmark:
        f"{HERE}/private/benchmarks/cohort.tsv"
    params:
        settings=PLAN.settings("cohort"),
        code=PLAN.code("cohort"),
    shell:
        "{STEP} cohort results/{wildcards.study}/{wildcards.cohort} {params.settings:q} > {log} 2>&1"


rule outcomes:
    input:
        PLAN.factor_files,
        rules.cohort.output,
        rules.exposure.output,
        f"{HERE}/private/extract",
    output:
        tables=directory(f"{HERE}/private/outcomes"),
        ledger=f"{HERE}/private/ledger.csv",
    log:
        f"{HERE}/private/logs/outcomes.log",
    benchmark:
        f"{HERE}/private/benchmarks/outcomes.tsv"
    params:
        settings=PLAN.settings("outcomes"),
        code=PLAN.code("outcomes"),
    shell:
        "{STEP} outcomes results/{wildcards.study}/{wildcards.cohort} {params.settings:q} > {log} 2>&1"
