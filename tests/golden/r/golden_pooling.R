# Rubin's rules by mice on data sets completed here (boys, nhanes2), whose fits are stored: estimates, covariances, pooled.
# Run in a folder that holds json/:  Rscript golden_pooling.R
suppressMessages({ library(mice); library(jsonlite) })
dir.create("json", FALSE)
G <- function(id, analysis, fits, joint0 = NULL, dfcom = NULL, level = .95) { cat(id, "\n")
  p <- pool(as.mira(fits), dfcom = dfcom); d <- p$pooled; s <- summary(p, conf.int = TRUE, conf.level = level); q <- t(sapply(fits, coef)); if (nrow(d) == 1) q <- t(q)
  r <- list(m = length(fits), dfcom = d$dfcom[1], level = level, term = as.character(d$term), estimates = unname(q), covariances = lapply(unname(fits), function(f) unname(vcov(f))), estimate = d$estimate, ubar = d$ubar, b = d$b, t = d$t, se = s$std.error, df = d$df, statistic = s$statistic, p = s$p.value, ci_low = s[[7]], ci_high = s[[8]], riv = d$riv, lambda = d$lambda, fmi = d$fmi)
  if (!is.null(joint0)) { z <- D1(as.mira(fits), as.mira(joint0), dfcom = dfcom)$result; r$joint <- list(F = z[1], df1 = z[2], df2 = z[3], p = z[4], riv = z[5]) }
  x <- list(id = id, data_file = "package mice", analysis = analysis, r_call = "see golden_pooling.R", oracle = paste0("mice ", packageVersion("mice"), ", ", R.version.string), result = r)
  writeLines(toJSON(x, auto_unbox = TRUE, digits = I(16), pretty = TRUE, null = "null", na = "null"), file.path("json", paste0(id, ".json"))) }
i <- mice(boys[c("age", "hgt", "wgt", "hc", "tv", "reg")], m = 5, maxit = 3, seed = 11, printFlag = FALSE); b <- complete(i, "all")
j <- mice(nhanes2, m = 8, maxit = 5, seed = 12, printFlag = FALSE); n <- complete(j, "all")
cc <- glm.control(epsilon = 1e-14, maxit = 100)
G("mice_boys_lm", "linear model, region as factor, joint test of all terms", lapply(b, function(d) lm(hgt ~ age + reg + tv, d)), lapply(b, function(d) lm(hgt ~ 1, d)))
G("mice_boys_complete_term", "a term without missing values (age): between-imputation variance 0", lapply(b, function(d) lm(age ~ 1, d)))
G("mice_nhanes2_logistic_level90", "logistic model, level 0.90", lapply(n, function(d) glm(hyp ~ bmi + chl, binomial, d, control = cc)), lapply(n, function(d) glm(hyp ~ 1, binomial, d, control = cc)), level = .9)
G("mice_nhanes2_lm_small_df", "complete-data df of 6", lapply(n, function(d) lm(bmi ~ age + hyp + chl, d)), lapply(n, function(d) lm(bmi ~ 1, d)), dfcom = 6)
