// What the files of the checkpoint reader share. For checkpoint*.c only.
#ifndef VC_LOADERS_CHECKPOINT_PARTS_H
#define VC_LOADERS_CHECKPOINT_PARTS_H

#include "loaders/pickle.h"
#include "loaders/tensor_file.h"
#include "loaders/zip.h"

// The bytes behind one storage key.
typedef struct vc_storage {
  const char *key;  // not terminated
  size_t length;
  const unsigned char *data;  // NULL for a compressed entry that was not asked for yet
  size_t size;
  const vc_zip_entry *entry;  // NULL in the older format
} vc_storage;

typedef struct vc_checkpoint {
  vc_tensor_file *file;
  const char *path;
  const unsigned char *data;
  size_t size;
  vc_zip zip;
  unsigned char *unpacked;  // data.pkl, where the zip compresses it
  vc_pickle pickle, keys;   // `keys` is the list of storage keys of the older format
  vc_storage *storage;      // sorted by key
  size_t storage_count;
  size_t budget;       // bytes that may still be copied
  const char *tensor;  // the one in work, for messages; NULL when none is; not terminated
  int tensor_length;
  vc_error *error;
} vc_checkpoint;

// VC_FAILED with the file, the tensor in work and the message.
vc_status vc_checkpoint_fail(const vc_checkpoint *in, const char *format, ...) __attribute__((format(printf, 2, 3)));

// What a persistent id says about a storage.
typedef struct vc_storage_reference {
  const char *key;
  size_t length;
  vc_dtype dtype;  // VC_DTYPE_COUNT for the storages of types that this engine does not have, or of no type
  size_t element;  // bytes of one
  size_t count;
  size_t first, view_count;  // the part of it that is meant, in elements
} vc_storage_reference;

vc_status vc_storage_refer(const vc_checkpoint *in, const vc_pickle_value *persistent, vc_storage_reference *out);

// Fill in->storage. For the zip: the entries whose names begin with the first `prefix` bytes of `folder` and "data/".
vc_status vc_storage_list_zip(vc_checkpoint *in, const char *folder, size_t prefix);
vc_status vc_storage_list_legacy(vc_checkpoint *in, size_t at);

// The bytes of a storage, at least reference->count elements of it; they stay as long as the file.
vc_status vc_storage_find(vc_checkpoint *in, const vc_storage_reference *reference, const unsigned char **out);

// Memory that lives as long as the file, within the budget.
vc_status vc_checkpoint_own(vc_checkpoint *in, size_t size, void **out);

bool vc_checkpoint_is_tensor(const vc_pickle_value *value);
vc_status vc_checkpoint_tensor(vc_checkpoint *in, const vc_pickle_value *value, vc_tensor *out);

#endif
