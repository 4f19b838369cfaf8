// Inside of the CPU backend: the device with its threads, the shared pieces of its ops, and the ops themselves.
#ifndef VC_KERNELS_CPU_CPU_H
#define VC_KERNELS_CPU_CPU_H

#include "kernels/cpu/vector.h"
#include "kernels/op_checks.h"
#include "kernels/ops.h"

enum {
  VC_CPU_ALIGNMENT = 256,
  VC_CPU_SCRATCH = 4 << 20,  // bytes that a thread has for itself, 256-byte aligned
};

// Does item `item` of a job. Must write nothing that another item of the job touches.
typedef vc_status (*vc_cpu_work)(void *context, int64_t item, void *scratch);

// Runs items 0 .. count - 1, each once, on the threads of the device, which take the next item when they are free. The
// items are the decomposition of an op: they must follow from its shape alone, so that results do not depend on the
// number of threads. Returns when all are done, with the status of one that failed if any did. Allocates nothing.
vc_status vc_cpu_parallel(vc_device *device, int64_t count, vc_cpu_work work, void *context);

void vc_cpu_close(vc_device *device);
vc_status vc_cpu_allocate(vc_device *device, size_t bytes, void **out, vc_error *error);
void vc_cpu_release(vc_device *device, void *memory);

const vc_cpu_vector *vc_cpu_loops(const vc_device *device);

// Threads that work, the caller's included.
int vc_cpu_threads(const vc_device *device);

// The loops for "generic", "avx2", "avx512" or "avx512_bf16" from now on; false when the machine or the build does not
// have them.
bool vc_cpu_use(vc_device *device, const char *name);

// c [m, n] = a [m, k] b [k, n], or added to c; row-major with the given row strides. One thread.
vc_status vc_cpu_product(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
                         bool accumulate, float *c, int64_t ldc);

// How a [rows, columns] result is cut into tiles, one item each: by its shape alone.
typedef struct vc_cpu_tiling {
  int64_t rows, columns;  // of the result
  int64_t tile_rows, tile_columns;
  int64_t row_tiles, column_tiles;
} vc_cpu_tiling;

enum { VC_CPU_TILE_ROWS = 256, VC_CPU_TILE_COLUMNS = 320 };

vc_cpu_tiling vc_cpu_tile(int64_t rows, int64_t columns);

// A tile: rows row .. row + m, columns column .. column + n.
typedef struct vc_cpu_part {
  int64_t row, m, column, n;
} vc_cpu_part;

vc_cpu_part vc_cpu_part_of(const vc_cpu_tiling *tiling, int64_t item);

// Values of k in a slab of inputs: 960 KB at 256 rows in fp32, half of it in bf16. Every slab but the last has as many
// as vc_cpu_slab_k says, an even number where there are several.
enum { VC_CPU_SLAB_K = 960 };
int64_t vc_cpu_slab_k(int64_t k);

// What a thread holds of a product in bf16. Products have the columns of whole blocks of the weight until they are
// settled; x and weight are for machines without instructions.
typedef struct vc_cpu_bf16 {
  float product[VC_CPU_TILE_ROWS * (VC_CPU_TILE_COLUMNS + VC_CPU_BLOCK)];
  float gate[VC_CPU_TILE_ROWS * (VC_CPU_TILE_COLUMNS + VC_CPU_BLOCK)];
  _Alignas(64) uint16_t slab[VC_CPU_TILE_ROWS * VC_CPU_SLAB_K];  // [m, k1 - k0], a zero behind an odd last row
  float x[VC_CPU_TILE_ROWS * VC_CPU_SLAB_K];
  float weight[VC_CPU_SLAB_K * (VC_CPU_TILE_COLUMNS + VC_CPU_BLOCK)];
} vc_cpu_bf16;

// Which part of a product the slab at hand is.
typedef struct vc_cpu_slab {
  const uint16_t *weight;  // packed, of k_all rows
  int64_t m, k0, k1, k_all;
} vc_cpu_slab;

// product = slab times columns column .. column + n of rows k0 .. k1 of the weight; added to it when k0 > 0.
vc_status vc_cpu_product_bf16(const vc_cpu_vector *loops, vc_cpu_bf16 *memory, const vc_cpu_slab *slab, int64_t column,
                              int64_t n, float *product);

// Drops the columns that were not asked for: the product is then a dense [m, n].
void vc_cpu_settle_bf16(float *product, int64_t m, int64_t column, int64_t n);

// Applies the epilogue to the product of a tile (dense [m, n]; for GEGLU the gate has the same shape) and stores it in
// out [.., c_out].
void vc_cpu_epilogue(const vc_cpu_vector *loops, const vc_epilogue *epilogue, const vc_cpu_part *part, int64_t c_out,
                     const float *product, const float *gate, float *out);

// "op linear: no memory ..." for a failure inside vc_cpu_parallel.
vc_status vc_cpu_failed(vc_status status, vc_op_kind kind, vc_error *error);

vc_status vc_cpu_pack_bytes(const vc_pack *pack, size_t *bytes, vc_error *error);
vc_status vc_cpu_pack(vc_device *device, const vc_pack *pack, void *to, vc_error *error);

// Values of a source from number `first` on, as fp32; false when one of them is a NaN or an infinity.
bool vc_cpu_convert(const vc_cpu_vector *loops, float *to, const vc_tensor *source, int64_t first, int64_t count);

// Whether a parameter is kept in bf16: weights of linear layers and of convolutions over more than one channel, when
// the dtype asked for is BF16. Then the bytes that it takes, and the packing itself.
bool vc_cpu_packs_bf16(const vc_pack *pack);
size_t vc_cpu_bf16_bytes(const vc_pack *pack);
vc_status vc_cpu_pack_bf16(vc_device *device, const vc_pack *pack, const int64_t counts[VC_STACK_MAX], void *to);

vc_status vc_cpu_linear_prepare(const vc_linear *op, size_t *workspace, vc_error *error);
// Bytes of workspace for winograd.c where that is the way to do a convolution, else 0. Overflow has been ruled out.
size_t vc_cpu_winograd_bytes(const vc_conv *op);
vc_status vc_cpu_winograd(vc_device *device, const vc_conv *op);

vc_status vc_cpu_conv_prepare(const vc_conv *op, size_t *workspace, vc_error *error);
vc_status vc_cpu_group_norm_prepare(const vc_group_norm *op, size_t *workspace, vc_error *error);
vc_status vc_cpu_layer_norm_prepare(const vc_layer_norm *op, size_t *workspace, vc_error *error);
vc_status vc_cpu_attention_prepare(const vc_attention *op, size_t *workspace, vc_error *error);
vc_status vc_cpu_activate_prepare(const vc_activate *op, size_t *workspace, vc_error *error);
vc_status vc_cpu_sum_prepare(const vc_sum *op, size_t *workspace, vc_error *error);
vc_status vc_cpu_copy_prepare(const vc_copy *op, size_t *workspace, vc_error *error);
vc_status vc_cpu_gather_prepare(const vc_gather *op, size_t *workspace, vc_error *error);
vc_status vc_cpu_pool_prepare(const vc_pool *op, size_t *workspace, vc_error *error);
vc_status vc_cpu_sinusoid_prepare(const vc_sinusoid *op, size_t *workspace, vc_error *error);
vc_status vc_cpu_sampler_prepare(const vc_sampler *op, size_t *workspace, vc_error *error);
vc_status vc_cpu_conv_transpose_prepare(const vc_conv_transpose *op, size_t *workspace, vc_error *error);
vc_status vc_cpu_max_pool_prepare(const vc_max_pool *op, size_t *workspace, vc_error *error);
vc_status vc_cpu_resize_prepare(const vc_resize *op, size_t *workspace, vc_error *error);
vc_status vc_cpu_gate_prepare(const vc_gate *op, size_t *workspace, vc_error *error);

vc_status vc_cpu_linear(vc_device *device, const vc_linear *op, vc_error *error);
vc_status vc_cpu_conv(vc_device *device, const vc_conv *op, vc_error *error);
vc_status vc_cpu_group_norm(vc_device *device, const vc_group_norm *op, vc_error *error);
vc_status vc_cpu_layer_norm(vc_device *device, const vc_layer_norm *op, vc_error *error);
vc_status vc_cpu_attention(vc_device *device, const vc_attention *op, vc_error *error);
vc_status vc_cpu_activate(vc_device *device, const vc_activate *op, vc_error *error);
vc_status vc_cpu_sum(vc_device *device, const vc_sum *op, vc_error *error);
vc_status vc_cpu_copy(vc_device *device, const vc_copy *op, vc_error *error);
vc_status vc_cpu_gather(vc_device *device, const vc_gather *op, vc_error *error);
vc_status vc_cpu_pool(vc_device *device, const vc_pool *op, vc_error *error);
vc_status vc_cpu_sinusoid(vc_device *device, const vc_sinusoid *op, vc_error *error);
vc_status vc_cpu_sampler(vc_device *device, const vc_sampler *op, vc_error *error);
vc_status vc_cpu_conv_transpose(vc_device *device, const vc_conv_transpose *op, vc_error *error);
vc_status vc_cpu_max_pool(vc_device *device, const vc_max_pool *op, vc_error *error);
vc_status vc_cpu_resize(vc_device *device, const vc_resize *op, vc_error *error);
vc_status vc_cpu_gate(vc_device *device, const vc_gate *op, vc_error *error);

#endif
