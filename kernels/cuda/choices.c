// Choices among implementations in a file: three lines that say for which GPU and versions they hold, then a line each:
// the op, the variant, and the numbers of the key (choose.h).
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/cuda/choose.h"

enum {
  VERSION = 1,  // goes up when the kernels' speeds or keys change
  LINE = 1024,
  LINES_MAX = 100000,  // a model has some hundred shapes
};

typedef struct heading {
  char text[LINE];
} heading;

static heading heading_of(const vc_device *d) {
  heading h;
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  snprintf(h.text, sizeof h.text,
           "videocomposer choices of kernels %d\n%s, sm_%d%d, %d multiprocessors\n"
           "driver %d, runtime %d, cuBLASLt %zu, cuDNN %zu\n",
           VERSION, d->name, d->major, d->minor, d->multiprocessors, driver, runtime, cublasLtGetVersion(),
           cudnnGetVersion());
  return h;
}

// ---- saving

static void write_choice(void *context, vc_op_kind kind, const int64_t *shape, int dims, void *memory) {
  FILE *file = context;
  if ((kind != VC_OP_LINEAR && kind != VC_OP_CONV) || shape[0] != VC_CUDA_MEMO_CHOICE) return;
  fprintf(file, "%s %s", vc_op_name(kind), vc_cuda_variant_names[((vc_cuda_chosen_variant *)memory)->variant]);
  for (int i = 1; i < dims; i++) fprintf(file, " %" PRId64, shape[i]);
  fputc('\n', file);
}

vc_status vc_cuda_choices_save(const vc_device *d, const char *path, vc_error *error) {
  size_t size = strlen(path) + sizeof ".XXXXXX";
  char *temporary = malloc(size);
  vc_status status = VC_OK;
  FILE *file = NULL;
  if (!temporary) return vc_fail(error, VC_NO_MEMORY, "%s: no memory for its name", path);
  snprintf(temporary, size, "%s.XXXXXX", path);
  int descriptor = mkstemp(temporary);
  if (descriptor >= 0) file = fdopen(descriptor, "w");
  if (!file) {
    status = vc_fail(error, VC_FAILED, "%s: cannot be written: %s", path, strerror(errno));
    if (descriptor >= 0) close(descriptor);
    goto done;
  }
  fputs(heading_of(d).text, file);
  vc_cuda_each(d, write_choice, file);
  bool written = !ferror(file);
  if (fclose(file) || !written || rename(temporary, path))
    status = vc_fail(error, VC_FAILED, "%s: cannot be written: %s", path, strerror(errno));
done:
  if (status && descriptor >= 0) unlink(temporary);
  free(temporary);
  return status;
}

// ---- loading

static bool find_variant(vc_op_kind kind, const char *name, vc_cuda_variant *variant) {
  for (int i = 0; i < VC_CUDA_VARIANTS; i++) {
    *variant = (vc_cuda_variant)i;
    bool of_other_ops = *variant >= VC_CUDA_CUBLASLT && *variant != vc_cuda_vendor_of(kind);
    if (!of_other_ops && !strcmp(name, vc_cuda_variant_names[i])) return true;
  }
  return false;
}

// Takes one line over; false when it is none of ours.
static bool read_choice(vc_device *d, char *line, int *loaded) {
  static const vc_conv no_conv;
  static const vc_linear no_linear;
  char *rest = NULL, *name = strtok_r(line, " \n", &rest), *variant_name = strtok_r(NULL, " \n", &rest);
  vc_cuda_variant variant;
  if (!name || !variant_name) return false;
  vc_op_kind kind = !strcmp(name, vc_op_name(VC_OP_LINEAR)) ? VC_OP_LINEAR : VC_OP_CONV;
  if (strcmp(name, vc_op_name(kind)) != 0 || !find_variant(kind, variant_name, &variant)) return false;
  vc_cuda_key key = vc_cuda_key_of(kind, kind == VC_OP_LINEAR ? (const void *)&no_linear : (const void *)&no_conv);
  for (int i = 1; i < key.dims; i++) {
    char *number = strtok_r(NULL, " \n", &rest), *end = NULL;
    errno = 0;
    key.value[i] = number ? strtoll(number, &end, 10) : 0;
    if (!number || *end || errno) return false;
  }
  if (strtok_r(NULL, " \n", &rest)) return false;
  bool is_new;
  vc_cuda_chosen_variant *kept = vc_cuda_remember(d, kind, key.value, key.dims, sizeof *kept, &is_new);
  if (kept && is_new) {
    kept->variant = variant;
    ++*loaded;
  }
  return true;
}

static bool heading_matches(const vc_device *d, FILE *file) {
  heading want = heading_of(d), got;
  size_t length = strlen(want.text);
  return fread(got.text, 1, length, file) == length && !memcmp(got.text, want.text, length);
}

vc_status vc_cuda_choices_load(vc_device *d, const char *path, int *loaded, vc_error *error) {
  char line[LINE];
  vc_status status = VC_OK;
  *loaded = 0;
  if (d->library != VC_CUDA_MEASURED) return VC_OK;
  FILE *file = fopen(path, "r");
  if (!file && errno == ENOENT) return VC_OK;
  if (!file) return vc_fail(error, VC_FAILED, "%s: cannot be read: %s", path, strerror(errno));
  if (heading_matches(d, file))
    for (int at = 4; fgets(line, sizeof line, file) && !status; at++)
      if (at > LINES_MAX || !strchr(line, '\n') || !read_choice(d, line, loaded))
        status = vc_fail(error, VC_FAILED, "%s: line %d is no choice of a kernel; delete the file", path, at);
  if (!status && ferror(file)) status = vc_fail(error, VC_FAILED, "%s: cannot be read: %s", path, strerror(errno));
  fclose(file);
  return status;
}
