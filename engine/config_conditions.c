// The architectures of the networks that make conditions: MiDaS, PiDiNet, the simplification of sketches.
#include <cjson/cJSON.h>

#include "engine/config.h"
#include "engine/json_fields.h"

#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))
#define INT(type, field, low, high) \
  { .name = #field, .at = offsetof(type, field), .least = low, .most = high }
#define REAL(type, field, low, high) \
  { .name = #field, .kind = VC_JSON_REAL, .at = offsetof(type, field), .least = low, .most = high }

static const vc_json_field midas_fields[] = {
    INT(vc_midas_config, image_size, 1, VC_MAX_SIDE),
    INT(vc_midas_config, patch, 1, 1024),
    INT(vc_midas_config, dim, 1, VC_MAX_CHANNELS / 4),
    {.name = "neck", .at = offsetof(vc_midas_config, neck), .capacity = 4, .least = 1, .most = VC_MAX_CHANNELS},
    INT(vc_midas_config, fusion, 2, VC_MAX_CHANNELS),
    INT(vc_midas_config, heads, 1, VC_MAX_CHANNELS),
    INT(vc_midas_config, layers, 4, 256),
    INT(vc_midas_config, head_dim, 1, VC_MAX_CHANNELS),
};

static const vc_json_field pidinet_fields[] = {
    INT(vc_pidinet_config, planes, 1, 1024),
    INT(vc_pidinet_config, dil, 1, 1024),
    {.name = "converted", .kind = VC_JSON_BOOL, .at = offsetof(vc_pidinet_config, converted)},
};

static const vc_json_field simplification_fields[] = {
    INT(vc_simplification_config, divide, 1, 1024),
    REAL(vc_simplification_config, mean, -10, 10),
    REAL(vc_simplification_config, std, 1e-3, 10),
};

vc_midas_config vc_midas_config_released(void) {
  return (vc_midas_config){.image_size = 384,
                           .patch = 16,
                           .dim = 1024,
                           .neck = {256, 512, 1024, 1024},
                           .fusion = 256,
                           .heads = 16,
                           .layers = 24,
                           .head_dim = 32};
}

vc_pidinet_config vc_pidinet_config_released(void) {
  return (vc_pidinet_config){.planes = 60, .dil = 24};
}

vc_simplification_config vc_simplification_config_released(void) {
  return (vc_simplification_config){.divide = 1, .mean = 0.9664114577640158, .std = 0.0858381272736797};
}

vc_status vc_midas_config_parse(vc_midas_config *out, const cJSON *object, vc_error *error) {
  *out = vc_midas_config_released();
  vc_status status = vc_json_read(object, "midas", midas_fields, COUNT(midas_fields), out, error);
  return status ? status : vc_midas_config_check(out, error);
}

vc_status vc_pidinet_config_parse(vc_pidinet_config *out, const cJSON *object, vc_error *error) {
  *out = vc_pidinet_config_released();
  return vc_json_read(object, "pidinet", pidinet_fields, COUNT(pidinet_fields), out, error);
}

vc_status vc_simplification_config_parse(vc_simplification_config *out, const cJSON *object, vc_error *error) {
  *out = vc_simplification_config_released();
  return vc_json_read(object, "sketch_simplification", simplification_fields, COUNT(simplification_fields), out, error);
}

vc_status vc_midas_config_check(const vc_midas_config *config, vc_error *error) {
  vc_status status = vc_json_check("midas", midas_fields, COUNT(midas_fields), config, error);
  if (status) return status;
  if (config->dim % config->heads)
    return vc_fail(error, VC_FAILED, "midas: heads is %lld, and must divide dim %lld", (long long)config->heads,
                   (long long)config->dim);
  if (config->layers % 4)
    return vc_fail(error, VC_FAILED,
                   "midas: layers is %lld, and must be a multiple of 4: the decoder reads it in four places",
                   (long long)config->layers);
  if (config->image_size < config->patch)
    return vc_fail(error, VC_FAILED, "midas: image_size is %lld, and must be at least patch %lld",
                   (long long)config->image_size, (long long)config->patch);
  return VC_OK;
}

vc_status vc_pidinet_config_check(const vc_pidinet_config *config, vc_error *error) {
  return vc_json_check("pidinet", pidinet_fields, COUNT(pidinet_fields), config, error);
}

vc_status vc_simplification_config_check(const vc_simplification_config *config, vc_error *error) {
  return vc_json_check("sketch_simplification", simplification_fields, COUNT(simplification_fields), config, error);
}
