#include "loaders/checkpoint.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loaders/checkpoint_parts.h"
#include "loaders/tensor_file_build.h"

enum { EXPANSION = 8, SPARE = 1 << 20 };

// What may be called besides dictionaries. The tensor constructors are read; the others occur in what lies beside the
// state dict (schedules, callbacks, scalars of NumPy), are recorded and never looked at.
static const vc_pickle_name calls[] = {
    {"torch._utils", "_rebuild_tensor"},
    {"torch._utils", "_rebuild_tensor_v2"},
    {"torch._utils", "_rebuild_tensor_v3"},
    {"torch._utils", "_rebuild_parameter"},
    {"torch._utils", "_rebuild_parameter_with_state"},
    {"torch._tensor", "_rebuild_from_type_v2"},
    {"torch", "Size"},
    {"torch", "device"},
    {"collections", "Counter"},
    {"_codecs", "encode"},
    {"__builtin__", "set"},
    {"__builtin__", "frozenset"},
    {"__builtin__", "bytearray"},
    {"__builtin__", "complex"},
    {"builtins", "set"},
    {"builtins", "frozenset"},
    {"builtins", "bytearray"},
    {"builtins", "complex"},
    {"numpy", "dtype"},
    {"numpy.core.multiarray", "scalar"},
    {"numpy._core.multiarray", "scalar"},
    {"numpy.core.multiarray", "_reconstruct"},
    {"numpy._core.multiarray", "_reconstruct"},
    {NULL, NULL},
};

// The number that begins the older format, 0x1950a86a20f9469cfc6c, as a pickle spells it.
static const char magic[] = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
enum { MAGIC_SIZE = sizeof magic - 1, LEGACY_VERSION = 1001 };

bool vc_checkpoint_is_zip(const void *data, size_t size) {
  return size >= 4 && !memcmp(data, "PK\3\4", 4);
}

bool vc_checkpoint_is_legacy(const void *data, size_t size) {
  const unsigned char *bytes = data;
  // PROTO and its number, a FRAME of nine bytes in later protocols, LONG1 and its length, the number.
  return size >= 32 && bytes[0] == 0x80 &&
         (!memcmp(bytes + 4, magic, MAGIC_SIZE) || !memcmp(bytes + 13, magic, MAGIC_SIZE));
}

vc_status vc_checkpoint_fail(const vc_checkpoint *in, const char *format, ...) {
  char text[768];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (!in->tensor) return vc_fail(in->error, VC_FAILED, "%s: %s", in->path, text);
  return vc_fail(in->error, VC_FAILED, "%s: tensor \"%.*s\" %s", in->path, in->tensor_length, in->tensor, text);
}

// The folder of the archive is found by its data.pkl: its name is free.
static vc_status find_pickle(const vc_checkpoint *in, const vc_zip_entry **out) {
  static const char name[] = "data.pkl";
  *out = NULL;
  for (int i = 0; i < in->zip.count; i++) {
    const char *path = in->zip.entry[i].name, *slash = strrchr(path, '/');
    if (strcmp(slash ? slash + 1 : path, name)) continue;
    if (*out) return vc_checkpoint_fail(in, "holds more than one checkpoint");
    *out = &in->zip.entry[i];
  }
  if (*out) return VC_OK;
  return vc_checkpoint_fail(in, "is a zip archive without data.pkl, so no checkpoint");
}

static vc_status check_byte_order(const vc_checkpoint *in, const char *folder, size_t prefix) {
  for (int i = 0; i < in->zip.count; i++) {
    const vc_zip_entry *entry = &in->zip.entry[i];
    if (strncmp(entry->name, folder, prefix) || strcmp(entry->name + prefix, "byteorder")) continue;
    if (entry->method == VC_ZIP_STORED && entry->size == 6 && !memcmp(entry->data, "little", 6)) return VC_OK;
    return vc_checkpoint_fail(in, "its byte order is not little-endian; save it on another machine");
  }
  return VC_OK;
}

static vc_status open_zip(vc_checkpoint *in) {
  const vc_zip_entry *entry = NULL;
  vc_status status = vc_zip_open(&in->zip, in->path, in->data, in->size, in->error);
  if (!status) status = find_pickle(in, &entry);
  if (status) return status;
  size_t prefix = strlen(entry->name) - strlen("data.pkl");
  status = check_byte_order(in, entry->name, prefix);
  if (status) return status;
  if (entry->size > VC_PICKLE_MAX)
    return vc_checkpoint_fail(in, "its pickle has %zu bytes; up to %d are read", entry->size, VC_PICKLE_MAX);
  const unsigned char *bytes = entry->data;
  if (entry->method == VC_ZIP_STORED) {
    status = vc_zip_check(entry, in->path, in->error);
  } else {
    in->unpacked = malloc(entry->size + 1);
    if (!in->unpacked) return vc_fail(in->error, VC_NO_MEMORY, "%s: no memory for its pickle", in->path);
    status = vc_zip_read(entry, in->path, in->unpacked, in->error);
    bytes = in->unpacked;
  }
  if (!status) status = vc_pickle_read(&in->pickle, in->path, bytes, entry->size, calls, in->error);
  if (!status) status = vc_storage_list_zip(in, entry->name, prefix);
  return status;
}

static vc_status next_pickle(const vc_checkpoint *in, size_t *at, vc_pickle *out) {
  vc_status status = vc_pickle_read(out, in->path, in->data + *at, in->size - *at, calls, in->error);
  *at += out->used;
  return status;
}

static vc_status check_system(const vc_checkpoint *in, const vc_pickle_value *system) {
  const vc_pickle_value *little = system->kind == VC_PICKLE_DICT ? vc_pickle_get(system, "little_endian") : NULL;
  if (little && little->kind == VC_PICKLE_BOOL && little->integer) return VC_OK;
  return vc_checkpoint_fail(in, "its byte order is not little-endian; save it on another machine");
}

static vc_status open_legacy(vc_checkpoint *in) {
  vc_pickle head = {0};
  size_t at = 0;
  vc_status status = next_pickle(in, &at, &head);
  if (!status && (head.root->kind != VC_PICKLE_LONG || head.root->count != MAGIC_SIZE ||
                  memcmp(head.root->text, magic, MAGIC_SIZE)))
    status = vc_checkpoint_fail(in, "does not begin with the number of a checkpoint");
  vc_pickle_close(&head);
  if (!status) status = next_pickle(in, &at, &head);
  if (!status && (head.root->kind != VC_PICKLE_INT || head.root->integer != LEGACY_VERSION))
    status = vc_checkpoint_fail(in, "is no checkpoint of version %d", LEGACY_VERSION);
  vc_pickle_close(&head);
  if (!status) status = next_pickle(in, &at, &head);
  if (!status) status = check_system(in, head.root);
  vc_pickle_close(&head);
  if (!status) status = next_pickle(in, &at, &in->pickle);
  if (!status) status = next_pickle(in, &at, &in->keys);
  if (!status) status = vc_storage_list_legacy(in, at);
  return status;
}

typedef struct named_value {
  const char *name;
  size_t length, order;
  const vc_pickle_value *value;
} named_value;

static int by_text(const void *a, const void *b) {
  const named_value *x = a, *y = b;
  int order = x->name == y->name ? 0 : memcmp(x->name, y->name, x->length < y->length ? x->length : y->length);
  if (!order && x->length != y->length) return x->length < y->length ? -1 : 1;
  return order ? order : x->order < y->order ? -1 : x->order > y->order;
}

static int by_place(const void *a, const void *b) {
  const named_value *x = a, *y = b;
  if (x->name != y->name) return (uintptr_t)x->name < (uintptr_t)y->name ? -1 : 1;
  if (x->length != y->length) return x->length < y->length ? -1 : 1;
  return x->order < y->order ? -1 : x->order > y->order;
}

// Sorts and keeps, of each run with the same name, the last to be set, as a dictionary does.
static size_t keep_last(named_value *list, size_t count, bool same_place) {
  size_t kept = 0;
  if (count) qsort(list, count, sizeof *list, same_place ? by_place : by_text);
  for (size_t i = 0; i < count; i++) {
    bool same =
        i + 1 < count && list[i].length == list[i + 1].length &&
        (list[i].name == list[i + 1].name || (!same_place && !memcmp(list[i].name, list[i + 1].name, list[i].length)));
    if (!same) list[kept++] = list[i];
  }
  return kept;
}

// The tensors of a dictionary. Names that are set many times are first told apart by where their text lies: comparing
// the text of a million references to one long name would take the square of the file's size.
static vc_status list_tensors(const vc_checkpoint *in, const vc_pickle_value *dict, named_value **out, size_t *count) {
  named_value *list = calloc((size_t)dict->count / 2 + 1, sizeof *list);
  *out = list;
  *count = 0;
  if (!list) return vc_fail(in->error, VC_NO_MEMORY, "%s: no memory for its list of tensors", in->path);
  for (uint32_t i = 0; i + 1 < dict->count; i += 2) {
    const vc_pickle_value *key = dict->item[i];
    if (key->kind != VC_PICKLE_TEXT) continue;
    list[*count] = (named_value){key->text, key->count, *count, dict->item[i + 1]};
    ++*count;
  }
  *count = keep_last(list, *count, true);
  *count = keep_last(list, *count, false);
  size_t tensors = 0;
  for (size_t i = 0; i < *count; i++)
    if (vc_checkpoint_is_tensor(list[i].value)) list[tensors++] = list[i];
  *count = tensors;
  return VC_OK;
}

static vc_status add_tensors(vc_checkpoint *in, const vc_pickle_value *dict) {
  named_value *list = NULL;
  size_t count = 0;
  vc_status status = list_tensors(in, dict, &list, &count);
  if (!status && !count) status = vc_checkpoint_fail(in, "its dictionary holds no tensors; save a state_dict()");
  for (size_t i = 0; i < count && !status; i++) {
    vc_tensor tensor = {0};
    in->tensor = list[i].name;
    in->tensor_length = list[i].length < 200 ? (int)list[i].length : 200;
    if (!vc_is_name(list[i].name, list[i].length)) status = vc_checkpoint_fail(in, "has a name that is not UTF-8 text");
    if (!status) status = vc_checkpoint_tensor(in, list[i].value, &tensor);
    if (!status) status = vc_tensor_file_add(in->file, list[i].name, list[i].length, &tensor, in->error);
  }
  in->tensor = NULL;
  if (!status) status = vc_tensor_file_finish(in->file, in->error);
  free(list);
  return status;
}

static vc_status read_state(vc_checkpoint *in) {
  const vc_pickle_value *root = in->pickle.root;
  const vc_pickle_value *inner = root->kind == VC_PICKLE_DICT ? vc_pickle_get(root, "state_dict") : NULL;
  if (inner) root = inner;
  if (root->kind != VC_PICKLE_DICT)
    return vc_checkpoint_fail(in, "holds no dictionary of tensors; save a state_dict()");
  return add_tensors(in, root);
}

vc_status vc_checkpoint_read(vc_tensor_file *out, const char *path, vc_file_map map, const void *data, size_t size,
                             vc_error *error) {
  vc_checkpoint in = {.file = out, .path = path, .data = data, .size = size, .error = error};
  in.budget = size < (SIZE_MAX - SPARE) / EXPANSION ? size * EXPANSION + SPARE : SIZE_MAX;
  vc_status status = vc_tensor_file_begin(out, path, map, error);
  if (status) goto done;
  bool zip = vc_checkpoint_is_zip(data, size);
  vc_tensor_file_set_kind(out, "PyTorch checkpoint (%s)", zip ? "zip" : "before 1.6");
  if (zip)
    status = open_zip(&in);
  else if (vc_checkpoint_is_legacy(data, size))
    status = open_legacy(&in);
  else
    status = vc_fail(error, VC_FAILED, "%s: is no PyTorch checkpoint", path);
  if (!status) status = read_state(&in);

done:
  vc_zip_close(&in.zip);
  vc_pickle_close(&in.pickle);
  vc_pickle_close(&in.keys);
  free(in.unpacked);
  free(in.storage);
  if (status) vc_tensor_file_close(out);
  return status;
}

vc_status vc_checkpoint_open(vc_tensor_file *out, const char *path, vc_error *error) {
  vc_file_map map;
  *out = (vc_tensor_file){0};
  vc_status status = vc_file_map_open(&map, path, error);
  if (status) return status;
  return vc_checkpoint_read(out, path, map, map.data, map.size, error);
}

vc_status vc_checkpoint_open_memory(vc_tensor_file *out, const char *name, const void *data, size_t size,
                                    vc_error *error) {
  return vc_checkpoint_read(out, name, (vc_file_map){0}, data, size, error);
}
