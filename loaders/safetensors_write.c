// Writing safetensors: a header that says where each tensor will lie, then the tensors one after the other.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loaders/output.h"
#include "loaders/safetensors.h"
#include "loaders/tensor_file_build.h"

enum { HEADER_ALIGNMENT = 8 };

static void write_string(FILE *out, const char *text) {
  fputc('"', out);
  for (; *text; text++) {
    unsigned char c = (unsigned char)*text;
    if (c == '"' || c == '\\')
      fprintf(out, "\\%c", c);
    else if (c < 0x20)
      fprintf(out, "\\u%04x", c);
    else
      fputc(c, out);
  }
  fputc('"', out);
}

static int by_text(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// Names and keys must be text, and each must be there once: readers differ in what they make of two.
static vc_status check_names(const char **name, size_t count, const char *what, const char *path, vc_error *error) {
  for (size_t i = 0; i < count; i++) {
    if (!vc_is_name(name[i], strlen(name[i])))
      return vc_fail(error, VC_INVALID, "%s: %s %zu has a name that is not UTF-8", path, what, i);
    if (!strcmp(name[i], "__metadata__"))
      return vc_fail(error, VC_INVALID, "%s: %s %zu is named __metadata__, which the format reserves", path, what, i);
  }
  if (count) qsort(name, count, sizeof *name, by_text);
  for (size_t i = 1; i < count; i++)
    if (!strcmp(name[i - 1], name[i]))
      return vc_fail(error, VC_INVALID, "%s: %s \"%.200s\" is there twice", path, what, name[i]);
  return VC_OK;
}

static vc_status check_all(const char *path, const vc_named_tensor *tensors, size_t count,
                           const vc_metadata_entry *metadata, size_t metadata_count, vc_error *error) {
  size_t most = count > metadata_count ? count : metadata_count;
  const char **name = calloc(most + 1, sizeof *name);
  if (!name) return vc_fail(error, VC_NO_MEMORY, "%s: no memory for the names of %zu tensors", path, count);
  for (size_t i = 0; i < count; i++) name[i] = tensors[i].name;
  vc_status status = check_names(name, count, "tensor", path, error);
  for (size_t i = 0; i < metadata_count; i++) name[i] = metadata[i].key;
  if (!status) status = check_names(name, metadata_count, "metadata", path, error);
  for (size_t i = 0; i < metadata_count && !status; i++)
    if (!vc_is_name(metadata[i].value, strlen(metadata[i].value)))
      status = vc_fail(error, VC_INVALID, "%s: metadata \"%.200s\" is not UTF-8", path, metadata[i].key);
  free(name);
  return status;
}

static vc_status write_entries(FILE *out, const char *path, const vc_named_tensor *tensors, size_t count,
                               bool separated, vc_error *error) {
  size_t at = 0;
  for (size_t i = 0; i < count; i++) {
    const vc_tensor *tensor = &tensors[i].tensor;
    size_t elements, bytes, end;
    if (!vc_shape_count(tensor->dim, tensor->rank, tensor->dtype, &elements, &bytes) || !vc_add_size(at, bytes, &end))
      return vc_fail(error, VC_INVALID, "%s: tensor \"%.200s\" has an impossible shape", path, tensors[i].name);
    if (separated || i) fputc(',', out);
    write_string(out, tensors[i].name);
    fprintf(out, ":{\"dtype\":\"%s\",\"shape\":[", vc_dtype_name(tensor->dtype));
    for (int d = 0; d < tensor->rank; d++) fprintf(out, "%s%lld", d ? "," : "", (long long)tensor->dim[d]);
    fprintf(out, "],\"data_offsets\":[%zu,%zu]}", at, end);
    at = end;
  }
  return VC_OK;
}

// *header is the 8 bytes of length and the JSON, padded with spaces so that the data begins aligned.
static vc_status make_header(char **header, size_t *size, const char *path, const vc_named_tensor *tensors,
                             size_t count, const vc_metadata_entry *metadata, size_t metadata_count, vc_error *error) {
  FILE *out = open_memstream(header, size);
  if (!out) return vc_fail(error, VC_NO_MEMORY, "%s: no memory for its header", path);
  for (int i = 0; i < 8; i++) fputc(0, out);
  fputc('{', out);
  if (metadata_count) fputs("\"__metadata__\":{", out);
  for (size_t i = 0; i < metadata_count; i++) {
    if (i) fputc(',', out);
    write_string(out, metadata[i].key);
    fputc(':', out);
    write_string(out, metadata[i].value);
  }
  if (metadata_count) fputc('}', out);
  vc_status status = write_entries(out, path, tensors, count, metadata_count > 0, error);
  fputc('}', out);
  while (!status && !ferror(out) && ftell(out) % HEADER_ALIGNMENT) fputc(' ', out);
  bool good = !ferror(out);
  if (fclose(out)) good = false;
  if (!status && !good) status = vc_fail(error, VC_NO_MEMORY, "%s: no memory for its header", path);
  if (!status)
    for (int i = 0; i < 8; i++) (*header)[i] = (char)((uint64_t)(*size - 8) >> 8 * i);
  return status;
}

vc_status vc_safetensors_header(char **out, size_t *size, const char *path, const vc_named_tensor *tensors, int count,
                                const vc_metadata_entry *metadata, int metadata_count, vc_error *error) {
  *out = NULL;
  *size = 0;
  vc_status status = check_all(path, tensors, (size_t)count, metadata, (size_t)metadata_count, error);
  if (!status) status = make_header(out, size, path, tensors, (size_t)count, metadata, (size_t)metadata_count, error);
  if (!status) return VC_OK;
  free(*out);
  *out = NULL;
  return status;
}

static vc_status provide_own(void *opaque, int index, const void **data, vc_error *error) {
  const vc_named_tensor *tensors = opaque;
  (void)error;
  *data = tensors[index].tensor.data;
  return VC_OK;
}

vc_status vc_safetensors_write(const char *path, const vc_named_tensor *tensors, int count,
                               const vc_metadata_entry *metadata, int metadata_count, vc_error *error) {
  return vc_safetensors_write_streaming(path, tensors, count, metadata, metadata_count, provide_own,
                                        (void *)(uintptr_t)tensors, error);
}

vc_status vc_safetensors_write_streaming(const char *path, const vc_named_tensor *tensors, int count,
                                         const vc_metadata_entry *metadata, int metadata_count,
                                         vc_tensor_provider provide, void *opaque, vc_error *error) {
  vc_output out = {0};
  char *header = NULL;
  size_t size = 0;

  vc_status status = vc_safetensors_header(&header, &size, path, tensors, count, metadata, metadata_count, error);
  if (status) return status;
  status = vc_output_open(&out, path, error);
  if (!status) status = vc_output_write(&out, header, size, error);
  for (int i = 0; i < count && !status; i++) {
    const void *data = NULL;
    status = provide(opaque, i, &data, error);
    if (!status) status = vc_output_write(&out, data, vc_tensor_bytes(&tensors[i].tensor), error);
  }
  if (!status) status = vc_output_commit(&out, error);
  vc_output_abort(&out);
  free(header);
  return status;
}
