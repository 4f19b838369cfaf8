// An op and its shape as one line of text, and back:
//
//   linear rows=32768 c=320 c_out=1280 bias activation=geglu
//   conv n=2 f=16 h=32 w=32 c=640+320 c_out=320 kernel=1x3x3 pad=0x1x1 bias residual
//   attention outer=2 inner=16 queries=1024 keys=78 heads=5 head_dim=64 k=0/0/640 v=0/0/640
//
// A word is the name of a member of the op's struct in kernels/ops.h; members that are 0 (strides, dilations, groups,
// upsample: 1) or that follow from the others are left out. What is merely there or not is a word alone.
#ifndef VC_BENCH_OP_TEXT_H
#define VC_BENCH_OP_TEXT_H

#include "engine/plan.h"

enum { VC_OP_TEXT_MAX = 256 };

// What stands for an operand that is there, as long as it has no memory: pointers in the arguments are this or NULL.
extern const char vc_op_present[1];

// Two ops with the same text do the same work.
void vc_op_text(vc_op_kind kind, const vc_op_arguments *arguments, char text[VC_OP_TEXT_MAX]);

// VC_INVALID names the word that is not understood. Sizes are not checked: the backend's prepare() does that.
vc_status vc_op_parse(const char *text, vc_op_kind *kind, vc_op_arguments *arguments, vc_error *error);

#endif
