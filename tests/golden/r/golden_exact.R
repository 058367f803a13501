# Reference values of exact tests and single series on public data. Run in a folder that holds golden_lib.R, data/ and
# json/: Rscript golden_exact.R. Writes data/{two_by_two,paired,series}_public.csv and json/<id>.json.
source("golden_lib.R")
suppressPackageStartupMessages({ library(MASS); library(boot); library(exactRankTests) })
dir.create("json", showWarnings = FALSE)
W <- function(d, f) write.csv(d, file.path("data", f), row.names = FALSE, quote = FALSE)

# ---------- data -----------------------------------------------------------------------------------------------------
# UCBAdmissions (admitted and rejected men, then women, of each department); cells 0, n = 1 and large counts are made up
u <- UCBAdmissions; ucb <- t(sapply(1:6, function(i) c(u[, 1, i], u[, 2, i])))
edge <- rbind(c(0, 5, 3, 4), c(4, 0, 2, 7), c(0, 1, 1, 0), c(1, 0, 1, 0), c(3, 0, 0, 6), c(0, 12, 0, 15), c(12, 90, 4, 91), c(12000, 90000, 11500, 91000))
W(setNames(data.frame(c(paste0("ucb_", LETTERS[1:6]), paste0("edge_", 1:nrow(edge))), rbind(ucb, edge)), c("name", "a", "b", "c", "d")), "two_by_two_public.csv")
paired <- list(sleep = with(sleep, extra[group == 2] - extra[group == 1]), darwin = darwin$y, shoes = shoes$A - shoes$B, anorexia_FT = with(subset(anorexia, Treat == "FT"), Postwt - Prewt), anorexia_CBT = with(subset(anorexia, Treat == "CBT"), Postwt - Prewt), immer = immer$Y2 - immer$Y1)
W(do.call(rbind, lapply(names(paired), function(k) data.frame(set = k, difference = round(paired[[k]], 6)))), "paired_public.csv")
S <- function(k, y, t, ph) data.frame(series = k, time = as.numeric(t), phase = ph, value = as.numeric(y))
h <- as.numeric(LakeHuron); th <- 1875:1972; some <- c(1:10, 13, 15:40, 44:60, 70:98)
W(rbind(S("nile", Nile, 1871:1970, ifelse(1871:1970 < 1899, "A", "B")),
  S("huron", h, th, c("A1", "B1", "A2", "B2")[1 + (th >= 1890) + (th >= 1920) + (th >= 1950)]),
  S("huron_gaps", h[some], th[some], ifelse(th[some] < 1920, "A", "B")),
  S("lh", lh, 1:48, ifelse(1:48 <= 20, "A", "B")),
  S("beaver", beaver2$temp, 1:100, ifelse(beaver2$activ == 0, "A", "B")),
  S("bod", BOD$demand, BOD$Time, c("A", "A", "A", "B", "B", "B"))), "series_public.csv")

# ---------- two by two tables ----------------------------------------------------------------------------------------
# Conditional odds ratio to the last digit (fisher.test stops at 1e-4); score intervals by numerical restricted maximum
# likelihood (Miettinen & Nurminen 1985), independent of closed forms.
cond_or <- function(a, b, c, d, level) { m <- a + b; n <- c + d; k <- a + c; s <- max(0, k - n):min(k, m); ld <- dhyper(s, m, n, k, log = TRUE)
  w <- function(t) { z <- ld + t * (s - a); z <- exp(z - max(z)); z / sum(z) }; al <- (1 - level) / 2
  f <- function(g) { l <- -1; while (g(l) > 0) l <- 2 * l; h <- 1; while (g(h) < 0) h <- 2 * h; exp(uniroot(g, c(l, h), tol = 1e-15)$root) }
  c(if (a == min(s)) 0 else if (a == max(s)) Inf else f(function(t) sum(s * w(t)) - a), if (a == min(s)) 0 else f(function(t) sum(w(t)[s >= a]) - al), if (a == max(s)) Inf else f(function(t) al - sum(w(t)[s <= a]))) }
score_ci <- function(a, b, c, d, level) { m <- a + b; n <- c + d; N <- m + n; z <- qnorm((1 + level) / 2); x <- a / m; y <- c / n
  ml <- function(p1, lo, hi) optimize(function(q) dbinom(a, m, p1(q), log = TRUE) + dbinom(c, n, q, log = TRUE), c(lo, hi), maximum = TRUE, tol = 1e-13)$maximum
  v <- function(p, q, r) (p * (1 - p) / m + r^2 * q * (1 - q) / n) * N / (N - 1)
  rd <- function(t) { q <- ml(function(q) pmin(1, pmax(0, q + t)), max(0, -t), min(1, 1 - t)); (x - y - t) / sqrt(v(min(1, max(0, q + t)), q, 1)) }
  rr <- function(t) { r <- exp(t); q <- ml(function(q) pmin(1, r * q), 0, min(1, 1 / r)); (x - r * y) / sqrt(v(min(1, r * q), q, r)) }
  g <- function(q, t) exp(t) * q / (1 + q * (exp(t) - 1))
  or <- function(t) { q <- ml(function(q) g(q, t), 0, 1); p <- g(q, t); m * (x - p) * sqrt((1 / (m * p * (1 - p)) + 1 / (n * q * (1 - q))) * (N - 1) / N) }
  rt <- function(f, l, h, s) uniroot(function(t) f(t) - s * z, c(l, h), tol = 1e-12)$root
  list(risk_difference = c(rt(rd, -1 + 1e-9, x - y, 1), rt(rd, x - y, 1 - 1e-9, -1)), risk_ratio = exp(c(rt(rr, -9, log(x / y), 1), rt(rr, log(x / y), 9, -1))), odds_ratio = exp(c(rt(or, -9, log(a * d / b / c), 1), rt(or, log(a * d / b / c), 9, -1)))) }
A("exact_two_by_two_public", "data/two_by_two_public.csv", "two by two tables: Fisher (three alternatives), conditional odds ratio, score intervals, level 0.9", 't <- read.csv("data/two_by_two_public.csv")\nlapply(seq_len(nrow(t)), function(i) { q <- unlist(t[i, -1]); M <- matrix(q, 2); p <- function(s) fisher.test(M, alternative = s)$p.value; o <- cond_or(q[1], q[2], q[3], q[4], .9)\nr <- list(name = t$name[i], p_two_sided = p("two.sided"), p_less = p("less"), p_greater = p("greater"), odds_ratio = o[[1]], odds_ratio_ci90 = unname(o[2:3]))\nif (all(q > 0)) r$score_ci90 <- score_ci(q[[1]], q[[2]], q[[3]], q[[4]], .9); r })', oracle = "fisher.test; odds ratio and score intervals: independent R implementation in golden_exact.R")

# ---------- counts ---------------------------------------------------------------------------------------------------
A("exact_large_counts", "none", "binom.test and poisson.test for large and extreme counts, levels 0.99 and 0.8", 'b <- list(c(0, 1e6), c(1, 1e6), c(499000, 1e6), c(1e6, 1e6), c(3, 123456)); p <- c(0, 1, 123456, 1e7); r <- list(c(0, 3), c(1, 4000), c(123456, 120000), c(40, 0))\nlist(proportion = lapply(b, function(q) list(events = q[1], n = q[2], ci99 = binom.test(q[1], q[2], conf.level = .99)$conf.int[1:2])), rate = lapply(p, function(x) list(events = x, exposure = 7.3, ci80 = poisson.test(x, 7.3, conf.level = .8)$conf.int[1:2])), ratio = lapply(r, function(q) { t <- poisson.test(q, c(12.5, 40), conf.level = .8); list(events_1 = q[1], exposure_1 = 12.5, events_2 = q[2], exposure_2 = 40, estimate = unname(t$estimate), ci80 = t$conf.int[1:2], p = t$p.value) }))')

# ---------- paired ---------------------------------------------------------------------------------------------------
A("paired_public", "data/paired_public.csv", "paired differences: exact Wilcoxon (ties), Hodges-Lehmann and exact interval (no ties), sign-flip, t; level 0.9", 'd <- read.csv("data/paired_public.csv")\nlapply(split(d$difference, d$set), function(x) { w <- function(a) wilcox.exact(x, alternative = a); t <- t.test(x, conf.level = .9)\nr <- list(n = length(x), V = unname(w("two.sided")$statistic), p_less = w("less")$p.value, p_greater = w("greater")$p.value, sign_flip_p = perm.test(round(100 * x), exact = TRUE)$p.value, sign_p = binom.test(sum(x > 0), sum(x != 0))$p.value, t = list(estimate = mean(x), statistic = unname(t$statistic), p = t$p.value, p_less = t.test(x, alternative = "less")$p.value, ci90 = t$conf.int[1:2]))\nif (!any(x == 0) && !any(duplicated(abs(x)))) { z <- wilcox.test(x, exact = TRUE, conf.int = TRUE, conf.level = .9); r$hodges_lehmann <- unname(z$estimate); r$hodges_lehmann_ci90 <- z$conf.int[1:2]; r$wilcoxon_p <- z$p.value }; r })', pkgs = "exactRankTests", notes = "V and p of wilcox.exact: zeros left out, midranks; perm.test on hundredths")

# ---------- series ---------------------------------------------------------------------------------------------------
A("single_public_gls_ar1", "data/series_public.csv", "GLS with AR(1) errors, ML and REML, of six public series", 'd <- read.csv("data/series_public.csv")\nlapply(split(d, d$series), function(s) { s$trend <- s$time - s$time[1]; s$treated <- 1 * (substr(s$phase, 1, 1) == "B"); f <- function(me) { m <- gls(value ~ trend + treated, data = s, correlation = corAR1(form = ~ time), method = me, control = glsControl(tolerance = 1e-12, msTol = 1e-12, maxIter = 500, msMaxIter = 500)); list(coef = coef(m), se = sqrt(diag(vcov(m))), correlation = coef(m$modelStruct$corStruct, unconstrained = FALSE)[[1]], log_likelihood = as.numeric(logLik(m)), residual_sd = m$sigma) }; list(n = nrow(s), ML = f("ML"), REML = f("REML")) })', pkgs = "nlme", notes = "huron_gaps has years left out: correlation phi ^ gap")
A("single_public_ols", "data/series_public.csv", "OLS, Newey-West (lags 0, 2, 5), Mann-Whitney of six public series", 'd <- read.csv("data/series_public.csv")\nlapply(split(d, d$series), function(s) { s$trend <- s$time - s$time[1]; s$treated <- 1 * (substr(s$phase, 1, 1) == "B"); m <- lm(value ~ trend + treated, s); a <- s$value[s$treated == 0]; b <- s$value[s$treated == 1]; w <- suppressWarnings(wilcox.test(a, b, exact = FALSE)); r <- list(coef = coef(m), se = sqrt(diag(vcov(m))), U = unname(w$statistic), p_normal = w$p.value); if (max(length(a), length(b)) < 50) r$p_exact <- wilcox.exact(a, b, exact = TRUE)$p.value; for (l in c(0, 2, 5)) r[[paste0("newey_west_lag", l)]] <- sqrt(diag(NeweyWest(m, lag = l, prewhite = FALSE))); r })', pkgs = c("sandwich", "exactRankTests"))
set.seed(4); tt <- round(cumsum(runif(40, .3, 2.7)), 3)
W(data.frame(time = tt, treated = 1 * (1:40 > 18), value = round(as.numeric(5 + arima.sim(list(ar = .5), 40) - .8 * (1:40 > 18)), 2)), "series_irregular.csv")
A("single_irregular_gls_car1", "data/series_irregular.csv", "GLS with continuous-time AR(1) errors, times not on a grid", 'd <- read.csv("data/series_irregular.csv"); d$trend <- d$time - d$time[1]\nf <- function(me) { m <- gls(value ~ trend + treated, data = d, correlation = corCAR1(form = ~ time), method = me, control = glsControl(tolerance = 1e-12, msTol = 1e-12)); list(coef = coef(m), se = sqrt(diag(vcov(m))), correlation = coef(m$modelStruct$corStruct, unconstrained = FALSE)[[1]], log_likelihood = as.numeric(logLik(m)), residual_sd = m$sigma) }\nlist(n = nrow(d), ML = f("ML"), REML = f("REML"))', pkgs = "nlme")
if (length(FAIL)) stop(paste(FAIL, collapse = "\n"))
