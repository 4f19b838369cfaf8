// The stack machine behind pickle.c: values, stack, marks and memo. For pickle.c only.
#ifndef VC_LOADERS_PICKLE_STACK_H
#define VC_LOADERS_PICKLE_STACK_H

#include "loaders/pickle.h"

enum { VC_PICKLE_CHUNK = 512 };

// Values are never freed one by one: they live in chunks until the pickle is closed.
typedef struct vc_pickle_chunk {
  struct vc_pickle_chunk *next;
  size_t used;
  vc_pickle_value value[VC_PICKLE_CHUNK];
} vc_pickle_chunk;

typedef struct vc_pickle_list {
  vc_pickle_value **item;
  size_t count, capacity;
} vc_pickle_list;

typedef struct vc_pickle_machine {
  const char *name;
  const unsigned char *data;
  size_t size, at, opcode_at;
  const vc_pickle_name *calls;
  vc_pickle_chunk *chunks;
  vc_pickle_list stack, memo, persistent;
  size_t *mark;  // heights of the stack
  size_t marks, mark_capacity;
  size_t memoized;  // memo slots in use
  size_t copied;    // items copied from one container to another
  vc_error *error;
} vc_pickle_machine;

#define VC_PICKLE_FAIL(vm, ...)                                                                                 \
  vc_fail_in((vm)->error, vc_fail((vm)->error, VC_FAILED, __VA_ARGS__), "%s: its pickle, byte %zu", (vm)->name, \
             (vm)->opcode_at)

vc_status vc_pickle_no_memory(const vc_pickle_machine *vm);

// NULL when there is no memory, which vc_pickle_push reports.
vc_pickle_value *vc_pickle_new(vc_pickle_machine *vm, vc_pickle_kind kind);
vc_status vc_pickle_push(vc_pickle_machine *vm, vc_pickle_value *value);

// VC_FAILED unless `count` values lie above the topmost mark. The two below rely on it.
vc_status vc_pickle_need(const vc_pickle_machine *vm, size_t count);
vc_pickle_value *vc_pickle_top(const vc_pickle_machine *vm);
vc_status vc_pickle_drop(vc_pickle_machine *vm);  // the topmost value, or mark when there is no value above it

vc_status vc_pickle_push_mark(vc_pickle_machine *vm);

// Removes the topmost mark and the values above it, which stay readable at *item until the next push.
vc_status vc_pickle_pop_mark(vc_pickle_machine *vm, vc_pickle_value ***item, size_t *count);

vc_status vc_pickle_append(vc_pickle_machine *vm, vc_pickle_value *to, vc_pickle_value *const *item, size_t count);

// A new value of the given items, which may lie where the stack was: they are copied before the push.
vc_status vc_pickle_push_items(vc_pickle_machine *vm, vc_pickle_kind kind, vc_pickle_value *const *item, size_t count);

// Replaces the topmost `count` values by one that holds them.
vc_status vc_pickle_wrap(vc_pickle_machine *vm, vc_pickle_kind kind, size_t count);

vc_status vc_pickle_put(vc_pickle_machine *vm, uint64_t index);
vc_status vc_pickle_get_memo(vc_pickle_machine *vm, uint64_t index);

// Wraps the topmost value as PERSISTENT and lists it.
vc_status vc_pickle_persist(vc_pickle_machine *vm);

// Frees what is only needed while running, and what the values hold.
void vc_pickle_free_machine(vc_pickle_machine *vm);
void vc_pickle_free_values(vc_pickle_chunk *chunks);

#endif
