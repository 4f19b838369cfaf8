// Writing the files of a conversion: piece by piece, all of them or none.
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "cli/convert.h"
#include "cli/interrupt.h"
#include "loaders/output.h"
#include "loaders/safetensors.h"

enum { PIECE = 1 << 20, MIB = 1 << 20, PLACEHOLDER = 8 };  // PIECE: values at a time

typedef struct writer {
  vc_convert *convert;
  vc_progress *progress;
  vc_output *output;  // of each file; complete ones wait for the others
  void *piece;        // converted values
  uint64_t done;      // bytes of the source
} writer;

// The source's own metadata, the format's mark of PyTorch's tensors, and room for the checksum.
static vc_status list_metadata(const vc_convert *c, vc_metadata_entry **out, int *count, vc_error *error) {
  const vc_tensor_file *source = c->source;
  vc_metadata_entry *entry = calloc((size_t)source->metadata_count + 2, sizeof *entry);
  *out = entry;
  *count = 0;
  if (!entry) return vc_fail(error, VC_NO_MEMORY, "%s: no memory for its metadata", c->output);
  for (int i = 0; i < source->metadata_count; i++)
    if (strcmp(source->metadata[i].key, VC_CHECKSUM_KEY) != 0) entry[(*count)++] = source->metadata[i];
  if (!strncmp(vc_tensor_file_kind(source), "PyTorch", 7))
    entry[(*count)++] = (vc_metadata_entry){(char *)(uintptr_t) "format", (char *)(uintptr_t) "pt"};
  if (c->checksum)
    entry[(*count)++] = (vc_metadata_entry){(char *)(uintptr_t)VC_CHECKSUM_KEY, (char *)(uintptr_t) "00000000"};
  return VC_OK;
}

static vc_status make_header(const vc_convert *c, const vc_convert_file *file, char **header, size_t *size,
                             vc_error *error) {
  vc_metadata_entry *metadata = NULL;
  int entries = 0;
  *header = NULL;
  vc_named_tensor *list = calloc((size_t)file->count + 1, sizeof *list);
  vc_status status = list_metadata(c, &metadata, &entries, error);
  if (!list) status = vc_fail(error, VC_NO_MEMORY, "%s: no memory for its header", file->path);
  for (int i = 0; i < file->count && !status; i++) {
    const vc_convert_item *item = &c->item[file->first + i];
    list[i] = (vc_named_tensor){item->name, *item->source};
    list[i].tensor.dtype = item->dtype;
  }
  if (!status) status = vc_safetensors_header(header, size, file->path, list, file->count, metadata, entries, error);
  free(list);
  free(metadata);
  return status;
}

static vc_status write_item(writer *w, int index, vc_convert_file *file, vc_output *out, vc_error *error) {
  vc_convert_item *item = &w->convert->item[index];
  size_t total = vc_tensor_count(item->source), from = vc_dtype_size(item->source->dtype);
  vc_tensor piece = {.dtype = item->source->dtype, .rank = 1};
  vc_status status = VC_OK;
  for (size_t at = 0; at < total && !status; at += PIECE) {
    size_t count = total - at < PIECE ? total - at : PIECE, bytes = count * vc_dtype_size(item->dtype);
    piece.dim[0] = (int64_t)count;
    piece.data = (char *)item->source->data + at * from;
    const void *data = item->dtype == item->source->dtype ? piece.data : w->piece;
    vc_convert_values(data == w->piece ? w->piece : NULL, item->dtype, piece.data, piece.dtype, count, &item->count);
    file->crc = (uint32_t)crc32_z(file->crc, data, bytes);
    status = vc_output_write(out, data, bytes, error);
    vc_tensor_file_drop_pages(w->convert->source, &piece);
    w->done += count * from;
    if (w->progress) vc_progress_step(w->progress, (long)(w->done / MIB));
    if (!status) status = vc_interrupt_check(error);
  }
  return status;
}

// The digits of the checksum over those that hold its place. A quote within a text of the header has a backslash before
// it, so that this is found where it was written and nowhere else.
static vc_status write_checksum(const vc_convert_file *file, vc_output *out, const char *header, size_t size,
                                vc_error *error) {
  static const char place[] = "\"" VC_CHECKSUM_KEY "\":\"";
  char digits[PLACEHOLDER + 1];
  const char *at = memmem(header, size, place, sizeof place - 1);
  snprintf(digits, sizeof digits, "%08x", file->crc);
  if (!at || fseeko(out->file, (off_t)(at - header + (ptrdiff_t)sizeof place - 1), SEEK_SET))
    return vc_fail(error, VC_FAILED, "%s: a checksum cannot be written into it; leave --checksum out", file->path);
  return vc_output_write(out, digits, PLACEHOLDER, error);
}

static vc_status write_file(writer *w, int index, vc_error *error) {
  vc_convert_file *file = &w->convert->file[index];
  vc_output *out = &w->output[index];
  char *header = NULL;
  size_t size = 0;
  vc_status status = make_header(w->convert, file, &header, &size, error);
  if (!status) status = vc_output_open(out, file->path, error);
  if (!status) status = vc_output_write(out, header, size, error);
  for (int i = 0; i < file->count && !status; i++) status = write_item(w, file->first + i, file, out, error);
  if (!status && w->convert->checksum) status = write_checksum(file, out, header, size, error);
  free(header);
  return status;
}

static vc_status write_index(const vc_convert *c, vc_output *out, vc_error *error) {
  double total = 0;
  cJSON *root = cJSON_CreateObject();
  cJSON *metadata = cJSON_AddObjectToObject(root, "metadata"), *map = cJSON_AddObjectToObject(root, "weight_map");
  for (int f = 0; f < c->files; f++) {
    const char *slash = strrchr(c->file[f].path, '/');
    total += (double)c->file[f].bytes;
    cJSON *name = cJSON_CreateString(slash ? slash + 1 : c->file[f].path);
    for (int i = 0; i < c->file[f].count; i++)
      cJSON_AddItemToObject(map, c->item[c->file[f].first + i].name, cJSON_Duplicate(name, false));
    cJSON_Delete(name);
  }
  cJSON_AddNumberToObject(metadata, "total_size", total);
  char *text = cJSON_Print(root);
  cJSON_Delete(root);
  vc_status status = text ? vc_output_open(out, c->index, error)
                          : vc_fail(error, VC_NO_MEMORY, "%s: no memory for the index", c->index);
  if (!status) status = vc_output_write(out, text, strlen(text), error);
  if (!status) status = vc_output_write(out, "\n", 1, error);
  cJSON_free(text);
  return status;
}

static vc_status check_overflow(const vc_convert *c, vc_error *error) {
  size_t values = 0;
  int tensors = 0, first = 0;
  for (int i = c->items - 1; i >= 0; i--) {
    if (!c->item[i].count.overflows) continue;
    values += c->item[i].count.overflows;
    tensors++;
    first = i;
  }
  if (!tensors || c->allow_overflow) return VC_OK;
  return vc_fail(error, VC_FAILED,
                 "%s: %zu value%s in %d tensor%s too large for %s, the first tensor is \"%.200s\" (%zu); use another "
                 "--dtype, or --allow-overflow to store infinities",
                 c->source->path, values, values == 1 ? "" : "s", tensors, tensors == 1 ? " is" : "s are",
                 vc_dtype_name(c->item[first].dtype), c->item[first].name, c->item[first].count.overflows);
}

// Puts the files in place. When that fails for one, those before it go away again.
static vc_status commit(writer *w, vc_error *error) {
  const vc_convert *c = w->convert;
  int files = c->files + (c->index != NULL), placed = 0;
  vc_status status = VC_OK;
  for (; placed < files && !status; placed++) status = vc_output_commit(&w->output[placed], error);
  for (int i = 0; status && i < placed - 1; i++) unlink(c->file[i].path);
  return status;
}

vc_status vc_convert_write(vc_convert *c, vc_progress *progress, vc_error *error) {
  writer w = {.convert = c, .progress = progress};
  w.output = calloc((size_t)c->files + 1, sizeof *w.output);
  w.piece = malloc((size_t)PIECE * sizeof(double));
  vc_status status =
      w.output && w.piece ? VC_OK : vc_fail(error, VC_NO_MEMORY, "%s: no memory to convert with", c->output);
  for (int i = 0; i < c->files && !status; i++) status = write_file(&w, i, error);
  if (!status && c->index) status = write_index(c, &w.output[c->files], error);
  if (!status) status = check_overflow(c, error);
  if (!status) status = commit(&w, error);
  for (int i = 0; w.output && i <= c->files; i++) vc_output_abort(&w.output[i]);
  free(w.output);
  free(w.piece);
  return status;
}
