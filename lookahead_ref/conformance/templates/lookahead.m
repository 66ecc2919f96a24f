% Lookahead in GNU Octave, by itself, and what lets the golden suite talk to it.
%
%   octave-cli --quiet --norc lookahead.m                           answers JSON lines: --command
%   octave-cli --quiet --norc lookahead.m wrapper.json > run.jsonl  records: --recorded
1; % A file that begins with a function would be that function's alone.

% --- Numbers are bit strings of binary64; a table's last entry holds from then on. ---
function x = at(table, tick, dtype)
  x = cast(hex2num(table{min(tick + 1, numel(table))}), dtype);
end

% The suite's last index runs fastest, Octave's first: axes are reversed both ways.
function x = from_rows(x, shape)
  if numel(shape) > 1
    x = permute(reshape(x, flip(shape(:)')), numel(shape):-1:1);
  end
end

function x = to_rows(x)
  x = permute(x, ndims(x):-1:1);
  x = x(:);
end

function x = from_bits(bits, shape, dtype)
  x = from_rows(cast(hex2num(bits), dtype), shape);
end

function bits = to_bits(x)
  bits = num2hex(double(to_rows(x)), "cell");
end

function out = each(f, varargin)
  out = cellfun(f, varargin{:}, "UniformOutput", false);
end

function x = zero(x)
  x(:) = 0;
end

function list = cells(list) % Objects with the same fields are read as an array.
  if ! iscell(list)
    list = num2cell(list);
  end
  list = list(:);
end

% --- The optimizer. Arithmetic is in the class of its operands, single or double. ---
function names = slot_names(rule)
  switch rule
    case "sgd"
      names = {};
    case "adagrad"
      names = {"sum_of_squares"};
    case "adam"
      names = {"first_moment", "second_moment"};
    otherwise
      names = {"velocity"};
  end
end

function [u, s] = update(rule, g, s, h, t)
  switch rule
    case "sgd"
      u = g;
    case "heavy-ball"
      s{1} = h.momentum * s{1} + g;
      u = s{1};
    case "nesterov"
      s{1} = h.momentum * s{1} + g;
      u = g + h.momentum * s{1};
    case "adagrad"
      s{1} = s{1} + g .* g;
      u = g ./ (sqrt(s{1}) + h.epsilon);
    case "adam"
      s{1} = h.beta1 * s{1} + (1 - h.beta1) * g;
      s{2} = h.beta2 * s{2} + (1 - h.beta2) * (g .* g);
      m = s{1} / (1 - h.beta1 ^ t);
      u = m ./ (sqrt(s{2} / (1 - h.beta2 ^ t)) + h.epsilon);
  end
end

% An optimizer of theta, or of phi: its clock is that of its learning rate.
function made = optimizer(given, rates, dtype)
  made = struct("rule", given.rule, "decay", given.weight_decay_kind, "rates", {rates}, ...
                "names", {slot_names(given.rule)}, "h", struct(), "dtype", dtype);
  for each = given.hyperparameters(:)'
    made.h.(each.name) = at({each.value}, 0, dtype);
  end
end

function state = begun(optimizer, theta)
  slots = repmat(each(@zero, theta), 1, numel(optimizer.names));
  state = struct("slots", {slots}, "clock", 0, "updates", 0);
end

function state = again(state) % but for the clock
  state.slots = each(@zero, state.slots);
  state.updates = 0;
end

function [theta, state] = descend(optimizer, state, theta, gradients)
  rate = at(optimizer.rates, state.clock, optimizer.dtype);
  state.clock += 1;
  state.updates += 1;
  for i = 1:numel(theta)
    x = theta{i};
    g = gradients{i};
    if strcmp(optimizer.decay, "l2")
      g = g + optimizer.h.weight_decay * x;
    end
    [u, state.slots(i, :)] = update(optimizer.rule, g, state.slots(i, :), ...
                                    optimizer.h, state.updates);
    if strcmp(optimizer.decay, "decoupled")
      u = u + optimizer.h.weight_decay * x;
    end
    theta{i} = x - rate * u;
  end
end

function [my, workers] = start(config, dtype)
  dtype = struct("float32", "single", "float64", "double").(dtype);
  my.inner = optimizer(config.inner, config.learning_rate, dtype);
  count = 1;
  if isfield(config, "workers")
    count = config.workers;
  end
  params = cells(config.params);
  params = params(1:end / count); % All start where the first worker does.
  theta = each(@(p) from_bits(p.values, p.shape, dtype), params);
  inner = begun(my.inner, theta);
  my.lookahead = cells(config.lookahead);
  for place = 1:numel(my.lookahead) % The outermost first.
    level = my.lookahead{place};
    if isfield(level, "outer")
      outer = optimizer(level.outer, level.outer.learning_rate, dtype);
    else % alpha is the learning rate of an outer SGD.
      sgd = struct("rule", "sgd", "weight_decay_kind", "none", "hyperparameters", []);
      outer = optimizer(sgd, level.alpha, dtype);
    end
    my.lookahead{place}.outer = outer;
    % phi starts as the parameters themselves, before any step.
    levels{place} = struct("phi", {theta}, "anchor", {inner.slots}, ...
                           "outer", begun(outer, theta), "steps", 0);
  end
  worker = struct("theta", {theta}, "inner", inner, "levels", {levels});
  workers = repmat({worker}, 1, count);
end

% A gradient for each parameter of the first worker, of the second, and so on.
function workers = step(my, workers, gradients)
  gradients = reshape(gradients, [], numel(workers));
  for m = 1:numel(workers)
    w = workers{m};
    [w.theta, w.inner] = descend(my.inner, w.inner, w.theta, gradients(:, m));
    for place = 1:numel(w.levels)
      w.levels{place}.steps += 1;
    end
    workers{m} = w;
  end
  for place = numel(my.lookahead):-1:1 % the innermost first
    if workers{1}.levels{place}.steps < my.lookahead{place}.k
      continue;
    end
    apart = each(@(w) each(@minus, w.levels{place}.phi, w.theta), workers);
    mean = each(@(varargin) plus(0, varargin{:}) / numel(workers), apart{:});
    workers = each(@(w) synchronize(my.lookahead{place}, w, place, mean), workers);
  end
end

% Step phi by the mean over the workers of phi - theta.
function w = synchronize(config, w, place, apart)
  level = w.levels{place};
  [w.theta, w.levels{place}.outer] = descend(config.outer, level.outer, level.phi, apart);
  reset = strcmp(config.inner_state, "reset");
  if reset
    w.inner = again(w.inner);
  elseif strcmp(config.inner_state, "interpolate")
    alpha = min(at(config.outer.rates, level.outer.clock, config.outer.dtype), 1);
    w.inner.slots = each(@(s, fast) s + alpha * (fast - s), level.anchor, w.inner.slots);
  end
  w.levels{place}.steps = 0;
  for below = place:numel(w.levels) % It is one of every level below, too.
    w.levels{below}.phi = w.theta;
    w.levels{below}.anchor = w.inner.slots;
    if reset
      w.levels{below}.steps = 0;
      if below > place % Its own outer state runs on.
        w.levels{below}.outer = again(w.levels{below}.outer);
      end
    end
  end
end

% --- The protocol: each request an answer. ---
function all = of_all(part, workers)
  all = each(part, workers);
  all = vertcat(all{:});
end

function all = thetas(workers)
  all = of_all(@(w) w.theta, workers);
end

function tensors = decoded(tensors, workers)
  given = cellfun(@iscell, tensors); % null is no gradient
  tensors(! given) = each(@(x) zero(x), thetas(workers)(! given)); % variant no-gradient-is-zero
  tensors(given) = each(@(bits, x) from_bits(bits, size(x), class(x)), ...
                        tensors(given), thetas(workers)(given));
end

function answer = seen(my, workers)
  bits = @(part) each(@to_bits, of_all(part, workers));
  slow = each(@(place) bits(@(w) w.levels{place}.phi), num2cell(1:numel(my.lookahead)));
  slots = {};
  for s = 1:numel(my.inner.names)
    values = bits(@(w) w.inner.slots(:, s));
    slots{s} = struct("name", my.inner.names{s}, "values", {values});
  end
  answer = struct("fast", {bits(@(w) w.theta)}, "slow", {slow}, "slots", {slots});
end

function answer = evaluated(workers)
  answer = struct("weights", {each(@to_bits, of_all(@(w) w.levels{1}.phi, workers))});
end

function say(answer)
  disp(jsonencode(answer));
  fflush(stdout);
end

function text = written(kept)
  file = tempname();
  save("-binary", file, "kept");
  handle = fopen(file);
  text = sprintf("%02x", fread(handle));
  fclose(handle);
  delete(file);
end

function kept = loaded(text)
  file = tempname();
  handle = fopen(file, "w");
  fwrite(handle, sscanf(text, "%2x"));
  fclose(handle);
  load("-binary", file, "kept");
  delete(file);
end

function speak()
  while true
    % "do" is a keyword of Octave, and would be renamed.
    request = jsondecode(input("", "s"), "makeValidName", false);
    answer = struct("ok", true);
    switch request.("do")
      case "hello"
        answer = struct("version", 1, "name", "lookahead.m", "offers", {{"outer", "workers"}});
      case "start"
        [my, workers] = start(request.("case"), request.dtype);
      case "step"
        workers = step(my, workers, decoded(cells(request.gradients), workers));
        answer = seen(my, workers);
      case "evaluate"
        answer = evaluated(workers);
      case "snapshot"
        kept = workers; % a copy
      case "dump"
        answer = struct("state", written(kept));
      case "load"
        workers = loaded(request.state);
      case "stop"
        return;
    end
    say(answer);
  end
end

% --- Without a runner: the gradients of a case, and a recording of what came of it. ---
function all = gradients(problem, workers, t)
  switch problem.kind
    case "tape"
      all = decoded(cells(problem.gradients{t}), workers);
    case "double-well"
      all = each(@(a, x) a .* (x .* x - 1) .* x, ...
                 decoded(problem.curvature, workers), thetas(workers));
    case "quadratic"
      apart = each(@minus, thetas(workers), decoded(problem.centre, workers));
      all = each(@times_matrix, problem.matrix, apart);
  end
end

function g = times_matrix(bits, x)
  rows = to_rows(x);
  matrix = from_bits(bits, numel(rows) * [1, 1], class(x));
  g = from_rows(matrix * rows, size(x));
end

function line = recorded(config, dtype)
  line = struct("case", config.id, "dtype", dtype);
  if isfield(config, "save_after")
    line.unsupported = "this recorder is one process";
    return;
  end
  [my, workers] = start(config, dtype);
  line.steps = line.evaluations = {};
  for t = 1:config.steps
    workers = step(my, workers, gradients(config.problem, workers, t));
    line.steps{t} = seen(my, workers);
    if isfield(config, "evaluate_after") && any(config.evaluate_after == t)
      line.evaluations{end + 1} = evaluated(workers);
    end
  end
end

if isempty(argv())
  speak();
else
  say(struct("recording", 1, "name", "lookahead.m"));
end
for name = argv()'
  file = jsondecode(fileread(name{1}), "makeValidName", false);
  if isfield(file, "cases") && ! isnumeric(file.cases) % The index and the schemas have none.
    for config = cells(file.cases)'
      for dtype = config{1}.dtypes'
        say(recorded(config{1}, dtype{1}));
      end
    end
  end
end
