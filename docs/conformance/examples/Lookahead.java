// Lookahead in Java, by itself, and what lets the golden suite talk to it.
//
//   javac Lookahead.java
//   java Lookahead          answers JSON lines: lookahead-ref conform --command

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

class Lookahead {
    private static final Map<String, List<String>> SLOTS = Map.of(
            "sgd", List.of(),
            "heavy-ball", List.of("velocity"),
            "nesterov", List.of("velocity"),
            "adagrad", List.of("sum_of_squares"),
            "adam", List.of("first_moment", "second_moment"));

    private final Json config;
    private final boolean single;
    private final String rule;
    private final Map<String, Double> h = new HashMap<>();
    private final int depth;
    // All parameters are one array, as rules are elementwise. x[0][0] is theta, and x[0][s] a
    // slot; x[l][0] is phi of a level, the outermost first, and x[l][s] the anchor of a slot.
    private final double[][][] x;
    private final long[] steps; // of level 0: updates since a reset
    private final long[] syncs; // of level 0: steps

    Lookahead(Json config, String dtype) {
        this.config = config;
        single = dtype.equals("float32");
        rule = config.get("inner").get("rule").text();
        for (Json each : config.get("inner").get("hyperparameters").items()) {
            h.put(each.get("name").text(), r(fromBits(each.get("value").text())));
        }
        depth = config.get("lookahead").items().size();
        double[] theta = tensors(config.get("params"));
        x = new double[depth + 1][1 + SLOTS.get(rule).size()][theta.length];
        steps = new long[depth + 1];
        syncs = new long[depth + 1];
        // phi starts as the parameters themselves, before any step.
        for (double[][] level : x) level[0] = theta.clone();
    }

    // --- Numbers are bit strings of binary64; a table's last entry holds from then on. ---
    private static double fromBits(String bits) {
        return Double.longBitsToDouble(Long.parseUnsignedLong(bits, 16));
    }

    private static String toBits(double x) {
        return HexFormat.of().toHexDigits(Double.doubleToRawLongBits(x));
    }

    private double at(Json table, long tick) {
        List<Json> entries = table.items();
        int place = (int) Math.min(tick, entries.size() - 1);
        return r(fromBits(entries.get(place).text()));
    }

    private double r(double x) {
        return single ? (float) x : x;
    }

    // --- The optimizer. ---
    void step(double[] gradient) {
        double rate = at(config.get("learning_rate"), syncs[0]);
        String kind = config.get("inner").get("weight_decay_kind").text();
        double decay = h.getOrDefault("weight_decay", 0.0);
        double[] theta = x[0][0];
        syncs[0] += 1;
        for (int level = 0; level <= depth; level++) steps[level] += 1;
        for (int i = 0; i < theta.length; i++) {
            double g = gradient[i];
            if (kind.equals("l2")) g = r(g + r(decay * theta[i]));
            double u = update(g, i, steps[0]);
            if (kind.equals("decoupled")) u = r(u + r(decay * theta[i]));
            theta[i] = r(theta[i] - r(rate * u));
        }
        for (int level = depth; level > 0; level--) { // the innermost first
            if (steps[level] >= lookahead(level).get("k").number()) synchronize(level);
        }
    }

    // From a gradient and slots to the update; t counts updates since the slots were made.
    private double update(double g, int i, long t) {
        double[][] s = x[0];
        switch (rule) {
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

    private Json lookahead(int level) {
        return config.get("lookahead").items().get(level - 1);
    }

    private void synchronize(int level) {
        String kind = lookahead(level).get("inner_state").text();
        double alpha = at(lookahead(level).get("alpha"), syncs[level]);
        for (int s = 0; s < x[0].length; s++) {
            double[] fast = x[0][s];
            double[] slow = x[level][s];
            for (int i = 0; i < fast.length; i++) {
                if (s == 0 || kind.equals("interpolate")) {
                    fast[i] = r(slow[i] + r(alpha * r(fast[i] - slow[i])));
                } else if (kind.equals("reset")) {
                    fast[i] = 0;
                }
            }
            // It is a synchronization of every level below, too. To assign would be to alias.
            for (int below = level; below <= depth; below++) x[below][s] = fast.clone();
        }
        steps[level] = 0;
        syncs[level] += 1;
        if (kind.equals("reset")) {
            steps[0] = 0;
            for (int below = level; below <= depth; below++) steps[below] = 0;
        }
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
    private String written(double[] values) {
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
        for (int level = 1; level <= depth; level++) slow.add(written(x[level][0]));
        List<String> slots = new ArrayList<>();
        for (String name : SLOTS.get(rule)) {
            String values = written(x[0][slots.size() + 1]);
            slots.add("{\"name\": \"%s\", \"values\": %s}".formatted(name, values));
        }
        String answer = "{\"fast\": %s, \"slow\": %s, \"slots\": %s}";
        return answer.formatted(written(x[0][0]), slow, slots);
    }

    String evaluated() {
        return "{\"weights\": %s}".formatted(written(x[1][0]));
    }

    String dumped() {
        StringBuilder text = new StringBuilder();
        for (int level = 0; level <= depth; level++) {
            text.append(toBits(steps[level])).append(toBits(syncs[level]));
            for (double[] values : x[level]) {
                for (double each : values) text.append(toBits(each));
            }
        }
        return text.toString();
    }

    void load(String text) {
        double[] all = Arrays.stream(text.split("(?<=\\G.{16})"))
                .mapToDouble(Lookahead::fromBits).toArray();
        int place = 0;
        for (int level = 0; level <= depth; level++) {
            steps[level] = (long) all[place++];
            syncs[level] = (long) all[place++];
            for (double[] values : x[level]) {
                for (int i = 0; i < values.length; i++) values[i] = all[place++];
            }
        }
    }

    public static void main(String[] arguments) throws IOException {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        Lookahead optimizer = null;
        String kept = null;
        while (true) {
            Json request = Json.read(input.readLine());
            String answer = "{\"ok\": true}";
            switch (request.get("do").text()) {
                case "hello" -> answer = "{\"version\": 1, \"name\": \"Lookahead.java\"}";
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
}

/** JSON, read: an object, an array, or the text of anything else; no string has an escape. */
record Json(String text, List<Json> items, Map<String, Json> members) {
    private static final Pattern TOKEN =
            Pattern.compile("\"[^\"]*\"|[\\[\\]{}]|[^\\[\\]{}\",: ]+");

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
