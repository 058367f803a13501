# Reference values for competing risks.  Run in a folder that holds data/ and json/: Rscript golden_competing.R
# Writes data/transplant.csv, data/bmt.csv, data/melanoma.csv (complete rows; entry and weight are made up by a fixed rule).
source("golden_lib.R")
suppressPackageStartupMessages(library(etm))
dir.create("json", showWarnings = FALSE); options(contrasts = c("contr.treatment", "contr.poly"), warn = 1)

# ---------- data ----------
late <- function(d, share) { n <- seq_len(nrow(d)); d$id <- n; d$entry <- pmin(floor(d$time * share), d$time - 1); d$weight <- 0.5 + (n * 7) %% 11 / 4; d$copies <- (n * 5) %% 4; d$site <- n %% 17; d }
t <- survival::transplant; t <- t[!is.na(t$age) & t$futime > 0, ]
t <- late(data.frame(time = t$futime, status = as.integer(t$event) - 1L, age = t$age, sex = t$sex, abo = t$abo, year = t$year - 1990), 0.4)
write.csv(t, "data/transplant.csv", row.names = FALSE)
data(bmt, package = "KMsurv")
b <- late(data.frame(time = bmt$t2, status = ifelse(bmt$d2 == 1, 1L, ifelse(bmt$d1 == 1, 2L, 0L)), disease = c("ALL", "AML low", "AML high")[bmt$group], age = bmt$z1, donor_age = bmt$z2, mtx = bmt$z10), 0.1)
write.csv(b, "data/bmt.csv", row.names = FALSE)
m <- boot::melanoma
m <- late(data.frame(time = m$time, status = c(1L, 0L, 2L)[m$status], age = m$age, male = m$sex, thickness = m$thickness, ulcer = m$ulcer), 0.2)
write.csv(m, "data/melanoma.csv", row.names = FALSE)

G <- function(id, file, what, code, f, pkgs, ...) A(id, paste0("data/", file, ".csv"), what, paste0('d <- read.csv("data/', file, '.csv", stringsAsFactors = TRUE)\n', code), f, pkgs, ...)
state <- 'd$state <- factor(d$status)\n'

# ---------- cumulative incidence ----------
G("transplant_aj_weighted_lefttrunc", "transplant", "Aalen-Johansen, 3 causes by blood group, weights and delayed entry, 90% log-log CI", paste0(state, 'survfit(Surv(entry, time, state) ~ abo, data = d, id = id, weights = weight, conf.type = "log-log", conf.int = 0.9)'), aj_out(c(30, 90, 180, 365)), "survival")
G("melanoma_aj_zero_weights", "melanoma", "Aalen-Johansen by ulcer, weights of which some are 0, plain CI", paste0(state, 'survfit(Surv(time, state) ~ ulcer, data = d, weights = copies, conf.type = "plain")'), aj_out(c(500, 1500, 3000)), "survival")
G("aj_cluster_influence", "tte", "Aalen-Johansen by arm, SE clustered by site: influence of survfit summed by site", 'd$state <- factor(d$status)\nti <- c(5, 10, 20, 40, 60)\none <- function(x) { f <- survfit(Surv(time, state) ~ 1, data = x, influence = TRUE); i <- findInterval(ti, f$time); se <- sapply(2:3, function(k) sqrt(colSums(rowsum(f$influence.pstate[, i + 1, k], x$site)^2))); list(times = ti, estimate_1 = f$pstate[i, 2], se_1 = se[, 1], estimate_2 = f$pstate[i, 3], se_2 = se[, 2]) }\nlist(arm_0 = one(d[d$arm == 0, ]), arm_1 = one(d[d$arm == 1, ]))', identity, "survival")
G("bmt_etm_lefttrunc", "bmt", "Aalen-Johansen with delayed entry, Greenwood type", 'tra <- matrix(FALSE, 3, 3); tra[1, 2:3] <- TRUE\nx <- data.frame(id = d$id, from = "0", to = ifelse(d$status == 0, "cens", d$status), entry = d$entry, exit = d$time)\nm <- etm(x, as.character(0:2), tra, "cens", s = 0)\nti <- c(100, 300, 600, 1200); i <- findInterval(ti, m$time)\nlist(times = ti, estimate_1 = unname(m$est["0", "1", i]), se_1 = unname(sqrt(m$cov["0 1", "0 1", i])), estimate_2 = unname(m$est["0", "2", i]), se_2 = unname(sqrt(m$cov["0 2", "0 2", i])))', identity, "etm")
G("transplant_cuminc", "transplant", "cumulative incidence (Aalen variance) by blood group and Gray's test stratified by sex, 3 causes", "cuminc(d$time, d$status, d$abo, strata = d$sex, cencode = 0)", cuminc_out(c(30, 90, 180, 365)), "cmprsk")
G("bmt_cuminc", "bmt", "cumulative incidence and Gray's test by disease, stratified by methotrexate", "cuminc(d$time, d$status, d$disease, strata = d$mtx, cencode = 0)", cuminc_out(c(100, 300, 600)), "cmprsk")

# ---------- Fine-Gray ----------
CR <- function(id, file, what, form, cause, more = "", rows = "") G(id, file, what, sprintf("%sX <- model.matrix(~ %s, d)[, -1]\ncrr(d$time, d$status, X, failcode = %d, cencode = 0%s, gtol = 1e-11, maxiter = 40)", rows, form, cause, more), crr_out, "cmprsk")
CR("bmt_crr", "bmt", "Fine-Gray, relapse, disease and ages", "disease + age * donor_age", 1)
CR("melanoma_crr_cengroup", "melanoma", "Fine-Gray, censoring by ulcer", "age + male + log(thickness)", 1, ", cengroup = d$ulcer")
CR("transplant_crr_cengroup", "transplant", "Fine-Gray, cause 2 of 3, censoring by blood group (4 groups of unequal length)", "age + sex + year", 2, ", cengroup = d$abo")
CR("crr_coarse_times", "tte", "Fine-Gray, heavy ties, events and censorings at time 0, censoring by arm", "age + male + stage", 1, ", cengroup = d$arm", rows = "d$time <- floor(d$time / 4)\n")
CR("melanoma_crr_copies", "melanoma", "Fine-Gray on rows repeated as often as `copies` says: frequency weights", "age + male + log(thickness)", 1, rows = "d <- d[rep(seq_len(nrow(d)), d$copies), ]\n")
FG <- function(id, file, what, form, vars, extra = "", cl = "id", cause = 1) G(id, file, what, paste0(state, sprintf('fg <- finegray(Surv(entry, time, state) ~ .%s, data = d[c("entry", "time", "state", "id", "site", %s)], id = id, etype = "%d")\ncoxph(Surv(fgstart, fgstop, fgstatus) ~ %s%s, weights = fgwt, data = fg, cluster = %s, ties = "breslow", control = CC)', extra, vars, cause, form, extra, cl)), cox_out, "survival")
FG("bmt_finegray_lefttrunc_cluster", "bmt", "Fine-Gray with delayed entry, SE by site", "disease + age", '"disease", "age"', cl = "site")
FG("transplant_finegray_lefttrunc", "transplant", "Fine-Gray with delayed entry, cause 2 of 3", "age + sex + year", '"age", "sex", "year"', cause = 2)
FG("transplant_finegray_lefttrunc_strata", "transplant", "Fine-Gray with delayed entry, stratified by sex", "age + year", '"age", "year", "sex"', extra = " + strata(sex)", cause = 2)
stopifnot(!length(FAIL))
