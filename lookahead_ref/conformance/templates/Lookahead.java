// Lookahead in Java, by itself, and what lets the golden suite talk to it.
//
//   javac Lookahead.java
//   java Lookahead                           answers JSON lines: lookahead-ref conform --command
//   java Lookahead wrapper.json > run.jsonl  records what it makes of the vectors: --recorded

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

class Lookahead {
    private static final Map<String, List<String>> SLOTS = Map.of(
            "sgd", List.of(),
            "heavy-ball", List.of("velocity"),
            "nesterov", List.of("velocity"),
            "adagrad", List.of("sum_of_squares"),
            "adam", List.of("first_moment", "second_moment"));
    private static final Json SGD = Json.read(
            "{\"rule\": \"sgd\", \"weight_decay_kind\": \"none\", \"hyperparameters\": []}");

    private final Json config;
    private final boolean single;
    private final List<Rule> rules = new ArrayList<>(); // the inner one, and that of each level
    private final List<Worker> workers = new ArrayList<>();

    Lookahead(Json config, String dtype) {
        this.config = config;
        single = dtype.equals("float32");
        rules.add(new Rule(config.get("inner"), config.get("learning_rate")));
        for (Json level : config.get("lookahead").items()) { // the outermost first
            Json outer = level.get("outer"); // alpha is the learning rate of an outer SGD
            rules.add(outer == null ? new Rule(SGD, level.get("alpha"))
                    : new Rule(outer, outer.get("learning_rate")));
        }
        Json count = config.get("workers");
        double[] theta = tensors(config.get("params"));
        int all = count == null ? 1 : (int) count.number();
        // All start where the first does.
        double[] first = Arrays.copyOf(theta, theta.length / all);
        for (int m = 0; m < all; m++) workers.add(new Worker(first));
    }

    // --- Numbers are bit strings of binary64; a table's last entry holds from then on. ---
    private static double fromBits(String bits) {
        return Double.longBitsToDouble(Long.parseUnsignedLong(bits, 16));
    }

    private static String toBits(double x) {
        return HexFormat.of().toHexDigits(Double.doubleToRawLongBits(x));
    }

    private double r(double x) {
        return single ? (float) x : x;
    }

    // --- The optimizer. ---
    /** An optimizer of theta, or of phi. */
    private final class Rule {
        private final String name;
        private final String decay;
        private final List<Json> rates;
        private final Map<String, Double> h = new HashMap<>();

        Rule(Json given, Json rates) {
            name = given.get("rule").text();
            decay = given.get("weight_decay_kind").text();
            this.rates = rates.items();
            for (Json each : given.get("hyperparameters").items()) {
                h.put(each.get("name").text(), r(fromBits(each.get("value").text())));
            }
        }

        double rate(long clock) {
            return r(fromBits(rates.get((int) Math.min(clock, rates.size() - 1)).text()));
        }

        // From a gradient and slots to the update; t counts updates since the slots were made.
        double update(double g, double[][] s, int i, long t) {
            switch (name) {
                case "heavy-ball":
                    s[1][i] = r(r(h.get("momentum") * s[1][i]) + g);
                    return s[1][i];
                case "nesterov":
                    s[1][i] = r(r(h.get("momentum") * s[1][i]) + g);
                    return r(g + r(h.get("momentum") * s[1][i]));
                case "adagrad":
                    s[1][i] = r(s[1][i] + r(g * g));
                    return r(g / r(r(Math.sqrt(s[1][i])) + h.get("epsilon")));
                case "adam":
                    double beta1 = h.get("beta1");
                    double beta2 = h.get("beta2");
                    s[1][i] = r(r(beta1 * s[1][i]) + r(r(1 - beta1) * g));
                    s[2][i] = r(r(beta2 * s[2][i]) + r(r(1 - beta2) * r(g * g)));
                    double m = r(s[1][i] / r(1 - Math.pow(beta1, t)));
                    double v = r(s[2][i] / r(1 - Math.pow(beta2, t)));
                    return r(m / r(r(Math.sqrt(v)) + h.get("epsilon")));
                default:
                    return g;
            }
        }
    }

    /** The state of one. Rules are elementwise, so all of its parameters are one array. */
    private final class Worker {
        // Level 0 is theta with the inner optimizer, the others are phi with the outer one.
        // x[l][0] is the weights of a level, x[l][1] and x[l][2] the slots of its optimizer,
        // and x[l][3] and x[l][4] the anchors of the inner slots.
        private final double[][][] x;
        private final long[] clock = new long[rules.size()];
        private final long[] updates = new long[rules.size()]; // since the slots were made
        private final long[] steps = new long[rules.size()]; // since a synchronization

        Worker(double[] theta) {
            x = new double[rules.size()][5][theta.length];
            // phi starts as the parameters themselves, before any step.
            for (double[][] level : x) level[0] = theta.clone();
        }

        void descend(int level, double[] gradient) {
            Rule rule = rules.get(level);
            double[] w = x[level][0];
            double rate = rule.rate(clock[level]++);
            long t = ++updates[level];
            double decay = rule.h.getOrDefault("weight_decay", 0.0);
            for (int i = 0; i < w.length; i++) {
                double g = gradient[i];
                if (rule.decay.equals("l2")) g = r(g + r(decay * w[i]));
                double u = rule.update(g, x[level], i, t);
                if (rule.decay.equals("decoupled")) u = r(u + r(decay * w[i]));
                w[i] = r(w[i] - r(rate * u));
            }
        }

        // Step phi by the mean over the workers of phi - theta.
        void synchronize(int level, double[] apart) {
            String kind = lookahead(level).get("inner_state").text();
            boolean reset = kind.equals("reset");
            double alpha = Math.min(rules.get(level).rate(clock[level]), 1);
            descend(level, apart);
            for (int s = 1; s <= 2; s++) {
                double[] fast = x[0][s];
                double[] slow = x[level][s + 2];
                for (int i = 0; i < fast.length; i++) {
                    if (reset) fast[i] = 0;
                    if (kind.equals("interpolate")) {
                        fast[i] = r(slow[i] + r(alpha * r(fast[i] - slow[i])));
                    }
                }
            }
            steps[level] = 0;
            if (reset) updates[0] = 0;
            double[] phi = x[level][0];
            x[0][0] = phi;
            // It is a synchronization of every level below, too.
            for (int below = level; below < x.length; below++) {
                x[below][0] = phi.clone(); // to assign would be to alias
                for (int s = 1; s <= 2; s++) x[below][s + 2] = x[0][s].clone();
                if (!reset) continue;
                steps[below] = 0;
                if (below == level) continue; // its own outer state runs on
                updates[below] = 0;
                for (int s = 1; s <= 2; s++) Arrays.fill(x[below][s], 0);
            }
        }
    }

    // The gradient of the first worker, of the second, and so on, behind one another.
    void step(double[] gradient) {
        int n = gradient.length / workers.size();
        for (int m = 0; m < workers.size(); m++) {
            Worker worker = workers.get(m);
            worker.descend(0, Arrays.copyOfRange(gradient, m * n, (m + 1) * n));
            for (int level = 1; level < rules.size(); level++) worker.steps[level]++;
        }
        for (int level = rules.size() - 1; level > 0; level--) { // the innermost first
            if (workers.get(0).steps[level] < lookahead(level).get("k").number()) continue;
            double[] apart = new double[n];
            for (int i = 0; i < n; i++) {
                for (Worker each : workers) {
                    apart[i] = r(apart[i] + r(each.x[level][0][i] - each.x[0][0][i]));
                }
                apart[i] = r(apart[i] / workers.size());
            }
            for (Worker each : workers) each.synchronize(level, apart);
        }
    }

    private Json lookahead(int level) {
        return config.get("lookahead").items().get(level - 1);
    }

    // Read tensors into one array; null, which is no gradient, as zeros.
    private double[] tensors(Json json) {
        List<Double> all = new ArrayList<>();
        List<Json> params = config.get("params").items();
        for (int p = 0; p < params.size(); p++) {
            Json given = json.items().get(p);
            if (given.members().containsKey("values")) given = given.get("values");
            int size = params.get(p).get("values").items().size();
            for (int i = 0; i < size; i++) {
                boolean none = given.items().isEmpty(); // variant no-gradient-is-zero
                all.add(none ? 0.0 : fromBits(given.items().get(i).text()));
            }
        }
        return all.stream().mapToDouble(each -> each).toArray();
    }

    // --- The protocol: each request an answer. ---
    private double[] ofAll(Function<Worker, double[]> part) {
        return workers.stream().map(part).flatMapToDouble(Arrays::stream).toArray();
    }

    private String written(Function<Worker, double[]> part) {
        double[] values = ofAll(part);
        List<String> tensors = new ArrayList<>();
        int first = 0;
        for (Json param : config.get("params").items()) {
            int last = first + param.get("values").items().size();
            List<String> bits = new ArrayList<>();
            for (; first < last; first++) bits.add('"' + toBits(values[first]) + '"');
            tensors.add(bits.toString());
        }
        return tensors.toString(); // of lists, it is JSON
    }

    String seen() {
        List<String> slow = new ArrayList<>();
        for (int level = 1; level < rules.size(); level++) {
            int place = level;
            slow.add(written(worker -> worker.x[place][0]));
        }
        List<String> slots = new ArrayList<>();
        for (String name : SLOTS.get(rules.get(0).name)) {
            int s = slots.size() + 1;
            String values = written(worker -> worker.x[0][s]);
            slots.add("{\"name\": \"%s\", \"values\": %s}".formatted(name, values));
        }
        String answer = "{\"fast\": %s, \"slow\": %s, \"slots\": %s}";
        return answer.formatted(written(worker -> worker.x[0][0]), slow, slots);
    }

    String evaluated() {
        return "{\"weights\": %s}".formatted(written(worker -> worker.x[1][0]));
    }

    String dumped() {
        StringBuilder text = new StringBuilder();
        for (Worker each : workers) {
            for (long[] counts : List.of(each.clock, each.updates, each.steps)) {
                for (long count : counts) text.append(toBits(count));
            }
            for (double[][] level : each.x) {
                for (double[] values : level) {
                    for (double value : values) text.append(toBits(value));
                }
            }
        }
        return text.toString();
    }

    void load(String text) {
        var all = Arrays.stream(text.split("(?<=\\G.{16})")).map(Lookahead::fromBits).iterator();
        for (Worker each : workers) {
            for (long[] counts : List.of(each.clock, each.updates, each.steps)) {
                Arrays.setAll(counts, i -> all.next().longValue());
            }
            for (double[][] level : each.x) {
                for (double[] values : level) Arrays.setAll(values, i -> all.next());
            }
        }
    }

    private static void speak() throws IOException {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        Lookahead optimizer = null;
        String kept = null;
        while (true) {
            Json request = Json.read(input.readLine());
            String answer = "{\"ok\": true}";
            switch (request.get("do").text()) {
                case "hello" -> answer = "{\"version\": 1, \"name\": \"Lookahead.java\", "
                        + "\"offers\": [\"outer\", \"workers\"]}";
                case "start" -> optimizer =
                        new Lookahead(request.get("case"), request.get("dtype").text());
                case "step" -> {
                    optimizer.step(optimizer.tensors(request.get("gradients")));
                    answer = optimizer.seen();
                }
                case "evaluate" -> answer = optimizer.evaluated();
                case "snapshot" -> kept = optimizer.dumped();
                case "dump" -> answer = "{\"state\": \"%s\"}".formatted(kept);
                case "load" -> optimizer.load(request.get("state").text());
                default -> {
                    return;
                }
            }
            System.out.println(answer);
        }
    }

    // --- Without a runner: the gradients of a case, and a recording of what came of it. ---
    private double[] gradient(Json problem, int t) {
        double[] x = ofAll(worker -> worker.x[0][0]);
        double[] g = new double[x.length];
        switch (problem.get("kind").text()) {
            case "tape" -> g = tensors(problem.get("gradients").items().get(t));
            case "double-well" -> {
                double[] a = tensors(problem.get("curvature"));
                Arrays.setAll(g, i -> r(r(a[i] * r(r(x[i] * x[i]) - 1)) * x[i]));
            }
            default -> { // A (x - c), for each parameter by itself
                double[] centre = tensors(problem.get("centre"));
                int first = 0;
                for (Json matrix : problem.get("matrix").items()) {
                    int n = (int) Math.sqrt(matrix.items().size());
                    for (int i = 0; i < n * n; i++) {
                        int column = first + i % n;
                        double a = fromBits(matrix.items().get(i).text());
                        int row = first + i / n;
                        g[row] = r(g[row] + r(a * r(x[column] - centre[column])));
                    }
                    first += n;
                }
            }
        }
        return g;
    }

    private static String record(Json config, String dtype) {
        String line = "{\"case\": \"%s\", \"dtype\": \"%s\", "
                .formatted(config.get("id").text(), dtype);
        if (config.get("save_after") != null) {
            return line + "\"unsupported\": \"this recorder is one process\"}";
        }
        Lookahead optimizer = new Lookahead(config, dtype);
        Json asked = config.get("evaluate_after");
        List<String> steps = new ArrayList<>();
        List<String> evaluations = new ArrayList<>();
        for (int t = 0; t < config.get("steps").number(); t++) {
            optimizer.step(optimizer.gradient(config.get("problem"), t));
            steps.add(optimizer.seen());
            for (Json after : asked == null ? List.<Json>of() : asked.items()) {
                if (after.number() == t + 1) evaluations.add(optimizer.evaluated());
            }
        }
        return line + "\"steps\": %s, \"evaluations\": %s}".formatted(steps, evaluations);
    }

    public static void main(String[] arguments) throws IOException {
        if (arguments.length == 0) {
            speak();
            return;
        }
        System.out.println("{\"recording\": 1, \"name\": \"Lookahead.java\"}");
        for (String file : arguments) {
            Json cases = Json.read(Files.readString(Path.of(file))).get("cases");
            if (cases == null) continue; // a schema has none, and the index their number
            for (Json each : cases.items()) {
                for (Json dtype : each.get("dtypes").items()) {
                    System.out.println(record(each, dtype.text()));
                }
            }
        }
    }
}

/** JSON, read: an object, an array, or the text of anything else; no string has an escape. */
record Json(String text, List<Json> items, Map<String, Json> members) {
    private static final Pattern TOKEN =
            Pattern.compile("\"[^\"]*\"|[\\[\\]{}]|[^\\[\\]{}\",:\\s]+");

    static Json read(String line) {
        Matcher tokens = TOKEN.matcher(line);
        return value(next(tokens), tokens);
    }

    private static String next(Matcher tokens) {
        if (!tokens.find()) throw new IllegalArgumentException("the line ends too early");
        return tokens.group();
    }

    private static Json value(String token, Matcher tokens) {
        Json json = new Json(token.replace("\"", ""), new ArrayList<>(), new HashMap<>());
        if (token.equals("[")) {
            for (String each = next(tokens); !each.equals("]"); each = next(tokens)) {
                json.items.add(value(each, tokens));
            }
        } else if (token.equals("{")) {
            for (String key = next(tokens); !key.equals("}"); key = next(tokens)) {
                json.members.put(key.replace("\"", ""), value(next(tokens), tokens));
            }
        }
        return json;
    }

    Json get(String key) {
        return members.get(key);
    }

    long number() {
        return Long.parseLong(text);
    }
}
