% Lookahead in GNU Octave, by itself, and what lets the golden suite talk to it.
%
%   octave-cli --quiet --norc lookahead.m    answers JSON lines: lookahead-ref conform --command
1; % A file that begins with a function would be that function's alone.

% --- Numbers are bit strings of binary64; a table's last entry holds from then on. ---
function x = at(table, tick, dtype)
  x = cast(hex2num(table{min(tick + 1, numel(table))}), dtype);
end

% The suite's last index runs fastest, Octave's first: axes are reversed both ways.
function x = from_bits(bits, shape, dtype)
  x = cast(hex2num(bits), dtype);
  if numel(shape) > 1
    x = permute(reshape(x, flip(shape(:)')), numel(shape):-1:1);
  end
end

function bits = to_bits(x)
  x = permute(x, ndims(x):-1:1);
  bits = num2hex(double(x(:)), "cell");
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

function [config, state] = start(config, dtype)
  classes = struct("float32", "single", "float64", "double");
  config.dtype = classes.(dtype);
  config.lookahead = cells(config.lookahead);
  config.names = slot_names(config.inner.rule);
  config.h = struct();
  for given = config.inner.hyperparameters(:)'
    config.h.(given.name) = at({given.value}, 0, config.dtype);
  end
  theta = each(@(p) from_bits(p.values, p.shape, config.dtype), cells(config.params));
  slots = repmat(each(@zero, theta), 1, numel(config.names));
  % phi starts as the parameters themselves, before any step. The outermost level is first.
  level = struct("phi", {theta}, "anchor", {slots}, "steps", 0, "syncs", 0);
  levels = repmat({level}, 1, numel(config.lookahead));
  state = struct("theta", {theta}, "slots", {slots}, "step", 0, "updates", 0, ...
                 "levels", {levels});
end

function state = step(config, state, gradients)
  rate = at(config.learning_rate, state.step, config.dtype);
  kind = config.inner.weight_decay_kind;
  state.step += 1;
  state.updates += 1;
  for i = 1:numel(state.theta)
    x = state.theta{i};
    g = zero(x); % variant no-gradient-is-zero
    if ! isempty(gradients{i})
      g = from_bits(gradients{i}, size(x), config.dtype);
    end
    if strcmp(kind, "l2")
      g = g + config.h.weight_decay * x;
    end
    [u, state.slots(i, :)] = update(config.inner.rule, g, state.slots(i, :), ...
                                    config.h, state.updates);
    if strcmp(kind, "decoupled")
      u = u + config.h.weight_decay * x;
    end
    state.theta{i} = x - rate * u;
  end
  for place = numel(state.levels):-1:1 % the innermost first
    state.levels{place}.steps += 1;
    if state.levels{place}.steps >= config.lookahead{place}.k
      state = synchronize(config, state, place);
    end
  end
end

function state = synchronize(config, state, place)
  kind = config.lookahead{place}.inner_state;
  level = state.levels{place};
  alpha = at(config.lookahead{place}.alpha, level.syncs, config.dtype);
  move = @(slow, fast) slow + alpha * (fast - slow);
  state.theta = each(move, level.phi, state.theta);
  if strcmp(kind, "interpolate")
    state.slots = each(move, level.anchor, state.slots);
  elseif strcmp(kind, "reset")
    state.slots = each(@zero, state.slots);
    state.updates = 0;
  end
  state.levels{place}.steps = 0;
  state.levels{place}.syncs += 1;
  for below = place:numel(state.levels) % It is one of every level below, too.
    state.levels{below}.phi = state.theta;
    state.levels{below}.anchor = state.slots;
    if strcmp(kind, "reset")
      state.levels{below}.steps = 0;
    end
  end
end

% --- The protocol: each request an answer. ---
function answer = seen(config, state)
  slow = each(@(level) each(@to_bits, level.phi), state.levels);
  slots = {};
  for s = 1:numel(config.names)
    values = each(@to_bits, state.slots(:, s));
    slots{s} = struct("name", config.names{s}, "values", {values});
  end
  answer = struct("fast", {each(@to_bits, state.theta)}, "slow", {slow}, "slots", {slots});
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

while true
  % "do" is a keyword of Octave, and would be renamed.
  request = jsondecode(input("", "s"), "makeValidName", false);
  answer = struct("ok", true);
  switch request.("do")
    case "hello"
      answer = struct("version", 1, "name", "lookahead.m");
    case "start"
      [config, state] = start(request.("case"), request.dtype);
    case "step"
      state = step(config, state, cells(request.gradients));
      answer = seen(config, state);
    case "evaluate"
      answer = struct("weights", {each(@to_bits, state.levels{1}.phi)});
    case "snapshot"
      kept = state; % a copy
    case "dump"
      answer = struct("state", written(kept));
    case "load"
      state = loaded(request.state);
    case "stop"
      break;
  end
  disp(jsonencode(answer));
  fflush(stdout);
end
