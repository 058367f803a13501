# Linear mixed models on further study data that ship with R packages: zero variance, repeated labels within
# an outer group, categorical random effects, three random effects, weights with an outer group.
# Run in a folder with golden_lib.R, data/ and json/: Rscript golden_mixed.R (writes the data and the numbers).
source("golden_lib.R")
dir.create("json", showWarnings = FALSE); dir.create("data", showWarnings = FALSE)
options(contrasts = c("contr.treatment", "contr.poly"), warn = 1)

# ---------- data: plain columns, levels in alphabetical order ----------
keep <- function(d, file, names) {
  d <- as.data.frame(d)[, names]
  for (k in names) if (is.factor(d[[k]])) d[[k]] <- as.character(d[[k]])
  write.csv(d, file.path("data", paste0(file, ".csv")), row.names = FALSE, quote = FALSE) }
keep(lme4::Dyestuff2, "dyestuff2", c("Batch", "Yield"))
keep(lme4::Pastes, "pastes", c("strength", "batch", "cask"))
keep(nlme::Oats, "oats", c("Block", "Variety", "nitro", "yield"))
keep(nlme::Machines, "machines", c("Worker", "Machine", "score"))
keep(nlme::Pixel, "pixel", c("Dog", "Side", "day", "pixel"))
keep(nlme::BodyWeight, "bodyweight_rats", c("Rat", "Diet", "Time", "weight"))
keep(nlme::Oxboys, "oxboys", c("Subject", "age", "height"))
keep(nlme::RatPupWeight, "ratpup", c("Litter", "Treatment", "sex", "Lsize", "weight"))

LM <- c("lme4", "lmerTest", "pbkrtest")
lc <- "control = lmerControl(optimizer = \"bobyqa\", optCtrl = list(rhoend = 1e-11, maxfun = 2e5))"
read <- function(file, code) paste0('d <- read.csv("data/', file, '.csv", stringsAsFactors = TRUE)\n', code)
L <- function(id, file, what, form, g = NULL, pre = "") for (l in c("reml", "ml"))
  A(paste0(id, "_", l), paste0("data/", file, ".csv"), paste0(what, ", ", toupper(l)), read(file, sprintf("%slmer(%s, data = d, REML = %s, %s)", pre, form, l == "reml", lc)), lmer_out(group = g), LM)

L("lmm_dyestuff2", "dyestuff2", "variance between batches estimated as 0", "Yield ~ 1 + (1 | Batch)")
L("lmm_pastes", "pastes", "casks in batches, cask labels repeat", "strength ~ 1 + (1 | batch/cask)", "cask:batch")
L("lmm_oats", "oats", "varieties in blocks, variety labels repeat", "yield ~ nitro * Variety + (1 | Block/Variety)", "Variety:Block")
L("lmm_machines_nested", "machines", "machines in workers, machine labels repeat", "score ~ Machine + (1 | Worker/Machine)", "Machine:Worker")
L("lmm_machines_categorical", "machines", "categorical random effect, 3 x 3", "score ~ Machine + (Machine | Worker)")
L("lmm_pixel", "pixel", "random intercept and slope, unequal days", "pixel ~ day + day2 + (day | Dog)", pre = "d$day2 <- d$day^2\n")
L("lmm_bodyweight", "bodyweight_rats", "variances far apart", "weight ~ Time * Diet + (Time | Rat)", pre = "d$Diet <- factor(d$Diet)\n")
L("lmm_oxboys_quadratic", "oxboys", "three random effects", "height ~ age + age2 + (age + age2 | Subject)", pre = "d$age2 <- d$age^2\n")
L("lmm_ratpup", "ratpup", "unbalanced litters", "weight ~ sex * Treatment + Lsize + (1 | Litter)")

# ---------- weights with an outer group: Kenward-Roger by pbkrtest on rows times the root of the weight ----------
weighted <- function(ml) sprintf("d$w <- 1 / sqrt(d$Time)\nlmer(Weight ~ Time + Cu + (1 | Litter) + (Time | Pig), data = d, weights = w, REML = %s, %s)", !ml, lc)
A("lmm_weighted_nested_ml", "data/dietox.csv", "prior weights, pigs in litters, ML", read("dietox", weighted(TRUE)), lmer_out(kr = FALSE, group = "Pig"), LM)
A("lmm_weighted_nested_reml", "data/dietox.csv", "prior weights, pigs in litters, REML", read("dietox", weighted(FALSE)), lmer_out(kr = FALSE, group = "Pig"), LM)
A("lmm_weighted_nested_kr", "data/dietox.csv", "Kenward-Roger with prior weights: pbkrtest on rows times sqrt(w)", read("dietox", sprintf(paste0(
  "d$s <- d$Time^-0.25; d$yw <- d$Weight * d$s; d$tw <- d$Time * d$s; d$c1 <- (d$Cu == \"Cu035\") * d$s; d$c2 <- (d$Cu == \"Cu175\") * d$s\n",
  "m <- lmer(yw ~ 0 + s + tw + c1 + c2 + (0 + s | Litter) + (0 + s + tw | Pig), data = d, REML = TRUE, %s)\n",
  "k <- coef(summary(m, ddf = \"Kenward-Roger\")); n <- c(\"(Intercept)\", \"Time\", \"CuCu035\", \"CuCu175\")\n",
  "list(se_adjusted = setNames(k[, 2], n), df = setNames(k[, 3], n), t = setNames(k[, 4], n), p = setNames(k[, 5], n))"), lc)), identity, LM)

# ---------- tests of variances, profile intervals, joint tests ----------
A("lmm_dietox_variance_lrt", "data/dietox.csv", "likelihood-ratio tests of each random term, REML", read("dietox", sprintf(paste0(
  "f <- function(r) as.numeric(logLik(lmer(as.formula(paste(\"Weight ~ Time + Cu +\", r)), d, %s)))\n",
  "full <- f(\"(1 | Litter) + (Time | Pig)\"); x <- 2 * (full - c(intercept = f(\"(1 | Litter) + (0 + Time | Pig)\"), slope = f(\"(1 | Litter) + (1 | Pig)\"), litter = f(\"(Time | Pig)\")))\n",
  "k <- c(2, 2, 1); q <- function(x, k) if (k == 0) 0 else pchisq(x, k, lower.tail = FALSE)\n",
  "list(chisq = x, df = setNames(k, names(x)), p_naive = pchisq(x, k, lower.tail = FALSE), p_mixture = setNames(.5 * (pchisq(x, k, lower.tail = FALSE) + mapply(q, x, k - 1)), names(x)))"), lc)), identity, LM)
A("lmm_oats_profile_ci_ml", "data/oats.csv", "profile-likelihood 90% CI with an outer group", read("oats", sprintf(paste0(
  "m <- lmer(yield ~ nitro + Variety + (1 | Block/Variety), d, REML = FALSE, %s)\n",
  "ci <- confint(m, level = .9, method = \"profile\", oldNames = FALSE, quiet = TRUE, devtol = 1e-7)\n",
  "list(parameter = rownames(ci), lower = unname(ci[, 1]), upper = unname(ci[, 2]))"), lc)), identity, LM, notes = "spline interpolation: agree to about 4 digits")
A("lmm_oats_joint", "data/oats.csv", "joint F tests of Variety (2 df) and of all terms (5 df)", read("oats", sprintf(paste0(
  "m <- lmer(yield ~ nitro * Variety + (1 | Block/Variety), d, %s)\n",
  "f <- function(L) { k <- KRmodcomp(m, L)$stats; s <- contest(m, L); list(contrast_matrix = L, kenward_roger = list(F = k$Fstat, ndf = k$ndf, ddf = k$ddf, p = k$p.value), satterthwaite = list(F = s[[\"F value\"]], ndf = s$NumDF, ddf = s$DenDF, p = s[[\"Pr(>F)\"]])) }\n",
  "n <- names(fixef(m)); V <- diag(6)[c(3, 4), ]; T <- diag(6)[-1, ]; colnames(V) <- colnames(T) <- n; list(variety = f(V), all = f(T))"), lc)), identity, LM)
if (length(FAIL)) stop(paste(FAIL, collapse = "\n"))
