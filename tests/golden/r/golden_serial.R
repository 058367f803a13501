# Reference values for serially correlated residuals. Run in a folder that holds data/ and json/:
# Rscript golden_serial.R; it writes the data from nlme and datasets when data/ has them not.
# Each JSON has the fit of nlme and a dense likelihood of its own, polished by Newton steps and
# proved by gradient and Hessian, with Kenward-Roger (1997, second-order terms included) and
# Satterthwaite written out over dense matrices. The correlation there is over `unit` of time
# (AR(1): 1, CAR(1): the median gap).
suppressMessages({library(nlme); library(numDeriv); library(jsonlite)})
options(contrasts = c("contr.treatment", "contr.poly"))

data_sets <- function() {
  list(ovary = transform(as.data.frame(Ovary), Mare = paste0("M", Mare), cycle = ave(Time, Mare, FUN = seq_along), sine = sin(2 * pi * Time), cosine = cos(2 * pi * Time)),
    bodyweight_series = transform(as.data.frame(BodyWeight), Rat = paste0("R", Rat), Diet = paste0("D", Diet)),
    milk = transform(subset(as.data.frame(Milk), as.integer(Cow) %% 4 == 0), Cow = as.character(Cow), Diet = as.character(Diet)),
    soybean = transform(as.data.frame(Soybean), Plot = as.character(Plot), Year = paste0("Y", Year), precision = 1 / Time),
    orange = transform(as.data.frame(Orange), Tree = paste0("T", Tree)),
    lake_huron = data.frame(lake = "Huron", year = as.numeric(time(LakeHuron)), decades = (as.numeric(time(LakeHuron)) - 1920) / 10, level = as.numeric(LakeHuron)))
}
for (n in names(data_sets())) { f <- paste0("data/", n, ".csv"); if (!file.exists(f)) write.csv(data_sets()[[n]], f, row.names = FALSE, quote = FALSE) }

# z: matrix of random effects or NULL; diagonal: uncorrelated; signed: correlation may be negative
dense <- function(x, y, id, time, z, diagonal, w, reml, signed) {
  unit <- if (signed) 1 else median(unlist(lapply(split(time, id), function(t) diff(sort(t)))))
  d <- abs(outer(time, time, "-")) / unit; same <- outer(id, id, "=="); d[!same] <- 0; scale <- same / sqrt(outer(w, w))
  n <- length(y); p <- ncol(x); q <- if (is.null(z)) 0 else ncol(z); free <- if (q == 0) NULL else if (diagonal) diag(q) == 1 else lower.tri(diag(q), TRUE)
  at <- if (q == 0) NULL else which(free, arr.ind = TRUE); k <- if (q == 0) 0 else nrow(at)
  power <- function(r, d) ifelse(d == 0, 1, sign(r)^d * abs(r)^d)
  v <- function(g, s2, r) { out <- s2 * scale * power(r, d); if (q) { G <- matrix(0, q, q); G[at] <- g; G[at[, 2:1, drop = FALSE]] <- g; out <- out + same * (z %*% G %*% t(z)) }; out }
  parts <- function(V) { U <- chol(V); xs <- backsolve(U, x, transpose = TRUE); ys <- backsolve(U, y, transpose = TRUE); A <- crossprod(xs); b <- solve(A, crossprod(xs, ys)); r <- ys - xs %*% b
    list(b = drop(b), A = A, dev = 2 * sum(log(diag(U))) + sum(r^2) + if (reml) as.numeric(determinant(A)$modulus) + (n - p) * log(2 * pi) else n * log(2 * pi)) }
  rho <- function(e) if (signed) tanh(e) else exp(-exp(-e))
  natural <- function(th) { g <- NULL; if (q) { L <- matrix(0, q, q); L[at] <- th[seq_len(k)]; g <- (L %*% t(L))[at] }; list(g = g, s2 = exp(th[k + 2]), r = rho(th[k + 1])) }
  nl <- function(th) { u <- natural(th); o <- try(parts(v(u$g, u$s2, u$r))$dev / 2, silent = TRUE); if (inherits(o, "try-error") || !is.finite(o)) 1e10 else o }
  best <- NULL; start <- if (q) (diag(sqrt(var(y) / 2 / colMeans(z^2)), q))[at] else NULL
  for (e in if (signed) c(-.5, .2, 1) else c(-1, 0, 1, 3)) { o <- try(nlminb(c(start, e, log(var(y) / 2)), nl, control = list(rel.tol = 1e-14, x.tol = 1e-12, eval.max = 4000, iter.max = 2000)), silent = TRUE); if (!inherits(o, "try-error") && (is.null(best) || o$objective < best$objective)) best <- o }
  th <- best$par; for (i in 1:3) { H <- hessian(nl, th); s <- try(solve(H, grad(nl, th)), silent = TRUE); if (!inherits(s, "try-error") && nl(th - s) <= nl(th) + 1e-9) th <- th - s }
  u <- natural(th); V <- v(u$g, u$s2, u$r); f <- parts(V); C <- solve(f$A); I <- solve(V); nm <- colnames(x)
  # natural parameters: entries of G, sigma2, correlation over one unit
  E <- list(); if (q) for (i in seq_len(k)) { e <- matrix(0, q, q); e[at[i, 1], at[i, 2]] <- e[at[i, 2], at[i, 1]] <- 1; E[[i]] <- same * (z %*% e %*% t(z)) }
  R1 <- scale * ifelse(d == 0, 0, d * power(u$r, pmax(d - 1, 0)) * if (signed) 1 else power(u$r, pmin(d - 1, 0))); R2 <- scale * ifelse(d == 0 | d == 1, 0, d * (d - 1) * sign(u$r)^d * abs(u$r)^(d - 2))
  D <- c(E, list(V0 <- (V - Reduce(`+`, c(Map(`*`, E, u$g), list(0 * V)))) / u$s2, u$s2 * R1)); m <- length(D)
  B <- I %*% x; P <- lapply(D, function(a) -t(B) %*% a %*% B); Q <- function(i, j) t(B) %*% D[[i]] %*% I %*% D[[j]] %*% B
  S <- function(i, j) if (i == m && j == m) t(B) %*% (u$s2 * R2) %*% B else if (i + j == 2 * m - 1) t(B) %*% R1 %*% B else 0 * C
  ID <- lapply(D, function(a) I %*% a); info <- matrix(0, m, m)
  for (i in 1:m) for (j in 1:m) info[i, j] <- sum(ID[[i]] * t(ID[[j]])) - 2 * sum(C * Q(i, j)) + sum((C %*% P[[i]]) * t(C %*% P[[j]]))
  W <- 2 * solve(info); L <- 0 * C; for (i in 1:m) for (j in 1:m) L <- L + W[i, j] * (Q(i, j) - P[[i]] %*% C %*% P[[j]] - S(i, j) / 4); A <- C + 2 * C %*% L %*% C
  one <- function(a) { t0 <- outer(a, a) / drop(a %*% C %*% a); tp <- lapply(P, function(z) t0 %*% C %*% z %*% C); a1 <- a2 <- 0; for (i in 1:m) for (j in 1:m) { a1 <- a1 + W[i, j] * sum(diag(tp[[i]])) * sum(diag(tp[[j]])); a2 <- a2 + W[i, j] * sum(tp[[i]] * t(tp[[j]])) }
    b <- (a1 + 6 * a2) / 2; g <- (2 * a1 - 5 * a2) / (3 * a2); c0 <- 3 + 2 * (1 - g); r <- ((1 - a2) / (1 - (1 - g) / c0 * b))^2 * (1 + g / c0 * b) / (1 - (3 - g) / c0 * b); 4 + 3 / (r - 1) }
  # Hessian in (entries of G, log sigma2, search parameter), turned to the natural ones
  dev <- function(w) parts(v(w[seq_len(k)], exp(w[k + 1]), rho(w[k + 2])))$dev; turn <- c(rep(1, k), u$s2, grad(rho, th[k + 1])); K <- 2 * solve(hessian(dev, c(u$g, log(u$s2), th[k + 1]))) * outer(turn, turn)
  sat <- sapply(1:p, function(i) { h <- sapply(1:m, function(j) -(C %*% P[[j]] %*% C)[i, i]); 2 * C[i, i]^2 / drop(h %*% K %*% h) })
  H <- hessian(nl, th); s <- sqrt(solve(H)[k + 1, k + 1]); phi <- abs(u$r)^(1 / unit) * sign(u$r); slope <- if (signed) 1 - u$r^2 else phi * exp(-th[k + 1]) / unit; link <- if (signed) atanh(phi) else qlogis(phi); by <- s * slope / if (signed) 1 - phi^2 else phi * (1 - phi)
  list(unit = unit, fixef = setNames(f$b, nm), se_exact_gls = setNames(sqrt(diag(C)), nm), correlation_parameter = phi, phi_wald_ci95 = (if (signed) tanh else plogis)(link + c(-1, 1) * qnorm(.975) * by), residual_variance = u$s2, random_effect_covariance = u$g, log_likelihood = -f$dev / 2,
    kenward_roger = list(se_adjusted = setNames(sqrt(diag(A)), nm), df = setNames(sapply(1:p, function(i) one(diag(p)[i, ])), nm)), satterthwaite_df = setNames(sat, nm), checks = list(max_abs_gradient = max(abs(grad(nl, th))), smallest_hessian_eigenvalue = min(eigen(H)$values)))
}

golden <- function(id, file, formula, random, kind, time, cluster, weights = NULL, with_nlme = TRUE) for (reml in c(TRUE, FALSE)) {
  d <- read.csv(paste0("data/", file, ".csv"), stringsAsFactors = TRUE); method <- if (reml) "REML" else "ML"; id2 <- paste0("serial_", id, "_", tolower(method))
  f <- as.formula(formula); x <- model.matrix(f, d); y <- model.response(model.frame(f, d)); g <- factor(d[[cluster]]); diagonal <- grepl("||", random, fixed = TRUE); terms <- trimws(sub("||", "", random, fixed = TRUE))
  z <- if (random == "0") NULL else model.matrix(as.formula(paste("~", terms)), d); w <- if (is.null(weights)) rep(1, nrow(d)) else d[[weights]]
  out <- dense(x, y, as.integer(g), d[[time]], z, diagonal, w, reml, kind == "ar1")
  corr <- sprintf("cor%s(form = ~ %s | %s)", toupper(kind), time, cluster); wt <- if (is.null(weights)) "" else sprintf(", weights = varFixed(~ I(1 / %s))", weights); lc <- "lmeControl(maxIter = 500, msMaxIter = 500, tolerance = 1e-12, msTol = 1e-12, opt = \"nlminb\")"
  re <- if (diagonal) sprintf("list(%s = pdDiag(~ %s))", cluster, terms) else sprintf("~ %s | %s", terms, cluster)
  call <- if (is.null(z)) sprintf("gls(%s, data = d, correlation = %s%s, method = \"%s\", control = glsControl(tolerance = 1e-12, msTol = 1e-12))", formula, corr, wt, method) else sprintf("lme(%s, data = d, random = %s, correlation = %s%s, method = \"%s\", control = %s)", formula, re, corr, wt, method, lc)
  result <- c(list(method = method, random_terms = colnames(z)), out)
  if (with_nlme) { m <- eval(parse(text = call)); t <- summary(m)$tTable; result$nlme <- list(fixef = t[, "Value"], se = t[, "Std.Error"], log_likelihood = as.numeric(logLik(m)), aic = AIC(m), residual_sd = m$sigma, correlation_parameter = unname(coef(m$modelStruct$corStruct, unconstrained = FALSE))); if (!is.null(z)) result$nlme$blup <- c(list(level = rownames(ranef(m))), as.list(ranef(m))) }
  json <- list(id = id2, data_file = paste0("data/", file, ".csv"), analysis = sprintf("%s with %s of the residuals, %s%s", if (is.null(z)) "generalised least squares" else paste0("random effects ", random), toupper(kind), method, if (with_nlme) "" else "; nlme does not reach the optimum"), r_call = paste0("d <- read.csv(\"data/", file, ".csv\", stringsAsFactors = TRUE)\n", call),
    oracle = sprintf("independent R implementation (dense in golden_serial.R)%s, R %s", if (with_nlme) paste0("; nlme ", packageVersion("nlme")) else "", getRversion()), model = list(formula = formula, cluster = cluster, random = random, residual = kind, time = time, weights = weights), result = result)
  for (n in names(result)) if (!is.null(names(json$result[[n]])) && !is.list(json$result[[n]])) json$result[[n]] <- as.list(json$result[[n]])
  deep <- function(o) if (is.list(o)) lapply(o, deep) else if (!is.null(names(o))) as.list(o) else o
  writeLines(toJSON(deep(json), digits = I(17), auto_unbox = TRUE, null = "null", pretty = TRUE), paste0("json/", id2, ".json")); cat(id2, result$log_likelihood, if (with_nlme) result$nlme$log_likelihood - result$log_likelihood, unlist(result$checks), "\n")
}

golden("ovary_gls_ar1", "ovary", "follicles ~ sine + cosine", "0", "ar1", "cycle", "Mare")
golden("ovary_ri_ar1", "ovary", "follicles ~ sine + cosine", "1", "ar1", "cycle", "Mare")
golden("ovary_uncorrelated_ar1", "ovary", "follicles ~ sine + cosine", "1 + sine ||", "ar1", "cycle", "Mare")
golden("ovary_ri_car1", "ovary", "follicles ~ sine + cosine", "1", "car1", "Time", "Mare")
golden("bodyweight_slope_car1", "bodyweight_series", "weight ~ Time * Diet", "1 + Time", "car1", "Time", "Rat")
golden("bodyweight_gls_car1", "bodyweight_series", "weight ~ Time * Diet", "0", "car1", "Time", "Rat")
golden("soybean_weighted_car1", "soybean", "weight ~ Time * Variety + Year", "0", "car1", "Time", "Plot", "precision")
golden("milk_slope_ar1", "milk", "protein ~ Diet + Time", "1 + Time", "ar1", "Time", "Cow")
golden("orange_ri_car1", "orange", "circumference ~ age", "1", "car1", "age", "Tree", with_nlme = FALSE)
golden("orange_gls_car1", "orange", "circumference ~ age", "0", "car1", "age", "Tree", with_nlme = FALSE)
golden("lake_huron_ar1", "lake_huron", "level ~ decades", "0", "ar1", "year", "lake")
