# Cox models on public data: options together, exact ties, prediction with robust errors.
# Run in a folder that holds data/ and json/:  Rscript golden_cox.R
# The data are written here too, from the packages survival and datasets.
suppressPackageStartupMessages({ library(survival); library(jsonlite) })
dir.create("json", showWarnings = FALSE)
CC <- coxph.control(eps = 1e-12, iter.max = 60, toler.chol = 1e-13)

write_data <- function(d, name) {
  names(d) <- gsub(".", "_", names(d), fixed = TRUE)
  write.csv(d, file.path("data", paste0(name, ".csv")), row.names = FALSE, na = "")
}
d <- cgd; d$w <- 0.5 + (seq_len(nrow(d)) %% 4) / 2; write_data(d, "cgd_cox")
write_data(kidney, "kidney_cox")
d <- infert; d$one <- 1; write_data(d, "infert_cox")
d <- transplant[transplant$futime > 0, ]; d$dead <- 1 * (d$event == "death"); write_data(d, "transplant_cox")

# factor levels by their bytes, as Python sorts them
read_data <- function(name) {
  d <- read.csv(file.path("data", paste0(name, ".csv")))
  for (v in names(d)) if (is.character(d[[v]])) d[[v]] <- factor(d[[v]], levels = sort(unique(d[[v]]), method = "radix"))
  d
}
named <- function(v, m) setNames(as.list(as.numeric(v)), names(coef(m)))
kinds <- c(martingale = "martingale", deviance = "deviance", score = "score", schoenfeld = "schoenfeld",
           scaled_schoenfeld = "scaledsch", dfbeta = "dfbeta", dfbetas = "dfbetas")

fit_out <- function(m, residuals = FALSE, zph = FALSE, new = NULL, ci = "log") {
  naive <- if (is.null(m$naive.var)) m$var else m$naive.var
  o <- list(n = m$n, n_event = m$nevent, coef = named(coef(m), m), std_error = named(sqrt(diag(as.matrix(m$var))), m),
            std_error_information = named(sqrt(diag(as.matrix(naive))), m),
            log_likelihood_null = m$loglik[1], log_likelihood = m$loglik[2], score_test = m$score, wald_test = as.numeric(m$wald.test))
  if (!is.null(m$rscore)) o$robust_score_test <- m$rscore
  if (residuals) o$residuals <- lapply(kinds, function(k) unname(as.matrix(resid(m, k))))
  if (zph) o$zph <- lapply(c(km = "km", rank = "rank", identity = "identity", log = "log"), function(t) unname(as.matrix(cox.zph(m, transform = t)$table)))
  if (!is.null(new)) {
    s <- survfit(m, newdata = new, conf.type = ci)
    o$survival <- list(conf_type = ci, time = s$time, surv = c(s$surv), se_log = c(s$std.err), lower95 = c(s$lower), upper95 = c(s$upper),
                       n_risk = c(s$n.risk), n_event = c(s$n.event))
    p <- predict(m, newdata = new, type = "lp", reference = "zero", se.fit = TRUE)
    o$linear_predictor <- list(fit = as.numeric(p$fit), se = as.numeric(p$se.fit))
  }
  o
}

# id, data, R source of the fit (a coxph object m), what else to store
G <- function(id, file, analysis, code, ...) {
  d <- read_data(file)
  m <- eval(parse(text = code))
  out <- list(id = id, data_file = paste0("data/", file, ".csv"), analysis = analysis, r_call = code,
              oracle = paste0("survival ", packageVersion("survival"), ", R ", getRversion()), result = fit_out(m, ...))
  writeLines(toJSON(out, digits = I(17), auto_unbox = TRUE, na = "null", null = "null", matrix = "rowmajor", pretty = FALSE), file.path("json", paste0(id, ".json")))
}

for (t in c("efron", "breslow"))
  G(paste0("cgd_cox_everything_", t), "cgd_cox", paste("delayed entry, weights, strata, cluster and interaction together,", t),
    sprintf('coxph(Surv(tstart, tstop, status) ~ treat * age + inherit + strata(hos_cat), data = d, weights = w, cluster = id, ties = "%s", control = CC)', t),
    residuals = TRUE, zph = TRUE)
G("cgd_cox_curves", "cgd_cox", "Andersen-Gill, survival of new rows with the robust variance",
  "coxph(Surv(tstart, tstop, status) ~ treat + sex + age + inherit, data = d, cluster = id, control = CC)",
  new = data.frame(treat = c("placebo", "rIFN-g"), sex = "male", age = c(5, 20), inherit = "X-linked"))
G("cgd_cox_offset", "cgd_cox", "offset and few clusters", "coxph(Surv(tstart, tstop, status) ~ treat + age + offset(height / 300), data = d, cluster = hos_cat, control = CC)")
G("kidney_cox_cluster", "kidney_cox", "factor of four levels, robust by patient, plain interval",
  "coxph(Surv(time, status) ~ age + sex + disease, data = d, cluster = id, control = CC)", zph = TRUE,
  new = data.frame(age = c(30, 60), sex = 1:2, disease = c("GN", "PKD")), ci = "plain")
G("kidney_cox_exact", "kidney_cox", "exact ties", 'coxph(Surv(time, status) ~ age + sex + disease, data = d, ties = "exact", control = CC)')
G("transplant_cox_exact", "transplant_cox", "exact ties, missing ages", 'coxph(Surv(futime, dead) ~ age + sex + abo, data = d, ties = "exact", control = CC)')
G("infert_clogit", "infert_cox", "conditional logistic regression, matched sets", 'coxph(Surv(one, case) ~ spontaneous + induced + strata(stratum), data = d, ties = "exact", control = CC)')
G("infert_clogit_large_sets", "infert_cox", "conditional logistic regression, up to 40 cases of 120 in a set",
  'coxph(Surv(one, case) ~ spontaneous * induced + age + strata(education), data = d, ties = "exact", control = CC)')
G("heart_cox_exact_lefttrunc", "heart", "exact ties with delayed entry and offset",
  'coxph(Surv(start, stop, event) ~ age + surgery + transplant + offset(year / 10), data = d, ties = "exact", control = CC)')
G("retinopathy_cox_strata_curves", "retinopathy", "fractional weights, strata, log-log interval",
  "coxph(Surv(futime, status) ~ trt * type + risk + strata(eye), data = d, weights = 1 / risk, control = CC)",
  new = data.frame(trt = 0:1, type = c("adult", "juvenile"), risk = 9, eye = c("left", "right")), ci = "log-log")

# Harrell's C of the models of the four public fits that need neither entry, strata nor weights
concordances <- list(lung = "coxph(Surv(time, status == 2) ~ age + sex + ph.ecog, d)", veteran = "coxph(Surv(time, status) ~ karno + celltype + age, d)",
                     ovarian = "coxph(Surv(futime, fustat) ~ rx + age, d)", kidney_cox = "coxph(Surv(time, status) ~ age + sex + disease, d)")
for (f in names(concordances)) {
  d <- read_data(f)
  out <- list(id = paste0("cox_concordance_", f), data_file = paste0("data/", f, ".csv"), analysis = "Harrell's C of a Cox model", r_call = paste0("concordance(", concordances[[f]], ")"),
              oracle = paste0("survival ", packageVersion("survival"), ", R ", getRversion()), result = list(concordance = concordance(eval(parse(text = concordances[[f]])))$concordance))
  writeLines(toJSON(out, digits = I(17), auto_unbox = TRUE), file.path("json", paste0(out$id, ".json")))
}
