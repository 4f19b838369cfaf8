#include "engine/model.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "loaders/file_map.h"
#include "loaders/safetensors.h"

static const struct {
  const char *name, *own, *released, *released_prefix;
} networks[VC_NETWORK_COUNT] = {
    [VC_NETWORK_UNET] = {"unet", "unet.safetensors", "non_ema_228000.pth", ""},
    [VC_NETWORK_VAE] = {"vae", "vae.safetensors", "v2-1_512-ema-pruned.ckpt", "first_stage_model."},
    [VC_NETWORK_CLIP] = {"clip", "clip.safetensors", "open_clip_pytorch_model.bin", ""},
    [VC_NETWORK_MIDAS] = {"midas", "midas.safetensors", "midas_v3_dpt_large.pth", ""},
    [VC_NETWORK_PIDINET] = {"pidinet", "pidinet.safetensors", "table5_pidinet.pth", "module."},
    [VC_NETWORK_SKETCH_SIMPLIFICATION] = {"sketch_simplification", "sketch_simplification.safetensors",
                                          "sketch_simplification_gan.pth", ""},
};

bool vc_network_optional(vc_network network) {
  return network >= VC_NETWORK_MIDAS;
}

const char *vc_network_name(vc_network network) {
  return (unsigned)network < VC_NETWORK_COUNT ? networks[network].name : "?";
}

const char *vc_network_file(vc_network network, bool released) {
  return released ? networks[network].released : networks[network].own;
}

const char *vc_network_released_prefix(vc_network network) {
  return networks[network].released_prefix;
}

// ---- hash

static uint64_t mix(uint64_t h, const void *data, size_t size) {
  const unsigned char *at = data;
  for (; size >= 8; size -= 8, at += 8) {
    uint64_t word;
    memcpy(&word, at, 8);
    h = (h ^ word) * 0x9e3779b97f4a7c15u;
    h ^= h >> 29;
  }
  for (; size; size--) h = (h ^ *at++) * 1099511628211u;
  return h ^ h >> 32;
}

enum { HASH_BLOCK = 4096 };

static uint64_t mix_tensor(uint64_t h, const vc_tensor_file *file, const vc_named_tensor *t) {
  size_t bytes = vc_tensor_bytes(&t->tensor), size = bytes < HASH_BLOCK ? bytes : HASH_BLOCK;
  h = mix(h, t->name, strlen(t->name));
  h = mix(h, vc_dtype_name(t->tensor.dtype), strlen(vc_dtype_name(t->tensor.dtype)));
  h = mix(h, t->tensor.dim, sizeof *t->tensor.dim * (size_t)t->tensor.rank);
  h = mix(h, (const char *)t->tensor.data + (bytes - size) / 2, size);
  vc_tensor_file_drop_pages(file, &t->tensor);
  return h;
}

const char *vc_model_hash(vc_model *model) {
  uint64_t h = model->json_hash;
  if (model->hash[0]) return model->hash;
  for (int n = 0; n < VC_NETWORK_COUNT; n++)
    for (int i = 0; i < model->file[n].count; i++) h = mix_tensor(h, &model->file[n], &model->file[n].tensor[i]);
  snprintf(model->hash, sizeof model->hash, "%016llx", (unsigned long long)h);
  return model->hash;
}

static uint64_t hash_json(const char *json, size_t size) {
  return mix(14695981039346656037u, json, size);
}

// ---- opening

static bool exists(const char *path) {
  struct stat s;
  return !stat(path, &s);
}

static vc_status parse_config(vc_model *model, const char *path, const void *json, size_t size, vc_error *error) {
  cJSON *object = cJSON_ParseWithLength(json, size);
  if (!object) return vc_fail(error, VC_FAILED, "%s: not valid JSON", path);
  vc_status status = vc_model_config_parse(&model->config, object, error);
  cJSON_Delete(object);
  return status ? vc_fail_in(error, VC_FAILED, "%s", path) : VC_OK;
}

static vc_status open_assets(vc_model *model, vc_asset_source asset, vc_error *error) {
  size_t json_size = 0, size = 0;
  const void *json = asset ? asset("mini/model.json", &json_size) : NULL;
  if (!json) return vc_fail(error, VC_FAILED, "this program has no model inside; give --model FOLDER");
  vc_status status = parse_config(model, "the embedded model.json", json, json_size, error);
  for (int n = 0; n < VC_NETWORK_COUNT && !status; n++) {
    char name[64];
    snprintf(name, sizeof name, "mini/%s", networks[n].own);
    const void *data = asset(name, &size);
    if (!data) continue;
    status = vc_safetensors_open_memory(&model->file[n], name, data, size, error);
    model->present[n] = !status;
    if (!status) (void)vc_infer_prefix(&model->file[n], networks[n].name, "", model->prefix[n]);
  }
  model->json_hash = hash_json(json, json_size);
  return status;
}

// A file of weights under one of the names that a network's may have; nothing when there is none.
static vc_status open_network(vc_model *model, const char *folder, int n, vc_error *error) {
  const struct {
    const char *name, *suffix, *prefix;
  } candidate[] = {{networks[n].own, "", ""},
                   {networks[n].own, ".index.json", ""},
                   {networks[n].released, "", networks[n].released_prefix}};
  char path[4096];
  vc_status status = VC_OK;
  for (int i = 0; i < 3 && !model->present[n] && !status; i++) {
    snprintf(path, sizeof path, "%s/%s%s", folder, candidate[i].name, candidate[i].suffix);
    if (!exists(path)) continue;
    status = vc_tensor_file_open(&model->file[n], path, error);
    model->present[n] = !status;
    if (!status && !vc_infer_prefix(&model->file[n], networks[n].name, candidate[i].prefix, model->prefix[n]))
      strcpy(model->prefix[n], candidate[i].prefix);
  }
  return status;
}

// The architecture of what is there, by its tensors. What cannot be seen stays as released: then the tensors do not
// fit, and whoever loads them says how.
static vc_status infer_config(vc_model *model, const char *folder, vc_error *error) {
  vc_model_config *c = &model->config;
  c->networks.unet = model->present[VC_NETWORK_UNET];
  c->networks.vae = model->present[VC_NETWORK_VAE];
  c->networks.clip = model->present[VC_NETWORK_CLIP];
  c->networks.midas = model->present[VC_NETWORK_MIDAS];
  c->networks.pidinet = model->present[VC_NETWORK_PIDINET];
  c->networks.sketch_simplification = model->present[VC_NETWORK_SKETCH_SIMPLIFICATION];
  for (int n = 0; n < VC_NETWORK_COUNT; n++)
    if (model->present[n]) (void)vc_infer_network(c, networks[n].name, &model->file[n], model->prefix[n], NULL);
  vc_status status = vc_model_config_check(c, error);
  return status ? vc_fail_in(error, status, "model folder %s, as its tensors' shapes say", folder) : VC_OK;
}

static vc_status open_folder(vc_model *model, const char *folder, vc_error *error) {
  char path[4096];
  vc_file_map map = {0};
  vc_status status = VC_OK;
  bool any = false;
  struct stat s;
  if (stat(folder, &s)) return vc_fail(error, VC_FAILED, "model folder %s: %s", folder, strerror(errno));
  if (!S_ISDIR(s.st_mode))
    return vc_fail(error, VC_FAILED, "model folder %s is not a folder; give the folder that holds the weight files",
                   folder);
  model->config = vc_model_config_released();
  snprintf(path, sizeof path, "%s/model.json", folder);
  bool described = exists(path);
  if (described) {
    if ((status = vc_file_map_open(&map, path, error))) return status;
    status = parse_config(model, path, map.data ? (const char *)map.data : "", map.size, error);
  }
  for (int n = 0; n < VC_NETWORK_COUNT && !status; n++) {
    status = open_network(model, folder, n, error);
    any |= model->present[n];
  }
  if (!status && !any)
    status = vc_fail(error, VC_FAILED, "model folder %s holds none of the files a model needs (%s or %s, ...)", folder,
                     networks[0].own, networks[0].released);
  if (!status && !described) status = infer_config(model, folder, error);
  model->json_hash = hash_json(map.data ? (const char *)map.data : "", map.size);
  vc_file_map_close(&map);
  return status;
}

// PiDiNet's file may hold pixel differences.
static vc_status open_pidinet(vc_model *model, vc_error *error) {
  vc_model_source source;
  vc_weights weights;
  if (!model->present[VC_NETWORK_PIDINET]) return VC_OK;
  vc_status status = vc_model_weights(model, VC_NETWORK_PIDINET, &source, &weights, error);
  if (status) return status;
  return vc_pidinet_fold(&model->pidinet_kernels, &weights, error);
}

vc_status vc_model_open(vc_model *out, const char *folder, vc_asset_source asset, vc_error *error) {
  *out = (vc_model){0};
  vc_status status = folder ? open_folder(out, folder, error) : open_assets(out, asset, error);
  if (!status) status = open_pidinet(out, error);
  if (status) vc_model_close(out);
  return status;
}

vc_status vc_model_open_file(vc_model *out, vc_network network, const char *path, const char *prefix, vc_error *why,
                             vc_error *error) {
  *out = (vc_model){.config = vc_model_config_released()};
  if (why) why->message[0] = 0;
  vc_status status = vc_tensor_file_open(&out->file[network], path, error);
  if (status) return status;
  out->present[network] = true;
  snprintf(out->prefix[network], VC_PREFIX_MAX, "%s", prefix);
  (void)vc_infer_network(&out->config, networks[network].name, &out->file[network], prefix, why);
  status = open_pidinet(out, error);
  if (status) vc_model_close(out);
  return status;
}

void vc_model_close(vc_model *model) {
  for (int n = 0; n < VC_NETWORK_COUNT; n++)
    if (model->present[n]) vc_tensor_file_close(&model->file[n]);
  vc_pidinet_fold_free(&model->pidinet_kernels);
  *model = (vc_model){0};
}

// ---- parameters

static const vc_tensor *find(void *opaque, const char *key) {
  const vc_model_source *source = opaque;
  char name[512];
  const vc_tensor *folded =
      source->network == VC_NETWORK_PIDINET ? vc_pidinet_kernel(&source->model->pidinet_kernels, key) : NULL;
  if (folded) return folded;
  int length = snprintf(name, sizeof name, "%s%s", source->model->prefix[source->network], key);
  if (length < 0 || (size_t)length >= sizeof name) return NULL;
  return vc_tensor_file_find(&source->model->file[source->network], name);
}

static void soon(void *opaque, const vc_tensor *tensor) {
  const vc_model_source *source = opaque;
  vc_tensor_file_will_need(&source->model->file[source->network], tensor);
}

static void fetch(void *opaque, const vc_tensor *tensor) {
  const vc_model_source *source = opaque;
  vc_tensor_file_fetch(&source->model->file[source->network], tensor);
}

static void done(void *opaque, const vc_tensor *tensor) {
  const vc_model_source *source = opaque;
  vc_tensor_file_drop_pages(&source->model->file[source->network], tensor);
}

vc_status vc_model_weights(const vc_model *model, vc_network network, vc_model_source *source, vc_weights *weights,
                           vc_error *error) {
  if (!model->present[network])
    return vc_fail(error, VC_FAILED, "the model has no %s network: its folder needs %s or %s", networks[network].name,
                   networks[network].own, networks[network].released);
  *source = (vc_model_source){model, network};
  *weights = (vc_weights){model->file[network].path, source, find, soon, fetch, done};
  return VC_OK;
}
