// What `convert` is asked for and what it finds: the reading of values, and the writing of files.
#ifndef VC_CLI_CONVERT_H
#define VC_CLI_CONVERT_H

#include "cli/progress.h"
#include "loaders/tensor_file.h"

#define VC_CHECKSUM_KEY "data_crc32"  // metadata: CRC-32 of the data behind a file's header, 8 hexadecimal digits

// Values that a tensor should not have, or could not keep.
typedef struct vc_convert_count {
  size_t nans, infinities;  // in the source
  size_t overflows;         // finite values that became infinite
} vc_convert_count;

typedef struct vc_convert_item {
  const vc_tensor *source;
  char *name;      // in the output; points into the source's
  vc_dtype dtype;  // in the output
  vc_convert_count count;
} vc_convert_item;

typedef struct vc_convert_file {
  char *path;
  int first, count;  // its items
  uint64_t bytes;    // of data
  uint32_t crc;      // of them
} vc_convert_file;

typedef struct vc_convert {
  const vc_tensor_file *source;
  const char *output;
  uint64_t part_size;  // of data in a file at most, one tensor more apart; 0: all in one
  bool allow_overflow;
  bool checksum;  // also into the metadata
  int items, files;
  vc_convert_item *item;  // in the order of the output
  vc_convert_file *file;
  char *index;  // path of the index, NULL when there is one file
} vc_convert;

// Lists the tensors whose names begin with `prefix`, without it, floating-point ones as `dtype` (VC_DTYPE_COUNT: each
// as it is): wider elements first, so that all are aligned, then as they lie in the source; and divides them into
// files. VC_FAILED when there are none. On failure *out needs vc_convert_free too.
vc_status vc_convert_plan(vc_convert *out, const vc_tensor_file *source, const char *output, const char *prefix,
                          vc_dtype dtype, uint64_t part_size, vc_error *error);
void vc_convert_free(vc_convert *convert);

// Writes all files, or none when anything fails. Memory does not grow with the tensors: values are taken in pieces, and
// the pages of the source are given back.
vc_status vc_convert_write(vc_convert *convert, vc_progress *progress, vc_error *error);

// `count` values to another dtype, or to the same. `out` may be NULL: only counted.
void vc_convert_values(void *out, vc_dtype to, const void *in, vc_dtype from, size_t count, vc_convert_count *found);

#endif
