/* test_inspect.c: names; the graph behind a loss as text, for Graphviz and as a page. */
#include "support.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lenet.h"
#include "ops/ops.h"
#include "inspect/inspect.h"

/* ---- names --------------------------------------------------------------- */

START_TEST(names_kept)
{
    gr_tensor *t = gr_zeros(gr_shape(2, 3));
    size_t     live = gr_memory().live;
    ck_assert_ptr_null(gr_name_of(t));
    char own[] = "logits";
    ck_assert_ptr_eq(gr_named(t, own), t);
    own[0] = 'L';
    ck_assert_str_eq(gr_name_of(t), "logits");
    ck_assert_ptr_eq(gr_named(t, gr_name_of(t)), t);
    ck_assert_str_eq(gr_name_of(t), "logits");
    ck_assert_ptr_eq(gr_named(t, "again"), t);
    ck_assert_str_eq(gr_name_of(t), "again");
    GR_STEP;
    ck_assert_ptr_null(gr_name_of(gr_copy(t)));
    ck_assert_ptr_null(gr_name_of(gr_detach(t)));
    gr_free(t);
    ck_assert_uint_lt(gr_memory().live, live + 1024);
    nothing_failed();
}
END_TEST

START_TEST(names_refused)
{
    gr_tensor *t = gr_zeros(gr_shape(2, 3));
    FAILS(gr_named(NULL, "x"), GR_ERR_ARGUMENT, "named: the tensor is NULL");
    FAILS(gr_named(t, NULL), GR_ERR_ARGUMENT, "named: the name of (2,3) is NULL");
    FAILS(gr_named(t, ""), GR_ERR_ARGUMENT, "named: the name of (2,3) is empty");
    FAILS(gr_name_of(NULL), GR_ERR_ARGUMENT, "name_of: the tensor is NULL");
    ck_assert_ptr_null(gr_name_of(t));
    gr_free(t);
}
END_TEST

START_TEST(names_of_a_model)
{
    gr_model *m = gr_model_build(normed, gr_shape(1, 1, 28, 28));
    for (int i = 0; i < gr_model_count(m); i++)
        ck_assert_str_eq(gr_name_of(gr_model_at(m, i)), gr_model_name(m, i));
    for (int i = 0; i < gr_model_buffer_count(m); i++)
        ck_assert_str_eq(gr_name_of(gr_model_buffer_at(m, i)), gr_model_buffer_name(m, i));
    gr_model_free(m);
    nothing_failed();
}
END_TEST

START_TEST(names_in_anomalies)
{
    GR_STEP;
    gr_tensor *x = gr_named(gr_param(T(gr_shape(2, 2), 1, 0, 4, 9)), "the\nx");
    gr_detect_anomaly(true);
    FAILS(gr_log(x), GR_ERR_NUMBER,
        "log: forward gave -inf at element 1 of (2,2), from 'the?x' (2,2)");
    FAILS(gr_backward(gr_sum(gr_sqrt(x))), GR_ERR_NUMBER,
        "sqrt: backward gave inf at element 1 of the gradient of input 1 'the?x' (2,2)");
    char name[400];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    gr_named(x, name);
    name[96] = '\0';
    FAILS(gr_log(x), GR_ERR_NUMBER,
        gr_name("log: forward gave -inf at element 1 of (2,2), from '%s...' (2,2)", name));
    gr_detect_anomaly(false);
}
END_TEST

/* ---- the backward pass as text ------------------------------------------- */

static void explains(gr_tensor *loss, const char *text)
{
    const char *s = gr_explain_format(loss);
    nothing_failed();
    ck_assert_str_eq(s, text);
}

START_TEST(a_square)
{
    GR_STEP;
    gr_tensor *x = gr_named(gr_param(gr_scalar(3)), "x");
    explains(gr_mul(x, x), "backward from 9, through 1 operation, to 1 parameter\n"
                           "\n"
                           "#  operation  tensor  shape  |value|  |gradient|  rule\n"
                           "1  mul                ()           9           1  y = a b\n"
                           "                x     ()           3           3  ga = g b\n"
                           "                x     ()           3           3  gb = g a\n"
                           "                x     ()           3           6  g = #1 + #1\n");
}
END_TEST

/* y = sum of c (p + 2 p) + sum of a, p = a b: both a and p are used twice. */
START_TEST(reused_values)
{
    GR_STEP;
    gr_tensor *a = gr_named(gr_param(T(gr_shape(2), 3, 4)), "a"),
              *b = gr_param(T(gr_shape(2), 1, 0));
    gr_tensor *p = gr_named(gr_mul(a, b), "product");
    gr_tensor *first =
        gr_sum(gr_mul(gr_add(p, gr_scale(p, 2)), gr_from(gr_shape(2), (const gr_real[]){ 1, 2 })));
    gr_tensor *y = gr_add(first, gr_sum(a));
    explains(gr_named(y, "y"),
        "backward from 16, through 7 operations, to 2 parameters\n"
        "\n"
        "#  operation  tensor         shape  |value|  |gradient|  rule\n"
        "7  add        y              ()          16           1  y = a + b\n"
        "                #5                                    1  ga = g\n"
        "                #6                                    1  gb = g\n"
        "6  sum                       ()           7           1  y = sum of x\n"
        "                a            (2)          5       1.414  gx = g, spread\n"
        "5  sum                       ()           9           1  y = sum of x\n"
        "                #4                                1.414  gx = g, spread\n"
        "4  mul                       (2)          9       1.414  y = a b\n"
        "                #3                                2.236  ga = g b\n"
        "                (constant)   (2)      2.236              no gradient\n"
        "3  add                       (2)          9       2.236  y = a + b\n"
        "                #1 product                        2.236  ga = g\n"
        "                #2                                2.236  gb = g\n"
        "2  scale                     (2)          6       2.236  y = s x;  factor 2\n"
        "                #1 product                        4.472  gx = s g\n"
        "1  mul        product        (2)          3       6.708  y = a b;  g = #3 + #2\n"
        "                a            (2)          5           3  ga = g b\n"
        "                a            (2)          5       4.123  g = #6 + #1\n"
        "                (parameter)  (2)          1       25.63  gb = g a\n");
}
END_TEST

START_TEST(a_convolution)
{
    GR_STEP;
    gr_tensor *x = gr_named(gr_ones(gr_shape(1, 1, 2, 2)), "x"),
              *k = gr_named(gr_param(gr_ones(gr_shape(1, 1, 2, 2))), "k");
    gr_tensor *b = gr_named(gr_param(gr_ones(gr_shape(1))), "b"),
              *label = gr_from_ints(gr_shape(1), (const int32_t[]){ 0 });
    gr_tensor *y = gr_conv_filt(gr_reshape(gr_conv2d(gr_param(x), k, .bias = b), gr_shape(1, 1)),
        gr_param(gr_ones(gr_shape(1, 1))));
    explains(gr_sum(gr_embedding(y, label)),
        "backward from 5, through 5 operations, to 4 parameters\n"
        "\n"
        "#  operation  tensor         shape      |value|  |gradient|  rule\n"
        "5  sum                       ()               5           1  y = sum of x\n"
        "                #4                                        1  gx = g, spread\n"
        "4  embedding                 (1,1)            5           1  y = rows of w\n"
        "                #3                                        1  gw[index] = sum of g\n"
        "3  conv_filt                 (1,1)            5           1  c = a *filt b\n"
        "                #2                                        1  ga = b *full g (18)\n"
        "                (parameter)  (1,1)            1           5  gb = a *filt g (26)\n"
        "2  reshape                   (1,1)            5           1  y = x, in another shape\n"
        "                #1                                        1  gx = g, in x's\n"
        "1  conv2d                    (1,1,1,1)        5           1  Y_nf = act(sum_c X_nc *filt "
        "K_fc + b_f) (33); with G = g act'\n"
        "                x            (1,1,2,2)        2           2  gX_nc = sum_f K_fc *full "
        "G_nf (34)\n"
        "                k            (1,1,2,2)        2           2  gK_fc = sum_n X_nc *filt "
        "G_nf (35)\n"
        "                b            (1)              1           1  gb_f = sum of G_nf\n");
}
END_TEST

/* Each rule beside its input, also where inputs without one stand before it. */
START_TEST(a_second_derivative)
{
    GR_STEP;
    gr_tensor  *x = gr_named(gr_param(gr_scalar(3)), "x"), *y = gr_relu(x), *z = gr_mul(y, y);
    const char *text = gr_explain_format(gr_grad(z, x, .create_graph = true));
    ck_assert_ptr_nonnull(strstr(text, "  h = g [y > 0]\n"));
    ck_assert_ptr_nonnull(strstr(text, "  gg = u [y > 0]\n"));
    gr_tensor *v = gr_named(gr_param(gr_ones(gr_shape(1, 2, 1, 1))), "v"),
              *w = gr_named(gr_param(gr_ones(gr_shape(2))), "w");
    gr_tensor *n = gr_named(
        gr_group_norm(v, 1, .weight = w, .bias = gr_named(gr_param(gr_zeros(gr_shape(2))), "b")),
        "n");
    text = gr_explain_format(gr_sum(gr_grad(gr_sum(gr_mul(n, n)), v, .create_graph = true)));
    ck_assert_ptr_nonnull(strstr(text, "  gx as in norm.c\n"));
    ck_assert_ptr_nonnull(strstr(text, "  gG = w P(x, u)\n"));
    nothing_failed();
}
END_TEST

START_TEST(a_parameter_as_loss)
{
    GR_STEP;
    explains(gr_param(gr_full(gr_shape(1, 1), 0.5)),
        "backward from 0.5, through 0 operations, to 1 parameter\n"
        "\n"
        "#  operation  tensor         shape  |value|  |gradient|  rule\n"
        "                (parameter)  (1,1)      0.5           1\n");
}
END_TEST

START_TEST(many_uses)
{
    GR_STEP;
    gr_tensor *x = gr_named(gr_param(gr_scalar(1)), "x"), *y = x;
    for (int i = 0; i < 5; i++) y = gr_mul(y, x);
    ck_assert_ptr_nonnull(strstr(gr_explain_format(y), "  g = #5 + #4 + #3 + #2 + #1 + #1\n"));
    ck_assert_ptr_nonnull(
        strstr(gr_explain_format(gr_mul(y, x)), "  g = #6 + ... + #1, from 7 uses\n"));
    for (int i = 0; i < 100000; i++) y = gr_mul(y, x);
    ck_assert_ptr_nonnull(
        strstr(gr_explain_format(y), "  g = #100005 + ... + #1, from 100006 uses\n"));
    nothing_failed();
}
END_TEST

/* Names that would move a cursor, or are no text. */
START_TEST(odd_names)
{
    static const struct {
        const char *name, *shown;
    } odd[] = {
        { "two words", "two words" },
        { "\"<script>&\\", "\"<script>&\\" },
        { "a\nb\tc\x1b[2J", "a\\nb\\x09c\\x1b[2J" },
        { "\x7f\xc2\x9b", "\\x7f\\xc2\\x9b" },
        { "\xff\xc3", "\\xff\\xc3" },
        { "\xc0\xaf\xed\xa0\x80", "\\xc0\\xaf\\xed\\xa0\\x80" },
        { "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" },
        { "\xe2\x80\xae", "\\xe2\\x80\\xae" },
        { "\xc3\xa9\xe2\x88\x91\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x88\x91\xf0\x9f\x98\x80" },
        { "0123456789012345678901234567890123456789", "0123456789012345678901234567890123456789" },
        { "0123456789012345678901234567890123456789x",
            "0123456789012345678901234567890123456789..." },
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        GR_STEP;
        gr_tensor *x = gr_named(gr_param(gr_scalar(3)), odd[i].name);
        explains(x, gr_name("backward from 3, through 0 operations, to 1 parameter\n\n"
                            "#  operation  tensor%*s  shape  |value|  |gradient|  rule\n"
                            "                %s%*s  ()           3           1\n",
                        i == 9    ? 36
                        : i == 10 ? 39
                                  : (int)(i == 8                     ? 0
                                          : strlen(odd[i].shown) > 4 ? strlen(odd[i].shown) - 4
                                                                     : 0),
                        "", odd[i].shown, i == 8 ? 1 : 0, ""));
    }
}
END_TEST

static gr_tensor *count_hook(gr_tensor *g, void *ctx)
{
    ++*(int *)ctx;
    return gr_scale(g, 2);
}

START_TEST(nothing_changes)
{
    GR_STEP;
    int        hooks = 0;
    gr_tensor *x = gr_named(gr_param(T(gr_shape(2), 1, 2)), "x"), *y = gr_mul(x, x),
              *loss = gr_sum(y);
    gr_on_grad(y, count_hook, &hooks);
    ck_assert(gr_backward(loss, .retain_graph = true));
    HOLDS(gr_grad_of(x), gr_shape(2), 4, 8);
    size_t live = gr_memory().live;
    {
        GR_STEP;
        const char *first = gr_explain_format(loss);
        ck_assert_ptr_nonnull(
            strstr(first, "1  mul                (2)      4.123       2.828  y = a b\n"));
        ck_assert_ptr_nonnull(strstr(first, "  x     (2)      2.236       8.944  g = #1 + #1\n"));
        ck_assert_str_eq(gr_explain_format(loss), first);
    }
    ck_assert_int_eq(hooks, 3);
    ck_assert_uint_eq(gr_memory().live, live);
    HOLDS(gr_grad_of(x), gr_shape(2), 4, 8);
    ck_assert_ptr_null(gr_grad_of(y));
    ck_assert(gr_backward(loss));
    HOLDS(gr_grad_of(x), gr_shape(2), 8, 16);
    nothing_failed();
}
END_TEST

START_TEST(explain_refused)
{
    GR_STEP;
    gr_tensor *x = gr_named(gr_param(T(gr_shape(2), 1, 2)), "x"), *y = gr_mul(x, x),
              *loss = gr_sum(y);
    FAILS(gr_explain_format(NULL), GR_ERR_ARGUMENT, "explain: the loss is NULL");
    FAILS(gr_explain_format(y), GR_ERR_GRAPH, "explain: (2) is not a scalar, as a loss must be");
    FAILS(gr_explain_format(gr_detach(loss)), GR_ERR_GRAPH,
        "explain: the loss () depends on no parameter, or was made without recording");
    ck_assert(gr_backward(loss));
    FAILS(gr_explain_format(gr_named(loss, "loss")), GR_ERR_GRAPH,
        "explain: the history of sum 'loss' () was used up by an earlier backward; keep it with "
        ".retain_graph");
    loss = gr_sum(gr_mul(x, x));
    gr_data_mut(x)[0] = 3;
    FAILS(gr_explain_format(loss), GR_ERR_GRAPH,
        "backward: an input (2) of mul was changed after it was recorded");
    ck_assert(!gr_trace_dot(NULL, "no.dot"));
    failed_with(GR_ERR_ARGUMENT, "trace_dot: the loss is NULL");
}
END_TEST

/* ---- the graph for Graphviz ---------------------------------------------- */

static char *file_of(const char *path)
{
    FILE *f = fopen(path, "rb");
    ck_assert_ptr_nonnull(f);
    static char text[1 << 20];
    size_t      n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    return text;
}

#define HEAD                                                                                       \
    "digraph backward {\n"                                                                         \
    "  graph [rankdir=TB, fontname=\"Helvetica\", fontsize=11, color=\"#8899aa\", style=rounded, " \
    "labeljust=l];\n"                                                                              \
    "  node [shape=box, style=filled, fillcolor=\"#e8eef8\", color=\"#556677\", "                  \
    "fontname=\"Helvetica\", fontsize=11, height=0.3];\n"                                          \
    "  edge [color=\"#556677\", fontname=\"Helvetica\", fontsize=9, arrowsize=0.6];\n"

START_TEST(dot_of_a_square)
{
    GR_STEP;
    gr_tensor *x = gr_named(gr_param(gr_scalar(3)), "x");
    ck_assert(gr_trace_dot(gr_mul(x, x), "trace.dot"));
    ck_assert_str_eq(file_of("trace.dot"), HEAD
        "  o1 [label=\"mul\\n|g| 1\", tooltip=\"#1: y = a b; ga = g b, gb = g a\", penwidth=2];\n"
        "  t1 [label=\"x\\n|g| 6\", style=\"filled,rounded\", fillcolor=\"#dcefdc\"];\n"
        "  t1 -> o1 [label=\" ()\\n |g| 3\"];\n"
        "  t1 -> o1 [label=\" ()\\n |g| 3\"];\n"
        "}\n");
    ck_assert(gr_trace_dot(x, "trace.dot", .sideways = true));
    ck_assert_ptr_nonnull(strstr(file_of("trace.dot"), "rankdir=LR"));
    remove("trace.dot");
}
END_TEST

START_TEST(dot_of_layers)
{
    GR_STEP;
    gr_tensor *w = gr_named(gr_param(gr_ones(gr_shape(1, 1))), "a.fc.weight"),
              *b = gr_named(gr_param(gr_ones(gr_shape(1))), "a.fc.bias");
    gr_tensor *y = gr_relu(gr_linear(gr_named(gr_ones(gr_shape(1, 1)), "x"), w, .bias = b));
    ck_assert(gr_trace_dot(gr_mul(gr_sum(y), gr_scalar(0.5)), "trace.dot"));
    ck_assert_str_eq(file_of("trace.dot"), HEAD
        "  subgraph cluster_1 { label=\"a\"; subgraph cluster_2 { label=\"a.fc\"; o1 "
        "[label=\"linear\\n|g| 0.5\", tooltip=\"#1: y = act(x "
        "w^T + "
        "b), gz = g act'; gx = gz w, gw = gz^T x, gb = sum of gz\"]; } }\n"
        "  subgraph cluster_1 { label=\"a\"; o2 [label=\"relu\\n|g| 0.5\", tooltip=\"#2: y = "
        "max(x, 0); gx = g [y > 0]\"]; }\n"
        "  o3 [label=\"sum\\n|g| 0.5\", tooltip=\"#3: y = sum of x; gx = g, spread\"];\n"
        "  o4 [label=\"mul\\n|g| 1\", tooltip=\"#4: y = a b; ga = g b, gb = g a\", penwidth=2];\n"
        "  t2 [label=\"0.5\", shape=plaintext, style=\"\"];\n"
        "  t5 [label=\"x\", shape=plaintext, style=\"\"];\n"
        "  subgraph cluster_1 { label=\"a\"; subgraph cluster_2 { label=\"a.fc\"; t6 "
        "[label=\"weight\\n|g| 0.5\", "
        "style=\"filled,rounded\", "
        "fillcolor=\"#dcefdc\"]; } }\n"
        "  subgraph cluster_1 { label=\"a\"; subgraph cluster_2 { label=\"a.fc\"; t7 "
        "[label=\"bias\\n|g| 0.5\", style=\"filled,rounded\", "
        "fillcolor=\"#dcefdc\"]; } }\n"
        "  o3 -> o4 [label=\" ()\", weight=9];\n"
        "  t2 -> o4 [label=\" ()\", style=dashed];\n"
        "  o2 -> o3 [label=\" (1,1)\", weight=9];\n"
        "  o1 -> o2 [label=\" (1,1)\", weight=9];\n"
        "  t5 -> o1 [label=\" (1,1)\", style=dashed];\n"
        "  subgraph cluster_1 { label=\"a\"; subgraph cluster_2 { label=\"a.fc\"; { rank=same; t6; "
        "o1; } } }\n"
        "  t6 -> o1 [label=\" (1,1)\"];\n"
        "  subgraph cluster_1 { label=\"a\"; subgraph cluster_2 { label=\"a.fc\"; { rank=same; t7; "
        "o1; } } }\n"
        "  o1 -> t7 [dir=back, label=\" (1)\"];\n"
        "}\n");
    remove("trace.dot");
}
END_TEST

/* Every quote that is not escaped opens or closes a string; outside strings there is our own
   alphabet alone. */
static void is_safe(const char *s)
{
    bool inside = false;
    for (; *s; s++) {
        if (*s == '"') inside = !inside;
        if (inside && *s == '\\') {
            ck_assert_ptr_nonnull(strchr("n\\\"", s[1]));
            s++;
        } else if (inside) {
            ck_assert_msg((unsigned char)*s >= 0x20 && *s != 0x7f, "a control character");
            ck_assert_msg(*s != '&' || strncmp(s, "&amp;", 5) == 0, "an entity: %.20s", s);
        } else
            ck_assert_msg(*s != '<' && *s != '\\' && *s != '&', "outside of quotes: %.20s", s);
    }
    ck_assert(!inside);
}

START_TEST(dot_of_odd_names)
{
    static const char *const odd[] = { "\"", "\\", "\\\"", "\\\\\"]; evil [label=\"",
        "</table><script>alert(1)</script>", "a\nb\r\n", "\\N\\G\\l", "&lt;&amp;&#34;", "\xff\xfe",
        "\xc3", "\x01\x1b", "..", ".", "a..b.", "\".\\.weight", "};", "\xe2\x80\xae",
        "<b>.<i>.weight" };
    enum { COUNT = sizeof odd / sizeof *odd };
    GR_STEP;
    gr_tensor *sum = NULL;
    for (int i = 0; i < COUNT; i++) {
        gr_tensor *p =
            gr_named(gr_exp(gr_named(gr_param(gr_scalar(i)), odd[i])), odd[COUNT - 1 - i]);
        sum = sum ? gr_add(sum, p) : p;
    }
    ck_assert(gr_trace_dot(sum, "trace-names.dot"));
    const char *text = file_of("trace-names.dot");
    is_safe(text);
    ck_assert_ptr_nonnull(strstr(text, "label=\"\\\\\\\\\\\"]; evil [label=\\\"\\n|g| "));
    ck_assert_ptr_nonnull(strstr(text, "label=\"&amp;lt;&amp;amp;&amp;#34;\\n|g| "));
    ck_assert_ptr_nonnull(strstr(text, "label=\"\\\\xff\\\\xfe\\n|g| "));
    if (system("command -v dot >/dev/null 2>&1") ==
        0) /* Graphviz itself reads it without a word, and sees so many nodes */
        ck_assert_int_eq(system("n=$(dot -Tplain trace-names.dot 2>&1 | tee trace-names.out | grep "
                                "-c '^node ') && test \"$n\" = 53 && "
                                "! grep -i -e warning -e error trace-names.out"),
            0);
    remove("trace-names.dot");
    remove("trace-names.out");
    nothing_failed();
}
END_TEST

START_TEST(dot_of_a_model)
{
    gr_model  *m = gr_model_build(normed, gr_shape(1, 1, 28, 28), .seed = 1);
    gr_tensor *images, *labels;
    noise_batch(7, 2, &images, &labels);
    {
        GR_STEP;
        gr_tensor *loss = gr_cross_entropy(normed(m, images), labels);
        ck_assert(gr_model_freeze(m, "conv2"));
        ck_assert(gr_trace_dot(loss, "trace-model.dot"));
        is_safe(file_of("trace-model.dot"));
    }
    if (system("command -v dot >/dev/null 2>&1") == 0)
        ck_assert_int_eq(system("! dot -Tsvg trace-model.dot 2>&1 >/dev/null | grep ."), 0);
    remove("trace-model.dot");
    gr_free(images);
    gr_free(labels);
    gr_model_free(m);
    nothing_failed();
}
END_TEST

START_TEST(dot_refused)
{
    GR_STEP;
    gr_tensor *x = gr_param(gr_scalar(3));
    FAILS(gr_trace_dot(x, NULL), GR_ERR_ARGUMENT, "the path of the file to write is NULL");
    FAILS(gr_trace_dot(x, "no/such/trace.dot"), GR_ERR_FILE,
        "cannot write 'no/such/trace.dot': No such file or directory");
    ck_assert(gr_trace_dot(x, "trace-kept.dot"));
    FAILS(gr_trace_dot(gr_scalar(1), "trace-kept.dot"), GR_ERR_GRAPH,
        "trace_dot: the loss () depends on no parameter, or was made without recording");
    ck_assert_ptr_nonnull(strstr(file_of("trace-kept.dot"), "digraph"));
    remove("trace-kept.dot");
}
END_TEST

/* ---- pages of HTML ------------------------------------------------------- */

static void json_is(gr__page *p, const char *text)
{
    ck_assert(p->good);
    ck_assert_str_eq(p->s, text);
    gr__page_end(p);
    nothing_failed();
}

START_TEST(json_commas)
{
    gr__page p = gr__page_begin();
    gr__json_open(&p, NULL, '{');
    gr__json_open(&p, "a", '[');
    for (int i = 0; i < 3; i++) gr__json_number(&p, NULL, i);
    gr__json_close(&p, ']');
    gr__json_text(&p, "b", "[");
    gr__json_text(&p, "c", NULL);
    gr__json_open(&p, "d", '{');
    gr__json_close(&p, '}');
    gr__json_shape(&p, "e", &gr_shape(2, 3));
    gr__json_close(&p, '}');
    json_is(&p, "{\"a\":[0,1,2],\"b\":\"[\",\"c\":null,\"d\":{},\"e\":[2,3]}");
}
END_TEST

/* Nothing ends the script or the string, and nothing unseen gets through; the rest is as it was. */
START_TEST(json_texts)
{
    static const struct {
        const char *text, *json;
    } odd[] = {
        { "</script><!--&", "\"\\u003c/script\\u003e\\u003c!--\\u0026\"" },
        { "\"\\'", "\"\\u0022\\u005c'\"" },
        { "\n\x01\x7f", "\"\\u000a\\u0001\\u007f\"" },
        { "\xe2\x80\xa8\xe2\x80\xa9\xef\xbb\xbf\xe2\x80\xae", "\"\\u2028\\u2029\\ufeff\\u202e\"" },
        { "a\xff\xc3(\xc0\xaf", "\"a\\ufffd\\ufffd(\\ufffd\\ufffd\"" },
        { "\xed\xa0\x80\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\"" },
        { "\xc3\xa9\xe2\x88\x91\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x88\x91\xf0\x9f\x98\x80\"" },
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        gr__page p = gr__page_begin();
        gr__json_text(&p, NULL, odd[i].text);
        json_is(&p, odd[i].json);
    }
}
END_TEST

/* The fewest digits that read back as the same float; of what is no float, as the same double. */
START_TEST(json_numbers)
{
    gr__page p = gr__page_begin();
    gr__json_open(&p, NULL, '[');
    const double x[] = { 0, -0.5, 3, 1e16, 1e-5, (double)0.1f, 0.1, 1e300, 16777216, NAN, INFINITY,
        -INFINITY };
    for (size_t i = 0; i < sizeof x / sizeof *x; i++) gr__json_number(&p, NULL, x[i]);
    gr__json_close(&p, ']');
    json_is(
        &p, "[0,-0.5,3,1e+16,1e-05,0.1,0.1,1e+300,16777216,\"NaN\",\"Infinity\",\"-Infinity\"]");
}
END_TEST

START_TEST(json_reals)
{
    const gr_real x[] = { 0, 1, -2, (gr_real)NAN };
    const char   *text[] = { "\"\"", "\"AAAAAA==\"", "\"AAAAAAAAgD8=\"", "\"AAAAAAAAgD8AAADA\"",
          "\"AAAAAAAAgD8AAADAAADAfw==\"" };
    for (int n = 0; n <= 4; n++) {
        gr__page p = gr__page_begin();
        gr__json_reals(&p, NULL, x, n);
        json_is(&p, text[n]);
    }
}
END_TEST

/* The data of a page that gr_trace_html wrote; nothing but ours is markup in it. */
static json_t *data_of(const char *path)
{
    FILE *f = fopen(path, "rb");
    ck_assert_ptr_nonnull(f);
    static char  text[5000000];
    size_t       n = fread(text, 1, sizeof text - 1, f);
    json_error_t error;
    fclose(f);
    ck_assert_uint_lt(n, sizeof text - 1);
    text[n] = '\0';
    static const char begin[] = "<script type=\"application/json\" id=\"data\">";
    char             *from = strstr(text, begin), *to = from ? strstr(from, "</script>") : NULL;
    ck_assert(from && to);
    from += sizeof begin - 1;
    for (const char *s = from; s < to; s++)
        ck_assert_msg(*s != '<' && *s != '>' && *s != '&', "markup: %.40s", s);
    json_t *data = json_loadb(from, (size_t)(to - from), 0, &error);
    ck_assert_msg(
        data, "%s: %.60s", error.text, from + (error.position > 30 ? error.position - 30 : 0));
    remove(path);
    return data;
}

static double number_at(const json_t *data, const char *list, int i, const char *key)
{
    return json_number_value(
        json_object_get(json_array_get(json_object_get(data, list), (size_t)i), key));
}

static const char *text_at(const json_t *data, const char *list, int i, const char *key)
{
    return json_string_value(
        json_object_get(json_array_get(json_object_get(data, list), (size_t)i), key));
}

START_TEST(html_of_a_square)
{
    GR_STEP;
    gr_tensor *x = gr_named(gr_param(gr_scalar(3)), "x");
    ck_assert(gr_trace_html(gr_named(gr_mul(x, x), "y"), "trace.html"));
    json_t *data = data_of("trace.html");
    ck_assert_int_eq((int)json_array_size(json_object_get(data, "tensors")), 2);
    ck_assert_str_eq(text_at(data, "tensors", 0, "name"), "y");
    ck_assert_str_eq(text_at(data, "tensors", 1, "name"), "x");
    ck_assert(number_at(data, "tensors", 1, "flows") == 2);
    json_t *g = json_object_get(json_array_get(json_object_get(data, "tensors"), 1), "g");
    ck_assert(json_number_value(json_object_get(g, "norm")) == 6);
    ck_assert_str_eq(json_string_value(json_object_get(g, "x")), "AADAQA==");
    ck_assert_str_eq(text_at(data, "operations", 0, "op"), "mul");
    ck_assert_str_eq(text_at(data, "operations", 0, "forward"), "y = a b");
    json_t *in = json_object_get(json_array_get(json_object_get(data, "operations"), 0), "in");
    ck_assert_int_eq((int)json_array_size(in), 2);
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(in, 1), "rule")), "gb = g a");
    ck_assert(json_number_value(json_object_get(json_array_get(in, 1), "norm")) == 3);
    json_decref(data);
    ck_assert_ptr_null(gr_grad_of(x));
    nothing_failed();
}
END_TEST

START_TEST(html_of_odd_names)
{
    static const char *const odd[] = { "\"", "</script><script>alert(1)</script>", "<!--", "]]>",
        "\\u003c/script>", "a\nb\r\n", "&lt;&amp;", "\xff\xfe", "\xc3", "..", ".", "a..b.",
        "<img src=x onerror=alert(1)>.weight", "\xe2\x80\xa8\xe2\x80\xae", "';alert(1)//",
        "__proto__", "constructor.prototype" };
    enum { COUNT = sizeof odd / sizeof *odd };
    GR_STEP;
    gr_tensor *sum = NULL;
    for (int i = 0; i < COUNT; i++) {
        gr_tensor *p =
            gr_named(gr_exp(gr_named(gr_param(gr_scalar(i)), odd[i])), odd[COUNT - 1 - i]);
        sum = sum ? gr_add(sum, p) : p;
    }
    ck_assert(gr_trace_html(sum, "trace-names.html"));
    json_t *data = data_of("trace-names.html");
    int     found = 0;
    for (int i = 0; i < 3 * COUNT - 1; i++) {
        const char *name = text_at(data, "tensors", i, "name");
        for (int k = 0; name && k < COUNT; k++)
            found += strcmp(name, gr__display_of(odd[k]).s) == 0;
    }
    ck_assert_int_eq(found, 2 * COUNT);
    json_decref(data);
    nothing_failed();
}
END_TEST

START_TEST(html_refused)
{
    GR_STEP;
    gr_tensor *x = gr_param(gr_scalar(3)), *y = x;
    FAILS(gr_trace_html(x, NULL), GR_ERR_ARGUMENT, "the path of the file to write is NULL");
    FAILS(gr_trace_html(NULL, "no.html"), GR_ERR_ARGUMENT, "trace_html: the loss is NULL");
    FAILS(gr_trace_html(gr_param(gr_ones(gr_shape(2))), "no.html"), GR_ERR_GRAPH,
        "trace_html: (2) is not a scalar, as a loss must be");
    FAILS(gr_trace_html(x, "no/such/trace.html"), GR_ERR_FILE,
        "cannot write 'no/such/trace.html': No such file or directory");
    ck_assert(gr_trace_html(x, "trace-kept.html"));
    FAILS(gr_trace_html(gr_scalar(1), "trace-kept.html"), GR_ERR_GRAPH,
        "trace_html: the loss () depends on no parameter, or was made without recording");
    for (int i = 0; i < 5000; i++) y = gr_scale(y, 1);
    FAILS(gr_trace_html(y, "trace-kept.html"), GR_ERR_GRAPH,
        "trace_html: 5000 operations are too many for a page");
    json_decref(data_of("trace-kept.html"));
    ck_assert_int_ne(access("no.html", F_OK), 0);
}
END_TEST

/* However large its tensors, and however many operations it has, up to the limit, a page stays
   under 5 MB. */
START_TEST(html_is_small)
{
    gr_rng rng = gr_rng_of(1, "small");
    GR_STEP;
    gr_tensor *x = noise(gr_shape(9, 40, 100, 90), &rng),
              *k = gr_param(noise(gr_shape(70, 20, 3, 3), &rng));
    gr_tensor *y = gr_conv2d(x, k, .stride = 2, .groups = 2, .act = GR_TANH);
    ck_assert(gr_trace_html(gr_sum(y), "trace-large.html"));
    json_t *data = data_of("trace-large.html"),
           *conv = json_object_get(json_array_get(json_object_get(data, "operations"), 0), "conv");
    const json_t *attributes =
        json_object_get(json_array_get(json_object_get(data, "operations"), 0), "attributes");
    ck_assert_str_eq(json_string_value(json_object_get(attributes, "act")), "tanh");
    ck_assert(json_number_value(json_object_get(attributes, "groups")) == 2);
    ck_assert(json_number_value(json_array_get(json_object_get(attributes, "stride"), 1)) == 2);
    ck_assert(json_object_get(conv, "restX") && json_object_get(conv, "restK") &&
              json_object_get(conv, "restY"));
    json_decref(data);
    gr_tensor *w = gr_param(noise(gr_shape(3000, 3000), &rng)),
              *v = gr_param(noise(gr_shape(3000), &rng)),
              *sum = gr_sum(gr_mul(v, gr_sum(w, .axes = GR_DIMS(0))));
    ck_assert(gr_trace_html(sum, "trace-large.html"));
    json_decref(data_of("trace-large.html"));
    for (int i = 0; i < 3000; i++) sum = gr_tanh(sum);
    ck_assert(gr_trace_html(sum, "trace-large.html"));
    json_decref(data_of("trace-large.html"));
    nothing_failed();
}
END_TEST

/* ---- the three convolutions' sums ---------------------------------------- */

static bool is_kept(const gr_shape *kept, int64_t a, int64_t b, int64_t h, int64_t w)
{
    return a < kept->dim[0] && b < kept->dim[1] && h < kept->dim[2] && w < kept->dim[3];
}

static int64_t place_in(const gr_shape *s, int64_t a, int64_t b, int64_t h, int64_t w)
{
    return ((a * s->dim[1] + b) * s->dim[2] + h) * s->dim[3] + w;
}

/* What the products add whose factors are both kept, and what the rest adds, must be the library's
   own. */
static void adds_up(
    const gr__terms *t, gr__terms_target of, const gr_shape *shape, const gr_real *want)
{
    const gr__conv *v = &t->c;
    const gr_shape *kept = t->kept, x = gr_shape(v->N, v->C, v->H, v->W),
                   k = gr_shape(v->F, v->C / v->G, v->KH, v->KW),
                   y = gr_shape(v->N, v->F, v->OH, v->OW);
    static double sum[100000];
    gr__terms_rest(t, of, sum);
    if (gr__terms_whole(t, of))
        for (int64_t i = 0; i < gr__count(&kept[of]); i++) ck_assert(sum[i] == 0);
    for (int64_t i = 0, n = v->N * v->F * v->OH * v->OW; i < n; i++)
        for (int64_t j = 0, m = v->C / v->G * v->KH * v->KW; j < m; j++) {
            int64_t at[4] = { i / (v->F * v->OH * v->OW), i / (v->OH * v->OW) % v->F,
                i / v->OW % v->OH, i % v->OW };
            int64_t p = j / v->KW % v->KH, q = j % v->KW, c = j / (v->KH * v->KW),
                    channel = at[1] / (v->F / v->G) * (v->C / v->G) + c;
            int64_t h = v->SH * at[2] + v->DH * p - v->PH, w = v->SW * at[3] + v->DW * q - v->PW;
            if (h < 0 || h >= v->H || w < 0 || w >= v->W) continue;
            bool in_x = is_kept(&kept[0], at[0], channel, h, w),
                 in_k = is_kept(&kept[1], at[1], c, p, q),
                 in_y = is_kept(&kept[2], at[0], at[1], at[2], at[3]);
            if (!in_x || !in_k || !in_y) continue;
            double xv = (double)t->x[place_in(&x, at[0], channel, h, w)],
                   kv = (double)t->k[place_in(&k, at[1], c, p, q)],
                   uv = (double)t->u[place_in(&y, at[0], at[1], at[2], at[3])];
            if (of == GR__TERMS_OF_X) sum[place_in(&kept[0], at[0], channel, h, w)] += kv * uv;
            if (of == GR__TERMS_OF_K) sum[place_in(&kept[1], at[1], c, p, q)] += xv * uv;
            if (of == GR__TERMS_OF_Y)
                sum[place_in(&kept[2], at[0], at[1], at[2], at[3])] += xv * kv;
        }
    for (int64_t i = 0; i < gr__count(&kept[of]); i++) {
        const gr_shape *s = &kept[of];
        int64_t         w = i % s->dim[3], h = i / s->dim[3] % s->dim[2],
                b = i / (s->dim[2] * s->dim[3]) % s->dim[1];
        double is = (double)want[place_in(shape, i / (s->dim[1] * s->dim[2] * s->dim[3]), b, h, w)];
        ck_assert_msg(fabs(sum[i] - is) < 1e-4 * (1 + fabs(is)),
            "target %d, number %lld: %g, not %g", (int)of, (long long)i, sum[i], is);
    }
}

/* Any geometry, any boxes: at once half of the dimensions are kept whole. */
START_TEST(sums_of_convolutions)
{
    gr_rng rng = gr_rng_of((uint64_t)_i, "sums");
    GR_STEP;
#define PICK(low, high) ((low) + (int)gr_rng_below(&rng, (high) - (low) + 1))
    int G = PICK(1, 2), C = G * PICK(1, 3), F = G * PICK(1, 3), KH = PICK(1, 3), KW = PICK(1, 4);
    gr_tensor *x = gr_param(noise(gr_shape(PICK(1, 3), C, PICK(7, 9), PICK(7, 9)), &rng)),
              *k = gr_param(noise(gr_shape(F, C / G, KH, KW), &rng));
    gr_tensor *y = gr_conv2d(x, k, .stride = PICK(1, 3), .padding = PICK(0, 2),
                  .dilation = PICK(1, 2), .groups = G),
              *u = gr_copy(y);
    gr_act    act;
    gr__terms t = { .x = gr_data(x), .k = gr_data(k), .u = gr_data(u) };
    ck_assert(gr__conv_of(y->node, &t.c, &act) && act == GR_NO_ACT);
    gr_tensor *of[3] = { x, k, y };
    for (int i = 0; i < 3; i++) {
        t.kept[i] = of[i]->shape;
        for (int d = 0; d < 4; d++)
            if (_i > 0 && PICK(0, 1)) t.kept[i].dim[d] = PICK(1, (int)t.kept[i].dim[d]);
    }
    gr_tensor *gx = gr_grad(y, x, .grad_output = u, .retain_graph = true),
              *gk = gr_grad(y, k, .grad_output = u);
    ck_assert(
        _i > 0 || (gr__terms_whole(&t, GR__TERMS_OF_X) && gr__terms_whole(&t, GR__TERMS_OF_K) &&
                      gr__terms_whole(&t, GR__TERMS_OF_Y)));
    adds_up(&t, GR__TERMS_OF_X, &x->shape, gr_data(gx));
    adds_up(&t, GR__TERMS_OF_K, &k->shape, gr_data(gk));
    adds_up(&t, GR__TERMS_OF_Y, &y->shape, gr_data(y));
    nothing_failed();
}
END_TEST

int main(void)
{
    gr_set_threads(1); /* everything here is small */
    Suite *s = suite_create("inspect");
    TCase *t = cases(s, "names");
    tcase_add_test(t, names_kept);
    tcase_add_test(t, names_refused);
    tcase_add_test(t, names_of_a_model);
    tcase_add_test(t, names_in_anomalies);
    t = cases(s, "explain");
    tcase_add_test(t, a_square);
    tcase_add_test(t, reused_values);
    tcase_add_test(t, a_convolution);
    tcase_add_test(t, a_second_derivative);
    tcase_add_test(t, a_parameter_as_loss);
    tcase_add_test(t, many_uses);
    tcase_add_test(t, odd_names);
    tcase_add_test(t, nothing_changes);
    tcase_add_test(t, explain_refused);
    t = cases(s, "dot");
    tcase_add_test(t, dot_of_a_square);
    tcase_add_test(t, dot_of_layers);
    tcase_add_test(t, dot_of_odd_names);
    tcase_add_test(t, dot_of_a_model);
    tcase_add_test(t, dot_refused);
    t = cases(s, "html");
    tcase_add_test(t, json_commas);
    tcase_add_test(t, json_texts);
    tcase_add_test(t, json_numbers);
    tcase_add_test(t, json_reals);
    tcase_add_test(t, html_of_a_square);
    tcase_add_test(t, html_of_odd_names);
    tcase_add_test(t, html_refused);
    tcase_add_test(t, html_is_small);
    tcase_add_loop_test(t, sums_of_convolutions, 0, 60);
    return run(s);
}
