/* Lookahead in C, by itself, and what lets the golden suite talk to it.
 *
 *     cc -O2 -o lookahead lookahead.c -lm
 *     ./lookahead                           answers JSON lines: lookahead-ref conform --command
 *     ./lookahead wrapper.json > run.jsonl  records what it makes of the vectors: --recorded
 */
#define _POSIX_C_SOURCE 200809L /* getline */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "json.h"

enum { SLOTS = 2 };

/* --- Numbers are bit strings of binary64; a table's last entry holds from then on. --- */
static double from_bits(const char *text)
{
    uint64_t bits = strtoull(text, NULL, 16);
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void print_bits(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    printf("%016" PRIx64, bits);
}

static double at(const Json *table, long tick)
{
    long last = json_size(table) - 1;
    return from_bits(json_at(table, tick < last ? tick : last)->text);
}

/* --- The optimizer. Rules are elementwise, so all parameters are one array of n. --- */
typedef struct {
    const Json *rates;
    const char *name, *decay;
    double momentum, beta1, beta2, epsilon, weight_decay;
    int slots;
} Rule;

static struct {
    const Json *config, *levels;
    Rule inner;
    int single, depth, workers;
    long n; /* of one worker */
} my;

/* The state of all workers is one piece of memory, so that a copy of it is a checkpoint.
 * Most often there is one worker. The cells are those of the worker at work. */
static double *all, *cells, *kept;
static size_t size; /* of one worker */

static double *theta(void) { return cells; }
static double *slot(int s) { return cells + my.n * (1 + s); }
static double *phi(int level) { return cells + my.n * (1 + SLOTS) * (1 + 2 * level); }
static double *anchor(int level, int s) { return phi(level) + my.n * (1 + s); }
static double *outer_slot(int level, int s) { return anchor(level, SLOTS + s); }
static double *count(int place) { return cells + size - 1 - place; }
static double *step_count(void) { return count(0); }
static double *updates(void) { return count(1); }
static double *steps(int level) { return count(2 + 3 * level); }
static double *syncs(int level) { return count(3 + 3 * level); }
static double *outer_updates(int level) { return count(4 + 3 * level); }

static double r(double x) { return my.single ? (double)(float)x : x; }

static double hyperparameter(const Json *rule, const char *name)
{
    const Json *each = json_get(rule, "hyperparameters")->first;
    for (; each; each = each->next)
        if (!strcmp(json_get(each, "name")->text, name))
            return r(from_bits(json_get(each, "value")->text));
    return 0;
}

static Rule read_rule(const Json *json, const Json *rates)
{
    Rule rule = {rates, json_get(json, "rule")->text, json_get(json, "weight_decay_kind")->text,
                 hyperparameter(json, "momentum"), hyperparameter(json, "beta1"),
                 hyperparameter(json, "beta2"), hyperparameter(json, "epsilon"),
                 hyperparameter(json, "weight_decay"), 1};
    if (!strcmp(rule.name, "sgd")) rule.slots = 0;
    if (!strcmp(rule.name, "adam")) rule.slots = 2;
    return rule;
}

/* The outer optimizer of a level: alpha is the learning rate of an outer SGD. */
static Rule read_outer(const Json *level)
{
    const Json *outer = json_get(level, "outer");
    if (outer) return read_rule(outer, json_get(outer, "learning_rate"));
    return (Rule){.rates = json_get(level, "alpha"), .name = "sgd", .decay = "none"};
}

/* From a gradient and slots to the update; t counts updates since the slots were made. */
static double update(const Rule *h, double g, double *s0, double *s1, double t)
{
    if (!strcmp(h->name, "heavy-ball")) return *s0 = r(r(h->momentum * *s0) + g);
    if (!strcmp(h->name, "nesterov")) {
        *s0 = r(r(h->momentum * *s0) + g);
        return r(g + r(h->momentum * *s0));
    }
    if (!strcmp(h->name, "adagrad")) {
        *s0 = r(*s0 + r(g * g));
        return r(g / r(r(sqrt(*s0)) + h->epsilon));
    }
    if (!strcmp(h->name, "adam")) {
        *s0 = r(r(h->beta1 * *s0) + r(r(1 - h->beta1) * g));
        *s1 = r(r(h->beta2 * *s1) + r(r(1 - h->beta2) * r(g * g)));
        double m = r(*s0 / r(1 - pow(h->beta1, t)));
        return r(m / r(r(sqrt(r(*s1 / r(1 - pow(h->beta2, t))))) + h->epsilon));
    }
    return g;
}

/* Update parameters, or phi, by a rule; the clock is that of its learning rate. */
static void descend(const Rule *rule, double clock, double t, double *x,
                    const double *gradient, double *s0, double *s1)
{
    double rate = r(at(rule->rates, (long)clock));
    for (long i = 0; i < my.n; i++) {
        double g = gradient[i];
        if (!strcmp(rule->decay, "l2")) g = r(g + r(rule->weight_decay * x[i]));
        double u = update(rule, g, s0 + i, s1 + i, t);
        if (!strcmp(rule->decay, "decoupled")) u = r(u + r(rule->weight_decay * x[i]));
        x[i] = r(x[i] - r(rate * u));
    }
}

static void move(double *slow, const double *fast, double alpha)
{
    for (long i = 0; i < my.n; i++) slow[i] = r(slow[i] + r(alpha * r(fast[i] - slow[i])));
}

static void copy(double *to, const double *from) { memcpy(to, from, my.n * sizeof *to); }

/* Step phi by the mean over the workers of phi - theta. */
static void synchronize(int level, const double *apart)
{
    const Json *config = json_at(my.levels, level);
    const char *kind = json_get(config, "inner_state")->text;
    Rule outer = read_outer(config);
    double alpha = r(at(outer.rates, (long)*syncs(level)));
    if (alpha > 1) alpha = 1; /* no slot moves farther than it has come */
    *outer_updates(level) += 1;
    descend(&outer, *syncs(level), *outer_updates(level), phi(level), apart,
            outer_slot(level, 0), outer_slot(level, 1));
    copy(theta(), phi(level));
    for (int s = 0; s < my.inner.slots; s++) {
        if (!strcmp(kind, "interpolate")) {
            move(anchor(level, s), slot(s), alpha);
            copy(slot(s), anchor(level, s));
        } else if (!strcmp(kind, "reset")) {
            memset(slot(s), 0, my.n * sizeof(double));
        }
    }
    if (!strcmp(kind, "reset")) *updates() = 0;
    *steps(level) = 0;
    *syncs(level) += 1;
    /* It is a synchronization of every level below, too. */
    for (int below = level; below < my.depth; below++) {
        copy(phi(below), theta());
        for (int s = 0; s < my.inner.slots; s++) copy(anchor(below, s), slot(s));
        if (strcmp(kind, "reset")) continue;
        *steps(below) = 0;
        if (below == level) continue; /* its own outer state runs on */
        *outer_updates(below) = 0;
        for (int s = 0; s < SLOTS; s++) memset(outer_slot(below, s), 0, my.n * sizeof(double));
    }
}

static void advance(const double *gradient)
{
    *updates() += 1;
    descend(&my.inner, *step_count(), *updates(), theta(), gradient, slot(0), slot(1));
    *step_count() += 1;
    for (int level = 0; level < my.depth; level++) *steps(level) += 1;
}

/* Return the mean over the workers of phi - theta. */
static double *find_apart(int level)
{
    double *apart = calloc(my.n, sizeof *apart);
    for (long i = 0; i < my.n; i++) {
        for (int m = 0; m < my.workers; m++)
            apart[i] = r(apart[i] + r(phi(level)[i] - all[m * size + i]));
        apart[i] = r(apart[i] / my.workers);
    }
    return apart;
}

static void step(const double *gradient)
{
    for (int m = my.workers - 1; m >= 0; m--) { /* the first worker last: it leads */
        cells = all + m * size;
        advance(gradient + m * my.n);
    }
    /* The innermost first. */
    for (int level = my.depth - 1; level >= 0; level--) {
        if (*steps(level) < atof(json_get(json_at(my.levels, level), "k")->text)) continue;
        double *apart = find_apart(level);
        for (int m = my.workers - 1; m >= 0; m--) {
            cells = all + m * size;
            synchronize(level, apart);
        }
        free(apart);
    }
}

/* Read tensors into one array; null, which is no gradient, as zeros. */
static void read_tensors(const Json *tensors, double *to)
{
    const Json *param = json_get(my.config, "params")->first;
    for (; tensors; tensors = tensors->next, param = param->next) {
        const Json *each = tensors->kind == '{' ? json_get(tensors, "values") : tensors;
        long length = json_size(json_get(param, "values"));
        if (each->kind == '[') each = each->first;
        else each = NULL;
        for (long i = 0; i < length; i++, each = each ? each->next : NULL)
            *to++ = each ? from_bits(each->text) : 0;
    }
}

static void start(const Json *config, const char *dtype)
{
    my.config = config;
    my.levels = json_get(config, "lookahead");
    my.depth = (int)json_size(my.levels);
    my.single = !strcmp(dtype, "float32");
    my.inner = read_rule(json_get(config, "inner"), json_get(config, "learning_rate"));
    const Json *workers = json_get(config, "workers");
    my.workers = workers ? atoi(workers->text) : 1;
    my.n = 0;
    for (const Json *each = json_get(config, "params")->first; each; each = each->next)
        my.n += json_size(json_get(each, "values"));
    double *params = calloc(my.n, sizeof *params);
    read_tensors(json_get(config, "params")->first, params);
    my.n /= my.workers;
    size = my.n * (1 + SLOTS) * (1 + 2 * my.depth) + 2 + 3 * my.depth;
    free(all);
    all = calloc(size * my.workers, sizeof *all);
    for (int m = my.workers - 1; m >= 0; m--) {
        cells = all + m * size;
        copy(theta(), params); /* all start where the first does */
        /* phi starts as the parameters themselves, before any step. */
        for (int level = 0; level < my.depth; level++) copy(phi(level), theta());
    }
    free(params);
}

/* --- The protocol: each request an answer. --- */
static void print_tensors(const double *values)
{
    const char *between = "[[";
    const double *end = values + my.n;
    for (const Json *p = json_get(my.config, "params")->first; p; p = p->next) {
        if (values == end) { /* the next worker's are at the same place of its cells */
            values += size - my.n;
            end += size;
        }
        printf("%s", between);
        for (long i = json_size(json_get(p, "values")); i > 0; i--) {
            printf("\"");
            print_bits(*values++);
            printf(i > 1 ? "\"," : "\"");
        }
        between = "],[";
    }
    printf("]]");
}

static void print_seen(void)
{
    printf("{\"fast\":");
    print_tensors(theta());
    for (int level = 0; level < my.depth; level++) {
        printf(level ? "," : ",\"slow\":[");
        print_tensors(phi(level));
    }
    printf("],\"slots\":[");
    const char *first = !strcmp(my.inner.name, "adagrad") ? "sum_of_squares" : "velocity";
    for (int s = 0; s < my.inner.slots; s++) {
        const char *moment = s ? "second_moment" : "first_moment";
        const char *name = my.inner.slots == 2 ? moment : first;
        printf("%s{\"name\":\"%s\",\"values\":", s ? "," : "", name);
        print_tensors(slot(s));
        printf("}");
    }
    printf("]}");
}

static void print_evaluation(void)
{
    printf("{\"weights\":");
    print_tensors(phi(0));
    printf("}");
}

static void answer(const Json *request)
{
    const char *what = json_get(request, "do")->text;
    if (!strcmp(what, "hello")) {
        printf("{\"version\":1,\"name\":\"lookahead.c\",\"offers\":[\"outer\",\"workers\"]}");
    } else if (!strcmp(what, "step")) {
        double *gradient = calloc(my.n * my.workers, sizeof *gradient);
        read_tensors(json_get(request, "gradients")->first, gradient);
        step(gradient);
        free(gradient);
        print_seen();
    } else if (!strcmp(what, "evaluate")) {
        print_evaluation();
    } else if (!strcmp(what, "dump")) {
        printf("{\"state\":\"");
        for (size_t i = 0; i < size * my.workers; i++) print_bits(kept[i]);
        printf("\"}");
    } else {
        if (!strcmp(what, "start")) {
            start(json_get(request, "case"), json_get(request, "dtype")->text);
        } else if (!strcmp(what, "snapshot")) {
            kept = realloc(kept, size * my.workers * sizeof *kept);
            memcpy(kept, all, size * my.workers * sizeof *kept);
        } else if (!strcmp(what, "load")) {
            const char *text = json_get(request, "state")->text;
            char digits[17] = "";
            for (size_t i = 0; i < size * my.workers; i++) {
                memcpy(digits, text + 16 * i, 16);
                all[i] = from_bits(digits);
            }
        }
        printf("{\"ok\":true}");
    }
}

/* --- Without a runner: the gradients of a case, and a recording of what came of it. --- */
static void find_gradient(const Json *problem, long t, double *gradient)
{
    const char *kind = json_get(problem, "kind")->text;
    long count = my.n * my.workers;
    double *x = calloc(count, sizeof *x);
    for (int m = 0; m < my.workers; m++) copy(x + m * my.n, all + m * size);
    if (!strcmp(kind, "tape")) {
        read_tensors(json_at(json_get(problem, "gradients"), t)->first, gradient);
    } else if (!strcmp(kind, "double-well")) {
        read_tensors(json_get(problem, "curvature")->first, gradient);
        for (long i = 0; i < count; i++)
            gradient[i] = r(r(gradient[i] * r(r(x[i] * x[i]) - 1)) * x[i]);
    } else { /* A (x - c), for each parameter by itself */
        double *centre = calloc(count, sizeof *centre), *apart = centre;
        read_tensors(json_get(problem, "centre")->first, centre);
        for (long i = 0; i < count; i++) apart[i] = r(x[i] - centre[i]);
        const Json *matrix = json_get(problem, "matrix")->first;
        const Json *param = json_get(my.config, "params")->first;
        for (; param; param = param->next, matrix = matrix->next) {
            long n = json_size(json_get(param, "values"));
            const Json *a = matrix->first;
            for (long row = 0; row < n; row++, gradient++) {
                *gradient = 0;
                for (long i = 0; i < n; i++, a = a->next)
                    *gradient = r(*gradient + r(from_bits(a->text) * apart[i]));
            }
            apart += n;
        }
        free(centre);
    }
    free(x);
}

static void record(const Json *config, const char *dtype)
{
    const Json *evaluate = json_get(config, "evaluate_after");
    long last = atol(json_get(config, "steps")->text);
    printf("{\"case\":\"%s\",\"dtype\":\"%s\",", json_get(config, "id")->text, dtype);
    if (json_get(config, "save_after")) {
        printf("\"unsupported\":\"this recorder is one process\"}\n");
        return;
    }
    start(config, dtype);
    size_t whole = size * my.workers;
    double *gradient = calloc(my.n * my.workers, sizeof *gradient);
    double *evaluated = calloc(whole * (size_t)(last + 1), sizeof *evaluated);
    long evaluations = 0;
    for (long t = 0; t < last; t++) {
        find_gradient(json_get(config, "problem"), t, gradient);
        step(gradient);
        printf(t ? "," : "\"steps\":[");
        print_seen();
        for (const Json *e = evaluate ? evaluate->first : NULL; e; e = e->next)
            if (atol(e->text) == t + 1)
                memcpy(evaluated + whole * evaluations++, all, whole * sizeof *all);
    }
    printf("],\"evaluations\":[");
    for (long e = 0; e < evaluations; e++) {
        printf(e ? ",{\"weights\":" : "{\"weights\":");
        print_tensors(evaluated + whole * e + (phi(0) - cells));
        printf("}");
    }
    printf("]}\n");
    free(gradient);
    free(evaluated);
}

static char *read_file(const char *name)
{
    FILE *file = fopen(name, "rb");
    if (!file) {
        perror(name);
        exit(2);
    }
    fseek(file, 0, SEEK_END);
    long length = ftell(file);
    char *text = calloc(length + 1, 1);
    rewind(file);
    if (fread(text, 1, length, file) != (size_t)length) exit(2);
    fclose(file);
    return text;
}

int main(int argc, char **argv)
{
    if (argc > 1) printf("{\"recording\":1,\"name\":\"lookahead.c\"}\n");
    for (int i = 1; i < argc; i++) {
        char *text = read_file(argv[i]), *c = text;
        Json *file = json_read(&c);
        const Json *cases = json_get(file, "cases"); /* not in the index and the schemas */
        for (const Json *each = cases ? cases->first : NULL; each; each = each->next)
            for (const Json *t = json_get(each, "dtypes")->first; t; t = t->next)
                record(each, t->text);
        json_free(file);
        free(text);
    }
    char *line = NULL, *started = NULL;
    Json *held = NULL;
    size_t room = 0;
    while (argc == 1 && getline(&line, &room, stdin) > 0) {
        char *text = strdup(line), *c = text;
        Json *request = json_read(&c);
        const char *what = json_get(request, "do")->text;
        if (!strcmp(what, "stop")) break;
        int starts = !strcmp(what, "start");
        answer(request);
        printf("\n");
        fflush(stdout);
        /* The case is read from while it lasts. */
        json_free(starts ? held : request);
        free(starts ? started : text);
        if (starts) {
            held = request;
            started = text;
        }
    }
    return 0;
}
