# Simulates the small CSV files used by golden_simulated.R. Base R only; run as:  Rscript make_simulated_data.R
# Every value is drawn from a seeded generator: no real person is described and the files may be copied freely.
RNGkind("Mersenne-Twister", "Inversion", "Rejection")
dir.create("data", showWarnings = FALSE)
W <- function(d, n) write.csv(d, file.path("data", n), row.names = FALSE, na = "", quote = FALSE)
r2 <- function(x, k = 2) round(x, k)

# ---- pain_small: 8 patients, unbalanced, pre/post, 6-14 observations each -------------------------------
set.seed(101); n <- 8; k <- c(6, 14, 9, 7, 12, 8, 11, 10); id <- rep(1:n, k)
b0 <- c(-1.9, 1.2, .3, -.4, 2.1, -1.1, .8, -.9); b1 <- c(.35, -.3, .1, -.25, .4, .05, -.45, .1)
day <- unlist(lapply(k, function(m) sort(sample(-7:21, m)))); post <- as.integer(day >= 0)
y <- 5.8 + b0[id] + (.02 + b1[id] * .25) * day - 1.6 * post + rnorm(length(id), 0, .9)
W(data.frame(patient = id, day = day, week = day / 7, post = post, route = ifelse(id %% 2 == 1, "epidural", "oral"),
             pain = r2(pmin(10, pmax(0, y)), 1)), "pain_small.csv")

# ---- pain_medium: 40 patients, 2 routes, 3 sites, irregular times, covariates, heaping at 0 and 10 --------
set.seed(102); n <- 40; k <- sample(5:16, n, TRUE); id <- rep(1:n, k); N <- length(id)
site <- sample(rep(1:3, length.out = n)); route <- rbinom(n, 1, .5); age <- round(rnorm(n, 61, 12)); sex <- rbinom(n, 1, .5)
sev <- r2(rnorm(n), 2)
day <- unlist(lapply(k, function(m) sort(r2(runif(m, -10, 35), 1)))); post <- as.integer(day >= 0)
L <- t(chol(matrix(c(2.0, -.15, -.15, .09), 2))); b <- matrix(rnorm(2 * n), n) %*% t(L); u <- c(-.5, .1, .6)
wk <- day / 7; tp <- pmax(wk, 0)
y <- 5.2 + .05 * wk - .9 * post - .35 * tp - .25 * route[id] * tp + .015 * (age[id] - 60) + .4 * sev[id] + u[site[id]] + b[id, 1] + b[id, 2] * wk + rnorm(N, 0, 1.1)
pain <- pmin(10, pmax(0, ifelse(runif(N) < .7, round(y), r2(y, 1))))
h <- runif(N); pain[h < .04 & post == 1] <- 0; pain[h > .88 & post == 0] <- 10
W(data.frame(patient = sprintf("P%02d", id), site = c("A", "B", "C")[site[id]], route = c("oral", "epidural")[route[id] + 1], age = age[id],
             female = sex[id], severity = sev[id], day = day, week = r2(wk, 6), post = post, week_post = r2(tp, 6), visit = ave(day, id, FUN = seq_along),
             pain = pain, pain_ge4 = as.integer(pain >= 4)), "pain_medium.csv")

# ---- pain_boundary: true random-slope variance is 0 and residuals push the estimate to the boundary --------
set.seed(104); n <- 20; k <- rep(6, n); id <- rep(1:n, each = 6); wk <- rep(0:5, n); b0 <- rnorm(n, 0, 1.3)
e <- rnorm(length(id)); e <- ave(e, id, FUN = function(z) { t <- 0:5 - 2.5; z - t * sum(t * z) / sum(t^2) * .85 })   # removes most between-patient slope spread
W(data.frame(patient = id, week = wk, pain = r2(6 + b0[id] - .3 * wk + e, 2)), "pain_boundary.csv")

# ---- mme_daily: 60 patients x days, zeros, skewed, hours at risk, site ---------------------------------------
set.seed(105); n <- 60; k <- sample(6:14, n, TRUE); id <- rep(1:n, k); N <- length(id); site <- sample(rep(1:6, 10)); arm <- rbinom(n, 1, .5)
age <- round(rnorm(n, 58, 14)); g <- rgamma(n, 2.5, 2.5); day <- unlist(lapply(k, seq_len)); post <- as.integer(day > ceiling(k[id] / 2))
hrs <- ifelse(runif(N) < .7, 24, r2(runif(N, 3, 24), 1)); mu <- exp(3.3 - .45 * post - .25 * arm[id] * post - .008 * (age[id] - 58) + c(-.3, -.1, 0, .1, .2, .3)[site[id]]) * g[id]
z <- rbinom(N, 1, plogis(-1.4 + .7 * post)); mme <- ifelse(z == 1, 0, r2(rgamma(N, 1.6, 1.6 / (mu * hrs / 24)), 1))
resc <- rpois(N, .08 * hrs * g[id] * exp(-.4 * post))
W(data.frame(patient = sprintf("M%02d", id), site = paste0("S", site[id]), arm = arm[id], age = age[id], day = day, post = post, hours_at_risk = hrs,
             mme = mme, any_opioid = as.integer(mme > 0), rescue_doses = resc), "mme_daily.csv")

# ---- tte: 300 rows, left truncation, status 0/1/2, heavy ties on whole days, weights, clusters ----------------
set.seed(106); n <- 300; age <- round(rnorm(n, 60, 11)); male <- rbinom(n, 1, .55); stage <- sample(c("I", "II", "III"), n, TRUE, c(.4, .35, .25)); marker <- r2(rnorm(n), 3)
site <- sample(1:12, n, TRUE); fr <- rgamma(12, 6, 6)
lp1 <- .02 * (age - 60) + .3 * male + c(I = 0, II = .35, III = .8)[stage] - .25 * marker; lp2 <- .03 * (age - 60) - .1 * marker
t1 <- (-log(runif(n)) / (.012 * fr[site] * exp(lp1)))^(1 / 1.1); t2 <- -log(runif(n)) / (.006 * exp(lp2)); cc <- pmin(runif(n, 10, 160), 120)
tm <- pmin(t1, t2, cc); st <- ifelse(cc <= pmin(t1, t2), 0, ifelse(t1 <= t2, 1, 2))
frac <- runif(n) < .15; tm <- ifelse(frac, r2(tm, 1), ceiling(tm)); tm[tm <= 0] <- .5
ent <- ifelse(runif(n) < .45, floor(runif(n) * .6 * tm), 0); ent[ent >= tm] <- 0
W(data.frame(patient = 1:n, entry = ent, time = tm, status = st, weight = r2(runif(n, .4, 2.2), 3), iweight = sample(1:3, n, TRUE), site = site, age = age, male = male, stage = stage, marker = marker,
             arm = rbinom(n, 1, .5)), "tte.csv")

# ---- counting: (start,stop], time-varying exposure, contiguous intervals, ties -----------------------------
set.seed(107); n <- 120; o <- NULL
for (i in 1:n) { a <- round(rnorm(1, 60, 10)); arm <- rbinom(1, 1, .5); cens <- sample(20:90, 1); sw <- if (runif(1) < .6) sample(2:50, 1) else Inf; sw2 <- if (is.finite(sw) && runif(1) < .35) sw + sample(3:25, 1) else Inf
  cut <- sort(unique(c(0, sw, sw2, if (runif(1) < .5) 30))); cut <- cut[is.finite(cut)]; t <- 0; ev <- 0; h0 <- .012
  for (d in 1:cens) { x <- as.integer(d > sw && d <= sw2); if (runif(1) < 1 - exp(-h0 * exp(.7 * x + .025 * (a - 60) - .3 * arm))) { ev <- 1; break } }
  end <- d; cut <- c(cut[cut < end], end)
  for (j in seq_len(length(cut) - 1)) o <- rbind(o, data.frame(patient = i, start = cut[j], stop = cut[j + 1], event = as.integer(ev == 1 && j == length(cut) - 1),
    exposed = as.integer(cut[j] >= sw && cut[j] < sw2), age = a, arm = arm, dose = r2(abs(rnorm(1, 20, 8)) * (cut[j] >= sw && cut[j] < sw2), 1))) }
W(o, "counting.csv")

# ---- recurrent: catheter-site episodes nested in patients, recurrent complications, terminal event ------------
set.seed(108); n <- 80; o <- NULL
for (i in 1:n) { arm <- rbinom(1, 1, .5); a <- round(rnorm(1, 62, 10)); fr <- rgamma(1, 2, 2); end <- sample(30:120, 1); dth <- ceiling(-log(runif(1)) / (.006 * exp(.02 * (a - 62)))); term <- dth <= end; end <- min(end, dth)
  t <- 0; en <- 1; ep <- 1; gap0 <- 0; s <- sample(c("lumbar", "thoracic", "subcutaneous"), 1)
  while (t < end) { g <- ceiling(-log(runif(1)) / (.022 * fr * exp(-.4 * arm))); nx <- if (runif(1) < .3) t + sample(10:30, 1) else Inf   # nx: new catheter site
    st <- min(t + g, nx, end); e <- as.integer(t + g <= min(nx, end) && !(term && st == end))
    o <- rbind(o, data.frame(patient = i, episode = ep, body_site = s, tstart = t, tstop = st, status = if (e == 1) 1 else if (term && st == end) 2 else 0, event_number = en, arm = arm, age = a))
    if (e == 1) en <- en + 1; if (e == 0 && st < end) { ep <- ep + 1; s <- sample(c("lumbar", "thoracic", "subcutaneous"), 1) }
    t <- st } }
W(o, "recurrent.csv")

# ---- rare: all events in one arm (monotone likelihood) -----------------------------------------------------
set.seed(109); n <- 64; arm <- rep(0:1, each = 32); age <- round(rnorm(n, 60, 10)); x <- r2(rnorm(n), 2); tm <- sample(5:60, n, TRUE); ev <- integer(n)
ev[sample(which(arm == 1), 7, prob = exp(.04 * (age[arm == 1] - 60) + .4 * x[arm == 1]))] <- 1; tm[which(ev == 1)[1:4]] <- c(12, 12, 20, 20)
W(data.frame(patient = 1:n, arm = arm, age = age, biomarker = x, time = tm, status = ev), "rare.csv")

# ---- single_case: one patient, AB and ABAB --------------------------------------------------------------------
ar <- function(n, rho, s) { e <- numeric(n); e[1] <- rnorm(1, 0, s); for (i in 2:n) e[i] <- rho * e[i - 1] + rnorm(1, 0, s * sqrt(1 - rho^2)); e }
set.seed(110); a <- data.frame(series = "AB", day = 1:30, phase = rep(c("A1", "B1"), c(12, 18))); a$treated <- as.integer(a$phase == "B1"); a$pain <- r2(7 - 2.1 * a$treated + ar(30, .4, .9), 1)
b <- data.frame(series = "ABAB", day = 1:48, phase = rep(c("A1", "B1", "A2", "B2"), each = 12)); b$treated <- as.integer(substr(b$phase, 1, 1) == "B"); b$pain <- r2(6.5 - 1.7 * b$treated + ar(48, .35, .8), 1)
W(rbind(a, b), "single_case.csv")

# ---- meta_sites: site estimates (log scale) -----------------------------------------------------------------
set.seed(111); mk <- function(lab, k, tau) { v <- r2(runif(k, .01, .12), 4); data.frame(set = lab, site = 1:k, yi = r2(-.35 + rnorm(k, 0, tau) + rnorm(k, 0, sqrt(v)), 4), vi = v, dose = r2(runif(k, 5, 50), 1)) }
z <- mk("k6_zero", 6, 0); z$yi <- r2(-.3 + c(.05, -.08, .02, -.04, .06, -.01), 4)
W(rbind(mk("k3", 3, .25), mk("k6", 6, .3), mk("k12", 12, .35), z), "meta_sites.csv")

# ---- mi10: ten completed data sets (proper normal / Bernoulli draws, base R) -----------------------------------
set.seed(112); n <- 60; x1 <- r2(rnorm(n), 3); grp <- rbinom(n, 1, .5); x2 <- .5 * x1 + .3 * grp + rnorm(n); y <- 4 + .8 * x1 - .6 * grp + .5 * x2 + rnorm(n); z <- rbinom(n, 1, plogis(-.2 + .6 * x1 + .5 * x2))
tm <- ceiling(rexp(n, .03 * exp(.4 * x2 + .3 * grp))); ev <- as.integer(tm <= 60); tm <- pmin(tm, 60); mx <- runif(n) < plogis(-1 + .5 * x1); my <- runif(n) < .18; o <- NULL
for (m in 1:10) { i <- which(!mx & !my); f <- lm(x2 ~ x1 + grp + ev, subset = i); S <- summary(f); dr <- function(f) { S <- summary(f); sg <- S$sigma * sqrt(f$df.residual / rchisq(1, f$df.residual)); list(b = coef(f) + sg * drop(t(chol(S$cov.unscaled)) %*% rnorm(length(coef(f)))), s = sg) }
  p <- dr(f); xx <- x2; X <- cbind(1, x1, grp, ev); xx[mx] <- drop(X[mx, ] %*% p$b) + rnorm(sum(mx), 0, p$s)
  f <- lm(y ~ x1 + grp + xx, subset = which(!my)); p <- dr(f); yy <- y; X <- cbind(1, x1, grp, xx); yy[my] <- drop(X[my, ] %*% p$b) + rnorm(sum(my), 0, p$s)
  o <- rbind(o, data.frame(imp = m, patient = 1:n, group = grp, x1 = x1, x2 = r2(xx, 4), y = r2(yy, 4), z = z, time = tm, status = ev, x2_was_missing = as.integer(mx), y_was_missing = as.integer(my))) }
W(o, "mi10.csv")

# ---- ps: treatment depends on covariates; continuous, binary outcome; sites ---------------------------------------
set.seed(113); n <- 250; age <- round(rnorm(n, 60, 11)); female <- rbinom(n, 1, .48); sev <- r2(rnorm(n), 3); dial <- sample(c("none", "hemodialysis", "peritoneal"), n, TRUE, c(.5, .35, .15)); base <- r2(pmin(10, pmax(0, 6 + .6 * sev + rnorm(n))), 1)
ps <- plogis(-.2 + .03 * (age - 60) - .5 * female + .8 * sev + c(none = 0, hemodialysis = .5, peritoneal = -.4)[dial] + .15 * (base - 6)); tr <- rbinom(n, 1, ps); y <- r2(2 + .6 * base + .4 * sev - 1.1 * tr + .02 * (age - 60) + rnorm(n, 0, 1.2), 2)
W(data.frame(patient = 1:n, site = sample(1:10, n, TRUE), treat = tr, age = age, female = female, severity = sev, dialysis = dial, baseline_pain = base, pain = y, responder = as.integer(y <= .7 * base)), "ps.csv")
