# MME per patient-day with data.table.
#   Rscript data_table.R doses.csv out.csv threads
# R has no Parquet reader of its own: run.py exports the columns to CSV first (not timed), with
# times as whole seconds since 1970. Reading the CSV is timed apart.
suppressMessages(library(data.table))
args <- commandArgs(trailingOnly = TRUE)
setDTthreads(as.integer(args[3]))

began <- proc.time()[["elapsed"]]
d <- fread(args[1], na.strings = "", showProgress = FALSE)
read_seconds <- proc.time()[["elapsed"]] - began

began <- proc.time()[["elapsed"]]
factors <- data.table(
  drug = c("fentanyl", "fentanyl", "morphine", "morphine", "hydromorphone", "hydromorphone",
           "morphine", "oxycodone", "hydromorphone"),
  route = rep(c("iv", "oral"), c(6, 3)),
  form = c(rep(c("injection", "infusion"), 3), rep("tablet", 3)),
  factor = c(300, 300, 3, 3, 20, 20, 1, 1.5, 5)
)
factors[, code := .I]
d <- d[status == "given" & drug %chin% unique(factors$drug)]
d[factors, code := i.code, on = .(drug, route, form)]

bolus <- d[is.na(rate), .(
  patient_id, code, day = start %/% 86400L,
  # round() to 0 digits is half-even
  nano = round(amount * fifelse(amount_unit == "mcg", 1e6, 1e9))
)]
pump <- d[!is.na(rate), .(
  patient_id, code, start, end, day = start %/% 86400L, last = (end - 1L) %/% 86400L,
  nano = rate * fifelse(rate_unit == "mcg/h", 1e6, 1e9)
)]
rm(d)
n <- pump$last - pump$day + 1L
pump <- pump[rep.int(seq_along(n), n)]
pump[, day := day + sequence(n) - 1L]
pump[, overlap := pmin(end, (day + 1) * 86400) - pmax(start, day * 86400)]
pump[, nano := round(nano * overlap / 3600)]

pieces <- rbind(bolus, pump[, .(patient_id, code, day, nano)])
# whole numbers far below 2^53: sums of doubles are exact
sums <- pieces[, .(nano = sum(nano)), by = .(patient_id, day, code)]
sums[, micro := round(nano * factors$factor[code] / 1000)]
total <- sums[, .(micro = sum(micro)), keyby = .(patient_id, day)]
total <- total[, .(patient_id, day = as.IDate(day, origin = "1970-01-01"), mme = micro / 1e6)]
job_seconds <- proc.time()[["elapsed"]] - began

fwrite(total, args[2])
cat(sprintf('{"job_seconds": %.3f, "read_seconds": %.3f, "version": "data.table %s, R %s"}\n',
            job_seconds, read_seconds, packageVersion("data.table"), getRversion()))
