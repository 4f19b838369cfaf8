// `convert` as a user runs it: every container to safetensors, exactly, in any dtype, in parts, or nothing at all.
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/convert.h"
#include "loaders/checkpoint_write.h"
#include "loaders/safetensors.h"
#include "tests/program.h"

static char samples[4096];

static void enter(void) {
  cr_assert(realpath("tests/data/checkpoints", samples), "run from the repository's root");
  program_enter();
}

static vc_tensor_file open_file(const char *path) {
  vc_tensor_file file;
  vc_error error = {""};
  cr_assert_eq(vc_tensor_file_open(&file, path, &error), VC_OK, "%s", error.message);
  return file;
}

static void expect_same_tensors(const vc_tensor_file *a, const vc_tensor_file *b) {
  cr_assert(a->count == b->count, "%s has %d tensors, %s has %d", a->path, a->count, b->path, b->count);
  for (int i = 0; i < a->count; i++) {
    const vc_tensor *x = &a->tensor[i].tensor, *y = &b->tensor[i].tensor;
    cr_expect_str_eq(a->tensor[i].name, b->tensor[i].name);
    cr_assert(x->dtype == y->dtype && x->rank == y->rank, "%s", a->tensor[i].name);
    for (int d = 0; d < x->rank; d++) cr_assert_eq(x->dim[d], y->dim[d], "%s", a->tensor[i].name);
    cr_expect(!memcmp(x->data, y->data, vc_tensor_bytes(x)), "%s differs", a->tensor[i].name);
  }
}

static const struct {
  const char *file, *twin;
} checkpoints[] = {
    {"plain_zip", "plain"},           {"plain_legacy", "plain"},
    {"views_zip", "views"},           {"views_legacy", "views"},
    {"module_zip", "module"},         {"module_legacy", "module"},
    {"nested_zip", "nested"},         {"nested_legacy", "nested"},
    {"lightning_zip", "lightning"},   {"lightning_legacy", "lightning"},
    {"parameters_zip", "parameters"}, {"parameters_legacy", "parameters"},
    {"archive_zip", "archive_zip"},   {"protocol4_zip", "protocol4_zip"},
    {"cuda_zip", "cuda_zip"},         {"protocol4_legacy", "protocol4_legacy"},
    {"cuda_legacy", "cuda_legacy"},   {"zip64", "zip64"},
};

Test(convert, every_checkpoint_equals_its_twin, .init = enter, .fini = program_leave) {
  for (size_t i = 0; i < sizeof checkpoints / sizeof *checkpoints; i++) {
    char twin_path[4200];
    const program_result *r =
        program_runf("convert %s/%s.pth -o %s.safetensors", samples, checkpoints[i].file, checkpoints[i].file);
    cr_assert_eq(r->exit_status, 0, "%s: %s", checkpoints[i].file, r->err);
    cr_expect_str_empty(r->err);
    snprintf(twin_path, sizeof twin_path, "%s/%s.safetensors", samples, checkpoints[i].twin);
    char path[128];
    snprintf(path, sizeof path, "%s.safetensors", checkpoints[i].file);
    vc_tensor_file file = open_file(path), twin = open_file(twin_path);
    expect_same_tensors(&file, &twin);
    cr_expect_str_eq(vc_tensor_file_metadata(&file, "format"), "pt");
    // What it wrote converts to the same again.
    cr_assert_eq(program_runf("convert %s again.safetensors", path)->exit_status, 0);
    vc_tensor_file again = open_file("again.safetensors");
    expect_same_tensors(&again, &twin);
    vc_tensor_file_close(&again);
    vc_tensor_file_close(&file);
    vc_tensor_file_close(&twin);
  }
}

static const struct {
  const char *file, *message;
} bad[] = {
    {"bad_empty.pth", "is empty"},
    {"bad_text.pth", "Git LFS"},
    {"bad_truncated_zip.pth", "cut short"},
    {"bad_truncated_legacy.pth", "cut short"},
    {"bad_global_zip.pth", "wants to call posix.system"},
    {"bad_global_legacy.pth", "wants to call posix.system"},
    {"bad_stride_zip.pth", "reaches beyond"},
    {"missing.pth", "cannot be opened"},
};

Test(convert, bad_checkpoints_are_refused_and_leave_nothing, .init = enter, .fini = program_leave) {
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char arguments[4300];
    snprintf(arguments, sizeof arguments, "convert %s/%s -o out.safetensors", samples, bad[i].file);
    program_expect(arguments, 1, bad[i].message);
    cr_expect_eq(program_files(), 0, "%s", bad[i].file);
  }
}

Test(convert, an_existing_file_survives_a_failure, .init = enter, .fini = program_leave) {
  FILE *file = fopen("out.safetensors", "w");
  fputs("precious", file);
  fclose(file);
  cr_expect_eq(program_runf("convert %s/bad_stride_zip.pth -o out.safetensors", samples)->exit_status, 1);
  char text[16] = "";
  file = fopen("out.safetensors", "r");
  cr_expect_eq(fread(text, 1, sizeof text, file), 8);
  fclose(file);
  cr_expect_str_eq(text, "precious");
  cr_expect_eq(program_files(), 1);
}

Test(convert, wrong_usage_is_told_before_anything_is_read, .init = enter, .fini = program_leave) {
  program_expect("convert", 2, "FILE");
  program_expect("convert missing.pth", 2, "-o NAME.safetensors");
  program_expect("convert missing.pth -o out.pth", 2, "must be named *.safetensors");
  program_expect("convert missing.pth -o .safetensors", 2, "must be named");
  program_expect("convert missing.pth a.safetensors -o b.safetensors", 2, "given twice");
  program_expect("convert missing.pth -o a.safetensors --dtype f8", 2, "--dtype");
  program_expect("convert missing.pth -o a.safetensors --shard-size 0", 2, "--shard-size");
  program_expect("convert missing.pth -o nowhere/a.safetensors", 1, "missing.pth");
  cr_expect_eq(program_files(), 0);
}

// ---- values

static const vc_dtype floats[] = {VC_F32, VC_F16, VC_BF16, VC_F64};
enum { VALUES = 12 };
static const double values[VALUES] = {0.0,     -0.0, 1.0,      -1.5,      65504.0, 3e-8,
                                      1.0 / 3, NAN,  INFINITY, -INFINITY, 65519.0, 70000.0};

static void put_value(void *at, vc_dtype dtype, double value) {
  float single = (float)value;
  _Alignas(8) unsigned char bytes[8];
  if (dtype == VC_F64)
    memcpy(bytes, &value, sizeof value);
  else
    vc_from_float(bytes, dtype, &single, 1);
  memcpy(at, bytes, vc_dtype_size(dtype));  // the place need not be aligned
}

Test(convert_values, each_value_is_rounded_once_and_counted) {
  for (size_t f = 0; f < 4; f++)
    for (size_t t = 0; t < 3; t++) {
      unsigned char in[VALUES * 8 + 1], out[VALUES * 8 + 1];
      vc_convert_count n = {0, 0, 0};
      size_t from = vc_dtype_size(floats[f]), to = vc_dtype_size(floats[t]), infinite = 0;
      for (int i = 0; i < VALUES; i++) put_value(in + 1 + (size_t)i * from, floats[f], values[i]);
      vc_convert_values(out + 1, floats[t], in + 1, floats[f], VALUES, &n);
      for (int i = 0; i < VALUES; i++) {
        double source, result;
        float rounded, back;
        vc_to_double(&source, in + 1 + (size_t)i * from, floats[f], 1);
        vc_to_double(&result, out + 1 + (size_t)i * to, floats[t], 1);
        _Alignas(8) unsigned char expected[8];
        rounded = (float)source;
        vc_from_float(expected, floats[t], &rounded, 1);
        vc_to_float(&back, expected, floats[t], 1);
        infinite += isinf(result) && !isinf(source);
        cr_expect(isnan(source) ? isnan(result) : result == (double)back && signbit(result) == signbit(source),
                  "%s to %s: %g became %g", vc_dtype_name(floats[f]), vc_dtype_name(floats[t]), source, result);
      }
      size_t already = floats[f] == VC_F16 ? 1 : 0;  // 70000 is infinite in F16 to begin with
      cr_expect_eq(n.nans, 1);
      cr_expect_eq(n.infinities, 2 + already, "%s", vc_dtype_name(floats[f]));
      cr_expect_eq(n.overflows, infinite);
      cr_expect_eq(n.overflows, floats[t] == VC_F16 && floats[f] != VC_F16 ? floats[f] == VC_BF16 ? 3 : 1 : 0,
                   "%s to %s", vc_dtype_name(floats[f]), vc_dtype_name(floats[t]));
    }
}

// A double that no float holds overflows in F32 too; integers have nothing to count.
Test(convert_values, doubles_overflow_and_integers_do_not) {
  double large[3] = {1e39, -1e300, 1e38};
  int64_t whole[2] = {INT64_MAX, -1};
  float out[3];
  vc_convert_count n = {0, 0, 0};
  vc_convert_values(out, VC_F32, large, VC_F64, 3, &n);
  cr_expect_eq(n.overflows, 2);
  cr_expect(isinf(out[0]) && isinf(out[1]) && !isinf(out[2]));
  n = (vc_convert_count){0, 0, 0};
  vc_convert_values(NULL, VC_I64, whole, VC_I64, 2, &n);
  cr_expect(!n.nans && !n.infinities && !n.overflows);
}

// ---- dtypes, prefixes, parts

static void write_tensors(const char *path, const vc_named_tensor *list, int count) {
  vc_error error;
  vc_metadata_entry note = {(char *)(uintptr_t) "note", (char *)(uintptr_t) "kept \"as it is\""};
  cr_assert_eq(vc_safetensors_write(path, list, count, &note, 1, &error), VC_OK, "%s", error.message);
}

static vc_named_tensor named(const char *name, vc_dtype dtype, int64_t count, void *data) {
  return (vc_named_tensor){(char *)(uintptr_t)name, {.dtype = dtype, .rank = 1, .dim = {count}, .data = data}};
}

static void write_overflowing(void) {
  float good[3] = {1, 2, 3}, large[4] = {1e6F, 1, -1e9F, INFINITY}, nan[2] = {NAN, 0};
  vc_named_tensor list[] = {named("good", VC_F32, 3, good), named("large", VC_F32, 4, large),
                            named("nan", VC_F32, 2, nan)};
  write_tensors("in.safetensors", list, 3);
}

Test(convert, overflow_is_reported_and_an_error_unless_allowed, .init = enter, .fini = program_leave) {
  write_overflowing();
  program_expect("convert in.safetensors -o out.safetensors --dtype f16", 1,
                 "2 values in 1 tensor is too large for F16, the first tensor is \"large\" (2)");
  cr_expect(strstr(program_run("convert in.safetensors -o out.safetensors --dtype f16")->out,
                   "large: 0 NaN, 1 infinite, 2 too large for F16"));
  cr_expect_eq(program_files(), 1);
  const program_result *r =
      program_run("convert in.safetensors -o out.safetensors --dtype f16 --allow-overflow --json");
  cr_assert_eq(r->exit_status, 0, "%s", r->err);
  cJSON *json = cJSON_Parse(r->out);
  const cJSON *odd = cJSON_GetObjectItem(json, "not_finite");
  cr_expect_eq(cJSON_GetArraySize(odd), 2);
  const cJSON *first = cJSON_GetArrayItem(odd, 0);
  cr_expect_str_eq(cJSON_GetObjectItem(first, "tensor")->valuestring, "large");
  cr_expect_eq(cJSON_GetObjectItem(first, "overflow")->valueint, 2);
  cr_expect_eq(cJSON_GetObjectItem(cJSON_GetArrayItem(odd, 1), "nan")->valueint, 1);
  cJSON_Delete(json);
  vc_tensor_file file = open_file("out.safetensors");
  float back[4];
  vc_to_float(back, vc_tensor_file_find(&file, "large")->data, VC_F16, 4);
  cr_expect(isinf(back[0]) && back[1] == 1 && isinf(back[2]) && back[2] < 0);
  vc_tensor_file_close(&file);
  cr_expect_eq(program_run("convert in.safetensors -o bf.safetensors --dtype bf16")->exit_status, 0);
}

Test(convert, only_floats_change_their_dtype, .init = enter, .fini = program_leave) {
  static const char *const names[] = {"f32", "f16", "bf16"};
  for (int i = 0; i < 3; i++) {
    const program_result *r = program_runf("convert %s/plain_zip.pth -o out.safetensors --dtype %s", samples, names[i]);
    cr_assert_eq(r->exit_status, 0, "%s", r->err);
    char twin_path[4200];
    snprintf(twin_path, sizeof twin_path, "%s/plain.safetensors", samples);
    vc_tensor_file file = open_file("out.safetensors"), twin = open_file(twin_path);
    for (int t = 0; t < twin.count; t++) {
      vc_dtype was = twin.tensor[t].tensor.dtype, is = file.tensor[t].tensor.dtype;
      bool real = was == VC_F32 || was == VC_F16 || was == VC_BF16 || was == VC_F64;
      cr_expect_eq(is, real ? floats[i] : was, "%s", twin.tensor[t].name);
      cr_expect_eq(((uintptr_t)file.tensor[t].tensor.data) % vc_dtype_size(is), 0, "%s is aligned",
                   twin.tensor[t].name);
    }
    vc_tensor_file_close(&file);
    vc_tensor_file_close(&twin);
  }
}

Test(convert, a_prefix_selects_and_goes_away, .init = enter, .fini = program_leave) {
  char arguments[4300];
  cr_assert_eq(program_runf("convert %s/zip64.pth -o out.safetensors --prefix module.1.", samples)->exit_status, 0);
  vc_tensor_file file = open_file("out.safetensors");
  cr_expect_eq(file.count, 5);
  cr_expect(vc_tensor_file_find(&file, "running_mean"));
  vc_tensor_file_close(&file);
  snprintf(arguments, sizeof arguments, "convert %s/zip64.pth -o none.safetensors --prefix visual.", samples);
  program_expect(arguments, 1, "none of its 9 tensors begins with \"visual.\"; the first is \"module.0.bias\"");
  cr_expect(!program_exists("none.safetensors"));
}

// A tensor for each file: 1000 floats are more than the 3000 bytes asked for.
static void write_parts_source(void) {
  float *data = calloc(1000, sizeof *data);
  for (int i = 0; i < 1000; i++) data[i] = (float)i;
  vc_named_tensor list[] = {named("a", VC_F32, 1000, data), named("b", VC_F32, 500, data),
                            named("c", VC_F32, 200, data), named("d", VC_F32, 100, data), named("e", VC_U8, 100, data)};
  write_tensors("in.safetensors", list, 5);
  free(data);
}

Test(convert, parts_hold_what_fits_and_are_read_back_as_one, .init = enter, .fini = program_leave) {
  write_parts_source();
  const program_result *r = program_run("convert in.safetensors -o w.safetensors --shard-size 3000 --checksum");
  cr_assert_eq(r->exit_status, 0, "%s", r->err);
  cr_expect(program_exists("w-00001-of-00003.safetensors") && program_exists("w-00003-of-00003.safetensors"));
  cr_expect(!program_exists("w.safetensors") && program_exists("w.safetensors.index.json"));
  vc_tensor_file whole = open_file("in.safetensors"), parts = open_file("w.safetensors.index.json");
  expect_same_tensors(&parts, &whole);
  cr_expect_str_eq(vc_tensor_file_kind(&parts), "index of 3 parts");
  for (int i = 0; i < parts.count; i++) {  // pages of parts can be announced and dropped too
    vc_tensor_file_drop_pages(&parts, &parts.tensor[i].tensor);
    vc_tensor_file_will_need(&parts, &parts.tensor[i].tensor);
  }
  expect_same_tensors(&parts, &whole);
  cr_expect_eq(program_run("convert w.safetensors.index.json -o one.safetensors --shard-size 1G")->exit_status, 0);
  vc_tensor_file one = open_file("one.safetensors");
  expect_same_tensors(&one, &whole);
  cr_expect_eq(program_run("inspect --check w-00002-of-00003.safetensors")->exit_status, 0);
  vc_tensor_file_close(&one);
  vc_tensor_file_close(&whole);
  vc_tensor_file_close(&parts);
}

static const struct {
  const char *find, *replace, *message;
} indexes[] = {
    {"\"weight_map\"", "\"map\"", "without a \"weight_map\""},
    {"\"a\"", "\"z\"", "tensor \"z\" is not in"},
    {"w-00001-of-00003.safetensors", "../in.safetensors", "must be in a file beside the index"},
    {"w-00001-of-00003.safetensors", ".hidden", "must be in a file beside the index"},
    {"w-00001-of-00003.safetensors", "w.safetensors.index.json", "is neither a safetensors file"},
    {"w-00001-of-00003.safetensors", "gone.safetensors", "cannot be opened"},
    {"w-00001-of-00003.safetensors", "in.safetensors", "holds 5 tensors, and the index has 1"},
    {"\"w-00001-of-00003.safetensors\"", "3", "must be in a file beside the index"},
    {"}", "", "begins like JSON"},
};

Test(convert, damaged_indexes_are_refused, .init = enter, .fini = program_leave) {
  write_parts_source();
  cr_assert_eq(program_run("convert in.safetensors -o w.safetensors --shard-size 3000")->exit_status, 0);
  char text[4096];
  FILE *in = fopen("w.safetensors.index.json", "r");
  text[fread(text, 1, sizeof text - 1, in)] = 0;
  fclose(in);
  for (size_t i = 0; i < sizeof indexes / sizeof *indexes; i++) {
    const char *at = strstr(text, indexes[i].find);
    vc_tensor_file file;
    vc_error error = {""};
    cr_assert(at, "case %zu", i);
    FILE *out = fopen("w.safetensors.index.json", "w");
    fprintf(out, "%.*s%s%s", (int)(at - text), text, indexes[i].replace, at + strlen(indexes[i].find));
    fclose(out);
    cr_expect_eq(vc_tensor_file_open(&file, "w.safetensors.index.json", &error), VC_FAILED, "case %zu", i);
    cr_expect(strstr(error.message, indexes[i].message), "case %zu: \"%s\"", i, error.message);
  }
}

Test(convert, metadata_is_kept_and_the_checksum_is_checked, .init = enter, .fini = program_leave) {
  write_parts_source();
  cr_assert_eq(program_run("convert in.safetensors -o out.safetensors --checksum")->exit_status, 0);
  vc_tensor_file file = open_file("out.safetensors");
  cr_expect_str_eq(vc_tensor_file_metadata(&file, "note"), "kept \"as it is\"");
  cr_expect_null(vc_tensor_file_metadata(&file, "format"));
  cr_expect_eq(strlen(vc_tensor_file_metadata(&file, VC_CHECKSUM_KEY)), 8);
  vc_tensor_file_close(&file);
  cr_expect_eq(program_run("inspect --check out.safetensors")->exit_status, 0);
  program_expect("inspect --check in.safetensors", 1, "has no checksum");
  // Converting again leaves no stale checksum, and a damaged byte is found.
  cr_assert_eq(program_run("convert out.safetensors -o again.safetensors --dtype bf16")->exit_status, 0);
  file = open_file("again.safetensors");
  cr_expect_null(vc_tensor_file_metadata(&file, VC_CHECKSUM_KEY));
  vc_tensor_file_close(&file);
  FILE *damaged = fopen("out.safetensors", "r+");
  fseek(damaged, -50, SEEK_END);
  fputc(77, damaged);
  fclose(damaged);
  program_expect("inspect --check out.safetensors", 1, "the file is damaged");
  char arguments[4300];
  snprintf(arguments, sizeof arguments, "inspect --check %s/plain_zip.pth", samples);
  program_expect(arguments, 0, NULL);
  snprintf(arguments, sizeof arguments, "inspect --check %s/plain_legacy.pth", samples);
  program_expect(arguments, 1, "has no checksum");
}

// ---- large files, little memory, interrupts, full disks

enum { LARGE_MIB = 640 };

// One tensor of many pages that take no room on the disk.
static void write_large(void) {
  char header[256];
  int length =
      snprintf(header, sizeof header, "{\"w\":{\"dtype\":\"F32\",\"shape\":[%d,262144],\"data_offsets\":[0,%lld]}}",
               LARGE_MIB, (long long)LARGE_MIB << 20);
  unsigned char size[8] = {(unsigned char)length};
  FILE *file = fopen("large.safetensors", "w");
  fwrite(size, 1, 8, file);
  fwrite(header, 1, (size_t)length, file);
  fflush(file);
  cr_assert(!ftruncate(fileno(file), 8 + length + ((off_t)LARGE_MIB << 20)));
  fclose(file);
}

Test(convert, memory_does_not_grow_with_the_file, .init = enter, .fini = program_leave, .timeout = 300) {
  struct rusage usage;
  write_large();
  static const char *const dtypes[] = {"keep", "f16"};
  for (int i = 0; i < 2; i++) {
    const program_result *r = program_runf("convert large.safetensors -o out.safetensors --dtype %s", dtypes[i]);
    cr_assert_eq(r->exit_status, 0, "%s", r->err);
    cr_assert(!getrusage(RUSAGE_CHILDREN, &usage));
    cr_expect_lt(usage.ru_maxrss, 300 * 1024, "%s: %ld KiB", dtypes[i], usage.ru_maxrss);
  }
}

Test(convert, an_interrupt_leaves_nothing, .init = enter, .fini = program_leave, .timeout = 300) {
  write_large();
  static const int signals[] = {SIGINT, SIGTERM};
  for (int i = 0; i < 2; i++) {
    int status = 0, waited = 0;
    pid_t pid = program_start("convert large.safetensors -o out.safetensors --dtype f16");
    // Until the file beside the output is there.
    while (program_files() < 2 && waited++ < 5000 && !waitpid(pid, &status, WNOHANG)) usleep(1000);
    kill(pid, signals[i]);
    cr_assert_eq(waitpid(pid, &status, 0), pid, "it ended before it could be interrupted");
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    cr_expect_eq(program_files(), 1);
  }
}

Test(convert, a_full_disk_leaves_nothing, .init = enter, .fini = program_leave, .timeout = 300) {
  write_large();
  // A limit on the size of files fails writes as a full disk does.
  struct rlimit limit, old;
  cr_assert(!getrlimit(RLIMIT_FSIZE, &old));
  limit = old;
  limit.rlim_cur = 8 << 20;
  signal(SIGXFSZ, SIG_IGN);
  cr_assert(!setrlimit(RLIMIT_FSIZE, &limit));
  program_expect("convert large.safetensors -o out.safetensors --dtype f16", 1, "out.safetensors: cannot be written");
  program_expect("convert large.safetensors -o out.safetensors --shard-size 1M", 1, "cannot be written");
  cr_assert(!setrlimit(RLIMIT_FSIZE, &old));
  cr_expect_eq(program_files(), 1);
}

// ---- checkpoints written by ourselves

static vc_status provide(void *opaque, int index, const void **data, vc_error *error) {
  const vc_named_tensor *list = opaque;
  (void)error;
  *data = list[index].tensor.data;
  return VC_OK;
}

Test(checkpoint_write, every_dtype_and_shape_is_read_back, .init = enter, .fini = program_leave) {
  char path[4200];
  snprintf(path, sizeof path, "%s/plain.safetensors", samples);
  vc_tensor_file source = open_file(path);
  static const char *const outer[] = {NULL, "state_dict"};
  for (int i = 0; i < 2; i++) {
    vc_error error = {""};
    cr_assert_eq(vc_checkpoint_write_streaming("made.pth", outer[i], source.tensor, source.count, provide,
                                               source.tensor, &error),
                 VC_OK, "%s", error.message);
    vc_tensor_file file = open_file("made.pth");
    cr_expect_str_eq(vc_tensor_file_kind(&file), "PyTorch checkpoint (zip)");
    expect_same_tensors(&file, &source);
    for (int t = 0; t < file.count; t++)
      cr_expect(((uintptr_t)file.tensor[t].tensor.data) % 64 == 0 || !vc_tensor_count(&file.tensor[t].tensor));
    vc_tensor_file_close(&file);
    program_expect("inspect --check made.pth", 0, NULL);
  }
  vc_tensor_file_close(&source);
}

static vc_status provide_two(void *opaque, int index, const void **data, vc_error *error) {
  if (index == 2) return vc_fail(error, VC_INTERRUPTED, "interrupted");
  return provide(opaque, index, data, error);
}

Test(checkpoint_write, failures_leave_no_file, .init = enter, .fini = program_leave) {
  float data[4] = {1, 2, 3, 4};
  vc_named_tensor list[] = {named("a", VC_F32, 4, data), named("b", VC_F32, 4, data), named("c", VC_F32, 4, data)};
  vc_error error = {""};
  cr_expect_eq(vc_checkpoint_write_streaming("made.pth", NULL, list, 3, provide_two, list, &error), VC_INTERRUPTED);
  list[1].name = (char *)(uintptr_t) "\xff";
  cr_expect_eq(vc_checkpoint_write_streaming("made.pth", NULL, list, 3, provide, list, &error), VC_INVALID);
  list[1].name = (char *)(uintptr_t) "b";
  list[1].tensor.dim[0] = -4;
  cr_expect_eq(vc_checkpoint_write_streaming("made.pth", NULL, list, 3, provide, list, &error), VC_INVALID);
  list[1].tensor.dim[0] = 4;
  cr_expect_eq(vc_checkpoint_write_streaming("none/made.pth", NULL, list, 3, provide, list, &error), VC_FAILED);
  cr_expect_eq(program_files(), 0);
  cr_expect_eq(vc_checkpoint_write_streaming("made.pth", NULL, list, 3, provide, list, &error), VC_OK, "%s",
               error.message);
}
