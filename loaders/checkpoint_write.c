#include "loaders/checkpoint_write.h"

#include <stdio.h>
#include <string.h>

#include "loaders/tensor_file_build.h"
#include "loaders/zip_write.h"

// The pickle: protocol 2, without a memo, which readers do not need.
typedef struct pickler {
  vc_buffer bytes;
  bool failed;
} pickler;

static void put(pickler *p, const void *data, size_t size) {
  if (!vc_buffer_append(&p->bytes, data, size)) p->failed = true;
}

static void put_opcode(pickler *p, char opcode) {
  put(p, &opcode, 1);
}

static void put_number(pickler *p, uint64_t value, int bytes) {
  unsigned char little[8];
  for (int i = 0; i < bytes; i++) little[i] = (unsigned char)(value >> 8 * i);
  put(p, little, (size_t)bytes);
}

static void put_integer(pickler *p, int64_t value) {
  if (value < 256) {
    put_opcode(p, 'K');
    put_number(p, (uint64_t)value, 1);
  } else if (value < 65536) {
    put_opcode(p, 'M');
    put_number(p, (uint64_t)value, 2);
  } else if (value <= INT32_MAX) {
    put_opcode(p, 'J');
    put_number(p, (uint64_t)value, 4);
  } else {
    put(p, "\x8a\x08", 2);
    put_number(p, (uint64_t)value, 8);
  }
}

static void put_text(pickler *p, const char *text) {
  put_opcode(p, 'X');
  put_number(p, strlen(text), 4);
  put(p, text, strlen(text));
}

static void put_global(pickler *p, const char *module, const char *name) {
  put_opcode(p, 'c');
  put(p, module, strlen(module));
  put(p, "\n", 1);
  put(p, name, strlen(name));
  put(p, "\n", 1);
}

// collections.OrderedDict(), empty.
static void put_dictionary(pickler *p) {
  put_global(p, "collections", "OrderedDict");
  put(p, ")R", 2);
}

static void put_shape(pickler *p, const int64_t *dim, int rank) {
  put_opcode(p, '(');
  for (int i = 0; i < rank; i++) put_integer(p, dim[i]);
  put_opcode(p, 't');
}

static const char *storage_class(vc_dtype dtype) {
  static const char *const names[VC_DTYPE_COUNT] = {
      [VC_F32] = "FloatStorage", [VC_F16] = "HalfStorage",  [VC_BF16] = "BFloat16Storage", [VC_F64] = "DoubleStorage",
      [VC_I64] = "LongStorage",  [VC_I32] = "IntStorage",   [VC_I16] = "ShortStorage",     [VC_I8] = "CharStorage",
      [VC_U8] = "ByteStorage",   [VC_BOOL] = "BoolStorage",
  };
  return names[dtype];
}

// _rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks)
static void put_tensor(pickler *p, const vc_tensor *t, int index) {
  int64_t stride[VC_MAX_DIMS], step = 1;
  char key[16];
  for (int i = t->rank - 1; i >= 0; i--) {
    stride[i] = step;
    step *= t->dim[i] > 1 ? t->dim[i] : 1;
  }
  snprintf(key, sizeof key, "%d", index);
  put_global(p, "torch._utils", "_rebuild_tensor_v2");
  put(p, "((", 2);
  put_text(p, "storage");
  put_global(p, "torch", storage_class(t->dtype));
  put_text(p, key);
  put_text(p, "cpu");
  put_integer(p, (int64_t)vc_tensor_count(t));
  put(p, "tQ", 2);
  put_integer(p, 0);
  put_shape(p, t->dim, t->rank);
  put_shape(p, stride, t->rank);
  put_opcode(p, '\x89');
  put_dictionary(p);
  put(p, "tR", 2);
}

static void put_all(pickler *p, const char *outer, const vc_named_tensor *tensors, int count) {
  put(p, "\x80\x02", 2);
  if (outer) {
    put(p, "}(", 2);
    put_text(p, outer);
  }
  put_dictionary(p);
  put_opcode(p, '(');
  for (int i = 0; i < count; i++) {
    put_text(p, tensors[i].name);
    put_tensor(p, &tensors[i].tensor, i);
  }
  put_opcode(p, 'u');
  if (outer) put_opcode(p, 'u');
  put_opcode(p, '.');
}

static vc_status check(const char *path, const vc_named_tensor *tensors, int count, vc_error *error) {
  for (int i = 0; i < count; i++) {
    const vc_tensor *t = &tensors[i].tensor;
    size_t elements, bytes;
    if (!vc_is_name(tensors[i].name, strlen(tensors[i].name)))
      return vc_fail(error, VC_INVALID, "%s: tensor %d has a name that is not UTF-8", path, i);
    if (!vc_shape_count(t->dim, t->rank, t->dtype, &elements, &bytes) || elements > INT64_MAX)
      return vc_fail(error, VC_INVALID, "%s: tensor \"%.200s\" has an impossible shape", path, tensors[i].name);
  }
  return VC_OK;
}

static vc_status write_entry(vc_zip_writer *zip, const char *name, const void *data, size_t size, vc_error *error) {
  vc_status status = vc_zip_writer_begin(zip, name, size, error);
  return status ? status : vc_zip_writer_data(zip, data, size, error);
}

vc_status vc_checkpoint_write_streaming(const char *path, const char *outer, const vc_named_tensor *tensors, int count,
                                        vc_tensor_provider provide, void *opaque, vc_error *error) {
  vc_zip_writer zip = {0};
  pickler pickle = {.failed = false};
  char name[64];
  vc_status status = check(path, tensors, count, error);
  if (status) return status;
  put_all(&pickle, outer, tensors, count);
  if (pickle.failed) status = vc_fail(error, VC_NO_MEMORY, "%s: no memory for its pickle", path);
  if (!status) status = vc_zip_writer_open(&zip, path, error);
  if (!status) status = write_entry(&zip, "archive/data.pkl", pickle.bytes.data, pickle.bytes.size, error);
  if (!status) status = write_entry(&zip, "archive/byteorder", "little", 6, error);
  for (int i = 0; i < count && !status; i++) {
    const void *data = NULL;
    snprintf(name, sizeof name, "archive/data/%d", i);
    status = provide(opaque, i, &data, error);
    if (!status) status = write_entry(&zip, name, data, vc_tensor_bytes(&tensors[i].tensor), error);
  }
  if (!status) status = write_entry(&zip, "archive/version", "3\n", 2, error);
  if (!status) status = vc_zip_writer_commit(&zip, error);
  vc_zip_writer_abort(&zip);
  vc_buffer_free(&pickle.bytes);
  return status;
}
