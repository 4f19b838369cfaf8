// The storages of a checkpoint: named runs of bytes that tensors are views of.
#include <stdlib.h>
#include <string.h>

#include "loaders/checkpoint_parts.h"
#include "loaders/tensor_file_build.h"

enum { MAX_KEY = 64 };  // keys are decimal numbers

static const struct {
  const char *name;
  vc_dtype dtype;
  size_t element;
} types[] = {
    {"FloatStorage", VC_F32, 4},
    {"HalfStorage", VC_F16, 2},
    {"BFloat16Storage", VC_BF16, 2},
    {"DoubleStorage", VC_F64, 8},
    {"LongStorage", VC_I64, 8},
    {"IntStorage", VC_I32, 4},
    {"ShortStorage", VC_I16, 2},
    {"CharStorage", VC_I8, 1},
    {"ByteStorage", VC_U8, 1},
    {"BoolStorage", VC_BOOL, 1},
    {"UntypedStorage", VC_DTYPE_COUNT, 1},
    {"ComplexFloatStorage", VC_DTYPE_COUNT, 8},
    {"ComplexDoubleStorage", VC_DTYPE_COUNT, 16},
    {"QInt8Storage", VC_DTYPE_COUNT, 1},
    {"QUInt8Storage", VC_DTYPE_COUNT, 1},
    {"QInt32Storage", VC_DTYPE_COUNT, 4},
    {"QUInt4x2Storage", VC_DTYPE_COUNT, 1},
    {"QUInt2x4Storage", VC_DTYPE_COUNT, 1},
};

static bool read_size(const vc_pickle_value *value, size_t *out) {
  if (value->kind != VC_PICKLE_INT || value->integer < 0) return false;
  *out = (size_t)value->integer;
  return true;
}

static bool read_type(const vc_pickle_value *type, vc_storage_reference *out) {
  static const char *const modules[] = {"torch", "torch.cuda", "torch.storage"};
  if (type->kind != VC_PICKLE_GLOBAL) return false;
  for (size_t m = 0; m < sizeof modules / sizeof *modules; m++)
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
      if (vc_pickle_is_global(type, modules[m], types[i].name)) {
        out->dtype = types[i].dtype;
        out->element = types[i].element;
        return true;
      }
  return false;
}

vc_status vc_storage_refer(const vc_checkpoint *in, const vc_pickle_value *persistent, vc_storage_reference *out) {
  const vc_pickle_value *id = persistent->kind == VC_PICKLE_PERSISTENT ? persistent->item[0] : NULL;
  *out = (vc_storage_reference){0};
  if (!id || id->kind != VC_PICKLE_TUPLE || id->count < 5 || id->count > 6 ||
      !vc_pickle_is_text(id->item[0], "storage") || id->item[2]->kind != VC_PICKLE_TEXT ||
      !read_size(id->item[4], &out->count))
    return vc_checkpoint_fail(in, "refers to something that is no storage");
  const vc_pickle_value *type = id->item[1];
  if (!read_type(type, out)) {
    const vc_pickle_value *name = type->kind == VC_PICKLE_GLOBAL ? type->item[1] : NULL;
    return vc_checkpoint_fail(in, "has a storage of an unknown type %.*s",
                              name ? (int)(name->count < 100 ? name->count : 100) : 0, name ? name->text : "");
  }
  out->key = id->item[2]->text;
  out->length = id->item[2]->count;
  size_t bytes;
  if (out->length > MAX_KEY || !vc_mul_size(out->count, out->element, &bytes))
    return vc_checkpoint_fail(in, "has a storage with an impossible key or size");
  out->view_count = out->count;
  if (id->count == 5 || id->item[5]->kind == VC_PICKLE_NONE) return VC_OK;
  // A storage that is itself a part of another: (key, first element, elements).
  const vc_pickle_value *view = id->item[5];
  if (view->kind != VC_PICKLE_TUPLE || view->count != 3 || !read_size(view->item[1], &out->first) ||
      !read_size(view->item[2], &out->view_count) || out->first > out->count ||
      out->view_count > out->count - out->first)
    return vc_checkpoint_fail(in, "has a part of a storage that reaches beyond it");
  return VC_OK;
}

vc_status vc_checkpoint_own(vc_checkpoint *in, size_t size, void **out) {
  enum { OVERHEAD = 128 };  // of the allocation, so that a million tiny ones are not for free
  if (in->budget < OVERHEAD || size > in->budget - OVERHEAD)
    return vc_checkpoint_fail(in, "unpacks to much more than its %zu bytes; it looks made to exhaust memory", in->size);
  in->budget -= size + OVERHEAD;
  *out = vc_tensor_file_own(in->file, size);
  return *out ? VC_OK : vc_fail(in->error, VC_NO_MEMORY, "%s: no memory for a copy of %zu bytes", in->path, size);
}

static int compare_keys(const char *a, size_t a_length, const char *b, size_t b_length) {
  int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
  return order ? order : a_length < b_length ? -1 : a_length > b_length;
}

static int by_key(const void *a, const void *b) {
  const vc_storage *x = a, *y = b;
  return compare_keys(x->key, x->length, y->key, y->length);
}

static int by_reference_key(const void *a, const void *b) {
  const vc_storage_reference *x = a, *y = b;
  return compare_keys(x->key, x->length, y->key, y->length);
}

static vc_status no_memory(const vc_checkpoint *in) {
  return vc_fail(in->error, VC_NO_MEMORY, "%s: no memory for the list of its storages", in->path);
}

vc_status vc_storage_list_zip(vc_checkpoint *in, const char *folder, size_t prefix) {
  static const char inner[] = "data/";
  in->storage = calloc((size_t)in->zip.count + 1, sizeof *in->storage);
  if (!in->storage) return no_memory(in);
  for (int i = 0; i < in->zip.count; i++) {
    const vc_zip_entry *entry = &in->zip.entry[i];
    if (strncmp(entry->name, folder, prefix) || strncmp(entry->name + prefix, inner, sizeof inner - 1)) continue;
    const char *key = entry->name + prefix + sizeof inner - 1;
    in->storage[in->storage_count++] =
        (vc_storage){key, strlen(key), entry->method == VC_ZIP_STORED ? entry->data : NULL, entry->size, entry};
  }
  // The entries are sorted by name and share the prefix, so these are sorted by key.
  return VC_OK;
}

// Everything that the pickle says about storages, sorted by key. Also of those that no kept tensor uses: the older
// format does not say how long a storage is in bytes.
static vc_status list_references(const vc_checkpoint *in, vc_storage_reference **out) {
  size_t count = in->pickle.persistent_count;
  vc_storage_reference *reference = calloc(count + 1, sizeof *reference);
  *out = reference;
  if (!reference) return no_memory(in);
  for (size_t i = 0; i < count; i++) {
    vc_status status = vc_storage_refer(in, in->pickle.persistent[i], &reference[i]);
    if (status) return status;
  }
  if (count) qsort(reference, count, sizeof *reference, by_reference_key);
  for (size_t i = 1; i < count; i++)
    if (!by_reference_key(&reference[i - 1], &reference[i]) &&
        (reference[i - 1].element != reference[i].element || reference[i - 1].count != reference[i].count))
      return vc_checkpoint_fail(in, "storage %.*s has two sizes", (int)reference[i].length, reference[i].key);
  return VC_OK;
}

// One storage of the older format at *at: its element count, then its bytes.
static vc_status read_legacy(vc_checkpoint *in, const vc_pickle_value *key, const vc_storage_reference *list,
                             size_t *at) {
  vc_storage_reference wanted = {.key = key->text, .length = key->count};
  const vc_storage_reference *known =
      key->kind != VC_PICKLE_TEXT || key->count > MAX_KEY || !in->pickle.persistent_count
          ? NULL
          : bsearch(&wanted, list, in->pickle.persistent_count, sizeof *list, by_reference_key);
  if (!known) return vc_checkpoint_fail(in, "lists a storage that nothing refers to");
  uint64_t count = 0;
  if (in->size - *at < 8) return vc_checkpoint_fail(in, "is cut short at byte %zu", *at);
  for (int i = 0; i < 8; i++) count |= (uint64_t)in->data[*at + (size_t)i] << 8 * i;
  *at += 8;
  size_t bytes = known->count * known->element;
  if (count != known->count)
    return vc_checkpoint_fail(in, "storage %.*s has %llu elements at byte %zu, but %zu in the pickle", (int)key->count,
                              key->text, (unsigned long long)count, *at - 8, known->count);
  if (bytes > in->size - *at)
    return vc_checkpoint_fail(in, "storage %.*s of %zu bytes at byte %zu ends beyond the file: cut short",
                              (int)key->count, key->text, bytes, *at);
  in->storage[in->storage_count++] = (vc_storage){key->text, key->count, in->data + *at, bytes, NULL};
  *at += bytes;
  return VC_OK;
}

vc_status vc_storage_list_legacy(vc_checkpoint *in, size_t at) {
  vc_storage_reference *reference = NULL;
  const vc_pickle_value *keys = in->keys.root;
  vc_status status = list_references(in, &reference);
  if (status) goto done;
  if (keys->kind != VC_PICKLE_LIST) {
    status = vc_checkpoint_fail(in, "has no list of its storages");
    goto done;
  }
  in->storage = calloc((size_t)keys->count + 1, sizeof *in->storage);
  if (!in->storage) status = no_memory(in);
  for (uint32_t i = 0; i < keys->count && !status; i++) status = read_legacy(in, keys->item[i], reference, &at);
  if (status) goto done;
  if (at != in->size) {
    status = vc_checkpoint_fail(in, "has %zu bytes behind its last storage", in->size - at);
    goto done;
  }
  if (in->storage_count) qsort(in->storage, in->storage_count, sizeof *in->storage, by_key);
  for (size_t i = 1; i < in->storage_count && !status; i++)
    if (!by_key(&in->storage[i - 1], &in->storage[i]))
      status = vc_checkpoint_fail(in, "storage %.*s is there twice", (int)in->storage[i].length, in->storage[i].key);

done:
  free(reference);
  return status;
}

vc_status vc_storage_find(vc_checkpoint *in, const vc_storage_reference *reference, const unsigned char **out) {
  vc_storage wanted = {.key = reference->key, .length = reference->length};
  vc_storage *found =
      in->storage_count ? bsearch(&wanted, in->storage, in->storage_count, sizeof wanted, by_key) : NULL;
  if (!found)
    return vc_checkpoint_fail(in, "needs storage %.*s, which is missing", (int)reference->length, reference->key);
  if (reference->count * reference->element > found->size)
    return vc_checkpoint_fail(in, "needs storage %.*s, which has %zu bytes where its pickle says %zu",
                              (int)reference->length, reference->key, found->size,
                              reference->count * reference->element);
  if (!found->data) {
    void *memory = NULL;
    vc_status status = vc_checkpoint_own(in, found->size, &memory);
    if (!status) status = vc_zip_read(found->entry, in->path, memory, in->error);
    if (status) return status;
    found->data = memory;
  }
  *out = found->data;
  return VC_OK;
}
