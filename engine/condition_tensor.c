#include "engine/condition_tensor.h"

#include <string.h>
#include <strings.h>

#include "engine/config.h"
#include "loaders/npy.h"
#include "loaders/tensor_file.h"

static bool ends_with(const char *text, const char *end) {
  size_t length = strlen(text), tail = strlen(end);
  return length >= tail && !strcasecmp(text + length - tail, end);
}

bool vc_is_tensor_path(const char *path) {
  return ends_with(path, ".safetensors") || ends_with(path, ".npy") || ends_with(path, ".pt") ||
         ends_with(path, ".pth");
}

// Where frames, rows, columns and channels stand in a tensor: lengths and steps, counted in elements.
typedef struct layout {
  int64_t dim[4], step[4];
} layout;

// The layout in which the four (or fewer) last dimensions have these meanings: 'f', 'h', 'w', 'c'. False when the
// channels do not fit, or where rows or columns would be single: [1 h w 1] is one frame and not h frames of one column.
static bool read_layout(layout *out, const int64_t *dim, const char *meaning, int64_t channels) {
  static const char order[] = "fhwc";
  *out = (layout){.dim = {1, 1, 1, 1}};
  int64_t step = 1;
  for (int i = (int)strlen(meaning) - 1; i >= 0; i--) {
    int k = (int)(strchr(order, meaning[i]) - order);
    out->dim[k] = dim[i];
    out->step[k] = step;
    step *= dim[i];
  }
  return out->dim[3] == channels && out->dim[1] > 1 && out->dim[2] > 1;
}

// Whether both read the same elements in the same places.
static bool same_layout(const layout *a, const layout *b) {
  for (int k = 0; k < 4; k++)
    if (a->dim[k] != b->dim[k] || (a->dim[k] > 1 && a->step[k] != b->step[k])) return false;
  return true;
}

// `only`, unless it is NULL, is the one meaning that the file says it has.
static vc_status find_layout(layout *out, const vc_tensor *in, int64_t channels, const char *only, vc_error *error) {
  static const char *const meanings[] = {"cfhw", "fchw", "fhwc", "fhw", "chw", "hwc", "hw"};
  char text[128];
  vc_shape_text(in->dim, in->rank, text, sizeof text);
  bool found = false;
  for (size_t m = 0; m < sizeof meanings / sizeof *meanings; m++) {
    int rank = (int)strlen(meanings[m]), extra = in->rank - rank;
    bool fits = extra >= 0;
    for (int i = 0; fits && i < extra; i++) fits = in->dim[i] == 1;
    layout candidate;
    if (only && strcmp(only, meanings[m]) != 0) continue;
    if (!fits || !read_layout(&candidate, in->dim + extra, meanings[m], channels)) continue;
    if (found && !same_layout(out, &candidate))
      return vc_fail(error, VC_FAILED,
                     "shape %s can be read in more than one way with %lld channels; give another number of frames",
                     text, (long long)channels);
    *out = candidate;
    found = true;
  }
  if (!found)
    return vc_fail(error, VC_FAILED, "shape %s is none of %s[c f h w], [f c h w], [f h w c] with %lld channel%s", text,
                   channels == 1 ? "[f h w], " : "", (long long)channels, channels == 1 ? "" : "s");
  if (out->dim[0] < 1 || out->dim[1] > VC_MAX_SIDE || out->dim[2] > VC_MAX_SIDE || out->dim[0] > INT32_MAX)
    return vc_fail(error, VC_FAILED, "shape %s has no frames, or a side above %d", text, VC_MAX_SIDE);
  return VC_OK;
}

static void gather(float *out, const float *in, const layout *from) {
  for (int64_t f = 0; f < from->dim[0]; f++)
    for (int64_t y = 0; y < from->dim[1]; y++)
      for (int64_t x = 0; x < from->dim[2]; x++)
        for (int64_t c = 0; c < from->dim[3]; c++)
          *out++ = in[f * from->step[0] + y * from->step[1] + x * from->step[2] + c * from->step[3]];
}

static vc_status check_values(const vc_tensor *tensor, const vc_tensor_kind *kind, vc_error *error) {
  const float *value = tensor->data;
  size_t count = vc_tensor_count(tensor);
  for (size_t i = 0; i < count; i++) {
    if (value[i] >= kind->least && value[i] <= kind->most) continue;
    int64_t at[4], rest = (int64_t)i;
    for (int k = 3; k >= 0; rest /= tensor->dim[k], k--) at[k] = rest % tensor->dim[k];
    return vc_fail(error, VC_FAILED, "the value of frame %lld, row %lld, column %lld is %g; %s is from %g to %g",
                   (long long)at[0], (long long)at[1], (long long)at[2], (double)value[i], kind->name, kind->least,
                   kind->most);
  }
  return VC_OK;
}

static vc_status convert(vc_tensor *out, const vc_tensor *in, const vc_tensor_kind *kind, const char *only,
                         vc_error *error) {
  layout from;
  vc_tensor flat = {0};
  *out = (vc_tensor){0};
  vc_status status = find_layout(&from, in, kind->channels, only, error);
  if (!status) status = vc_tensor_new(&flat, VC_F32, in->rank, in->dim, error);
  if (!status) status = vc_tensor_new(out, VC_F32, 4, from.dim, error);
  if (!status) {
    vc_to_float(flat.data, in->data, in->dtype, vc_tensor_count(in));
    gather(out->data, flat.data, &from);
    status = check_values(out, kind, error);
  }
  vc_tensor_free(&flat);
  if (status) vc_tensor_free(out);
  return status;
}

vc_status vc_condition_from_tensor(vc_tensor *out, const vc_tensor *in, const vc_tensor_kind *kind, vc_error *error) {
  return convert(out, in, kind, NULL, error);
}

static vc_status choose(const vc_tensor **out, const vc_tensor_file *file, const vc_tensor_kind *kind,
                        vc_error *error) {
  *out = vc_tensor_file_find(file, kind->name);
  if (!*out) *out = vc_tensor_file_find(file, "video");
  if (!*out && file->count == 1) *out = &file->tensor[0].tensor;
  if (*out) return VC_OK;
  return vc_fail(error, VC_FAILED, "holds %d tensors, and none is named '%s' or 'video'", file->count, kind->name);
}

vc_status vc_condition_read_tensor(vc_tensor *out, const char *path, const vc_tensor_kind *kind, vc_error *error) {
  *out = (vc_tensor){0};
  vc_status status;
  if (ends_with(path, ".npy")) {
    vc_tensor array = {0};
    status = vc_npy_read(&array, path, error);
    if (status) return status;
    status = vc_condition_from_tensor(out, &array, kind, error);
    vc_tensor_free(&array);
  } else {
    vc_tensor_file file = {0};
    const vc_tensor *tensor = NULL;
    status = vc_tensor_file_open(&file, path, error);
    if (status) return status;
    status = choose(&tensor, &file, kind, error);
    if (!status) status = convert(out, tensor, kind, vc_tensor_file_metadata(&file, "layout"), error);
    vc_tensor_file_close(&file);
  }
  return status ? vc_fail_in(error, status, "%s", path) : VC_OK;
}
