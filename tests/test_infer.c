// The architecture that is read off the shapes of a network's tensors is the one that asks for these tensors.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "bench/random_model.h"
#include "cli/network_graphs.h"
#include "engine/infer.h"
#include "loaders/tensor_file_build.h"

// ---- files that have shapes and no data

static void begin(vc_tensor_file *file) {
  cr_assert_eq(vc_tensor_file_begin(file, "shapes", (vc_file_map){0}, NULL), VC_OK);
}

static void add(vc_tensor_file *file, const char *prefix, const char *key, const int64_t *dim, int rank) {
  vc_tensor t = {.rank = rank};
  char name[512];
  snprintf(name, sizeof name, "%s%s", prefix, key);
  if (rank) memcpy(t.dim, dim, sizeof *dim * (size_t)rank);
  cr_assert_eq(vc_tensor_file_add(file, name, strlen(name), &t, NULL), VC_OK);
}

static void finish(vc_tensor_file *file) {
  vc_error error;
  cr_assert_eq(vc_tensor_file_finish(file, &error), VC_OK, "%s", error.message);
}

// What the network asks for, each once.
static void add_network(vc_tensor_file *file, vc_network network, const vc_model_config *config, const char *prefix) {
  vc_network_graphs graphs;
  vc_error error;
  cr_assert_eq(vc_network_graphs_new(&graphs, network, config, &error), VC_OK, "%s", error.message);
  for (int n = 0; n < graphs.count; n++)
    for (int i = 0; i < graphs.graph[n]->params; i++) {
      const vc_param_info *p = &graphs.graph[n]->param[i];
      for (int k = 0; k < p->stacked; k++) {
        int64_t dim[VC_MAX_DIMS];
        char name[512];
        bool known = false;
        int rank = vc_param_file_shape(p, k, dim);
        snprintf(name, sizeof name, "%s%s", prefix, p->key[k]);
        for (int t = 0; t < file->count; t++) known |= !strcmp(file->tensor[t].name, name);
        if (!known) add(file, prefix, p->key[k], dim, rank);
      }
    }
  vc_network_graphs_free(&graphs);
}

static void add_manifest(vc_tensor_file *file, const char *name, const char *prefix) {
  char path[128], line[512];
  snprintf(path, sizeof path, "tests/data/manifests/%s.txt.gz", name);
  gzFile in = gzopen(path, "rb");
  cr_assert(in, "%s: run from the repository's root", path);
  while (gzgets(in, line, sizeof line)) {
    int64_t dim[VC_MAX_DIMS];
    int rank = 0;
    char *at = line + strcspn(line, " \n");
    char *key = strndup(line, (size_t)(at - line));
    while (*at == ' ') dim[rank++] = strtoll(at, &at, 10);
    add(file, prefix, key, dim, rank);
    free(key);
  }
  gzclose(in);
}

// Missing and misshapen tensors, with these numbers of dimensions for a file without data.
static void count_finding(void *opaque, vc_finding finding, const char *key, const char *detail) {
  (void)finding, (void)key, (void)detail;
  ++*(int *)opaque;
}

static int audit(const vc_model *model, vc_network network) {
  vc_network_graphs graphs;
  vc_model_source source;
  vc_weights weights;
  vc_error error;
  int problems = 0;
  cr_assert_eq(vc_model_weights(model, network, &source, &weights, &error), VC_OK, "%s", error.message);
  cr_assert_eq(vc_network_graphs_new(&graphs, network, &model->config, &error), VC_OK, "%s", error.message);
  for (int i = 0; i < graphs.count; i++) vc_parameters_audit(graphs.graph[i], &weights, count_finding, &problems);
  vc_network_graphs_free(&graphs);
  return problems;
}

// ---- the released files

static const struct {
  const char *manifest;
  vc_network network;
  int tensors;
} released[] = {{"unet", VC_NETWORK_UNET, 1574}, {"vae", VC_NETWORK_VAE, 248}, {"clip", VC_NETWORK_CLIP, 686}};

static const char *const prefixes[] = {"", "module.", "model.", "first_stage_model.", "model.diffusion_model."};

Test(infer, released_files_have_the_released_architecture_below_any_prefix) {
  for (size_t i = 0; i < sizeof released / sizeof *released; i++)
    for (size_t p = 0; p < sizeof prefixes / sizeof *prefixes; p++) {
      vc_model model = {.config = vc_model_config_released()};
      vc_network n = released[i].network;
      vc_error error;
      begin(&model.file[n]);
      add_manifest(&model.file[n], released[i].manifest, prefixes[p]);
      finish(&model.file[n]);
      cr_expect_eq(model.file[n].count, released[i].tensors);
      cr_assert(vc_infer_prefix(&model.file[n], vc_network_name(n), "", model.prefix[n]));
      cr_expect_str_eq(model.prefix[n], prefixes[p]);
      memset(&model.config.unet, 0, sizeof model.config.unet);
      memset(&model.config.vae, 0, sizeof model.config.vae);
      memset(&model.config.clip, 0, sizeof model.config.clip);
      cr_assert_eq(vc_infer_network(&model.config, vc_network_name(n), &model.file[n], model.prefix[n], &error), VC_OK,
                   "%s", error.message);
      vc_model_config want = vc_model_config_released();
      if (n == VC_NETWORK_UNET) cr_expect_arr_eq(&model.config.unet, &want.unet, sizeof want.unet);
      if (n == VC_NETWORK_VAE) cr_expect_arr_eq(&model.config.vae, &want.vae, sizeof want.vae);
      if (n == VC_NETWORK_CLIP) cr_expect_arr_eq(&model.config.clip, &want.clip, sizeof want.clip);
      model.config = want;
      model.present[n] = true;
      cr_expect_eq(audit(&model, n), 0);
      vc_model_close(&model);
    }
}

// ---- other sizes

static vc_unet_config unet_of(int variant) {
  vc_unet_config c = vc_unet_config_released();
  switch (variant) {
    case 0:
      return c;
    case 1:  // heads that are not as released stay unseen; these follow the rule
      c.dim = 64, c.levels = 2, c.dim_mult[0] = 1, c.dim_mult[1] = 3, c.num_res_blocks = 1;
      c.attn_scale_count = 1, c.attn_scales[0] = 0.5, c.context_dim = 48, c.concat_dim = 4;
      break;
    case 2:
      c.dim = 128, c.levels = 3, c.dim_mult[1] = 1, c.dim_mult[2] = 2, c.num_res_blocks = 3, c.num_heads = 4;
      c.attn_scale_count = 3, c.in_dim = 8, c.out_dim = 6, c.concat_dim = 16;
      memset(c.conditions, 0, sizeof c.conditions);
      c.conditions[VC_CONDITION_MASK] = c.conditions[VC_CONDITION_CANNY] = true;
      break;
    case 3:  // no conditions: the latent is as wide as the output
      c.dim = 96, c.levels = 1, c.dim_mult[0] = 2, c.num_res_blocks = 2, c.attn_scale_count = 0, c.num_heads = 2;
      memset(c.conditions, 0, sizeof c.conditions);
      break;
    default:  // 64 does not fit: as many heads as released
      c.dim = 32, c.levels = 2, c.num_res_blocks = 1, c.head_dim = 4, c.attn_scale_count = 2;
      break;
  }
  // Beyond the levels in use, lists are not compared.
  for (int i = c.levels; i < VC_MAX_LEVELS; i++) c.dim_mult[i] = 0;
  for (int i = c.attn_scale_count; i < VC_MAX_LEVELS; i++) c.attn_scales[i] = 0;
  return c;
}

static void expect_unet(const vc_unet_config *got, const vc_unet_config *want, int variant) {
  cr_expect(got->in_dim == want->in_dim && got->out_dim == want->out_dim && got->dim == want->dim, "variant %d",
            variant);
  cr_expect_eq(got->levels, want->levels, "variant %d", variant);
  cr_expect_arr_eq(got->dim_mult, want->dim_mult, sizeof *want->dim_mult * (size_t)want->levels, "variant %d", variant);
  cr_expect_eq(got->num_res_blocks, want->num_res_blocks, "variant %d", variant);
  cr_expect_eq(got->attn_scale_count, want->attn_scale_count, "variant %d", variant);
  for (int i = 0; i < want->attn_scale_count; i++)
    cr_expect_eq(got->attn_scales[i], want->attn_scales[i], "variant %d", variant);
  cr_expect(got->num_heads == want->num_heads && got->head_dim == want->head_dim, "variant %d: %d heads of %d", variant,
            (int)got->num_heads, (int)got->head_dim);
  cr_expect(got->context_dim == want->context_dim && got->concat_dim == want->concat_dim, "variant %d", variant);
  cr_expect_arr_eq(got->conditions, want->conditions, sizeof want->conditions, "variant %d", variant);
  cr_expect_eq(got->groups, want->groups, "variant %d: %d groups", variant, (int)got->groups);
}

Test(infer, unets_of_other_sizes) {
  for (int variant = 0; variant < 5; variant++) {
    vc_model_config config = vc_model_config_released();
    vc_tensor_file file;
    vc_unet_config got;
    vc_error error = {""};
    config.unet = unet_of(variant);
    cr_assert_eq(vc_unet_config_check(&config.unet, &error), VC_OK, "variant %d: %s", variant, error.message);
    begin(&file);
    add_network(&file, VC_NETWORK_UNET, &config, "net.");
    finish(&file);
    cr_assert_eq(vc_infer_unet(&got, &file, "net.", &error), VC_OK, "variant %d: %s", variant, error.message);
    expect_unet(&got, &config.unet, variant);
    vc_tensor_file_close(&file);
  }
}

Test(infer, autoencoders_of_other_sizes) {
  static const vc_vae_config variants[] = {
      {64, 3, {1, 1, 3}, 1, 3, 3, 6, 4, 32, 0.18215},
      {96, 1, {2}, 2, 1, 1, 4, 8, 32, 0.18215},
      {48, 2, {1, 2}, 3, 3, 3, 4, 4, 24, 0.18215},  // the most groups that divide 48
  };
  for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
    vc_model_config config = vc_model_config_released();
    vc_tensor_file file;
    vc_error error = {""};
    config.vae = variants[i];
    config.latent_scale = (int64_t)1 << (variants[i].levels - 1);
    begin(&file);
    add_network(&file, VC_NETWORK_VAE, &config, "first_stage_model.");
    finish(&file);
    vc_model_config got = vc_model_config_released();
    cr_assert_eq(vc_infer_network(&got, "vae", &file, "first_stage_model.", &error), VC_OK, "%s", error.message);
    cr_expect_eq(got.latent_scale, config.latent_scale);
    vc_vae_config *v = &got.vae;
    cr_expect(v->ch == variants[i].ch && v->levels == variants[i].levels, "case %zu", i);
    cr_expect_arr_eq(v->ch_mult, variants[i].ch_mult, sizeof *v->ch_mult * (size_t)v->levels, "case %zu", i);
    cr_expect(v->num_res_blocks == variants[i].num_res_blocks && v->in_channels == variants[i].in_channels &&
                  v->out_ch == variants[i].out_ch && v->z_channels == variants[i].z_channels &&
                  v->embed_dim == variants[i].embed_dim && v->groups == variants[i].groups,
              "case %zu", i);
    vc_tensor_file_close(&file);
  }
}

Test(infer, clips_of_other_sizes) {
  static const vc_clip_config variants[] = {
      {512, {512, 8, 12, 49408, 77, 0, 0}, {768, 12, 12, 0, 0, 32, 224}, "last", 0},
      {64, {48, 16, 2, 100, 9, 0, 0}, {1664, 16, 3, 0, 0, 14, 28}, "last", 0},
      {8, {24, 8, 1, 7, 3, 0, 0}, {20, 4, 1, 0, 0, 4, 12}, "last", 0},
  };
  for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
    vc_model_config config = vc_model_config_released();
    vc_tensor_file file;
    vc_error error = {""};
    config.clip = variants[i];
    begin(&file);
    add_network(&file, VC_NETWORK_CLIP, &config, "");
    finish(&file);
    vc_model_config got = vc_model_config_released();
    cr_assert_eq(vc_infer_network(&got, "clip", &file, "", &error), VC_OK, "%s", error.message);
    cr_expect_eq(got.clip.embed_dim, variants[i].embed_dim);
    cr_expect_arr_eq(&got.clip.text, &variants[i].text, 5 * sizeof(int64_t), "case %zu", i);
    cr_expect_arr_eq(&got.clip.image, &variants[i].image, 3 * sizeof(int64_t), "case %zu", i);
    cr_expect(got.clip.image.patch == variants[i].image.patch && got.clip.image.size == variants[i].image.size);
    cr_expect_eq(got.preprocessing.clip_size, variants[i].image.size);
    cr_expect_str_eq(got.clip.text_layer, "penultimate");
    vc_tensor_file_close(&file);
  }
}

Test(infer, condition_networks_of_other_sizes) {
  vc_model_config config = vc_model_config_released(), got = vc_model_config_released();
  config.midas = (vc_midas_config){.image_size = 64,
                                   .patch = 16,
                                   .dim = 128,
                                   .heads = 2,
                                   .layers = 8,
                                   .neck = {8, 12, 16, 20},
                                   .fusion = 24,
                                   .head_dim = 6};
  config.pidinet = (vc_pidinet_config){.planes = 20, .dil = 8, .converted = true};
  config.sketch_simplification.divide = 8;
  static const vc_network networks[] = {VC_NETWORK_MIDAS, VC_NETWORK_PIDINET, VC_NETWORK_SKETCH_SIMPLIFICATION};
  vc_tensor_file file;
  vc_error error = {""};
  for (int i = 0; i < 3; i++) {
    begin(&file);
    add_network(&file, networks[i], &config, "module.");
    finish(&file);
    cr_assert_eq(vc_infer_network(&got, vc_network_name(networks[i]), &file, "module.", &error), VC_OK, "%s",
                 error.message);
    vc_tensor_file_close(&file);
  }
  cr_expect_arr_eq(&got.midas, &config.midas, sizeof config.midas);
  cr_expect(got.pidinet.planes == 20 && got.pidinet.dil == 8 && got.pidinet.converted);
  cr_expect_eq(got.sketch_simplification.divide, 8);
}

// ---- what is no network of ours

typedef struct shape {
  const char *name;
  int rank;
  int64_t dim[4];
} shape;

static void add_shapes(vc_tensor_file *file, const shape *list) {
  for (; list->name; list++) add(file, "", list->name, list->dim, list->rank);
}

Test(infer, networks_are_told_apart) {
  static const struct {
    shape list[5];
    const char *network, *what, *prefix;
  } cases[] = {
      {{{"unet.conv_in.weight", 1, {1}}, {"unet.time_embedding.linear_1.weight", 1, {1}}}, NULL, "diffusers", "unet."},
      {{{"model.diffusion_model.input_blocks.0.0.weight", 1, {1}},
        {"model.diffusion_model.time_embed.0.weight", 1, {1}},
        {"model.diffusion_model.middle_block.0.in_layers.0.weight", 1, {1}}},
       NULL,
       "without temporal layers",
       "model.diffusion_model."},
      {{{"cond_stage_model.model.token_embedding.weight", 1, {1}},
        {"cond_stage_model.model.transformer.resblocks.0.ln_1.weight", 1, {1}}},
       NULL,
       "text tower alone",
       "cond_stage_model.model."},
      {{{"pretrained.model.patch_embed.proj.weight", 1, {1}}}, NULL, "own release", ""},
      {{{"x.init_block.weight", 1, {1}}, {"x.block1_1.conv2.weight", 1, {1}}, {"x.classifier.weight", 1, {1}}},
       "pidinet",
       "PiDiNet",
       "x."},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    vc_tensor_file file;
    vc_weights_part part[VC_PARTS_MAX];
    begin(&file);
    add_shapes(&file, cases[i].list);
    finish(&file);
    cr_assert_eq(vc_infer_parts(&file, part), 1, "case %zu", i);
    cr_expect(strstr(part[0].what, cases[i].what), "case %zu: %s", i, part[0].what);
    cr_expect_str_eq(part[0].prefix, cases[i].prefix);
    cr_expect_eq(part[0].network != NULL, cases[i].network != NULL);
    vc_tensor_file_close(&file);
  }
}

Test(infer, names_that_only_end_alike_are_no_marks) {
  vc_tensor_file file;
  vc_weights_part part[VC_PARTS_MAX];
  char prefix[VC_PREFIX_MAX] = "?";
  begin(&file);
  static const shape list[] = {{"my_init_block.weight", 1, {1}},
                               {"my_block1_1.conv2.weight", 1, {1}},
                               {"my_classifier.weight", 1, {1}},
                               {NULL, 0, {0}}};
  add_shapes(&file, list);
  finish(&file);
  cr_expect_eq(vc_infer_parts(&file, part), 0);
  cr_expect(!vc_infer_prefix(&file, "pidinet", "", prefix));
  vc_tensor_file_close(&file);
}

// The same network twice: the expected place counts.
Test(infer, the_expected_prefix_is_preferred) {
  static const char *const expected[] = {"a.", "b.", "", "c."};
  static const char *const found[] = {"a.", "b.", "a.", "a."};
  vc_model_config config = vc_model_config_released();
  config.vae = (vc_vae_config){32, 1, {1}, 1, 3, 3, 4, 4, 32, 1};
  vc_tensor_file file;
  begin(&file);
  add_network(&file, VC_NETWORK_VAE, &config, "a.");
  add_network(&file, VC_NETWORK_VAE, &config, "b.");
  finish(&file);
  for (int i = 0; i < 4; i++) {
    char prefix[VC_PREFIX_MAX];
    cr_assert(vc_infer_prefix(&file, "vae", expected[i], prefix));
    cr_expect_str_eq(prefix, found[i]);
  }
  vc_tensor_file_close(&file);
}

// ---- damaged shapes

typedef struct damage {
  const char *network, *key;  // the tensor, by its end
  int rank;                   // -1: it is taken away
  int64_t dim[4];
  const char *words;
} damage;

static const damage damages[] = {
    {"unet", "input_blocks.0.0.weight", -1, {0}, "\"input_blocks.0.0.weight\" is missing"},
    {"unet", "input_blocks.0.0.weight", 2, {320, 12}, "has the shape [320, 12], and must have 4 dimensions"},
    {"unet", "input_blocks.0.0.weight", 4, {0, 12, 3, 3}, "none of them 0"},
    {"unet", "input_blocks.0.0.weight", 4, {33, 12, 3, 3}, "odd width"},
    {"unet", "input_blocks.0.0.weight", 4, {320, 4, 3, 3}, "in_dim is -4"},
    {"unet", "input_blocks.2.0.out_layers.3.weight", 4, {640, 320, 3, 3}, "input_blocks.2 does not fit"},
    {"unet", "input_blocks.5.0.out_layers.3.weight", -1, {0}, "level 1 has 1 blocks"},
    {"unet", "input_blocks.5.1.proj_in.weight", 2, {77, 640}, "no size of heads fits"},
    {"unet", "input_blocks.0.1.proj_in.weight", 3, {1LL << 40, 320, 1}, "has the shape"},
    {"unet", "middle_block.1.transformer_blocks.0.attn2.to_k.weight", 2, {1280, 1 << 20}, "context_dim is 1048576"},
    {"vae", "encoder.conv_in.weight", 4, {128, 5000, 3, 3}, "in_channels is 5000"},
    {"vae", "encoder.down.2.block.0.conv1.weight", 4, {511, 256, 3, 3}, "odd width"},
    {"vae", "post_quant_conv.weight", -1, {0}, "is missing"},
    {"clip", "visual.positional_embedding", 2, {258, 1280}, "no square"},
    {"clip", "visual.positional_embedding", 2, {1 << 30, 1280}, "no square"},
    {"clip", "token_embedding.weight", 2, {49408, 1 << 20}, "width is 1048576"},
};

Test(infer, impossible_shapes_are_named) {
  for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
    const damage *d = &damages[i];
    vc_tensor_file whole, file;
    vc_model_config config = vc_model_config_released();
    vc_error error = {""};
    begin(&whole);
    add_manifest(&whole, d->network, "");
    begin(&file);
    bool hit = false;
    for (int t = 0; t < whole.count; t++) {
      const vc_tensor *tensor = &whole.tensor[t].tensor;
      bool here = !strcmp(whole.tensor[t].name, d->key);
      hit |= here;
      if (here && d->rank < 0) continue;
      add(&file, "", whole.tensor[t].name, here ? d->dim : tensor->dim, here ? d->rank : tensor->rank);
    }
    finish(&file);
    cr_assert(hit, "%s", d->key);
    cr_expect_eq(vc_infer_network(&config, d->network, &file, "", &error), VC_FAILED, "case %zu", i);
    cr_expect(strstr(error.message, d->words), "case %zu: \"%s\" does not say \"%s\"", i, error.message, d->words);
    vc_model_config same = vc_model_config_released();
    cr_expect_arr_eq(&config.unet, &same.unet, sizeof same.unet, "a failure leaves the configuration as it was");
    vc_tensor_file_close(&whole);
    vc_tensor_file_close(&file);
  }
}

// ---- folders

static char folder[64];

static void make_folder(void) {
  strcpy(folder, "/tmp/videocomposer-test-XXXXXX");
  cr_assert(mkdtemp(folder));
}

static void remove_folder(void) {
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", folder);
  cr_assert(!system(command));
}

static vc_model_config small_config(void) {
  vc_model_config c = vc_model_config_released();
  c.unet = unet_of(1);
  c.unet.context_dim = 64;
  c.vae = (vc_vae_config){32, 4, {1, 1, 2, 2}, 1, 3, 3, 4, 4, 32, 0.18215};
  c.clip = (vc_clip_config){64, {64, 1, 2, 128, 9, 0, 0}, {64, 1, 2, 0, 0, 8, 32}, "penultimate", 0};
  c.midas = (vc_midas_config){.image_size = 64,
                              .patch = 16,
                              .dim = 64,
                              .heads = 1,
                              .layers = 4,
                              .neck = {8, 8, 8, 8},
                              .fusion = 8,
                              .head_dim = 4};
  c.pidinet = (vc_pidinet_config){.planes = 4, .dil = 4};
  c.sketch_simplification.divide = 8;
  c.preprocessing.clip_size = 32;
  return c;
}

static void write_model(const char *name, const vc_model_config *config, bool as_released, char path[128]) {
  vc_random_model o = {.config = config, .released = as_released, .dtype = as_released ? VC_F32 : VC_BF16, .seed = 3};
  vc_error error;
  for (int n = 0; n < VC_NETWORK_COUNT; n++) o.network[n] = true;
  snprintf(path, 128, "%s/%s", folder, name);
  cr_assert(!mkdir(path, 0777));
  cr_assert_eq(vc_random_model_write(path, &o, &error), VC_OK, "%s", error.message);
}

Test(infer, a_folder_of_another_size_opens_without_a_description, .init = make_folder, .fini = remove_folder) {
  vc_model_config config = small_config();
  for (int as_released = 0; as_released < 2; as_released++) {
    vc_model model;
    vc_error error;
    char path[128];
    write_model(as_released ? "released" : "own", &config, as_released, path);
    cr_assert_eq(vc_model_open(&model, path, NULL, &error), VC_OK, "%s", error.message);
    expect_unet(&model.config.unet, &config.unet, 1);
    cr_expect_eq(model.config.clip.text.layers, 2);
    for (int n = 0; n < VC_NETWORK_COUNT; n++) {
      cr_assert(model.present[n], "%s", vc_network_name((vc_network)n));
      cr_expect_str_eq(model.prefix[n], as_released ? vc_network_released_prefix((vc_network)n) : "");
      cr_expect_eq(audit(&model, (vc_network)n), 0, "%s", vc_network_name((vc_network)n));
    }
    vc_model_close(&model);
  }
}

Test(infer, networks_that_do_not_fit_each_other_are_refused, .init = make_folder, .fini = remove_folder) {
  vc_model_config config = small_config();
  config.unet.context_dim = 48;
  vc_model model;
  vc_error error;
  char path[128];
  write_model("bad", &config, true, path);
  cr_expect_eq(vc_model_open(&model, path, NULL, &error), VC_FAILED);
  cr_expect(strstr(error.message, "unet.context_dim is 48, and must be 64"), "%s", error.message);
}
