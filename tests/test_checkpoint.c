// PyTorch checkpoints: the samples of torch.save against their twins, damaged, and beside other files.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loaders/checkpoint.h"

#define SAMPLES "tests/data/checkpoints/"

static const struct {
  const char *file, *twin;
} samples[] = {
    {"plain_zip.pth", "plain"},           {"plain_legacy.pth", "plain"},
    {"views_zip.pth", "views"},           {"views_legacy.pth", "views"},
    {"module_zip.pth", "module"},         {"module_legacy.pth", "module"},
    {"nested_zip.pth", "nested"},         {"nested_legacy.pth", "nested"},
    {"lightning_zip.pth", "lightning"},   {"lightning_legacy.pth", "lightning"},
    {"parameters_zip.pth", "parameters"}, {"parameters_legacy.pth", "parameters"},
    {"archive_zip.pth", "archive_zip"},   {"protocol4_zip.pth", "protocol4_zip"},
    {"cuda_zip.pth", "cuda_zip"},         {"protocol4_legacy.pth", "protocol4_legacy"},
    {"cuda_legacy.pth", "cuda_legacy"},   {"zip64.pth", "zip64"},
};

Test(checkpoint, samples_equal_their_twins) {
  for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
    char path[128], twin_path[128];
    vc_tensor_file file, twin;
    vc_error error = {{0}};
    snprintf(path, sizeof path, SAMPLES "%s", samples[i].file);
    snprintf(twin_path, sizeof twin_path, SAMPLES "%s.safetensors", samples[i].twin);
    cr_assert_eq(vc_tensor_file_open(&file, path, &error), VC_OK, "%s", error.message);
    cr_assert_eq(vc_tensor_file_open(&twin, twin_path, &error), VC_OK, "%s", error.message);
    cr_assert(file.count == twin.count && twin.count > 0, "%s: %d tensors, not %d", path, file.count, twin.count);
    for (int t = 0; t < twin.count; t++) {
      const vc_tensor *a = &file.tensor[t].tensor, *b = &twin.tensor[t].tensor;
      cr_expect_str_eq(file.tensor[t].name, twin.tensor[t].name);
      cr_assert(a->dtype == b->dtype && a->rank == b->rank, "%s: %s", path, twin.tensor[t].name);
      cr_expect_arr_eq(a->dim, b->dim, sizeof a->dim);
      cr_expect(!memcmp(a->data, b->data, vc_tensor_bytes(b)), "%s: %s differs", path, twin.tensor[t].name);
      vc_tensor_file_drop_pages(&file, a);
    }
    vc_tensor_file_close(&file);
    vc_tensor_file_close(&twin);
  }
}

static const struct {
  const char *file, *message;
} bad_samples[] = {
    {"bad_empty.pth", "is empty"},
    {"bad_text.pth", "Git LFS"},
    {"bad_truncated_zip.pth", "cut short"},
    {"bad_truncated_legacy.pth", "cut short"},
    {"bad_global_zip.pth", "wants to call posix.system"},
    {"bad_global_legacy.pth", "wants to call posix.system"},
    {"bad_stride_zip.pth", "tensor \"base\" of shape [70, 8] reaches beyond"},
};

Test(checkpoint, bad_samples_are_refused) {
  for (size_t i = 0; i < sizeof bad_samples / sizeof *bad_samples; i++) {
    char path[128];
    vc_tensor_file file;
    vc_error error = {{0}};
    snprintf(path, sizeof path, SAMPLES "%s", bad_samples[i].file);
    cr_expect_eq(vc_tensor_file_open(&file, path, &error), VC_FAILED, "%s", path);
    cr_expect(strstr(error.message, bad_samples[i].message), "said \"%s\"", error.message);
    cr_expect(!strncmp(error.message, path, strlen(path)) && !strchr(error.message, '\n') && !file.internal);
    cr_expect_eq(vc_checkpoint_open(&file, path, NULL), VC_FAILED, "%s", path);
  }
}

static unsigned char *load(const char *name, size_t *size) {
  char path[128];
  snprintf(path, sizeof path, SAMPLES "%s", name);
  FILE *file = fopen(path, "rb");
  cr_assert_not_null(file, "%s: run from the repository's root", path);
  unsigned char *data = malloc(1 << 16);
  *size = fread(data, 1, 1 << 16, file);
  fclose(file);
  return data;
}

static const char *const damaged[] = {"parameters_zip.pth", "parameters_legacy.pth", "protocol4_legacy.pth",
                                      "views_legacy.pth", "zip64.pth"};

Test(checkpoint, every_truncation_is_refused) {
  for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
    size_t size;
    unsigned char *whole = load(damaged[i], &size);
    for (size_t length = 0; length < size; length++) {
      unsigned char *part = malloc(length + !length);
      memcpy(part, whole, length);
      vc_tensor_file file;
      cr_expect_eq(vc_tensor_file_open_memory(&file, "x", part, length, NULL), VC_FAILED, "%s: %zu bytes", damaged[i],
                   length);
      free(part);
    }
    free(whole);
  }
}

// Any one damaged bit (two of each byte are tried) is refused or gives tensors whose every byte can be read.
Test(checkpoint, every_changed_bit_is_survived) {
  for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
    size_t size, sum = 0;
    unsigned char *whole = load(damaged[i], &size);
    for (size_t at = 0; at < size; at++)
      for (size_t bit = at % 4; bit < 8; bit += 4) {
        vc_tensor_file file;
        whole[at] ^= (unsigned char)(1 << bit);
        if (vc_tensor_file_open_memory(&file, "x", whole, size, NULL) == VC_OK) {
          for (int t = 0; t < file.count; t++)
            for (size_t b = 0; b < vc_tensor_bytes(&file.tensor[t].tensor); b++)
              sum += ((const unsigned char *)file.tensor[t].tensor.data)[b];
          vc_tensor_file_close(&file);
        }
        whole[at] ^= (unsigned char)(1 << bit);
      }
    cr_expect_gt(sum, 0, "%s", damaged[i]);
    free(whole);
  }
}

static const struct {
  const char *text, *message;
} others[] = {
    {"<!DOCTYPE html>", "web page"},
    {"\x80\2}q.", "no checkpoint"},
    {"\x93NUMPY\x01", "NumPy array"},
    {"GGUF", "GGUF"},
    {"hello, this is some text", "neither"},
    {"PK\3\4", "cut short"},
    {"x", "neither"},
};

Test(checkpoint, other_files_are_named) {
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    vc_tensor_file file;
    vc_error error = {{0}};
    cr_expect_eq(vc_tensor_file_open_memory(&file, "x", others[i].text, strlen(others[i].text), &error), VC_FAILED);
    cr_expect(strstr(error.message, others[i].message), "%s: said \"%s\"", others[i].text, error.message);
  }
  char tar[512] = "sys_info";
  memcpy(tar + 257, "ustar", 5);
  vc_tensor_file file;
  vc_error error;
  cr_expect_eq(vc_tensor_file_open_memory(&file, "x", tar, sizeof tar, &error), VC_FAILED);
  cr_expect(strstr(error.message, "tar archive"), "said \"%s\"", error.message);
  cr_expect_eq(vc_checkpoint_open_memory(&file, "x", tar, sizeof tar, &error), VC_FAILED);
}

// The older format and the 64-bit directory, with one thing changed.
static const struct {
  const char *file, *find, *replace;
  size_t size;
  const char *message;
} changes[] = {
    {"plain_legacy.pth", "little_endianq\2\x88", "little_endianq\2\x89", 16, "little-endian"},
    {"plain_legacy.pth", "\x80\2M\xe9\3.", "\x80\2M\xe8\3.", 6, "version 1001"},
    {"parameters_legacy.pth", "\x0f\0\0\0\0\0\0\0", "\x0e\0\0\0\0\0\0\0", 8, "has 14 elements"},
    {"zip64.pth", "PK\6\7\0\0\0\0", "PK\6\7\0\0\0\0\xff", 9, "zip64 end record"},
    {"zip64.pth", "PK\6\7", "PK\6\x08", 4, "zip entries"},
    {"zip64.pth", "PK\6\6", "PK\6\5", 4, "zip64 end record"},
};

Test(checkpoint, changed_samples_are_refused) {
  for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
    size_t size;
    unsigned char *data = load(changes[i].file, &size);
    size_t length = changes[i].size - (changes[i].replace[changes[i].size - 1] == '\xff');
    unsigned char *at = memmem(data, size, changes[i].find, length);
    vc_tensor_file file;
    vc_error error = {{0}};
    cr_assert_not_null(at, "case %zu", i);
    memcpy(at, changes[i].replace, changes[i].size);
    cr_expect_eq(vc_tensor_file_open_memory(&file, "x", data, size, &error), VC_FAILED, "case %zu", i);
    cr_expect(strstr(error.message, changes[i].message), "case %zu: said \"%s\"", i, error.message);
    free(data);
  }
}

Test(checkpoint, bytes_behind_the_last_storage_are_refused) {
  size_t size;
  unsigned char *data = load("plain_legacy.pth", &size);
  vc_tensor_file file;
  vc_error error;
  data[size] = 0;
  cr_expect_eq(vc_tensor_file_open_memory(&file, "x", data, size + 1, &error), VC_FAILED);
  cr_expect(strstr(error.message, "1 bytes behind its last storage"), "said \"%s\"", error.message);
  free(data);
}
