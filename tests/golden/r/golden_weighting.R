# Weighted and doubly robust contrasts on public data. Standard errors: infinitesimal jackknife, i.e. every model is
# fitted again with each case weight moved by +-h, and the numerical influence is summed by cluster.
# Run in a folder that holds data/ and json/:  Rscript golden_weighting.R
suppressMessages({ library(MASS); library(survey); library(jsonlite) })
dir.create("json", FALSE); dir.create("data", FALSE)

W <- function(d, name) write.csv(d, file.path("data", paste0(name, ".csv")), row.names = FALSE, quote = FALSE)
data(birthwt, package = "MASS"); W(birthwt, "birthwt")
data(infert, package = "datasets"); infert$education <- gsub("-", "_", infert$education); W(infert, "infert")
data(api, package = "survey")
schools <- apistrat[c("cds", "dnum", "stype", "yr.rnd", "meals", "ell", "mobility", "emer", "api99", "api00")]
schools$yr.rnd <- as.integer(schools$yr.rnd == "Yes"); names(schools)[4] <- "year_round"; W(schools, "schools")

CT <- glm.control(epsilon = 1e-15, maxit = 200)
fit_glm <- function(f, family, d, cw) { d$cw <- cw; environment(f) <- environment(); suppressWarnings(glm(f, family, d, weights = cw, control = CT)) }
# group means as a function of the case weights
means <- function(d, cw, ps, out, treat, target, augmented) {
  m <- fit_glm(ps, binomial, d, cw); t <- d[[treat]]; e <- fitted(m)
  h <- switch(target, ate = 1 + 0 * e, att = t, overlap = e * (1 - e)); w <- ifelse(t == 1, switch(target, ate = 1 / e, att = 1, overlap = 1 - e), switch(target, ate = 1 / (1 - e), att = e / (1 - e), overlap = e))
  y <- d[[all.vars(out)[1]]]; family <- if (all(y %in% 0:1) && length(setdiff(all.vars(out)[-1], treat))) binomial else gaussian
  per_arm <- !(treat %in% all.vars(out)[-1]); v <- if (augmented) cw else cw * w
  at <- function(z) { k <- if (per_arm) t == z else rep(TRUE, nrow(d)); nd <- d; nd[[treat]] <- z; predict(fit_glm(out, family, d[k, ], v[k]), nd, type = "response") }
  sapply(0:1, function(z) { p <- at(z); s <- sum(cw * h * p) / sum(cw * h); if (augmented) s <- s + sum((cw * w * (y - p))[t == z]) / (if (target == "overlap") sum((cw * w)[t == z]) else sum(cw * h)); s }) }
contrast <- function(mu, measure) switch(measure, difference = mu[2] - mu[1], ratio = log(mu[2] / mu[1]), odds_ratio = qlogis(mu[2]) - qlogis(mu[1]))
run <- function(d, ps, out, treat, augmented, measures = "difference", cluster = NULL, trim = NULL, targets = c("overlap", "att", "ate")) {
  d <- d[complete.cases(d[unique(c(all.vars(ps), all.vars(out), cluster))]), ]
  if (!is.null(trim)) { e <- fitted(fit_glm(ps, binomial, d, rep(1, nrow(d)))); d <- droplevels(d[e > trim & e < 1 - trim, ]) }
  n <- nrow(d); h <- 2e-4; id <- if (is.null(cluster)) 1:n else d[[cluster]]
  c(list(n = n), sapply(targets, function(target) {
    f <- function(cw) means(d, cw, ps, out, treat, target, augmented); mu <- f(rep(1, n))
    J <- t(sapply(1:n, function(i) { cw <- rep(1, n); g <- function(s) { cw[i] <- 1 + s; m <- f(cw); c(m, sapply(measures, function(q) contrast(m, q))) }; (8 * (g(h) - g(-h)) - (g(2 * h) - g(-2 * h))) / (12 * h) }))
    se <- sqrt(colSums(rowsum(J, id)^2)); r <- list(mean_comparator = mu[1], mean_treated = mu[2], se_mean_comparator = se[[1]], se_mean_treated = se[[2]])
    for (q in measures) r[[q]] <- list(estimate = contrast(mu, q), se = se[[which(measures == q) + 2]]); r }, simplify = FALSE)) }
ORACLE <- paste0("numerical influence function with glm, ", R.version.string)
G <- function(id, data, analysis, call) { cat(id, "\n"); d <- read.csv(file.path("data", paste0(data, ".csv")), stringsAsFactors = TRUE)
  x <- list(id = id, data_file = paste0("data/", data, ".csv"), analysis = analysis, r_call = paste(deparse(substitute(call), width.cutoff = 500), collapse = " "), oracle = ORACLE, result = eval(substitute(call)))
  writeLines(toJSON(x, auto_unbox = TRUE, digits = I(16), pretty = TRUE, null = "null"), file.path("json", paste0(id, ".json"))) }

M3 <- c("difference", "ratio", "odds_ratio"); smoke <- smoke ~ age + lwt + factor(race) + ptl + ht
G("birthwt_weighted", "birthwt", "low birth weight by smoking, weighted proportions", run(d, smoke, low ~ smoke, "smoke", FALSE, M3))
G("birthwt_weighted_regression", "birthwt", "birth weight by smoking, weighted linear regression with covariates", run(d, smoke, bwt ~ smoke + age + lwt + ui, "smoke", FALSE))
G("birthwt_weighted_logistic", "birthwt", "low birth weight by smoking, weighted logistic regression standardised", run(d, smoke, low ~ smoke + lwt + ui, "smoke", FALSE, M3))
G("birthwt_aipw_linear", "birthwt", "birth weight by smoking, doubly robust, one linear outcome model, trimmed", run(d, smoke, bwt ~ smoke + age + lwt + factor(race) + ui, "smoke", TRUE, c("difference", "ratio"), trim = .15))
G("birthwt_aipw_logistic", "birthwt", "low birth weight by smoking, doubly robust, one logistic model per group", run(d, smoke, low ~ lwt + ui, "smoke", TRUE, M3))
G("infert_aipw_cluster", "infert", "infertility by spontaneous abortion, doubly robust, joint logistic model with interaction, clusters = matched sets", { d$any <- as.integer(d$spontaneous > 0); run(d, any ~ age + parity + education, case ~ any * induced + age, "any", TRUE, M3, cluster = "stratum") })
G("schools_weighted_cluster", "schools", "school performance by year-round schedule, missing values left out, clusters = districts", run(d, year_round ~ meals + ell + stype, api00 ~ year_round, "year_round", FALSE, c("difference", "ratio"), cluster = "dnum"))
G("schools_aipw_cluster", "schools", "the same, doubly robust, per-group linear models with mobility", run(d, year_round ~ meals + ell + stype, api00 ~ api99 + mobility, "year_round", TRUE, c("difference", "ratio"), cluster = "dnum"))
