# Survival curves, log-rank tests, restricted means and recurrent events on data sets of
# survival and KMsurv. Run in a folder that holds data/ and json/: Rscript golden_survival_curves.R
suppressPackageStartupMessages(library(survival))
dir.create("data", showWarnings = FALSE); dir.create("json", showWarnings = FALSE)

# data: cgd of survival; channing of KMsurv (months of age), without the rows of no length
cgd <- survival::cgd
cgd$weight <- cgd$weight / 40                   # not whole: the robust variance by row or centre
write.csv(cgd[, c("id", "center", "treat", "sex", "hos.cat", "weight", "tstart", "tstop", "status")],
          "data/cgd.csv", row.names = FALSE)
data(channing, package = "KMsurv")
write.csv(channing[channing$age > channing$ageentry, c("obs", "death", "ageentry", "age", "gender")],
          "data/channing.csv", row.names = FALSE)

# numbers with all their digits, as in golden_lib.R; NA, NaN and Inf become null
js <- function(x) {
  if (is.list(x)) return(paste0("{", paste0('"', names(x), '": ', vapply(x, js, ""), collapse = ",\n "), "}"))
  one <- if (is.character(x)) encodeString(x, quote = '"') else
    ifelse(is.finite(x), sprintf("%.17g", as.numeric(x)), "null")
  if (is.matrix(x)) one <- apply(matrix(one, nrow(x)), 1, function(r) paste0("[", paste(r, collapse = ", "), "]"))
  if (length(x) == 1 && !inherits(x, "AsIs")) one else paste0("[", paste(one, collapse = ", "), "]")
}
G <- function(id, file, analysis, call, take) {
  e <- new.env(parent = globalenv())
  r_call <- sprintf('d <- read.csv("data/%s.csv")\n%s', file, call)
  value <- eval(parse(text = r_call), e)
  z <- list(id = id, data_file = sprintf("data/%s.csv", file), analysis = analysis, r_call = r_call,
            oracle = sprintf("survival %s, R %s", packageVersion("survival"), getRversion()),
            result = take(value, e))
  writeLines(js(z), sprintf("json/%s.json", id))
}
v <- function(x) I(as.numeric(x))
level <- function(f) if (is.null(f$strata)) rep("all", length(f$time)) else
  rep(sub(".*=", "", names(f$strata)), f$strata)

curve <- function(f, e) {
  q <- quantile(f, c(.1, .25, .5, .75, .9))
  list(group = I(level(f)), time = v(f$time), n_risk = v(f$n.risk), n_event = v(f$n.event),
       surv = v(f$surv), se_surv = v(if (isTRUE(f$logse)) f$surv * f$std.err else f$std.err),
       lower = v(f$lower), upper = v(f$upper), q = v(c(.1, .25, .5, .75, .9)),
       quantile_time = v(t(q$quantile)), quantile_lower = v(t(q$lower)), quantile_upper = v(t(q$upper)))
}
G("cgd_km_weighted_cluster", "cgd", "KM, (start, stop], weights, 13 centres as clusters, 90 % log-log",
  'survfit(Surv(tstart, tstop, status) ~ treat, data = d, weights = weight, cluster = center, conf.type = "log-log", conf.int = .9)', curve)
G("cgd_km_weighted", "cgd", "KM, (start, stop], weights that are not whole: robust by row",
  'survfit(Surv(tstart, tstop, status) ~ sex, data = d, weights = weight, conf.type = "plain")', curve)
G("heart_km_cluster", "heart", "KM by current transplant status, patients as clusters; a limit turns back",
  'survfit(Surv(start, stop, event) ~ transplant, data = d, cluster = id, conf.type = "log")', curve)
G("retinopathy_km_cluster", "retinopathy", "KM by laser type, two eyes a patient",
  'survfit(Surv(futime, status) ~ type, data = d, cluster = id, conf.type = "log-log")', curve)
G("channing_km_lefttrunc", "channing", "KM on the age scale; the men's risk set dies out early",
  'survfit(Surv(ageentry, age, death) ~ gender, data = d, conf.type = "log")', curve)

test <- function(z, e) {
  s <- function(x) if (is.matrix(x)) rowSums(x) else x
  list(n = v(s(z$n)), observed = v(s(z$obs)), expected = v(s(z$exp)), variance = list(values = z$var),
       chisq = z$chisq, df = sum(s(z$exp) > 0) - 1,
       p = pchisq(z$chisq, sum(s(z$exp) > 0) - 1, lower.tail = FALSE))
}
G("retinopathy_logrank_paired", "retinopathy", "log-rank stratified by patient: 197 strata of two eyes",
  "survdiff(Surv(futime, status) ~ trt + strata(id), data = d)", test)
G("pbc_logrank_stage_rho", "pbc", "G-rho = 0.5, four stages (6 missing), stratified by sex",
  "survdiff(Surv(time, status == 2) ~ stage + strata(sex), data = d, rho = .5)", test)
score <- function(m, e) list(chisq = m$score, df = length(coef(m)),
                             p = pchisq(m$score, length(coef(m)), lower.tail = FALSE))
G("channing_logrank_exact", "channing", "left truncation: score test of the exact partial likelihood",
  'coxph(Surv(ageentry, age, death) ~ gender, data = d, ties = "exact")', score)
G("cgd_logrank_exact", "cgd", "(start, stop], four kinds of hospital, stratified by sex: exact score test",
  'coxph(Surv(tstart, tstop, status) ~ factor(hos.cat) + strata(sex), data = d, ties = "exact")', score)

mean_of <- function(tau) function(f, e) { z <- rbind(summary(f, rmean = tau)$table)
  list(tau = tau, rmst = v(z[, "rmean"]), se = v(z[, "se(rmean)"])) }
G("veteran_rmst_celltype", "veteran", "RMST of four cell types, tau 150",
  "survfit(Surv(time, status) ~ celltype, data = d)", mean_of(150))
G("channing_rmst_lefttrunc", "channing", "RMST with delayed entry, tau 1000 months of age",
  "survfit(Surv(ageentry, age, death) ~ gender, data = d)", mean_of(1000))

lost <- function(tau) function(f, e) { assign("d", e$d, globalenv())
  list(tau = tau, cause_1_2 = v(summary(f, rmean = tau)$table[-1, "rmean"]),
       se_infinitesimal_jackknife = v(sqrt(colSums(residuals(f, times = tau, type = "auc")^2))[-1])) }
G("pbc_time_lost", "pbc", "time lost to transplantation (1) and death (2), women, tau 3000 days",
  'd <- d[d$sex == "f", ]\nd$row <- seq_len(nrow(d))\nsurvfit(Surv(time, factor(status)) ~ 1, data = d, id = row)', lost(3000))
G("mgus2_time_lost_lefttrunc", "mgus2", "age scale in months from 45 years: time lost to malignancy (1), death (2)",
  'd <- d[d$age >= 45, ]\nd$a0 <- 12 * d$age\nd$a1 <- d$a0 + d$etime\nd <- d[d$a1 > d$a0, ]\nd$row <- seq_len(nrow(d))\nsurvfit(Surv(a0, a1, factor(event)) ~ 1, data = d, id = row)', lost(1000))

G("cgd_mcf", "cgd", "mean cumulative number of infections by treatment, robust by patient",
  "survfit(Surv(tstart, tstop, status) ~ treat, data = d, id = id, robust = TRUE)",
  function(f, e) list(group = I(level(f)), time = v(f$time), n_risk = v(f$n.risk),
                      mean_cumulative_function = v(f$cumhaz), se_robust = v(f$std.chaz)))
