// Lookahead in JavaScript, by itself, and what lets the golden suite talk to it.
//
//   node lookahead.js                          answers JSON lines: lookahead-ref conform --command
//   node lookahead.js wrapper.json > run.jsonl records what it makes of the vectors: --recorded
"use strict";
const fs = require("fs");
const readline = require("readline");

// --- Numbers are bit strings of binary64; a table's last entry holds from then on. ---
const view = new DataView(new ArrayBuffer(8));
const fromBits = (bits) => (view.setBigUint64(0, BigInt("0x" + bits)), view.getFloat64(0));
const toBits = (x) => (view.setFloat64(0, x), view.getBigUint64(0).toString(16).padStart(16, "0"));
const at = (table, tick) => fromBits(table[Math.min(tick, table.length - 1)]);
const each = (tensors, f) => tensors.map((tensor, i) => tensor.map((x, j) => f(x, i, j)));
const encode = (tensors) => tensors.map((tensor) => Array.from(tensor, toBits));
const decode = (tensors) => tensors.map((tensor) => tensor.map(fromBits));

// --- The optimizer. A rule makes the update of gradient and slots; r rounds to the precision. ---
const RULES = {
  sgd: { slots: [], update: (g) => g },
  "heavy-ball": {
    slots: ["velocity"],
    update: (g, s, h, r) => (s.velocity = r(r(h.momentum * s.velocity) + g)),
  },
  nesterov: {
    slots: ["velocity"],
    update: (g, s, h, r) => {
      s.velocity = r(r(h.momentum * s.velocity) + g);
      return r(g + r(h.momentum * s.velocity));
    },
  },
  adagrad: {
    slots: ["sum_of_squares"],
    update: (g, s, h, r) => {
      s.sum_of_squares = r(s.sum_of_squares + r(g * g));
      return r(g / r(r(Math.sqrt(s.sum_of_squares)) + h.epsilon));
    },
  },
  adam: {
    slots: ["first_moment", "second_moment"],
    update: (g, s, h, r, t) => {
      const rest = (beta) => r(1 - beta);
      const settled = (beta) => r(1 - Math.pow(beta, t));
      s.first_moment = r(r(h.beta1 * s.first_moment) + r(rest(h.beta1) * g));
      s.second_moment = r(r(h.beta2 * s.second_moment) + r(rest(h.beta2) * r(g * g)));
      const m = r(s.first_moment / settled(h.beta1));
      return r(m / r(r(Math.sqrt(r(s.second_moment / settled(h.beta2)))) + h.epsilon));
    },
  },
};

// An optimizer and its state: slots, the clock of its learning rate, the count since a reset.
class Optimizer {
  constructor(config, learning_rate, round) {
    const { slots, update } = RULES[config.rule];
    Object.assign(this, { config, learning_rate, round, names: slots, update, h: {} });
    for (const { name, value } of config.hyperparameters) this.h[name] = round(fromBits(value));
  }

  zeros(theta) {
    return Object.fromEntries(this.names.map((name) => [name, each(theta, () => 0)]));
  }

  start(theta) {
    return { slots: this.zeros(theta), step: 0, updates: 0 };
  }

  rate(state) {
    return this.round(at(this.learning_rate, state.step));
  }

  // From the parameters to the next ones; a missing gradient is one of zeros.
  step(theta, gradients, state) {
    const { round: r, h } = this;
    const { weight_decay_kind: kind } = this.config;
    const rate = this.rate(state);
    const decay = h.weight_decay;
    const t = state.updates + 1;
    const slots = {};
    for (const name of this.names) slots[name] = each(state.slots[name], (x) => x);
    const moved = each(theta, (x, i, j) => {
      let g = gradients[i] === null ? 0 : gradients[i][j]; // variant no-gradient-is-zero
      if (kind === "l2") g = r(g + r(decay * x));
      const own = {};
      for (const name in slots) own[name] = slots[name][i][j];
      let update = this.update(g, own, h, r, t);
      for (const name in slots) slots[name][i][j] = own[name];
      if (kind === "decoupled") update = r(update + r(decay * x));
      return r(x - r(rate * update));
    });
    Object.assign(state, { slots, step: state.step + 1, updates: t });
    return moved;
  }
}

const SGD = { rule: "sgd", weight_decay_kind: "none", hyperparameters: [] };

class Lookahead {
  constructor(config, dtype) {
    this.config = config;
    this.round = dtype === "float32" ? Math.fround : (x) => x;
    this.inner = new Optimizer(config.inner, config.learning_rate, this.round);
    // Alpha is the learning rate of an outer SGD.
    this.outer = config.lookahead.map(({ outer, alpha }) =>
      new Optimizer(outer ?? SGD, outer?.learning_rate ?? alpha, this.round));
    const theta = decode(config.params.map((param) => param.values));
    const inner = this.inner.start(theta);
    // phi starts as the parameters themselves, before any step; levels: the outermost first.
    const level = (outer) =>
      ({ phi: theta, anchor: inner.slots, steps: 0, outer: outer.start(theta) });
    this.state = { theta, inner, levels: this.outer.map(level) };
  }

  advance(gradients) {
    const { state } = this;
    state.theta = this.inner.step(state.theta, gradients, state.inner);
    for (const level of state.levels) level.steps += 1;
  }

  due(place) {
    return this.state.levels[place].steps >= this.config.lookahead[place].k;
  }

  // Step phi by the mean over the workers of phi - theta.
  synchronize(place, apart) {
    const { state, round: r } = this;
    const kind = this.config.lookahead[place].inner_state;
    const level = state.levels[place];
    const alpha = Math.min(this.outer[place].rate(level.outer), 1);
    const move = (slow, fast) =>
      each(slow, (x, i, j) => r(x + r(alpha * r(fast[i][j] - x))));
    state.theta = this.outer[place].step(level.phi, apart, level.outer);
    const slots = {};
    for (const name in state.inner.slots) {
      const now = state.inner.slots[name];
      if (kind === "reset") slots[name] = each(now, () => 0);
      else if (kind === "interpolate") slots[name] = move(level.anchor[name], now);
      else slots[name] = now;
    }
    state.inner.slots = slots;
    if (kind === "reset") state.inner.updates = 0;
    level.steps = 0;
    // It is a synchronization of every level below, too.
    state.levels.forEach((below, i) => {
      if (i < place) return;
      Object.assign(below, { phi: state.theta, anchor: slots });
      if (kind !== "reset") return;
      below.steps = 0;
      if (i === place) return; // its own outer state runs on
      Object.assign(below.outer, { slots: this.outer[i].zeros(state.theta), updates: 0 });
    });
  }
}

// Workers: a Lookahead each, most often one; several are not nested. Their tensors are one list.
class Workers {
  constructor(config, dtype) {
    const count = config.workers ?? 1;
    const params = config.params.slice(0, config.params.length / count);
    // All start where the first does.
    const made = () => new Lookahead({ ...config, params }, dtype);
    this.each = Array.from({ length: count }, made);
    this.round = this.each[0].round;
  }

  step(gradients) {
    const { each: all } = this;
    const size = gradients.length / all.length;
    all.forEach((worker, m) => worker.advance(gradients.slice(m * size, (m + 1) * size)));
    // The innermost first.
    for (let place = all[0].outer.length - 1; place >= 0; place -= 1) {
      if (!all[0].due(place)) continue;
      const apart = this.apart(place);
      for (const worker of all) worker.synchronize(place, apart);
    }
  }

  // The mean over the workers of phi - theta.
  apart(place) {
    const { each: all, round: r } = this;
    return each(all[0].state.theta, (_, i, j) => {
      const own = ({ state }) => r(state.levels[place].phi[i][j] - state.theta[i][j]);
      return r(all.reduce((sum, worker) => r(sum + own(worker)), 0) / all.length);
    });
  }

  get state() {
    return this.each.map((worker) => worker.state);
  }

  set state(saved) {
    this.each.forEach((worker, m) => (worker.state = saved[m]));
  }

  get theta() {
    return this.state.flatMap(({ theta }) => theta);
  }

  phi(place) {
    return this.state.flatMap(({ levels }) => levels[place].phi);
  }

  seen() {
    const slots = (name) => this.state.flatMap(({ inner }) => inner.slots[name]);
    return {
      fast: encode(this.theta),
      slow: this.state[0].levels.map((_, place) => encode(this.phi(place))),
      slots: this.each[0].inner.names.map((name) => ({ name, values: encode(slots(name)) })),
    };
  }
}

// --- The protocol: each request an answer. ---
let optimizer = null;
let kept = null;
const ANSWERS = {
  hello: () => ({ version: 1, name: "lookahead.js", offers: ["outer", "workers"] }),
  start: ({ case: config, dtype }) => ((optimizer = new Workers(config, dtype)), { ok: true }),
  step: ({ gradients }) => {
    optimizer.step(gradients.map((tensor) => tensor && tensor.map(fromBits)));
    return optimizer.seen();
  },
  evaluate: () => ({ weights: encode(optimizer.phi(0)) }),
  // A copy: going on must not change it. JSON has no infinities, and loses -0; bits do not.
  snapshot: () => ((kept = JSON.stringify(optimizer.state, bitsOfArrays)), { ok: true }),
  dump: () => ({ state: kept }),
  load: ({ state }) => ((optimizer.state = JSON.parse(state, arraysOfBits)), { ok: true }),
};
const isTensors = (x) => Array.isArray(x) && x.every(Array.isArray);
const bitsOfArrays = (key, x) => (key !== "bits" && isTensors(x) ? { bits: encode(x) } : x);
const arraysOfBits = (_, x) => (x !== null && x.bits ? decode(x.bits) : x);

const answer = (request) => {
  try {
    return ANSWERS[request.do](request);
  } catch (error) {
    return { error: String(error) };
  }
};

// --- Without a runner: the gradients of a case, and a recording of all that came of it. ---
const GRADIENTS = {
  tape: ({ gradients }, theta, step) => gradients[step],
  quadratic: ({ matrix, centre }, theta, step, r) => {
    const apart = each(theta, (x, i, j) => r(x - fromBits(centre[i][j])));
    const row = (i, j) => matrix[i].slice(j * apart[i].length, (j + 1) * apart[i].length);
    return encode(each(theta, (_, i, j) =>
      row(i, j).reduce((sum, a, n) => r(sum + r(fromBits(a) * apart[i][n])), 0)));
  },
  "double-well": ({ curvature }, theta, step, r) =>
    encode(each(theta, (x, i, j) => r(r(fromBits(curvature[i][j]) * r(r(x * x) - 1)) * x))),
};

function record(config, dtype) {
  const line = { case: config.id, dtype };
  if (config.save_after) return { ...line, unsupported: "this recorder is one process" };
  answer({ do: "start", case: config, dtype });
  Object.assign(line, { steps: [], evaluations: [] });
  for (let step = 0; step < config.steps; step += 1) {
    const { kind } = config.problem;
    const { theta, round } = optimizer;
    const gradients = GRADIENTS[kind](config.problem, theta, step, round);
    line.steps.push(answer({ do: "step", gradients }));
    if (config.evaluate_after?.includes(step + 1)) {
      line.evaluations.push(answer({ do: "evaluate" }));
    }
  }
  return line;
}

const say = (message) => fs.writeSync(1, JSON.stringify(message) + "\n");
const files = process.argv.slice(2);
if (files.length > 0) {
  say({ recording: 1, name: "lookahead.js" });
  for (const file of files) {
    const { cases } = JSON.parse(fs.readFileSync(file, "utf8"));
    if (!Array.isArray(cases)) continue; // the index and the schemas
    for (const config of cases) {
      for (const dtype of config.dtypes) say(record(config, dtype));
    }
  }
} else {
  readline.createInterface({ input: process.stdin }).on("line", (line) => {
    const request = JSON.parse(line);
    if (request.do === "stop") process.exit(0);
    say(answer(request));
  });
}
