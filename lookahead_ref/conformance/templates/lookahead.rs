//! Lookahead in Rust, by itself, and what lets the golden suite talk to it.
//!
//!     rustc -O --edition 2021 lookahead.rs
//!     ./lookahead                           answers JSON lines: lookahead-ref conform --command
//!     ./lookahead wrapper.json > run.jsonl  records what it makes of the vectors: --recorded

mod json;

use json::Json;
use std::io::{BufRead, Write};

// --- Numbers are bit strings of binary64; a table's last entry holds from then on. ---

fn from_bits(text: &str) -> f64 {
    f64::from_bits(u64::from_str_radix(text, 16).expect("a bit string"))
}

fn numbers(list: &Json) -> Vec<f64> {
    list.list().iter().map(|each| from_bits(each.text())).collect()
}

fn at(table: &[f64], tick: f64) -> f64 {
    table[(tick as usize).min(table.len() - 1)]
}

// --- The optimizer. Rules are elementwise, so all parameters are one vector. ---

struct Config {
    single: bool,
    sizes: Vec<usize>,
    inner: Rule,
    levels: Vec<LevelConfig>,
}

struct Rule {
    single: bool,
    name: String,
    decay: String,
    momentum: f64,
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    weight_decay: f64,
    learning_rate: Vec<f64>,
}

struct LevelConfig {
    k: f64,
    inner_state: String,
    outer: Rule,
}

#[derive(Clone)]
struct RuleState {
    slots: Vec<Vec<f64>>,
    step: f64,
    updates: f64,
}

#[derive(Clone)]
struct Level {
    phi: Vec<f64>,
    anchor: Vec<Vec<f64>>,
    steps: f64,
    outer: RuleState,
}

#[derive(Clone)]
struct State {
    theta: Vec<f64>,
    inner: RuleState,
    levels: Vec<Level>, // the outermost first
}

struct Lookahead {
    config: Config,
    workers: Vec<State>, // most often one; the tensors of all are one list
}

fn rounded(x: f64, single: bool) -> f64 {
    if single { f64::from(x as f32) } else { x }
}

impl Rule {
    fn sgd(learning_rate: &Json, single: bool) -> Rule {
        Rule {
            single,
            name: "sgd".to_string(),
            decay: "none".to_string(),
            momentum: 0.0,
            beta1: 0.0,
            beta2: 0.0,
            epsilon: 0.0,
            weight_decay: 0.0,
            learning_rate: numbers(learning_rate),
        }
    }

    fn new(json: &Json, learning_rate: &Json, single: bool) -> Rule {
        let mut rule = Rule::sgd(learning_rate, single);
        rule.name = json["rule"].text().to_string();
        rule.decay = json["weight_decay_kind"].text().to_string();
        for each in json["hyperparameters"].list() {
            let value = rounded(from_bits(each["value"].text()), single);
            match each["name"].text() {
                "momentum" => rule.momentum = value,
                "beta1" => rule.beta1 = value,
                "beta2" => rule.beta2 = value,
                "epsilon" => rule.epsilon = value,
                "weight_decay" => rule.weight_decay = value,
                other => panic!("no hyperparameter {other}"),
            }
        }
        rule
    }

    fn slots(&self) -> &'static [&'static str] {
        match self.name.as_str() {
            "heavy-ball" | "nesterov" => &["velocity"],
            "adagrad" => &["sum_of_squares"],
            "adam" => &["first_moment", "second_moment"],
            _ => &[],
        }
    }

    fn start(&self, n: usize) -> RuleState {
        RuleState { slots: vec![vec![0.0; n]; self.slots().len()], step: 0.0, updates: 0.0 }
    }

    fn rate(&self, state: &RuleState) -> f64 {
        rounded(at(&self.learning_rate, state.step), self.single)
    }

    /// Update parameters, or phi, in place.
    fn step(&self, x: &mut [f64], gradient: &[f64], state: &mut RuleState) {
        let r = |x| rounded(x, self.single);
        let rate = self.rate(state);
        state.step += 1.0;
        state.updates += 1.0;
        for (i, x) in x.iter_mut().enumerate() {
            let mut g = gradient[i];
            if self.decay == "l2" {
                g = r(g + r(self.weight_decay * *x));
            }
            let mut own: Vec<f64> = state.slots.iter().map(|slot| slot[i]).collect();
            let mut update = self.update(g, &mut own, state.updates);
            for (slot, value) in state.slots.iter_mut().zip(own) {
                slot[i] = value;
            }
            if self.decay == "decoupled" {
                update = r(update + r(self.weight_decay * *x));
            }
            *x = r(*x - r(rate * update));
        }
    }

    /// From a gradient and slots to the update; t counts updates since the slots were made.
    fn update(&self, g: f64, s: &mut [f64], t: f64) -> f64 {
        let r = |x| rounded(x, self.single);
        match self.name.as_str() {
            "heavy-ball" => {
                s[0] = r(r(self.momentum * s[0]) + g);
                s[0]
            }
            "nesterov" => {
                s[0] = r(r(self.momentum * s[0]) + g);
                r(g + r(self.momentum * s[0]))
            }
            "adagrad" => {
                s[0] = r(s[0] + r(g * g));
                r(g / r(r(s[0].sqrt()) + self.epsilon))
            }
            "adam" => {
                s[0] = r(r(self.beta1 * s[0]) + r(r(1.0 - self.beta1) * g));
                s[1] = r(r(self.beta2 * s[1]) + r(r(1.0 - self.beta2) * r(g * g)));
                let m = r(s[0] / r(1.0 - self.beta1.powf(t)));
                r(m / r(r(r(s[1] / r(1.0 - self.beta2.powf(t))).sqrt()) + self.epsilon))
            }
            _ => g,
        }
    }

}

impl Lookahead {
    fn new(case: &Json, dtype: &str) -> Lookahead {
        let single = dtype == "float32";
        let inner = Rule::new(&case["inner"], &case["learning_rate"], single);
        let (mut theta, mut sizes) = (Vec::new(), Vec::new());
        let count = case.get("workers").map_or(1, |count| count.text().parse().expect("a number"));
        // All start where the first does.
        for param in &case["params"].list()[..case["params"].list().len() / count] {
            let values = numbers(&param["values"]);
            sizes.push(values.len());
            theta.extend(values);
        }
        let inner_state = inner.start(theta.len());
        let mut config = Config { single, sizes, inner, levels: Vec::new() };
        let mut state = State { theta, inner: inner_state, levels: Vec::new() };
        for each in case["lookahead"].list() {
            let outer = match each.get("outer") {
                Some(outer) => Rule::new(outer, &outer["learning_rate"], single),
                None => Rule::sgd(&each["alpha"], single), // alpha is its learning rate
            };
            // phi starts as the parameters themselves, before any step.
            let (phi, anchor) = (state.theta.clone(), state.inner.slots.clone());
            let outer_state = outer.start(phi.len());
            state.levels.push(Level { phi, anchor, steps: 0.0, outer: outer_state });
            config.levels.push(LevelConfig {
                k: each["k"].text().parse().expect("k"),
                inner_state: each["inner_state"].text().to_string(),
                outer,
            });
        }
        Lookahead { config, workers: vec![state; count] }
    }

    fn step(&mut self, gradient: &[f64]) {
        let config = &self.config;
        let shares = gradient.chunks(gradient.len() / self.workers.len());
        for (state, own) in self.workers.iter_mut().zip(shares) {
            config.inner.step(&mut state.theta, own, &mut state.inner);
            for level in &mut state.levels {
                level.steps += 1.0;
            }
        }
        // The innermost first.
        for place in (0..config.levels.len()).rev() {
            if self.workers[0].levels[place].steps < config.levels[place].k {
                continue;
            }
            let apart = config.apart(&self.workers, place);
            for state in &mut self.workers {
                config.synchronize(state, place, &apart);
            }
        }
    }

    /// Read tensors into one vector; null, which is no gradient, as zeros.
    fn flat(&self, tensors: &Json) -> Vec<f64> {
        let read = |(tensor, size): (&Json, &usize)| {
            if tensor.is_null() { vec![0.0; *size] } else { numbers(tensor) }
        };
        tensors.list().iter().zip(self.config.sizes.iter().cycle()).flat_map(read).collect()
    }

    /// Return what is the same of each worker, those of the first before the second's.
    fn all(&self, of: impl Fn(&State) -> &Vec<f64>) -> Vec<f64> {
        self.workers.iter().flat_map(|state| of(state).clone()).collect()
    }

    fn tensors(&self, of: impl Fn(&State) -> &Vec<f64>) -> String {
        let all = self.all(of);
        let mut rest = all.iter();
        let mut tensor = |size: &usize| {
            let bits = rest.by_ref().take(*size).map(|x| format!("\"{:016x}\"", x.to_bits()));
            format!("[{}]", bits.collect::<Vec<_>>().join(","))
        };
        let count = self.config.sizes.len() * self.workers.len();
        let sizes = self.config.sizes.iter().cycle().take(count);
        format!("[{}]", sizes.map(&mut tensor).collect::<Vec<_>>().join(","))
    }

    fn seen(&self) -> String {
        let slow = (0..self.config.levels.len()).map(|i| self.tensors(|state| &state.levels[i].phi));
        let slots = self.config.inner.slots().iter().enumerate().map(|(i, name)| {
            let values = self.tensors(|state| &state.inner.slots[i]);
            format!("{{\"name\":\"{name}\",\"values\":{values}}}")
        });
        format!(
            "{{\"fast\":{},\"slow\":[{}],\"slots\":[{}]}}",
            self.tensors(|state| &state.theta),
            slow.collect::<Vec<_>>().join(","),
            slots.collect::<Vec<_>>().join(",")
        )
    }

    fn evaluation(&self) -> String {
        format!("{{\"weights\":{}}}", self.tensors(|state| &state.levels[0].phi))
    }
}

impl Config {
    fn r(&self, x: f64) -> f64 {
        rounded(x, self.single)
    }

    fn moved(&self, slow: &[f64], fast: &[f64], alpha: f64) -> Vec<f64> {
        let r = |x| self.r(x);
        slow.iter().zip(fast).map(|(s, f)| r(s + r(alpha * r(f - s)))).collect()
    }

    /// Return the mean over the workers of phi - theta.
    fn apart(&self, workers: &[State], place: usize) -> Vec<f64> {
        let r = |x| self.r(x);
        let mean = |i: usize| {
            let own = |state: &State| r(state.levels[place].phi[i] - state.theta[i]);
            r(workers.iter().fold(0.0, |sum, state| r(sum + own(state))) / workers.len() as f64)
        };
        (0..workers[0].theta.len()).map(mean).collect()
    }

    /// Step phi by the mean over the workers of phi - theta.
    fn synchronize(&self, state: &mut State, place: usize, apart: &[f64]) {
        let LevelConfig { inner_state, outer, .. } = &self.levels[place];
        let level = &mut state.levels[place];
        let alpha = outer.rate(&level.outer).min(1.0); // no slot moves farther than it has come
        outer.step(&mut level.phi, apart, &mut level.outer);
        state.theta.clone_from(&level.phi);
        for (slot, anchor) in state.inner.slots.iter_mut().zip(&level.anchor) {
            match inner_state.as_str() {
                "interpolate" => *slot = self.moved(anchor, slot, alpha),
                "reset" => slot.fill(0.0),
                _ => {}
            }
        }
        level.steps = 0.0;
        // It is a synchronization of every level below, too.
        for (i, below) in state.levels.iter_mut().enumerate().skip(place) {
            below.phi.clone_from(&state.theta);
            below.anchor.clone_from(&state.inner.slots);
            if inner_state != "reset" {
                continue;
            }
            below.steps = 0.0;
            if i > place {
                // Its own outer state runs on.
                below.outer.updates = 0.0;
                below.outer.slots.iter_mut().for_each(|slot| slot.fill(0.0));
            }
        }
        if inner_state == "reset" {
            state.inner.updates = 0.0;
        }
    }
}

impl State {
    /// Every number of the state, to write it and to read it in one order.
    fn cells(&mut self) -> Vec<&mut f64> {
        let mut cells: Vec<&mut f64> = self.theta.iter_mut().collect();
        let mut rules = vec![&mut self.inner];
        for level in &mut self.levels {
            cells.push(&mut level.steps);
            cells.extend(&mut level.phi);
            cells.extend(level.anchor.iter_mut().flatten());
            rules.push(&mut level.outer);
        }
        for rule in rules {
            cells.extend([&mut rule.step, &mut rule.updates]);
            cells.extend(rule.slots.iter_mut().flatten());
        }
        cells
    }
}

// --- The protocol: each request an answer. ---

#[derive(Default)]
struct Harness {
    optimizer: Option<Lookahead>,
    kept: Vec<State>,
}

impl Harness {
    fn answer(&mut self, request: &Json) -> String {
        let done = || "{\"ok\":true}".to_string();
        let what = request["do"].text();
        if what == "hello" {
            return "{\"version\":1,\"name\":\"lookahead.rs\",\"offers\":[\"outer\",\"workers\"]}".to_string();
        }
        if what == "start" {
            self.optimizer = Some(Lookahead::new(&request["case"], request["dtype"].text()));
            return done();
        }
        let optimizer = self.optimizer.as_mut().expect("start comes first");
        match what {
            "step" => {
                let gradient = optimizer.flat(&request["gradients"]);
                optimizer.step(&gradient);
                optimizer.seen()
            }
            "evaluate" => optimizer.evaluation(),
            "snapshot" => {
                self.kept = optimizer.workers.clone();
                done()
            }
            "dump" => {
                let kept = self.kept.iter_mut().flat_map(State::cells);
                let bits: String = kept.map(|x| format!("{:016x}", x.to_bits())).collect();
                format!("{{\"state\":\"{bits}\"}}")
            }
            "load" => {
                let text = request["state"].text();
                for (i, cell) in optimizer.workers.iter_mut().flat_map(State::cells).enumerate() {
                    *cell = from_bits(&text[16 * i..16 * (i + 1)]);
                }
                done()
            }
            other => format!("{{\"unsupported\":\"{other}\"}}"),
        }
    }
}

// --- Without a runner: the gradients of a case, and a recording of what came of it. ---

fn gradient(optimizer: &Lookahead, problem: &Json, step: usize) -> Vec<f64> {
    let r = |x| optimizer.config.r(x);
    let theta = optimizer.all(|state| &state.theta);
    match problem["kind"].text() {
        "tape" => optimizer.flat(&problem["gradients"].list()[step]),
        "double-well" => {
            let curvature = optimizer.flat(&problem["curvature"]);
            let one = |(a, x): (&f64, &f64)| r(r(a * r(r(x * x) - 1.0)) * x);
            curvature.iter().zip(&theta).map(one).collect()
        }
        _ => {
            // A (x - c), for each parameter by itself
            let centre = optimizer.flat(&problem["centre"]);
            let apart: Vec<f64> = theta.iter().zip(&centre).map(|(x, c)| r(x - c)).collect();
            let (mut found, mut first) = (Vec::new(), 0);
            for (matrix, n) in problem["matrix"].list().iter().zip(optimizer.config.sizes.iter().cycle()) {
                let own = &apart[first..first + n];
                for row in numbers(matrix).chunks(*n) {
                    found.push(row.iter().zip(own).fold(0.0, |sum, (a, x)| r(sum + r(a * x))));
                }
                first += n;
            }
            found
        }
    }
}

fn record(case: &Json, dtype: &str) -> String {
    let head = format!("{{\"case\":\"{}\",\"dtype\":\"{dtype}\"", case["id"].text());
    if case.get("save_after").is_some() {
        return format!("{head},\"unsupported\":\"this recorder is one process\"}}");
    }
    let mut optimizer = Lookahead::new(case, dtype);
    let (mut steps, mut evaluations) = (Vec::new(), Vec::new());
    let last: usize = case["steps"].text().parse().expect("steps");
    let evaluate = case.get("evaluate_after").map_or(&[][..], Json::list);
    for step in 0..last {
        let found = gradient(&optimizer, &case["problem"], step);
        optimizer.step(&found);
        steps.push(optimizer.seen());
        if evaluate.iter().any(|after| after.text() == (step + 1).to_string()) {
            evaluations.push(optimizer.evaluation());
        }
    }
    let (steps, evaluations) = (steps.join(","), evaluations.join(","));
    format!("{head},\"steps\":[{steps}],\"evaluations\":[{evaluations}]}}")
}

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let files: Vec<String> = std::env::args().skip(1).collect();
    if !files.is_empty() {
        writeln!(out, "{{\"recording\":1,\"name\":\"lookahead.rs\"}}")?;
    }
    for file in &files {
        let text = std::fs::read_to_string(file)?;
        // The index and the schemas have no list of cases.
        for case in Json::parse(&text).get("cases").map_or(&[][..], Json::list) {
            for dtype in case["dtypes"].list() {
                writeln!(out, "{}", record(case, dtype.text()))?;
            }
        }
    }
    if files.is_empty() {
        let mut harness = Harness::default();
        for line in std::io::stdin().lock().lines() {
            let line = line?;
            let request = Json::parse(&line);
            if request["do"].text() == "stop" {
                break;
            }
            writeln!(out, "{}", harness.answer(&request))?;
            out.flush()?;
        }
    }
    Ok(())
}
