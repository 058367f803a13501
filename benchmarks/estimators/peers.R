# R's packages on the same rows: Rscript peers.R TASK FOLDER [second route]
suppressPackageStartupMessages({ library(survival); library(jsonlite) })
a <- commandArgs(TRUE); task <- a[1]; folder <- a[2]; route <- if (length(a) > 2) a[3] else ""
names <- fromJSON(file.path(folder, "columns.json"))
bytes <- file.size(file.path(folder, "values.bin")); n <- bytes / 8 / length(names)
con <- file(file.path(folder, "values.bin"), "rb")
d <- as.data.frame(setNames(lapply(names, function(i) readBin(con, "double", n, endian = "little")), names)); close(con)
terms <- function(b, s) { k <- names(b) != "(Intercept)"; c(setNames(as.list(b[k]), paste(names(b)[k], "estimate")), setNames(as.list(s[k]), paste(names(b)[k], "std_error"))) }
last <- function(risk, e, s) { i <- max(which(risk >= 20)); list(estimate = e[i], std_error = s[i]) }
X <- function(k) paste0("x", 0:(k - 1), collapse = " + ")
cox <- function(right, rest = "") function(d) { m <- eval(parse(text = sprintf("coxph(%s, data = d%s)", right, rest))); c(terms(coef(m), sqrt(diag(vcov(m)))), if (task != "cox_robust") list(log_likelihood = m$loglik[2])) }
fits <- list(
  mixed = function(d) { m <- lme4::lmer(y ~ time + x1 + x2 + x3 + x4 + (time | patient), d, control = lme4::lmerControl(calc.derivs = FALSE)); c(terms(lme4::fixef(m), sqrt(diag(as.matrix(vcov(m))))), list(log_likelihood = as.numeric(logLik(m)))) },
  cox = cox(paste("Surv(time, event) ~", X(10))), cox_untied = cox(paste("Surv(time, event) ~", X(10))),
  cox_robust = cox(paste("Surv(time, event) ~", X(10)), ", cluster = site"),
  cox_counting = cox(paste("Surv(start, stop, event) ~", X(6)), ", cluster = patient"),
  kaplan_meier = function(d) { f <- survfit(Surv(time, event) ~ 1, d); last(f$n.risk, f$surv, f$std.err * f$surv) },
  aalen_johansen = function(d) { f <- survfit(Surv(time, factor(event)) ~ 1, d); last(f$n.risk[, 1], f$pstate[, 2], f$std.err[, 2]) },
  fine_gray = function(d) { if (route == "finegray") { d$state <- factor(d$event, 0:2); d$id <- seq_len(nrow(d)); g <- finegray(Surv(time, state) ~ ., data = d[setdiff(names(d), "event")], etype = "1"); m <- coxph(as.formula(paste("Surv(fgstart, fgstop, fgstatus) ~", X(5))), weights = fgwt, data = g, cluster = id); terms(coef(m), sqrt(diag(vcov(m)))) }
    else { m <- cmprsk::crr(d$time, d$event, as.matrix(d[paste0("x", 0:4)])); terms(m$coef, sqrt(diag(m$var))) } })
fits$aalen_johansen_untied <- fits$aalen_johansen
fit <- fits[[task]]
peak <- function() as.numeric(sub("\\D*(\\d+).*", "\\1", grep("VmHWM", readLines("/proc/self/status"), value = TRUE))) / 1024
invisible(suppressWarnings(fit(head(d, 200)))); before <- peak()
t <- system.time(r <- fit(d))[["elapsed"]]
package <- switch(task, mixed = "lme4", fine_gray = if (route == "") "cmprsk" else "survival", "survival")
cat(toJSON(list(seconds = t, peak_mb = peak(), before_mb = before, version = paste0(package, " ", packageVersion(package), ", R ", getRversion()), numbers = r), auto_unbox = TRUE, digits = 15), "\n")
