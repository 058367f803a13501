# Meta-analyses of published trials (package metadat) by metafor, all methods, tests and intervals.
# Run in a folder that holds data/ and json/:  Rscript golden_meta.R
suppressMessages({ library(metafor); library(jsonlite) })
dir.create("json", FALSE); dir.create("data", FALSE)
W <- function(d, name) { d <- as.data.frame(d); d$yi <- as.numeric(d$yi); d$vi <- as.numeric(d$vi); write.csv(format(d, digits = 17, trim = TRUE), file.path("data", paste0(name, ".csv")), row.names = FALSE, quote = FALSE) }
W(escalc(measure = "SMD", m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i, n2i = n2i, data = dat.normand1999)[c("study", "yi", "vi")], "normand")
W(dat.raudenbush1985[c("study", "weeks", "setting", "tester", "yi", "vi")], "raudenbush")
W(dat.bangertdrowns2004[c("id", "grade", "length", "wic", "feedback", "imag", "yi", "vi")], "bangertdrowns")
W(escalc(measure = "OR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = dat.nielweise2007)[c("study", "yi", "vi")], "nielweise")

CT <- list(threshold = 1e-14, maxiter = 100000, tol = 1e-14)
model <- function(d, method, test, mods = ~ 1, level = 95) rma(yi, vi, mods = mods, data = d, method = method, test = test, level = level, control = if (method == "DL") list() else CT)
TESTS <- c(z = "z", hartung_knapp = "knha", modified_hartung_knapp = "adhoc")
one <- function(d, level = 95) sapply(c("REML", "DL", "PM"), function(method) {
  z <- model(d, method, "z", level = level); cf <- confint(z, control = list(tau2.max = 1e5, tol = 1e-14))$random
  o <- list(tau2 = z$tau2, se_tau2 = z$se.tau2, I2 = z$I2, H2 = z$H2, QE = z$QE, QEp = z$QEp, log_likelihood = as.numeric(logLik(z)), interval = list(tau2 = unname(cf["tau^2", 2:3]), tau = unname(cf["tau", 2:3]), I2 = unname(cf["I^2(%)", 2:3]), H2 = unname(cf["H^2", 2:3])), weights = unname(weights(z)))
  for (t in names(TESTS)) { m <- model(d, method, TESTS[[t]], level = level); p <- predict(m); l <- leave1out(m)
    o[[t]] <- list(estimate = as.numeric(m$beta), se = m$se, statistic = m$zval, p = m$pval, ci = c(m$ci.lb, m$ci.ub), prediction = c(p$pi.lb, p$pi.ub), leave_one_out = lapply(unclass(l)[c("estimate", "se", "pval", "ci.lb", "ci.ub", "Q", "Qp", "tau2", "I2", "H2")], as.numeric)) }
  o }, simplify = FALSE)
regression <- function(d, mods) sapply(c("REML", "DL", "PM"), function(method) sapply(names(TESTS), function(t) { m <- suppressWarnings(model(d, method, TESTS[[t]], mods)); list(k = m$k, coef = coef(m), se = setNames(m$se, names(coef(m))), p = setNames(m$pval, names(coef(m))), tau2 = m$tau2, se_tau2 = m$se.tau2, I2 = m$I2, R2 = m$R2, QE = m$QE, QEp = m$QEp, QM = m$QM, QMp = m$QMp, log_likelihood = as.numeric(logLik(m))) }, simplify = FALSE), simplify = FALSE)
named <- function(x) if (is.list(x)) lapply(x, named) else if (!is.null(names(x))) as.list(x) else x
G <- function(id, data, analysis, call) { cat(id, "\n"); d <- read.csv(file.path("data", paste0(data, ".csv")), stringsAsFactors = TRUE)
  x <- list(id = id, data_file = paste0("data/", data, ".csv"), analysis = analysis, r_call = paste(deparse(substitute(call), width.cutoff = 500), collapse = " "), oracle = paste0("metafor ", packageVersion("metafor"), ", ", R.version.string), result = named(eval(substitute(call))))
  writeLines(toJSON(x, auto_unbox = TRUE, digits = I(16), pretty = TRUE, null = "null", na = "null"), file.path("json", paste0(id, ".json"))) }
G("normand_meta", "normand", "length of stay, strong heterogeneity", one(d))
G("raudenbush_meta_level90", "raudenbush", "teacher expectancy, level 0.90", one(d, 90))
G("nielweise_meta", "nielweise", "catheter infection, log odds ratios", one(d))
G("raudenbush_meta_regression", "raudenbush", "weeks of contact and setting (words)", regression(d, ~ weeks + setting))
G("bangertdrowns_meta_regression", "bangertdrowns", "four moderators, some missing", regression(d, ~ length + wic + feedback + imag))
