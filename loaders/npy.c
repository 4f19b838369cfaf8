#include "loaders/npy.h"

#include <stdlib.h>
#include <string.h>

#include "loaders/file_map.h"
#include "loaders/output.h"

static const char magic[] = "\x93NUMPY";
enum { MAGIC = 6, VERSION_1_START = 10, VERSION_2_START = 12, ALIGNMENT = 64, MAX_HEADER = 1 << 16 };

static const struct {
  const char *descr;  // without the byte order
  vc_dtype dtype;
} types[] = {{"f4", VC_F32}, {"f2", VC_F16}, {"f8", VC_F64}, {"i8", VC_I64}, {"i4", VC_I32},
             {"i2", VC_I16}, {"i1", VC_I8},  {"u1", VC_U8},  {"b1", VC_BOOL}};

typedef struct header_text {
  const char *at, *end;
} header_text;

static void skip_spaces(header_text *in) {
  while (in->at < in->end && (*in->at == ' ' || *in->at == '\n')) in->at++;
}

// Takes `text` if it comes next, after spaces.
static bool take(header_text *in, const char *text) {
  size_t length = strlen(text);
  skip_spaces(in);
  if ((size_t)(in->end - in->at) < length || memcmp(in->at, text, length)) return false;
  in->at += length;
  return true;
}

static bool take_string(header_text *in, char *out, size_t size) {
  skip_spaces(in);
  if (in->at == in->end || (*in->at != '\'' && *in->at != '"')) return false;
  const char *first = in->at + 1, *last = memchr(first, *in->at, (size_t)(in->end - first));
  if (!last || (size_t)(last - first) >= size) return false;
  memcpy(out, first, (size_t)(last - first));
  out[last - first] = 0;
  in->at = last + 1;
  return true;
}

static bool take_dimension(header_text *in, int64_t *out) {
  skip_spaces(in);
  const char *first = in->at;
  int64_t value = 0;
  for (; in->at < in->end && *in->at >= '0' && *in->at <= '9'; in->at++)
    if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *in->at - '0', &value)) return false;
  *out = value;
  bool any = in->at > first;
  if (in->at < in->end && *in->at == 'L') in->at++;  // Python 2 writes long integers so
  return any;
}

static vc_status read_shape(vc_tensor *out, header_text *in, const char *name, vc_error *error) {
  if (!take(in, "(")) return vc_fail(error, VC_FAILED, "%s: its header has no shape in brackets", name);
  while (!take(in, ")")) {
    if (out->rank == VC_MAX_DIMS)
      return vc_fail(error, VC_FAILED, "%s: has more than %d dimensions", name, VC_MAX_DIMS);
    if (!take_dimension(in, &out->dim[out->rank++]))
      return vc_fail(error, VC_FAILED, "%s: dimension %d is not a whole number below 2^63", name, out->rank - 1);
    if (take(in, ",")) continue;
    if (!take(in, ")")) return vc_fail(error, VC_FAILED, "%s: its shape does not end in a bracket", name);
    return VC_OK;
  }
  return VC_OK;
}

static vc_status read_descr(vc_tensor *out, header_text *in, const char *name, vc_error *error) {
  char descr[16];
  if (!take_string(in, descr, sizeof descr))
    return vc_fail(error, VC_FAILED, "%s: its elements are no plain numbers; save an array of one dtype", name);
  if (descr[0] == '<' || descr[0] == '|' || descr[0] == '=')
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
      if (!strcmp(descr + 1, types[i].descr)) {
        out->dtype = types[i].dtype;
        return VC_OK;
      }
  return vc_fail(error, VC_FAILED,
                 "%s: has dtype \"%s\"; supported are little-endian f2 f4 f8 i1 i2 i4 i8 u1 b1, so convert it", name,
                 descr);
}

// The dictionary's three keys in any order, each once.
static vc_status read_dictionary(vc_tensor *out, header_text *in, const char *name, vc_error *error) {
  bool descr = false, order = false, shape = false, fortran = false;
  vc_status status = VC_OK;
  bool open = take(in, "{");
  while (open && !status && !take(in, "}")) {
    char key[16];
    bool first = false;
    if (!take_string(in, key, sizeof key) || !take(in, ":")) {
      open = false;
    } else if (!strcmp(key, "descr") && !descr) {
      first = descr = true;
      status = read_descr(out, in, name, error);
    } else if (!strcmp(key, "shape") && !shape) {
      first = shape = true;
      status = read_shape(out, in, name, error);
    } else if (!strcmp(key, "fortran_order") && !order) {
      fortran = take(in, "True");
      first = order = fortran || take(in, "False");
    }
    if (status) return status;
    // Between entries stands a comma; before the bracket it may be left out.
    if (!first || (!take(in, ",") && (skip_spaces(in), in->at == in->end || *in->at != '}'))) open = false;
  }
  skip_spaces(in);
  if (!open || in->at != in->end || !descr || !shape || !order)
    return vc_fail(error, VC_FAILED, "%s: its header is not a dictionary of descr, fortran_order and shape", name);
  if (fortran && out->rank > 1)
    return vc_fail(error, VC_FAILED, "%s: is in Fortran order; save it as numpy.ascontiguousarray(a)", name);
  return VC_OK;
}

vc_status vc_npy_read_memory(vc_tensor *out, const char *name, const void *data, size_t size, vc_error *error) {
  const unsigned char *bytes = data;
  vc_tensor tensor = {0};
  size_t count, expected, length = 0;
  char text[256];

  *out = (vc_tensor){0};
  if (size < VERSION_1_START || memcmp(bytes, magic, MAGIC))
    return vc_fail(error, VC_FAILED, "%s: is no .npy file", name);
  int version = bytes[MAGIC];
  if (version < 1 || version > 3 || bytes[MAGIC + 1])
    return vc_fail(error, VC_FAILED, "%s: is .npy version %d.%d; 1.0 to 3.0 are known", name, version,
                   bytes[MAGIC + 1]);
  size_t start = version == 1 ? VERSION_1_START : VERSION_2_START;
  if (start > size) return vc_fail(error, VC_FAILED, "%s: is cut short in its header", name);
  for (size_t i = MAGIC + 2; i < start; i++) length |= (size_t)bytes[i] << 8 * (i - MAGIC - 2);
  if (length > MAX_HEADER || length > size - start)
    return vc_fail(error, VC_FAILED, "%s: claims a header of %zu bytes, but has %zu bytes in all", name, length, size);
  header_text in = {(const char *)bytes + start, (const char *)bytes + start + length};
  vc_status status = read_dictionary(&tensor, &in, name, error);
  if (status) return status;
  vc_shape_text(tensor.dim, tensor.rank, text, sizeof text);
  if (!vc_shape_count(tensor.dim, tensor.rank, tensor.dtype, &count, &expected))
    return vc_fail(error, VC_FAILED, "%s: has an impossible shape %s", name, text);
  if (expected != size - start - length)
    return vc_fail(error, VC_FAILED, "%s: its shape %s of %s takes %zu bytes, but %zu follow the header", name, text,
                   vc_dtype_name(tensor.dtype), expected, size - start - length);
  status = vc_tensor_new(out, tensor.dtype, tensor.rank, tensor.dim, error);
  if (status) return vc_fail_in(error, status, "%s", name);
  memcpy(out->data, bytes + start + length, expected);
  return VC_OK;
}

vc_status vc_npy_read(vc_tensor *out, const char *path, vc_error *error) {
  vc_file_map map;
  *out = (vc_tensor){0};
  vc_status status = vc_file_map_open(&map, path, error);
  if (status) return status;
  status = vc_npy_read_memory(out, path, map.data, map.size, error);
  vc_file_map_close(&map);
  return status;
}

vc_status vc_npy_write(const char *path, const vc_tensor *tensor, vc_error *error) {
  vc_output out = {0};
  const char *descr = NULL;
  char shape[256] = "", head[512];

  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (types[i].dtype == tensor->dtype) descr = types[i].descr;
  if (!descr)
    return vc_fail(error, VC_INVALID, "%s: .npy has no dtype for %s; convert to F32", path,
                   vc_dtype_name(tensor->dtype));
  size_t at = 0;
  for (int i = 0; i < tensor->rank; i++)
    at += (size_t)snprintf(shape + at, sizeof shape - at, "%s%lld%s", i ? " " : "", (long long)tensor->dim[i],
                           i + 1 < tensor->rank || tensor->rank == 1 ? "," : "");
  int length = snprintf(head + VERSION_1_START, sizeof head - VERSION_1_START,
                        "{'descr': '%c%s', 'fortran_order': False, 'shape': (%s), }",
                        vc_dtype_size(tensor->dtype) == 1 ? '|' : '<', descr, shape);
  // Spaces and a newline bring the data to a multiple of 64 bytes.
  size_t total = (VERSION_1_START + (size_t)length + 1 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  memset(head + VERSION_1_START + length, ' ', total - VERSION_1_START - (size_t)length - 1);
  head[total - 1] = '\n';
  memcpy(head, magic, MAGIC);
  head[6] = 1;
  head[7] = 0;
  head[8] = (char)((total - VERSION_1_START) & 255);
  head[9] = (char)((total - VERSION_1_START) >> 8);

  vc_status status = vc_output_open(&out, path, error);
  if (!status) status = vc_output_write(&out, head, total, error);
  if (!status) status = vc_output_write(&out, tensor->data, vc_tensor_bytes(tensor), error);
  if (!status) status = vc_output_commit(&out, error);
  vc_output_abort(&out);
  return status;
}
