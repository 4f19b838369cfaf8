// The networks ask for exactly the released checkpoints' tensors; configurations and requests are checked completely.
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "engine/clip.h"
#include "engine/json_fields.h"
#include "engine/parameters.h"
#include "engine/stc.h"
#include "engine/unet.h"
#include "engine/vae.h"

// ---- keys and shapes: tests/data/manifests/NAME.txt.gz has a line "key dim dim ..." for each tensor of a file

typedef struct shape_list {
  char **line;
  size_t count, capacity;
} shape_list;

static void add_line(shape_list *list, const char *line) {
  if (list->count == list->capacity) {
    list->capacity = list->capacity ? 2 * list->capacity : 256;
    list->line = realloc(list->line, list->capacity * sizeof *list->line);
  }
  list->line[list->count++] = strdup(line);
}

static int by_text(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

// Sorted, each line once: a tensor that two parts of a network share is asked for twice.
static void finish_list(shape_list *list) {
  size_t kept = 0;
  if (list->count) qsort(list->line, list->count, sizeof *list->line, by_text);
  for (size_t i = 0; i < list->count; i++) {
    if (kept && !strcmp(list->line[kept - 1], list->line[i]))
      free(list->line[i]);
    else
      list->line[kept++] = list->line[i];
  }
  list->count = kept;
}

static void free_list(shape_list *list) {
  for (size_t i = 0; i < list->count; i++) free(list->line[i]);
  free(list->line);
}

static shape_list read_manifest(const char *name) {
  shape_list list = {0};
  char path[128], line[512];
  snprintf(path, sizeof path, "tests/data/manifests/%s.txt.gz", name);
  gzFile file = gzopen(path, "rb");
  cr_assert(file, "%s", path);
  while (gzgets(file, line, sizeof line)) {
    line[strcspn(line, "\n")] = 0;
    add_line(&list, line);
  }
  gzclose(file);
  finish_list(&list);
  return list;
}

static const vc_tensor *find_nothing(void *source, const char *key) {
  (void)source, (void)key;
  return NULL;
}

// "expected [4, 3]" becomes "key 4 3".
static void note_expected(void *opaque, vc_finding finding, const char *key, const char *detail) {
  char line[512], *at = line + snprintf(line, 256, "%s ", key);
  cr_assert_eq(finding, VC_FOUND_MISSING);
  for (const char *c = strchr(detail, '[') + 1; *c != ']'; c++)
    if (*c != ',') *at++ = *c;
  *at = 0;
  add_line(opaque, line);
}

static shape_list asked_for(vc_graph *graph) {
  shape_list list = {0};
  vc_weights none = {.name = "nothing", .find = find_nothing};
  cr_assert_eq(vc_graph_check(graph, NULL), VC_OK);
  vc_parameters_audit(graph, &none, note_expected, &list);
  finish_list(&list);
  return list;
}

static size_t parameters_of(const shape_list *list) {
  size_t sum = 0;
  for (size_t i = 0; i < list->count; i++) {
    size_t product = 1;
    char *at = strchr(list->line[i], ' ');
    while (at && *at) product *= (size_t)strtoull(at, &at, 10);
    sum += product;
  }
  return sum;
}

static void expect_same(const shape_list *asked, const shape_list *want) {
  size_t i = 0, k = 0;
  while (i < asked->count || k < want->count) {
    int order = i == asked->count ? 1 : k == want->count ? -1 : strcmp(asked->line[i], want->line[k]);
    if (order < 0) cr_expect_fail("asked for, and not in the file: %s", asked->line[i]);
    if (order > 0) cr_expect_fail("in the file, and not asked for: %s", want->line[k]);
    i += order <= 0;
    k += order >= 0;
  }
}

static vc_unet_request whole_request(void) {
  vc_unet_request r = {
      .n = 1, .f = 16, .h = 32, .w = 32, .timesteps = 1, .guided = true, .text_tokens = 77, .style_tokens = 1};
  for (int i = 0; i < VC_CONDITION_COUNT; i++) {
    if (i == VC_CONDITION_CANNY) continue;
    bool still = i == VC_CONDITION_LOCAL_IMAGE || i == VC_CONDITION_SINGLE_SKETCH;
    r.video[i].n = 1;
    r.video[i].f = still ? 1 : 16;
    r.video[i].h = r.video[i].w = i == VC_CONDITION_MOTION ? 256 : 384;
    r.video[i].strength = 1;
  }
  return r;
}

Test(networks, the_unet_asks_for_the_released_tensors) {
  vc_unet_config config = vc_unet_config_released();
  vc_unet_request request = whole_request();
  vc_error error;
  vc_graph *graph;
  cr_assert_eq(vc_unet_config_check(&config, &error), VC_OK);
  cr_assert_eq(vc_unet_request_check(&config, &request, &error), VC_OK, "%s", error.message);
  cr_assert_eq(vc_graph_new(&graph, 50, NULL), VC_OK);
  vc_value eps = vc_unet_describe(graph, &config, &request);
  vc_shape shape = vc_graph_shape(graph, eps);
  cr_expect(shape.n == 2 && shape.f == 16 && shape.h == 32 && shape.w == 32 && shape.c == 4);
  cr_expect_eq(vc_graph_find(graph, "zeros"), VC_NONE);
  shape_list asked = asked_for(graph), want = read_manifest("unet");
  cr_expect_eq(asked.count, 1574);
  cr_expect_eq(parameters_of(&asked), 1413435636u, "%zu", parameters_of(&asked));
  expect_same(&asked, &want);
  free_list(&asked);
  free_list(&want);
  vc_graph_free(graph);
}

Test(networks, the_autoencoder_asks_for_the_released_tensors) {
  vc_vae_config config = vc_vae_config_released();
  vc_graph *graph;
  cr_assert_eq(vc_vae_config_check(&config, NULL), VC_OK);
  cr_assert_eq(vc_graph_new(&graph, 1, NULL), VC_OK);
  vc_value image = vc_graph_input(graph, "image", (vc_shape){1, 2, 256, 192, 3}, VC_ELEMENT_ACTIVATION, VC_RATE_STEP);
  vc_value latent = vc_graph_input(graph, "latent", (vc_shape){1, 2, 32, 24, 4}, VC_ELEMENT_ACTIVATION, VC_RATE_STEP);
  vc_shape moments = vc_graph_shape(graph, vc_vae_encoder(graph, image, &config));
  vc_shape picture = vc_graph_shape(graph, vc_vae_decoder(graph, latent, &config));
  cr_expect(moments.h == 32 && moments.w == 24 && moments.c == 8);
  cr_expect(picture.h == 256 && picture.w == 192 && picture.c == 3);
  shape_list asked = asked_for(graph), want = read_manifest("vae");
  cr_expect_eq(asked.count, 248);
  cr_expect_eq(parameters_of(&asked), 83653863u);
  expect_same(&asked, &want);
  free_list(&asked);
  free_list(&want);
  vc_graph_free(graph);
}

// Both towers, and text features too, ask for everything but the training's temperature.
Test(networks, clip_asks_for_the_released_tensors) {
  vc_clip_config config = vc_clip_config_released();
  vc_graph *graph;
  cr_assert_eq(vc_clip_config_check(&config, NULL), VC_OK);
  cr_assert_eq(vc_graph_new(&graph, 1, NULL), VC_OK);
  vc_value tokens = vc_graph_input(graph, "tokens", (vc_shape){2, 1, 1, 77, 1}, VC_ELEMENT_I32, VC_RATE_STEP);
  vc_value pixels = vc_graph_input(graph, "pixels", (vc_shape){3, 1, 224, 224, 3}, VC_ELEMENT_ACTIVATION, VC_RATE_STEP);
  vc_shape text = vc_graph_shape(graph, vc_clip_text(graph, tokens, &config));
  vc_shape features = vc_graph_shape(graph, vc_clip_text_features(graph, tokens, &config));
  vc_shape image = vc_graph_shape(graph, vc_clip_image(graph, pixels, &config));
  cr_expect(text.n == 2 && text.w == 77 && text.c == 1024);
  cr_expect(features.n == 2 && features.w == 77 && features.c == 1024);
  cr_expect(image.n == 3 && image.w == 257 && image.c == 1024);
  shape_list asked = asked_for(graph), want = read_manifest("clip");
  add_line(&asked, "logit_scale");
  finish_list(&asked);
  cr_expect_eq(asked.count, 686);
  cr_expect_eq(parameters_of(&asked), 986109441u);
  expect_same(&asked, &want);
  free_list(&asked);
  free_list(&want);
  vc_graph_free(graph);
}

// What is the same in both guidance passes is computed once: no op before the first cross-attention sees 2 n videos.
Test(networks, both_passes_share_what_is_before_the_first_cross_attention) {
  vc_unet_config config = vc_unet_config_released();
  vc_unet_request request = whole_request();
  vc_graph *graph;
  cr_assert_eq(vc_graph_new(&graph, 50, NULL), VC_OK);
  vc_unet_describe(graph, &config, &request);
  static const struct {
    const char *name;
    int64_t videos;
  } values[] = {{"input_blocks.0.1", 1},
                {"input_blocks.1.0.temopral_conv", 1},
                {"input_blocks.1.1.transformer_blocks.0.attn1.to_out.0", 1},
                {"input_blocks.1.1.transformer_blocks.0.norm2", 1},
                {"input_blocks.1.1.transformer_blocks.0.attn2.to_out.0", 2},
                {"input_blocks.1.1", 2},
                {"output_blocks.11.2", 2}};
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
    vc_value v = vc_graph_find(graph, values[i].name);
    cr_assert_neq(v, VC_NONE, "%s", values[i].name);
    cr_expect_eq(vc_graph_shape(graph, v).n, values[i].videos, "%s", values[i].name);
  }
  int sums = 0, in_steps = 0;
  for (int i = 0; i < graph->nodes; i++) {
    const vc_node *node = &graph->node[i];
    sums += node->kind == VC_NODE_SUM && node->inputs == 6;
    bool condition = node->label && (strstr(node->label, "_embedding") || strstr(node->label, "emb_layers") ||
                                     strstr(node->label, "time_embed") || strstr(node->label, "attn2.to_k"));
    in_steps += condition && strncmp(node->label, "input_blocks.0", 14) &&
                graph->value[node->out].rate == VC_RATE_STEP && vc_graph_shape(graph, node->in[0]).f == 1;
  }
  cr_expect_eq(sums, 1, "the conditions are added up in one op");
  cr_expect_eq(in_steps, 0, "%d ops of the conditions run in every step", in_steps);
  vc_graph_free(graph);
}

// ---- configurations

static vc_status parse(const char *kind, const char *json, vc_error *error) {
  cJSON *object = NULL;
  vc_status status = vc_json_parse(&object, json, kind, error);
  union {
    vc_unet_config unet;
    vc_vae_config vae;
    vc_clip_config clip;
    vc_model_config model;
  } out;
  if (!status && !strcmp(kind, "unet")) status = vc_unet_config_parse(&out.unet, object, error);
  if (!status && !strcmp(kind, "vae")) status = vc_vae_config_parse(&out.vae, object, error);
  if (!status && !strcmp(kind, "clip")) status = vc_clip_config_parse(&out.clip, object, error);
  if (!status && !strcmp(kind, "model")) status = vc_model_config_parse(&out.model, object, error);
  cJSON_Delete(object);
  return status;
}

Test(config, good_ones_are_taken) {
  static const char *const cases[][2] = {
      {"unet", "{}"},
      {"unet", "{\"record\": [\"out\"], \"conditions\": [], \"attn_scales\": [], \"groups\": null}"},
      {"unet",
       "{\"dim\": 16, \"dim_mult\": [1, 2], \"num_res_blocks\": 2, \"attn_scales\": [1.0], \"num_heads\": 2, "
       "\"head_dim\": 16, \"context_dim\": 40, \"groups\": 8, \"stc_size\": [32, 32]}"},
      {"unet", "{\"dim\": 12, \"dim_mult\": [3], \"groups\": 1, \"head_dim\": 5}"},
      {"vae", "{\"ch\": 32, \"ch_mult\": [1, 1, 2, 2], \"num_res_blocks\": 1, \"groups\": 16}"},
      {"clip", "{\"embed_dim\": 32, \"text\": {\"width\": 16, \"heads\": 2, \"layers\": 3}, \"text_layer\": \"last\"}"},
      {"model", "{}"},
      {"model", "{\"networks\": [\"vae\"], \"unet\": {\"context_dim\": 5}}"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_error error = {""};
    cr_expect_eq(parse(cases[i][0], cases[i][1], &error), VC_OK, "%s: %s", cases[i][1], error.message);
  }
}

Test(config, bad_ones_are_refused_in_one_line) {
  static const struct {
    const char *kind, *json, *words;
  } cases[] = {
      {"unet", "[]", "must be a JSON object"},
      {"unet", "{\"dim\": 32", "not valid JSON"},
      {"unet", "{\"dim\": \"32\"}", "dim is \"32\", and must be a whole number from 2 to 16384"},
      {"unet", "{\"dim\": 0}", "dim is 0"},
      {"unet", "{\"dim\": 33}", "must be even"},
      {"unet", "{\"dim\": 32.5}", "dim is 32.5"},
      {"unet", "{\"dim\": 1e300}", "dim is 1e+300"},
      {"unet", "{\"dim\": -320}", "dim is -320"},
      {"unet", "{\"dim_mult\": 4}", "dim_mult is 4, and must be a list"},
      {"unet", "{\"dim_mult\": []}", "dim_mult is empty"},
      {"unet", "{\"dim_mult\": [1,1,1,1,1,1,1,1,1]}", "a list of at most 8"},
      {"unet", "{\"dim_mult\": [1, 100]}", "more than 16384 channels"},
      {"unet", "{\"dim_mult\": [1, null]}", "dim_mult is null"},
      {"unet", "{\"num_res_blocks\": 9}", "num_res_blocks is 9"},
      {"unet", "{\"attn_scales\": [\"1\"]}", "attn_scales is \"1\""},
      {"unet", "{\"head_dim\": 321}", "head_dim is 321, and must be at most 320"},
      {"unet", "{\"head_dim\": 4096, \"num_heads\": 8}", "more than 16384 channels"},
      {"unet", "{\"groups\": 0}", "groups is 0"},
      {"unet", "{\"groups\": 7}", "groups is 7, and must divide 320"},
      {"unet", "{\"dim\": 16, \"dim_mult\": [3, 2], \"groups\": 32}", "groups is 32, and must divide 16"},
      {"unet", "{\"dim\": 6, \"dim_mult\": [4, 2], \"groups\": 12, \"head_dim\": 2}", "must divide 6"},
      {"unet", "{\"stc_size\": [128]}", "stc_size is [128], and must be a list of 2 numbers"},
      {"unet", "{\"stc_size\": [0, 128]}", "stc_size is 0"},
      {"unet", "{\"conditions\": \"text\"}", "conditions must be a list"},
      {"unet", "{\"conditions\": [\"smell\"]}", "holds \"smell\""},
      {"unet", "{\"conditions\": [1]}", "conditions holds"},
      {"vae", "{\"ch\": 100}", "groups is 32, and must divide 100"},
      {"vae", "{\"z_channels\": 0}", "z_channels is 0"},
      {"vae", "{\"scale_factor\": 0}", "scale_factor is 0"},
      {"vae", "{\"ch_mult\": [1000000]}", "ch_mult is 1000000"},
      {"clip", "{\"text\": 3}", "clip text: must be a JSON object"},
      {"clip", "{\"text\": {\"heads\": 7}}", "heads is 7, and must divide width 1024"},
      {"clip", "{\"image\": {\"patch\": 512}}", "must be at least patch 512"},
      {"clip", "{\"text_layer\": \"first\"}", "text_layer is \"first\""},
      {"clip", "{\"text_layer\": \"a layer with a very long name\"}", "a text of at most 15 bytes"},
      {"clip", "{\"pad_token\": 49408}", "pad_token is 49408"},
      {"model", "{\"frames\": 0}", "frames is 0"},
      {"model", "{\"height\": 250}", "must be multiples of 64"},
      {"model", "{\"networks\": [\"gan\"]}", "networks holds \"gan\""},
      {"model", "{\"latent_scale\": 4}", "latent_scale is 4, and must be 8"},
      {"model", "{\"unet\": {\"context_dim\": 768}}", "unet.context_dim is 768, and must be 1024"},
      {"model", "{\"vae\": {\"embed_dim\": 8}}", "unet.in_dim is 4, and must be 8"},
      {"model", "{\"diffusion\": {\"sampler\": \"euler\"}}", "sampler is \"euler\""},
      {"model", "{\"diffusion\": {\"prediction\": \"v\"}}", "prediction is \"v\""},
      {"model", "{\"diffusion\": {\"init_beta\": 0.5}}", "init_beta is 0.5"},
      {"model", "{\"preprocessing\": {\"video_mean\": [1, 2]}}", "video_mean is [1,2]"},
      {"model", "{\"preprocessing\": {\"sketch_simplification\": 1}}", "true or false"},
      {"model", "{\"preprocessing\": {\"style_frame\": 16}}", "style_frame is 16"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_error error = {""};
    cr_expect_eq(parse(cases[i].kind, cases[i].json, &error), VC_FAILED, "%s was taken", cases[i].json);
    cr_expect(strstr(error.message, cases[i].words), "%s: \"%s\" does not say \"%s\"", cases[i].json, error.message,
              cases[i].words);
  }
}

Test(config, numbers_that_no_parser_has_seen_are_checked_too) {
  vc_unet_config unet = vc_unet_config_released();
  unet.levels = 9;
  cr_expect_eq(vc_unet_config_check(&unet, NULL), VC_FAILED);
  unet = vc_unet_config_released();
  unet.attn_scale_count = -1;
  cr_expect_eq(vc_unet_config_check(&unet, NULL), VC_FAILED);
  unet = vc_unet_config_released();
  unet.head_dim = 0;
  cr_expect_eq(vc_unet_config_check(&unet, NULL), VC_FAILED);
  vc_vae_config vae = vc_vae_config_released();
  vae.scale_factor = 0.0 / 0.0;
  cr_expect_eq(vc_vae_config_check(&vae, NULL), VC_FAILED);
  vc_clip_config clip = vc_clip_config_released();
  clip.image.patch = 0;
  cr_expect_eq(vc_clip_config_check(&clip, NULL), VC_FAILED);
}

// ---- requests

Test(unet, requests_that_do_not_fit_are_refused) {
  vc_unet_config config = vc_unet_config_released();
  static const struct {
    size_t at;
    int64_t value;
    const char *words;
  } cases[] = {
      {offsetof(vc_unet_request, n), 0, "0 videos"},
      {offsetof(vc_unet_request, f), -1, "-1 frames"},
      {offsetof(vc_unet_request, f), INT64_MAX, "must be 1 to"},
      {offsetof(vc_unet_request, h), 36, "multiples of 8"},
      {offsetof(vc_unet_request, w), 0, "multiples of 8"},
      {offsetof(vc_unet_request, h), 40, "stc_size 128 x 128"},
      {offsetof(vc_unet_request, timesteps), 2, "2 timesteps"},
      {offsetof(vc_unet_request, text_tokens), 0, "0 text"},
      {offsetof(vc_unet_request, style_tokens), -1, "-1 style"},
      {offsetof(vc_unet_request, video[VC_CONDITION_MOTION].f), 3, "motion has 1 videos of 3 frames"},
      {offsetof(vc_unet_request, video[VC_CONDITION_MOTION].n), 3, "motion has 3 videos"},
      {offsetof(vc_unet_request, video[VC_CONDITION_MASK].h), 0, "masked is 0 x 384"},
      {offsetof(vc_unet_request, video[VC_CONDITION_CANNY].f), 1, "no encoder"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_unet_request request = whole_request();
    vc_error error = {""};
    memcpy((char *)&request + cases[i].at, &cases[i].value, sizeof cases[i].value);
    cr_expect_eq(vc_unet_request_check(&config, &request, &error), VC_FAILED, "case %zu", i);
    cr_expect(strstr(error.message, cases[i].words), "case %zu: %s", i, error.message);
  }
}
