// Any text as model.json: refused in one line, or a configuration with which every network can be described or refused.
#include <cjson/cJSON.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/network_graphs.h"
#include "engine/json_fields.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  cJSON *object = NULL;
  vc_model_config config;
  vc_error error = {""};
  char *text = malloc(size + 1);
  if (!text) return 0;
  memcpy(text, data, size);
  text[size] = 0;
  vc_status status = vc_json_parse(&object, text, "model.json", &error);
  if (!status) status = vc_model_config_parse(&config, object, &error);
  if (status && (!error.message[0] || strchr(error.message, '\n'))) abort();
  if (!status && vc_model_config_check(&config, &error)) abort();
  for (int n = 0; n < VC_NETWORK_COUNT && !status; n++) {
    vc_network_graphs graphs;
    if (vc_network_graphs_new(&graphs, (vc_network)n, &config, &error) == VC_OK) vc_network_graphs_free(&graphs);
  }
  cJSON_Delete(object);
  free(text);
  return 0;
}
