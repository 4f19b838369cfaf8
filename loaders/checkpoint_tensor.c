// A recorded call of one of PyTorch's tensor constructors becomes a tensor.
#include <string.h>

#include "loaders/checkpoint_parts.h"

enum { MAX_NESTING = 4 };  // a parameter around a tensor is one

typedef struct view {
  int rank;
  int64_t dim[VC_MAX_DIMS], stride[VC_MAX_DIMS];  // in elements
  size_t offset;
} view;

static bool is_parameter(const vc_pickle_value *callee) {
  return vc_pickle_is_global(callee, "torch._utils", "_rebuild_parameter") ||
         vc_pickle_is_global(callee, "torch._utils", "_rebuild_parameter_with_state");
}

static bool is_plain(const vc_pickle_value *callee) {
  return vc_pickle_is_global(callee, "torch._utils", "_rebuild_tensor") ||
         vc_pickle_is_global(callee, "torch._utils", "_rebuild_tensor_v2");
}

static bool is_typed(const vc_pickle_value *callee) {
  return vc_pickle_is_global(callee, "torch._utils", "_rebuild_tensor_v3");
}

// A tensor with attributes of its own, or of a class derived from Tensor.
static bool is_decorated(const vc_pickle_value *callee) {
  return vc_pickle_is_global(callee, "torch._tensor", "_rebuild_from_type_v2");
}

bool vc_checkpoint_is_tensor(const vc_pickle_value *value) {
  if (value->kind != VC_PICKLE_CALL) return false;
  const vc_pickle_value *callee = value->item[0];
  return is_parameter(callee) || is_decorated(callee) || is_plain(callee) || is_typed(callee);
}

static bool read_integers(const vc_pickle_value *list, int64_t *out, int *count) {
  if ((list->kind != VC_PICKLE_TUPLE && list->kind != VC_PICKLE_LIST) || list->count > VC_MAX_DIMS) return false;
  for (uint32_t i = 0; i < list->count; i++) {
    if (list->item[i]->kind != VC_PICKLE_INT || list->item[i]->integer < 0) return false;
    out[i] = list->item[i]->integer;
  }
  *count = (int)list->count;
  return true;
}

static vc_status read_view(const vc_checkpoint *in, const vc_pickle_value *arguments, view *out) {
  int strides = 0;
  const vc_pickle_value *offset = arguments->item[1];
  if (offset->kind != VC_PICKLE_INT || offset->integer < 0)
    return vc_checkpoint_fail(in, "has an offset that is no number from 0 on");
  out->offset = (size_t)offset->integer;
  if (!read_integers(arguments->item[2], out->dim, &out->rank) ||
      !read_integers(arguments->item[3], out->stride, &strides) || strides != out->rank)
    return vc_checkpoint_fail(in, "has a shape and strides that are not up to 8 numbers from 0 on each");
  return VC_OK;
}

// The dtype that the seventh argument of _rebuild_tensor_v3 names, for storages without a type of their own.
static bool read_dtype(const vc_pickle_value *value, vc_dtype *out) {
  static const struct {
    const char *name;
    vc_dtype dtype;
  } names[] = {{"float32", VC_F32}, {"float16", VC_F16}, {"bfloat16", VC_BF16}, {"float64", VC_F64}, {"int64", VC_I64},
               {"int32", VC_I32},   {"int16", VC_I16},   {"int8", VC_I8},       {"uint8", VC_U8},    {"bool", VC_BOOL}};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (vc_pickle_is_global(value, "torch", names[i].name)) {
      *out = names[i].dtype;
      return true;
    }
  return false;
}

// Lazy negation, which PyTorch keeps as a mark beside the data.
static bool is_negated(const vc_pickle_value *arguments, uint32_t at) {
  if (arguments->count <= at || arguments->item[at]->kind != VC_PICKLE_DICT) return false;
  const vc_pickle_value *mark = vc_pickle_get(arguments->item[at], "neg");
  return mark && mark->kind == VC_PICKLE_BOOL && mark->integer;
}

// The elements from the first to the last that the view touches, or false when that does not fit in size_t.
static bool reach_of(const view *v, size_t *out) {
  size_t reach = 1;
  for (int i = 0; i < v->rank; i++) {
    size_t step;
    if (!vc_mul_size((size_t)v->dim[i] - 1, (size_t)v->stride[i], &step) || !vc_add_size(reach, step, &reach))
      return false;
  }
  *out = reach;
  return true;
}

static bool is_contiguous(const view *v) {
  int64_t expected = 1;
  for (int i = v->rank - 1; i >= 0; i--) {
    if (v->dim[i] == 1) continue;
    if (v->stride[i] != expected) return false;
    expected *= v->dim[i];  // fits: the count of elements was checked
  }
  return true;
}

#define COPY_ROW(T)                                                                         \
  for (size_t i = 0; i < count; i++) memcpy(out + i * sizeof(T), in + i * step, sizeof(T)); \
  break

static void copy_row(unsigned char *out, const unsigned char *in, size_t count, size_t step, size_t element) {
  switch (element) {
    case 1:
      COPY_ROW(uint8_t);
    case 2:
      COPY_ROW(uint16_t);
    case 4:
      COPY_ROW(uint32_t);
    default:
      COPY_ROW(uint64_t);
  }
}

// `from` is the view's first element. No dimension is 0 and rank is 1 or more.
static void copy_view(unsigned char *out, const unsigned char *from, const view *v, size_t element) {
  int last = v->rank - 1;
  int64_t index[VC_MAX_DIMS] = {0};
  size_t row = (size_t)v->dim[last], at = 0;
  for (int d = last; d >= 0;) {
    copy_row(out, from + at * element, row, (size_t)v->stride[last] * element, element);
    out += row * element;
    for (d = last - 1; d >= 0; d--) {
      at += (size_t)v->stride[d];
      if (++index[d] < v->dim[d]) break;
      at -= (size_t)v->dim[d] * (size_t)v->stride[d];
      index[d] = 0;
    }
  }
}

static vc_status read_tensor(vc_checkpoint *in, const vc_pickle_value *arguments, vc_dtype dtype, vc_tensor *out) {
  vc_storage_reference reference;
  view v = {0};
  const unsigned char *data = NULL;
  size_t count, bytes, reach, available, end;
  char text[256];

  vc_status status = read_view(in, arguments, &v);
  if (!status) status = vc_storage_refer(in, arguments->item[0], &reference);
  if (status) return status;
  if (dtype == VC_DTYPE_COUNT) dtype = reference.dtype;
  if (dtype == VC_DTYPE_COUNT)
    return vc_checkpoint_fail(in, "has a dtype (complex or quantized) that is not supported");
  size_t element = vc_dtype_size(dtype);
  vc_shape_text(v.dim, v.rank, text, sizeof text);
  if (!vc_shape_count(v.dim, v.rank, dtype, &count, &bytes))
    return vc_checkpoint_fail(in, "has an impossible shape %s", text);
  status = vc_storage_find(in, &reference, &data);
  if (status) return status;
  *out = (vc_tensor){.dtype = dtype, .rank = v.rank};
  memcpy(out->dim, v.dim, sizeof out->dim);
  data += reference.first * reference.element;
  out->data = (void *)(uintptr_t)data;  // read only, like the map
  if (!count) return VC_OK;
  available = reference.view_count * reference.element / element;
  if (!reach_of(&v, &reach) || !vc_add_size(v.offset, reach, &end) || end > available)
    return vc_checkpoint_fail(in, "of shape %s reaches beyond the %zu elements of storage %.*s", text, available,
                              (int)reference.length, reference.key);
  data += v.offset * element;
  out->data = (void *)(uintptr_t)data;
  if (is_contiguous(&v)) return VC_OK;
  status = vc_checkpoint_own(in, bytes, &out->data);
  if (!status) copy_view(out->data, data, &v, element);
  return status;
}

vc_status vc_checkpoint_tensor(vc_checkpoint *in, const vc_pickle_value *value, vc_tensor *out) {
  const vc_pickle_value *callee = value->item[0], *arguments = value->item[1];
  for (int depth = 0; depth < MAX_NESTING; depth++) {
    if (is_parameter(callee)) {
      const vc_pickle_value *inner = arguments->count ? arguments->item[0] : NULL;
      if (!inner || !vc_checkpoint_is_tensor(inner))
        return vc_checkpoint_fail(in, "is a parameter around something that is no tensor");
      callee = inner->item[0];
      arguments = inner->item[1];
    } else if (is_decorated(callee)) {  // (constructor, class, its arguments, attributes)
      if (arguments->count < 3 || arguments->item[2]->kind != VC_PICKLE_TUPLE)
        return vc_checkpoint_fail(in, "has too few arguments");
      callee = arguments->item[0];
      arguments = arguments->item[2];
    } else if (is_plain(callee) || is_typed(callee)) {
      bool typed = is_typed(callee);
      vc_dtype dtype = VC_DTYPE_COUNT;
      if (arguments->count < (typed ? 7u : 4u)) return vc_checkpoint_fail(in, "has too few arguments");
      if (typed && !read_dtype(arguments->item[6], &dtype))
        return vc_checkpoint_fail(in, "has a dtype that is not supported");
      if (is_negated(arguments, typed ? 7 : 6))
        return vc_checkpoint_fail(in, "is a lazily negated view, which is not supported");
      return read_tensor(in, arguments, dtype, out);
    } else {
      break;
    }
  }
  return vc_checkpoint_fail(in, "is made in a way that is not supported");
}
