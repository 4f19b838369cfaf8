// What memory an op's arguments name: the one place that knows the pointers of every argument struct.
#ifndef VC_TESTS_OP_BUFFERS_H
#define VC_TESTS_OP_BUFFERS_H

#include "kernels/ops.h"

typedef enum op_element {
  OP_ACTIVATION,  // the op's dtype
  OP_FLOAT,
  OP_INT,
  OP_PACKED,  // a parameter in the backend's own layout; its count is 0
} op_element;

// A pointer member that is not NULL, or that the op writes through. Strided tensors are listed from their first to
// their last element, with what lies between.
typedef struct op_buffer {
  size_t at;  // offsetof the pointer in the argument struct
  op_element element;
  size_t count;
  bool in, out;
} op_buffer;

enum { OP_BUFFERS_MAX = 16 };

// Returns how many there are. Step counters are read through the arguments, which must be in the host's memory.
int op_buffers(vc_op_kind kind, const void *op, op_buffer *out);

// Where the argument struct has its workspace; 0: the op takes none.
size_t op_workspace_at(vc_op_kind kind);

// Of an argument struct, in bytes.
size_t op_size(vc_op_kind kind);

void *op_pointer(const void *op, size_t at);
void op_set_pointer(void *op, size_t at, const void *pointer);

#endif
