# Marginal models and quantile regression on public data. Run in a folder that holds data/ and json/:
# Rscript golden_marginal.R  (writes its own data files and json/<id>.json)
suppressPackageStartupMessages({ library(geepack); library(sandwich); library(clubSandwich); library(MASS); library(nlme); library(brglm2); library(quantreg); library(jsonlite) })
options(contrasts = c("contr.treatment", "contr.poly"))
ver <- function(p) paste(p, as.character(packageVersion(p)))
data_file <- function(d, name) write.csv(as.data.frame(d), file.path("data", paste0(name, ".csv")), row.names = FALSE, quote = FALSE, na = "")

# ---------- data ----------
data(respiratory, package = "geepack"); respiratory$patient <- paste0(respiratory$center, "-", respiratory$id)
data_file(respiratory[c("patient", "center", "treat", "sex", "age", "baseline", "visit", "outcome")], "respiratory")
w <- as.data.frame(nlme::BodyWeight); data_file(data.frame(rat = as.integer(as.character(w$Rat)), diet = as.integer(w$Diet), day = w$Time, weight = w$weight), "bodyweight")
data_file(transform(MASS::quine, class = paste0(Eth, Sex, Age)), "quine")
data(endometrial, package = "brglm2"); data_file(endometrial, "endometrial")
data(engel, package = "quantreg"); data_file(engel, "engel")
data(barro, package = "quantreg"); data_file(barro, "barro")
data_file(stackloss, "stackloss"); data_file(mtcars, "mtcars"); data_file(MASS::birthwt, "birthwt"); data_file(MASS::menarche, "menarche")

run <- function(id, file, analysis, code, extract, oracle) {
  call <- paste0('d <- read.csv("data/', file, '.csv", stringsAsFactors = TRUE)\n', code)
  result <- extract(eval(parse(text = call), new.env()))
  text <- toJSON(list(id = id, data_file = paste0("data/", file, ".csv"), analysis = analysis, r_call = call, oracle = paste0(oracle, ", R ", getRversion()), result = result), auto_unbox = TRUE, digits = I(17), pretty = 1, null = "null")
  writeLines(text, file.path("json", paste0(id, ".json")))
}
named <- function(v, n) as.list(setNames(as.numeric(v), n))

# ---------- geepack ----------
gee_result <- function(m) { n <- names(coef(m)); g <- m$geese
  o <- list(coef = named(coef(m), n), se_robust = named(sqrt(diag(g$vbeta)), n), n_clusters = length(g$clusz))
  if (!g$model$scale.fix) { o$se_model_based <- named(sqrt(diag(g$vbeta.naiv)), n); o$scale_phi <- as.numeric(g$gamma) }
  if (m$corstr != "independence") o$alpha <- as.numeric(g$alpha)
  o }
G <- function(id, file, analysis, code) run(id, file, analysis, code, gee_result, ver("geepack"))
CT <- "control = geese.control(epsilon = 1e-13, maxit = 1000)"
respiratory_call <- function(corr, link) sprintf('d <- d[order(as.integer(d$patient), d$visit), ]\ngeeglm(outcome ~ treat + sex + age + baseline, family = binomial("%s"), id = as.integer(patient), waves = visit, data = d, corstr = "%s", %s)', link, corr, CT)
for (corr in c("exchangeable", "ar1")) for (link in c("logit", "probit", "cloglog"))
  G(paste("gee_respiratory", link, corr, sep = "_"), "respiratory", paste("GEE binomial,", link, corr), respiratory_call(corr, link))
G("gee_bodyweight_log_ar1", "bodyweight", "GEE gaussian, log link, uneven waves", sprintf('d <- d[order(d$rat, d$day), ]\ngeeglm(weight ~ day * factor(diet), family = gaussian("log"), id = rat, waves = day, data = d, corstr = "ar1", %s)', CT))
G("gee_dietox_gaps_weights_ar1", "dietox", "GEE gaussian, gaps in the waves, prior weights", sprintf('d <- d[(d$Pig + d$Time) %%%% 3 > 0, ]; d$w <- 1 + d$Time %%%% 4; d <- d[order(d$Pig, d$Time), ]\ngeeglm(Weight ~ Time + Cu, weights = w, id = Pig, waves = Time, data = d, corstr = "ar1", %s)', CT))
G("gee_dietox_gaps_weights_exchangeable", "dietox", "GEE gaussian, unequal clusters, prior weights", sprintf('d <- d[(d$Pig + d$Time) %%%% 3 > 0, ]; d$w <- 1 + d$Time %%%% 4\ngeeglm(Weight ~ Time + Cu, weights = w, id = Pig, data = d, corstr = "exchangeable", %s)', CT))
G("gee_cbpp_share_exchangeable", "cbpp", "GEE binomial, share of events with the trials as weights", sprintf('geeglm(incidence / size ~ factor(period), weights = size, family = binomial, id = herd, data = d, corstr = "exchangeable", %s)', CT))
G("gee_epil_weights_scalefix_exchangeable", "epil", "GEE Poisson, prior weights, fixed scale", sprintf('d$w <- c(1, 2, 0.5)[(seq_len(nrow(d)) - 1) %%%% 3 + 1]\ngeeglm(y ~ log(base) + trt + log(age) + V4, weights = w, family = poisson, id = subject, data = d, scale.fix = TRUE, corstr = "exchangeable", %s)', CT))
G("gee_quine_gamma_inverse_exchangeable", "quine", "GEE Gamma, inverse link", sprintf('d <- d[d$Days > 0, ]; d <- d[order(d$class), ]\ngeeglm(Days ~ Lrn + Sex, family = Gamma("inverse"), id = as.integer(factor(class)), data = d, corstr = "exchangeable", %s)', CT))

# ---------- independent rows: sandwich ----------
hc <- function(m) { n <- names(coef(m)); s <- summary(m)$coefficients
  c(list(coef = named(coef(m), n), se_model_based = named(s[, 2], n), p_model_based = named(s[, 4], n)), setNames(lapply(c("HC0", "HC2", "HC3"), function(t) named(sqrt(diag(vcovHC(m, t))), n)), c("HC0", "HC2", "HC3"))) }
GC <- "control = glm.control(epsilon = 1e-15, maxit = 200)"
run("glm_birthwt_probit_hc", "birthwt", "probit regression, HC0, HC2, HC3", sprintf('glm(low ~ age + lwt + smoke + factor(race), family = binomial("probit"), data = d, %s)', GC), hc, ver("sandwich"))
run("glm_menarche_cloglog_hc", "menarche", "grouped binomial, cloglog, a fitted probability of 1 in double precision", sprintf('glm(Menarche / Total ~ Age, family = binomial("cloglog"), weights = Total, data = d, %s)', GC), hc, ver("sandwich"))
run("ols_mtcars_weighted_hc", "mtcars", "weighted least squares, HC0, HC2, HC3", "lm(mpg ~ wt + hp, weights = qsec, data = d)", hc, ver("sandwich"))

# ---------- Firth: brglm2 for the estimate, its own penalised profile for intervals and tests ----------
firth <- function(m) { X <- model.matrix(m); y <- m$y; p <- ncol(X); n <- colnames(X)
  penalised <- function(b) { e <- drop(X %*% b); q <- plogis(e); sum(y * e - log1p(exp(e))) + 0.5 * as.numeric(determinant(crossprod(X * sqrt(q * (1 - q))))$modulus) }
  top <- penalised(coef(m)); unit <- summary(m)$coefficients[, 2]
  profile <- function(j, v) { f <- function(o) { b <- numeric(p); b[j] <- v; b[-j] <- o * unit[-j]; -penalised(b) }; o <- coef(m)[-j] / unit[-j]
    for (k in 1:20) { z <- nlm(f, o, gradtol = 1e-12, steptol = 1e-14, iterlim = 1000); o <- z$estimate }; -z$minimum }
  drop_at <- function(j, v) 2 * (top - profile(j, v)); cut <- qchisq(0.95, 1)
  end <- function(j, s) { far <- 1; while (drop_at(j, coef(m)[j] + s * far * unit[j]) < cut) far <- far + 1; uniroot(function(v) drop_at(j, v) - cut, sort(coef(m)[j] + s * c(far - 1, far) * unit[j]), tol = 1e-12)$root }
  list(coef = named(coef(m), n), se = named(unit, n), penalised_log_likelihood = top, profile_ci95_lower = named(sapply(1:p, end, s = -1), n), profile_ci95_upper = named(sapply(1:p, end, s = 1), n), lr_chisq = named(sapply(1:p, drop_at, v = 0), n)) }
run("firth_logistic_endometrial", "endometrial", "Firth logistic regression, quasi-separation", 'glm(HG ~ NV + PI + EH, family = binomial, data = d, method = "brglmFit", type = "AS_mean", epsilon = 1e-13, maxit = 2000)', firth, paste0(ver("brglm2"), "; profile: independent R implementation"))

# ---------- quantile regression: exact simplex (br), se = "nid" ----------
rq_result <- function(fits) lapply(fits, function(m) { s <- suppressWarnings(summary(m, se = "nid", covariance = TRUE)); n <- names(coef(m))
  list(q = m$tau, coef = named(coef(m), n), se = named(s$coefficients[, 2], n), t = named(s$coefficients[, 3], n), p = named(s$coefficients[, 4], n), df = s$rdf, loss = m$rho, covariance = unname(s$cov)) })
Q <- function(id, file, formula, taus, pre = "") run(id, file, "quantile regression, se = nid", sprintf('%slapply(c(%s), function(t) rq(%s, tau = t, data = d))', pre, paste(taus, collapse = ", "), formula), rq_result, ver("quantreg"))
Q("quantile_engel", "engel", "foodexp ~ income", c(0.05, 0.25, 0.5, 0.75, 0.95))
Q("quantile_stackloss", "stackloss", "stack.loss ~ Air.Flow + Water.Temp", c(0.25, 0.5, 0.9))
Q("quantile_barro", "barro", "y.net ~ lgdp2 + mse2 + fse2 + fhe2 + mhe2 + lexp2 + lintr2 + gedy2 + Iy2 + gcony2 + lblakp2 + pol2 + ttrad2", c(0.25, 0.5, 0.75))
Q("quantile_mtcars", "mtcars", "mpg ~ wt + hp + factor(cyl)", c(0.25, 0.5, 0.75))

# ---------- clusters: formula of Parente & Santos Silva (2016), own code ----------
clustered <- function(m, id) { X <- m$x; r <- m$y - drop(X %*% coef(m)); r[abs(r) < 1e-9 * max(abs(m$y))] <- 0; q <- m$tau; n <- nrow(X); z <- qnorm(q)
  h <- n^(-1/3) * qnorm(0.975)^(2/3) * (1.5 * dnorm(z)^2 / (2 * z^2 + 1))^(1/3); k <- mad(r, constant = 1) * (qnorm(q + h) - qnorm(q - h))
  A <- crossprod(X[abs(r) <= k, ]) / (2 * k); S <- rowsum(X * (q - (r < 0)), id); V <- solve(A, crossprod(S)) %*% solve(A)
  list(q = q, coef = named(coef(m), colnames(X)), se = named(sqrt(diag(V)), colnames(X)), n_clusters = nrow(S), bandwidth = h) }
run("quantile_dietox_cluster", "dietox", "quantile regression, cluster-robust", 'lapply(c(0.27, 0.61, 0.9), function(t) { m <- rq(Weight ~ Time + Cu, tau = t, data = d); m$x <- model.matrix(Weight ~ Time + Cu, d); m$y <- d$Weight; list(m = m, id = d$Pig) })', function(z) lapply(z, function(a) clustered(a$m, a$id)), paste0(ver("quantreg"), "; standard error: independent R implementation"))
