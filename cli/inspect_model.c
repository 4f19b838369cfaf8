#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/inspect.h"
#include "cli/network_graphs.h"
#include "engine/parameters.h"

typedef struct listing {
  cJSON *array;  // NULL for text
  const char *prefix;
  int count;
} listing;

static void list_finding(void *opaque, vc_finding finding, const char *key, const char *detail) {
  static const char *const kinds[] = {"missing", "shape", "dtype"};
  listing *l = opaque;
  l->count++;
  if (!l->array) {
    printf("    %-8s %s%s: %s\n", kinds[finding], l->prefix, key, detail);
    return;
  }
  char name[512];
  snprintf(name, sizeof name, "%s%s", l->prefix, key);
  cJSON *item = cJSON_CreateObject();
  cJSON_AddStringToObject(item, "problem", kinds[finding]);
  cJSON_AddStringToObject(item, "tensor", name);
  cJSON_AddStringToObject(item, "detail", detail);
  cJSON_AddItemToArray(l->array, item);
}

// Tensors below the network's prefix that nothing asks for; those of other networks in the same file are passed over.
static int list_unused(const vc_model *model, vc_network n, const vc_network_graphs *graphs, cJSON *array) {
  const vc_tensor_file *file = &model->file[n];
  size_t prefix = strlen(model->prefix[n]);
  int count = 0;
  for (int i = 0; i < file->count; i++) {
    const char *name = file->tensor[i].name;
    if (strncmp(name, model->prefix[n], prefix) != 0 || vc_network_graphs_ask(graphs, name + prefix)) continue;
    count++;
    if (array)
      cJSON_AddItemToArray(array, cJSON_CreateString(name));
    else
      printf("    unused   %s\n", name);
  }
  return count;
}

static vc_status print_config(const vc_model_config *config, vc_network n, vc_error *error) {
  cJSON *object = vc_inspect_config(config, n);
  char *text = cJSON_PrintUnformatted(object);
  cJSON_Delete(object);
  if (!text) return vc_fail(error, VC_NO_MEMORY, "no memory");
  printf("    architecture %s\n", text);
  cJSON_free(text);
  return VC_OK;
}

// The beginning of a network's report; *list and *unused get the arrays of JSON.
static vc_status begin_report(const vc_model *model, vc_network n, double parameters, cJSON *json, cJSON **list,
                              cJSON **unused, vc_error *error) {
  const char *name = vc_network_name(n);
  if (!json) {
    printf("%s: %s, %d tensors, prefix \"%s\", %.0f parameters asked for\n", name, model->file[n].path,
           model->file[n].count, model->prefix[n], parameters);
    return print_config(&model->config, n, error);
  }
  cJSON *object = cJSON_CreateObject();
  if (cJSON_IsArray(json))
    cJSON_AddItemToArray(json, object);
  else
    cJSON_AddItemToObject(json, name, object);
  cJSON_AddStringToObject(object, "network", name);
  cJSON_AddStringToObject(object, "file", model->file[n].path);
  cJSON_AddStringToObject(object, "prefix", model->prefix[n]);
  cJSON_AddNumberToObject(object, "parameters", parameters);
  cJSON_AddItemToObject(object, "config", vc_inspect_config(&model->config, n));
  *list = cJSON_AddArrayToObject(object, "problems");
  *unused = cJSON_AddArrayToObject(object, "unused");
  return VC_OK;
}

vc_status vc_inspect_network(const vc_model *model, vc_network n, cJSON *json, int *problems, vc_error *error) {
  vc_network_graphs graphs = {.count = 0};
  vc_model_source source;
  vc_weights weights;
  listing l = {.prefix = model->prefix[n]};
  cJSON *unused = NULL;
  vc_status status = vc_model_weights(model, n, &source, &weights, error);
  if (!status) status = vc_network_graphs_new(&graphs, n, &model->config, error);
  if (!status) status = begin_report(model, n, vc_network_graphs_parameters(&graphs), json, &l.array, &unused, error);
  if (status) goto done;
  for (int i = 0; i < graphs.count; i++) vc_parameters_audit(graphs.graph[i], &weights, list_finding, &l);
  int left = list_unused(model, n, &graphs, unused);
  *problems += l.count;
  if (!json)
    printf("    %s: %d missing or misshapen, %d unused\n",
           l.count ? "this engine cannot run it" : "complete, this engine can run it", l.count, left);
done:
  vc_network_graphs_free(&graphs);
  return status;
}

vc_status vc_inspect_model(vc_model *model, cJSON *json, int *problems, vc_error *error) {
  const vc_model_config *c = &model->config;
  vc_status status = VC_OK;
  if (json) {
    cJSON_AddStringToObject(json, "name", c->name);
    cJSON_AddStringToObject(json, "hash", vc_model_hash(model));
  } else {
    printf("model %s, hash %s: %" PRId64 " frames of %" PRId64 "x%" PRId64 " at %" PRId64 " frames a second\n", c->name,
           vc_model_hash(model), c->frames, c->width, c->height, c->fps);
  }
  for (int n = 0; n < VC_NETWORK_COUNT && !status; n++) {
    if (model->present[n]) {
      status = vc_inspect_network(model, (vc_network)n, json, problems, error);
      continue;
    }
    *problems += !vc_network_optional((vc_network)n);
    if (json)
      cJSON_AddNullToObject(json, vc_network_name((vc_network)n));
    else
      printf("%s: is not there%s\n", vc_network_name((vc_network)n),
             vc_network_optional((vc_network)n) ? "; it makes conditions of pictures, and is needed for nothing else"
                                                : "");
  }
  return status;
}
