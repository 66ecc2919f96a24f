# Lookahead in R, by itself, and what lets the golden suite talk to it.
#
#   Rscript --vanilla lookahead.R                           answers JSON lines: --command
#   Rscript --vanilla lookahead.R wrapper.json > run.jsonl  records the vectors: --recorded

# --- Numbers are bit strings of binary64; a table's last entry holds from then on. ---
from_bits <- function(bits) {
  first <- seq(1, 16 * length(bits), by = 2)
  digits <- substring(paste(bits, collapse = ""), first, first + 1)
  readBin(as.raw(strtoi(digits, 16)), "numeric", length(bits), endian = "big")
}
to_bits <- function(x) {
  bytes <- as.character(writeBin(as.vector(x), raw(), endian = "big"))
  apply(matrix(bytes, 8), 2, paste, collapse = "")
}
single <- function(x) {
  x[] <- readBin(writeBin(as.vector(x), raw(), size = 4), "numeric", length(x), size = 4)
  x
}
at <- function(table, tick) from_bits(table[[min(tick + 1, length(table))]])

# The suite's last index runs fastest, R's first: an array is its own with the axes reversed.
from_rows <- function(x, shape) if (length(shape) > 1) aperm(array(x, rev(shape))) else x
to_rows <- function(x) if (is.array(x)) aperm(x) else x

zero <- function(x) replace(x, TRUE, 0)

# --- The optimizer. A rule makes update and slots of a tensor; r rounds to the precision. ---
r <- identity
velocity <- function(s, g, h) {
  s$velocity <- r(r(h$momentum * s$velocity) + g)
  s
}
rules <- list(
  sgd = function(s, g, h, t) list(slots = s, update = g),
  `heavy-ball` = function(s, g, h, t) {
    s <- velocity(s, g, h)
    list(slots = s, update = s$velocity)
  },
  nesterov = function(s, g, h, t) {
    s <- velocity(s, g, h)
    list(slots = s, update = r(g + r(h$momentum * s$velocity)))
  },
  adagrad = function(s, g, h, t) {
    s$sum_of_squares <- r(s$sum_of_squares + r(g * g))
    list(slots = s, update = r(g / r(r(sqrt(s$sum_of_squares)) + h$epsilon)))
  },
  adam = function(s, g, h, t) {
    s$first_moment <- r(r(h$beta1 * s$first_moment) + r(r(1 - h$beta1) * g))
    s$second_moment <- r(r(h$beta2 * s$second_moment) + r(r(1 - h$beta2) * r(g * g)))
    m <- r(s$first_moment / r(1 - h$beta1^t))
    v <- r(s$second_moment / r(1 - h$beta2^t))
    list(slots = s, update = r(m / r(r(sqrt(v)) + h$epsilon)))
  }
)
slot_names <- list(
  sgd = NULL, `heavy-ball` = "velocity", nesterov = "velocity", adagrad = "sum_of_squares",
  adam = c("first_moment", "second_moment")
)

# An optimizer of theta, or of phi: its clock is that of its learning rate.
optimizer <- function(config, rates) {
  h <- list()
  for (each in config$hyperparameters) h[[each$name]] <- r(from_bits(each$value))
  list(rule = config$rule, decay = config$weight_decay_kind, h = h, rates = rates)
}
begun <- function(optimizer, theta) {
  names <- slot_names[[optimizer$rule]]
  slots <- lapply(theta, function(x) setNames(lapply(names, function(name) zero(x)), names))
  list(slots = slots, clock = 0, updates = 0)
}
descend <- function(optimizer, state, theta, gradients) {
  rate <- r(at(optimizer$rates, state$clock))
  decay <- optimizer$h$weight_decay
  state$clock <- state$clock + 1
  state$updates <- state$updates + 1
  for (i in seq_along(theta)) {
    x <- theta[[i]]
    g <- gradients[[i]]
    if (optimizer$decay == "l2") g <- r(g + r(decay * x))
    made <- rules[[optimizer$rule]](state$slots[[i]], g, optimizer$h, state$updates)
    u <- made$update
    if (optimizer$decay == "decoupled") u <- r(u + r(decay * x))
    state$slots[[i]] <- made$slots
    theta[[i]] <- r(x - r(rate * u))
  }
  list(theta = theta, state = state)
}

start <- function(config, dtype) {
  r <<- if (dtype == "float32") single else identity
  inner <<- optimizer(config$inner, config$learning_rate)
  lookahead <<- lapply(config$lookahead, function(level) {
    # alpha is the learning rate of an outer SGD.
    outer <- level$outer
    if (is.null(outer)) outer <- list(rule = "sgd", weight_decay_kind = "none")
    level$outer <- optimizer(outer, c(level$alpha, outer$learning_rate))
    level
  })
  count <- max(config$workers, 1)
  first <- config$params[seq_len(length(config$params) / count)] # all start where it does
  theta <- lapply(first, function(param) {
    from_rows(from_bits(unlist(param$values)), unlist(param$shape))
  })
  own <- begun(inner, theta)
  # phi starts as the parameters themselves, before any step. The outermost level is first.
  levels <- lapply(lookahead, function(level) {
    list(phi = theta, anchor = own$slots, outer = begun(level$outer, theta), steps = 0)
  })
  workers <<- rep(list(list(theta = theta, inner = own, levels = levels)), count)
}

# A gradient for each parameter of the first worker, of the second, and so on.
step <- function(gradients) {
  whose <- rep(seq_along(workers), each = length(gradients) / length(workers))
  workers <<- Map(advance, workers, split(gradients, whose))
  # The innermost first.
  for (place in rev(seq_along(lookahead))) {
    if (workers[[1]]$levels[[place]]$steps < lookahead[[place]]$k) next
    apart <- lapply(workers, function(one) {
      Map(function(slow, fast) r(slow - fast), one$levels[[place]]$phi, one$theta)
    })
    sum <- Reduce(function(a, b) Map(function(x, y) r(x + y), a, b), apart)
    mean <- lapply(sum, function(x) r(x / length(workers)))
    workers <<- lapply(workers, synchronize, place, mean)
  }
}

advance <- function(worker, gradients) {
  made <- descend(inner, worker$inner, worker$theta, gradients)
  worker$theta <- made$theta
  worker$inner <- made$state
  for (place in seq_along(lookahead))
    worker$levels[[place]]$steps <- worker$levels[[place]]$steps + 1
  worker
}

# Step phi by the mean over the workers of phi - theta.
synchronize <- function(worker, place, apart) {
  kind <- lookahead[[place]]$inner_state
  outer <- lookahead[[place]]$outer
  level <- worker$levels[[place]]
  made <- descend(outer, level$outer, level$phi, apart)
  worker$theta <- made$theta
  worker$levels[[place]]$outer <- made$state
  if (kind == "interpolate") {
    alpha <- min(r(at(outer$rates, level$outer$clock)), 1)
    move <- function(slow, fast) r(slow + r(alpha * r(fast - slow)))
    both <- function(anchor, slots) Map(move, anchor, slots)
    worker$inner$slots <- Map(both, level$anchor, worker$inner$slots)
  }
  again <- function(state) {
    list(slots = lapply(state$slots, lapply, zero), clock = state$clock, updates = 0)
  }
  if (kind == "reset") worker$inner <- again(worker$inner)
  worker$levels[[place]]$steps <- 0
  # It is a synchronization of every level below, too.
  for (below in place:length(lookahead)) {
    worker$levels[[below]]$phi <- worker$theta
    worker$levels[[below]]$anchor <- worker$inner$slots
    if (kind == "reset") {
      worker$levels[[below]]$steps <- 0
      # Its own outer state runs on.
      if (below > place) worker$levels[[below]]$outer <- again(worker$levels[[below]]$outer)
    }
  }
  worker
}

# --- JSON, as far as the protocol needs it: no string in it has an escape. ---
read_json <- function(text) {
  tokens <- regmatches(text, gregexpr('"[^"]*"|[][{}]|[^][{}",: ]+', text))[[1]]
  place <- 0
  take <- function() tokens[[place <<- place + 1]]
  text_of <- function(token) substr(token, 2, nchar(token) - 1)
  value <- function(token) {
    if (startsWith(token, '"')) return(text_of(token))
    if (!token %in% c("[", "{"))
      return(switch(token, null = NULL, true = TRUE, false = FALSE, as.numeric(token)))
    all <- list()
    while (!(inside <- take()) %in% c("]", "}")) {
      key <- if (token == "{") text_of(inside) else length(all) + 1
      all[key] <- list(value(if (token == "{") take() else inside))
    }
    all
  }
  value(take())
}
listed <- function(texts) paste0("[", paste(texts, collapse = ","), "]")
tensors <- function(all) {
  listed(lapply(all, function(x) listed(sprintf('"%s"', to_bits(to_rows(x))))))
}

# --- The protocol: each request an answer. ---
of_all <- function(part) tensors(unlist(lapply(workers, part), recursive = FALSE))
phi <- function(place) of_all(function(worker) worker$levels[[place]]$phi)
seen <- function() {
  slots <- lapply(slot_names[[inner$rule]], function(name) {
    values <- of_all(function(worker) lapply(worker$inner$slots, `[[`, name))
    sprintf('{"name":"%s","values":%s}', name, values)
  })
  fast <- of_all(function(worker) worker$theta)
  slow <- listed(lapply(seq_along(lookahead), phi))
  sprintf('{"fast":%s,"slow":%s,"slots":%s}', fast, slow, listed(slots))
}
evaluated <- function() sprintf('{"weights":%s}', phi(1))
thetas <- function() unlist(lapply(workers, `[[`, "theta"), recursive = FALSE)
read_tensors <- function(all) Map(function(bits, x) {
  if (is.null(bits)) return(zero(x)) # variant no-gradient-is-zero
  from_rows(from_bits(unlist(bits)), dim(x))
}, all, thetas())
answer <- function(request) switch(request$do,
  hello = '{"version":1,"name":"lookahead.R","offers":["outer","workers"]}',
  start = { start(request$case, request$dtype); '{"ok":true}' },
  step = { step(read_tensors(request$gradients)); seen() },
  evaluate = evaluated(),
  snapshot = { kept <<- workers; '{"ok":true}' }, # R copies what is changed later
  dump = sprintf('{"state":"%s"}', paste(serialize(kept, NULL), collapse = "")),
  load = {
    first <- seq(1, nchar(request$state), by = 2)
    workers <<- unserialize(as.raw(strtoi(substring(request$state, first, first + 1), 16)))
    '{"ok":true}'
  }
)

# --- Without a runner: the gradients of a case, and a recording of what came of it. ---
gradients <- function(problem, t) switch(problem$kind,
  tape = read_tensors(problem$gradients[[t]]),
  `double-well` = Map(function(a, x) r(r(a * r(r(x * x) - 1)) * x),
                      read_tensors(problem$curvature), thetas()),
  quadratic = Map(function(matrix, centre, x) {
    apart <- as.vector(to_rows(r(x - centre)))
    a <- matrix(from_bits(unlist(matrix)), length(apart)) # symmetric
    from_rows(r(as.vector(a %*% apart)), dim(x))
  }, problem$matrix, read_tensors(problem$centre), thetas())
)
record <- function(case, dtype) {
  line <- sprintf('{"case":"%s","dtype":"%s",', case$id, dtype)
  if (!is.null(case$save_after))
    return(paste0(line, '"unsupported":"this recorder is one process"}'))
  start(case, dtype)
  steps <- evaluations <- NULL
  for (t in seq_len(case$steps)) {
    step(gradients(case$problem, t))
    steps <- c(steps, seen())
    if (t %in% case$evaluate_after) evaluations <- c(evaluations, evaluated())
  }
  paste0(line, '"steps":', listed(steps), ',"evaluations":', listed(evaluations), "}")
}

files <- commandArgs(TRUE)
if (length(files) > 0) cat('{"recording":1,"name":"lookahead.R"}\n')
for (file in files) {
  cases <- read_json(paste(readLines(file), collapse = ""))$cases
  if (is.list(cases)) # the index and the schemas have none
    for (case in cases) for (dtype in case$dtypes) cat(record(case, dtype), "\n", sep = "")
}
input <- file("stdin", "r")
while (length(files) == 0) {
  request <- read_json(readLines(input, 1))
  if (request$do == "stop") break
  cat(answer(request), "\n", sep = "")
}
