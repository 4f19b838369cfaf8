// Python's pickle format, read as data: values come out, nothing is ever executed.
//
// A pickle is a program for a small stack machine, whose calls (opcode REDUCE and its like) can run anything in Python.
// Here a call is recorded as a value of its own, {callee, arguments}, and only for callees that the caller lists; any
// other is an error that names it. A class that is merely mentioned is a value too and harmless.
//
// Format: Python's Lib/pickletools.py; protocols 2 to 5 without out-of-band buffers, and of the opcodes of protocols 0
// and 1 only the binary ones, which are those that the later protocols still use.
#ifndef VC_LOADERS_PICKLE_H
#define VC_LOADERS_PICKLE_H

#include <stdint.h>

#include "engine/status.h"

typedef enum vc_pickle_kind {
  VC_PICKLE_NONE,
  VC_PICKLE_BOOL,        // integer
  VC_PICKLE_INT,         // integer
  VC_PICKLE_LONG,        // text: an integer of more than 64 bits, two's complement, little-endian
  VC_PICKLE_FLOAT,       // number
  VC_PICKLE_TEXT,        // text: str of either Python, not checked to be UTF-8
  VC_PICKLE_BYTES,       // text: bytes or bytearray
  VC_PICKLE_TUPLE,       // item
  VC_PICKLE_LIST,        // item
  VC_PICKLE_SET,         // item
  VC_PICKLE_DICT,        // item: key, value, key, value, ...; of equal keys the last counts
  VC_PICKLE_GLOBAL,      // item: module and name, both TEXT
  VC_PICKLE_CALL,        // item: the GLOBAL called and the TUPLE of its arguments
  VC_PICKLE_PERSISTENT,  // item: the id of something outside the pickle
} vc_pickle_kind;

// Values may be shared and may contain themselves: walk them with a bound.
typedef struct vc_pickle_value vc_pickle_value;
struct vc_pickle_value {
  vc_pickle_kind kind;
  uint32_t count;  // of bytes or items
  union {
    int64_t integer;
    double number;
    const char *text;  // in the pickle's own bytes, without terminator
    vc_pickle_value **item;
  };
};

typedef struct vc_pickle_name {
  const char *module, *name;
} vc_pickle_name;

typedef struct vc_pickle {
  const vc_pickle_value *root;
  const vc_pickle_value *const *persistent;  // every PERSISTENT of the pickle, in order
  size_t persistent_count;
  size_t used;  // bytes that the pickle took
  void *internal;
} vc_pickle;

enum { VC_PICKLE_MAX = 16 << 20 };  // bytes; that of a model with thousands of tensors has less than one million

// Reads one pickle from the beginning of `data`, which must outlive it; bytes behind it are not looked at. `calls` ends
// with a zeroed entry. OrderedDict and defaultdict of `collections` need not be listed, and give a DICT. Memory is
// bounded by some 64 times the size of the pickle, time is proportional to it, depth costs no stack. VC_FAILED names
// `name`, the byte and what is wrong. On failure *out is zeroed and needs no closing.
vc_status vc_pickle_read(vc_pickle *out, const char *name, const void *data, size_t size, const vc_pickle_name *calls,
                         vc_error *error);

void vc_pickle_close(vc_pickle *pickle);

bool vc_pickle_is_text(const vc_pickle_value *value, const char *text);
bool vc_pickle_is_global(const vc_pickle_value *value, const char *module, const char *name);

// The value of a key that is TEXT; NULL when there is none. `dict` must be a DICT.
const vc_pickle_value *vc_pickle_get(const vc_pickle_value *dict, const char *key);

#endif
