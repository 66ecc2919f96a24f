# Lookahead in R, by itself, and what lets the golden suite talk to it.
#
#   Rscript --vanilla lookahead.R    answers JSON lines: lookahead-ref conform --command

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

start <- function(config, dtype) {
  r <<- if (dtype == "float32") single else identity
  config$h <- list()
  for (each in config$inner$hyperparameters) config$h[[each$name]] <- r(from_bits(each$value))
  config <<- config
  theta <- lapply(config$params, function(param) {
    from_rows(from_bits(unlist(param$values)), unlist(param$shape))
  })
  names <- slot_names[[config$inner$rule]]
  slots <- lapply(theta, function(x) setNames(lapply(names, function(name) zero(x)), names))
  # phi starts as the parameters themselves, before any step. The outermost level is first.
  level <- list(phi = theta, anchor = slots, steps = 0, syncs = 0)
  levels <- rep(list(level), length(config$lookahead))
  state <<- list(theta = theta, slots = slots, step = 0, updates = 0, levels = levels)
}

step <- function(gradients) {
  rate <- r(at(config$learning_rate, state$step))
  state$step <<- state$step + 1
  state$updates <<- state$updates + 1
  decay <- config$h$weight_decay
  for (i in seq_along(state$theta)) {
    x <- state$theta[[i]]
    g <- zero(x) # variant no-gradient-is-zero
    if (!is.null(gradients[[i]])) g <- from_rows(from_bits(unlist(gradients[[i]])), dim(x))
    if (config$inner$weight_decay_kind == "l2") g <- r(g + r(decay * x))
    made <- rules[[config$inner$rule]](state$slots[[i]], g, config$h, state$updates)
    u <- made$update
    if (config$inner$weight_decay_kind == "decoupled") u <- r(u + r(decay * x))
    state$slots[[i]] <<- made$slots
    state$theta[[i]] <<- r(x - r(rate * u))
  }
  # The innermost first.
  for (place in rev(seq_along(state$levels))) {
    state$levels[[place]]$steps <<- state$levels[[place]]$steps + 1
    if (state$levels[[place]]$steps >= config$lookahead[[place]]$k) synchronize(place)
  }
}

synchronize <- function(place) {
  kind <- config$lookahead[[place]]$inner_state
  level <- state$levels[[place]]
  alpha <- r(at(config$lookahead[[place]]$alpha, level$syncs))
  move <- function(slow, fast) r(slow + r(alpha * r(fast - slow)))
  state$theta <<- Map(move, level$phi, state$theta)
  if (kind == "interpolate")
    state$slots <<- Map(function(a, s) Map(move, a, s), level$anchor, state$slots)
  if (kind == "reset") {
    state$slots <<- lapply(state$slots, lapply, zero)
    state$updates <<- 0
  }
  state$levels[[place]]$steps <<- 0
  state$levels[[place]]$syncs <<- level$syncs + 1
  # It is a synchronization of every level below, too.
  for (below in place:length(state$levels)) {
    state$levels[[below]]$phi <<- state$theta
    state$levels[[below]]$anchor <<- state$slots
    if (kind == "reset") state$levels[[below]]$steps <<- 0
  }
}

# --- JSON, as far as the protocol needs it: no string in it has an escape. ---
read_json <- function(text) {
  tokens <- regmatches(text, gregexpr('"[^"]*"|[][{}]|[^][{}",: ]+', text))[[1]]
  place <- 0
  take <- function() tokens[[place <<- place + 1]]
  text_of <- function(token) substr(token, 2, nchar(token) - 1)
  value <- function(token) {
    if (startsWith(token, '"')) return(text_of(token))
    if (token == "null") return(NULL)
    if (!token %in% c("[", "{")) return(as.numeric(token))
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
seen <- function() {
  slots <- lapply(slot_names[[config$inner$rule]], function(name) {
    sprintf('{"name":"%s","values":%s}', name, tensors(lapply(state$slots, `[[`, name)))
  })
  slow <- lapply(state$levels, function(level) tensors(level$phi))
  sprintf('{"fast":%s,"slow":%s,"slots":%s}', tensors(state$theta), listed(slow), listed(slots))
}
answer <- function(request) switch(request$do,
  hello = '{"version":1,"name":"lookahead.R"}',
  start = { start(request$case, request$dtype); '{"ok":true}' },
  step = { step(request$gradients); seen() },
  evaluate = sprintf('{"weights":%s}', tensors(state$levels[[1]]$phi)),
  snapshot = { kept <<- state; '{"ok":true}' }, # R copies what is changed later
  dump = sprintf('{"state":"%s"}', paste(serialize(kept, NULL), collapse = "")),
  load = {
    first <- seq(1, nchar(request$state), by = 2)
    state <<- unserialize(as.raw(strtoi(substring(request$state, first, first + 1), 16)))
    '{"ok":true}'
  }
)

input <- file("stdin", "r")
repeat {
  request <- read_json(readLines(input, 1))
  if (request$do == "stop") break
  cat(answer(request), "\n", sep = "")
}
