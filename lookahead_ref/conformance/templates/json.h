/* JSON, read in place: strings are not unescaped, for no name or bit string needs it. */
#include <stdlib.h>
#include <string.h>

typedef struct Json Json;
struct Json {
    char kind;        /* { [ " and, for a number or a word, its first character */
    const char *key;  /* in an object */
    const char *text; /* of a string, number or word */
    Json *first, *next;
};

static void json_free(Json *json)
{
    while (json) {
        Json *next = json->next;
        json_free(json->first);
        free(json);
        json = next;
    }
}

static char *json_blank(char *at) { return at + strspn(at, " \t\r\n"); }

/* Cut a string out, and return what follows it. */
static char *json_string(char *at, const char **text)
{
    *text = ++at;
    while (*at && *at != '"') at += *at == '\\' && at[1] ? 2 : 1;
    if (*at) *at++ = 0;
    return at;
}

/* Read a value at *at, and move *at behind it. */
static Json *json_read(char **at)
{
    Json *json = calloc(1, sizeof *json), **last = &json->first;
    char *c = json_blank(*at);
    json->kind = *c;
    if (*c == '"') {
        c = json_string(c, &json->text);
    } else if (*c == '{' || *c == '[') {
        char close = *c == '{' ? '}' : ']';
        for (c = json_blank(c + 1); *c && *c != close; c = json_blank(c)) {
            const char *key = NULL;
            if (close == '}') {
                c = json_blank(json_string(c, &key));
                if (*c) c++; /* the colon */
            }
            *last = json_read(&c);
            (*last)->key = key;
            last = &(*last)->next;
            c = json_blank(c);
            /* What ends a number is needed no more once it is read. */
            if (*c == ',') *c++ = 0;
        }
        if (*c) *c++ = 0;
    } else {
        json->text = c;
        c += strcspn(c, ",]} \t\r\n");
    }
    *at = c;
    return json;
}

static Json *json_get(const Json *object, const char *key)
{
    for (Json *each = object ? object->first : NULL; each; each = each->next)
        if (each->key && strcmp(each->key, key) == 0) return each;
    return NULL;
}

static Json *json_at(const Json *array, long place)
{
    Json *each = array->first;
    while (each && place-- > 0) each = each->next;
    return each;
}

static long json_size(const Json *array)
{
    long size = 0;
    for (Json *each = array ? array->first : NULL; each; each = each->next) size++;
    return size;
}
