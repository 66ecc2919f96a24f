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
    rule: String,
    decay: String,
    momentum: f64,
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    weight_decay: f64,
    learning_rate: Vec<f64>,
    levels: Vec<LevelConfig>,
}

struct LevelConfig {
    k: f64,
    alpha: Vec<f64>,
    inner_state: String,
}

#[derive(Clone)]
struct Level {
    phi: Vec<f64>,
    anchor: Vec<Vec<f64>>,
    steps: f64,
    syncs: f64,
}

#[derive(Clone)]
struct State {
    theta: Vec<f64>,
    slots: Vec<Vec<f64>>,
    step: f64,
    updates: f64,
    levels: Vec<Level>, // the outermost first
}

struct Lookahead {
    config: Config,
    state: State,
}

impl Config {
    fn r(&self, x: f64) -> f64 {
        if self.single { f64::from(x as f32) } else { x }
    }

    fn slots(&self) -> &'static [&'static str] {
        match self.rule.as_str() {
            "heavy-ball" | "nesterov" => &["velocity"],
            "adagrad" => &["sum_of_squares"],
            "adam" => &["first_moment", "second_moment"],
            _ => &[],
        }
    }

    /// From a gradient and slots to the update; t counts updates since the slots were made.
    fn update(&self, g: f64, s: &mut [f64], t: f64) -> f64 {
        let r = |x| self.r(x);
        match self.rule.as_str() {
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

    fn moved(&self, slow: &[f64], fast: &[f64], alpha: f64) -> Vec<f64> {
        let r = |x| self.r(x);
        slow.iter().zip(fast).map(|(s, f)| r(s + r(alpha * r(f - s)))).collect()
    }
}

impl Lookahead {
    fn new(case: &Json, dtype: &str) -> Lookahead {
        let inner = &case["inner"];
        let mut config = Config {
            single: dtype == "float32",
            sizes: Vec::new(),
            rule: inner["rule"].text().to_string(),
            decay: inner["weight_decay_kind"].text().to_string(),
            momentum: 0.0,
            beta1: 0.0,
            beta2: 0.0,
            epsilon: 0.0,
            weight_decay: 0.0,
            learning_rate: numbers(&case["learning_rate"]),
            levels: Vec::new(),
        };
        for each in inner["hyperparameters"].list() {
            let value = config.r(from_bits(each["value"].text()));
            match each["name"].text() {
                "momentum" => config.momentum = value,
                "beta1" => config.beta1 = value,
                "beta2" => config.beta2 = value,
                "epsilon" => config.epsilon = value,
                "weight_decay" => config.weight_decay = value,
                other => panic!("no hyperparameter {other}"),
            }
        }
        let mut theta = Vec::new();
        for param in case["params"].list() {
            let values = numbers(&param["values"]);
            config.sizes.push(values.len());
            theta.extend(values);
        }
        let slots = vec![vec![0.0; theta.len()]; config.slots().len()];
        let mut state = State { theta, slots, step: 0.0, updates: 0.0, levels: Vec::new() };
        for each in case["lookahead"].list() {
            config.levels.push(LevelConfig {
                k: each["k"].text().parse().expect("k"),
                alpha: numbers(&each["alpha"]),
                inner_state: each["inner_state"].text().to_string(),
            });
            // phi starts as the parameters themselves, before any step.
            let (phi, anchor) = (state.theta.clone(), state.slots.clone());
            state.levels.push(Level { phi, anchor, steps: 0.0, syncs: 0.0 });
        }
        Lookahead { config, state }
    }

    fn step(&mut self, gradient: &[f64]) {
        let (config, state) = (&self.config, &mut self.state);
        let r = |x| config.r(x);
        let rate = r(at(&config.learning_rate, state.step));
        state.step += 1.0;
        state.updates += 1.0;
        for (i, x) in state.theta.iter_mut().enumerate() {
            let mut g = gradient[i];
            if config.decay == "l2" {
                g = r(g + r(config.weight_decay * *x));
            }
            let mut own: Vec<f64> = state.slots.iter().map(|slot| slot[i]).collect();
            let mut update = config.update(g, &mut own, state.updates);
            for (slot, value) in state.slots.iter_mut().zip(own) {
                slot[i] = value;
            }
            if config.decay == "decoupled" {
                update = r(update + r(config.weight_decay * *x));
            }
            *x = r(*x - r(rate * update));
        }
        for level in &mut state.levels {
            level.steps += 1.0;
        }
        // The innermost first.
        for place in (0..self.config.levels.len()).rev() {
            if self.state.levels[place].steps >= self.config.levels[place].k {
                self.synchronize(place);
            }
        }
    }

    fn synchronize(&mut self, place: usize) {
        let (config, state) = (&self.config, &mut self.state);
        let LevelConfig { alpha, inner_state, .. } = &config.levels[place];
        let level = &mut state.levels[place];
        let alpha = config.r(at(alpha, level.syncs));
        state.theta = config.moved(&level.phi, &state.theta, alpha);
        for (slot, anchor) in state.slots.iter_mut().zip(&level.anchor) {
            match inner_state.as_str() {
                "interpolate" => *slot = config.moved(anchor, slot, alpha),
                "reset" => slot.fill(0.0),
                _ => {}
            }
        }
        level.steps = 0.0;
        level.syncs += 1.0;
        // It is a synchronization of every level below, too.
        for below in &mut state.levels[place..] {
            below.phi.clone_from(&state.theta);
            below.anchor.clone_from(&state.slots);
            if inner_state == "reset" {
                below.steps = 0.0;
            }
        }
        if inner_state == "reset" {
            state.updates = 0.0;
        }
    }

    /// Read tensors into one vector; null, which is no gradient, as zeros.
    fn flat(&self, tensors: &Json) -> Vec<f64> {
        let read = |(tensor, size): (&Json, &usize)| {
            if tensor.is_null() { vec![0.0; *size] } else { numbers(tensor) }
        };
        tensors.list().iter().zip(&self.config.sizes).flat_map(read).collect()
    }

    fn tensors(&self, values: &[f64]) -> String {
        let mut rest = values.iter();
        let mut tensor = |size: &usize| {
            let bits = rest.by_ref().take(*size).map(|x| format!("\"{:016x}\"", x.to_bits()));
            format!("[{}]", bits.collect::<Vec<_>>().join(","))
        };
        format!("[{}]", self.config.sizes.iter().map(&mut tensor).collect::<Vec<_>>().join(","))
    }

    fn seen(&self) -> String {
        let slow = self.state.levels.iter().map(|level| self.tensors(&level.phi));
        let slots = self.config.slots().iter().zip(&self.state.slots).map(|(name, values)| {
            format!("{{\"name\":\"{name}\",\"values\":{}}}", self.tensors(values))
        });
        format!(
            "{{\"fast\":{},\"slow\":[{}],\"slots\":[{}]}}",
            self.tensors(&self.state.theta),
            slow.collect::<Vec<_>>().join(","),
            slots.collect::<Vec<_>>().join(",")
        )
    }

    fn evaluation(&self) -> String {
        format!("{{\"weights\":{}}}", self.tensors(&self.state.levels[0].phi))
    }
}

impl State {
    /// Every number of the state, to write it and to read it in one order.
    fn cells(&mut self) -> Vec<&mut f64> {
        let mut cells = vec![&mut self.step, &mut self.updates];
        cells.extend(&mut self.theta);
        cells.extend(self.slots.iter_mut().flatten());
        for level in &mut self.levels {
            cells.extend([&mut level.steps, &mut level.syncs]);
            cells.extend(&mut level.phi);
            cells.extend(level.anchor.iter_mut().flatten());
        }
        cells
    }
}

// --- The protocol: each request an answer. ---

#[derive(Default)]
struct Harness {
    optimizer: Option<Lookahead>,
    kept: Option<State>,
}

impl Harness {
    fn answer(&mut self, request: &Json) -> String {
        let done = || "{\"ok\":true}".to_string();
        let what = request["do"].text();
        if what == "hello" {
            return "{\"version\":1,\"name\":\"lookahead.rs\"}".to_string();
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
                self.kept = Some(optimizer.state.clone());
                done()
            }
            "dump" => {
                let kept = self.kept.as_mut().expect("snapshot comes first").cells();
                let bits: String = kept.iter().map(|x| format!("{:016x}", x.to_bits())).collect();
                format!("{{\"state\":\"{bits}\"}}")
            }
            "load" => {
                let text = request["state"].text();
                for (i, cell) in optimizer.state.cells().into_iter().enumerate() {
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
    let theta = &optimizer.state.theta;
    match problem["kind"].text() {
        "tape" => optimizer.flat(&problem["gradients"].list()[step]),
        "double-well" => {
            let curvature = optimizer.flat(&problem["curvature"]);
            let one = |(a, x): (&f64, &f64)| r(r(a * r(r(x * x) - 1.0)) * x);
            curvature.iter().zip(theta).map(one).collect()
        }
        _ => {
            // A (x - c), for each parameter by itself
            let centre = optimizer.flat(&problem["centre"]);
            let apart: Vec<f64> = theta.iter().zip(&centre).map(|(x, c)| r(x - c)).collect();
            let (mut found, mut first) = (Vec::new(), 0);
            for (matrix, n) in problem["matrix"].list().iter().zip(&optimizer.config.sizes) {
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
